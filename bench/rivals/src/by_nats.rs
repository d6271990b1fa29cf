//! NATS: async-nats on both sides of a nats-server, which stands between them. It only sends.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use async_nats::Client;
use bytes::Bytes;
use futures::StreamExt;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::JoinSet,
};

use crate::ways::{Ask, PAYLOAD, Repeated, Side};

const ECHO: &str = "echo";
const BULK: &str = "bulk";
/// Chunks between two that are answered, by which the sender keeps from drowning the server, which
/// would cut off a receiver that lags.
const MARK: u64 = 64;
/// Answers that may be waited for: with them, 16 MiB are under way.
const MARKS: usize = 4;

/// Starts a server of its own, and answers until the input ends.
pub(crate) async fn serve() -> Result<()> {
    let (_server, place) = server().await?;
    let client = async_nats::connect(&place).await?;
    let mut echoes = client.subscribe(ECHO).await?;
    let mut bulk = client.subscribe(BULK).await?;
    client.flush().await?;
    let mut tasks = JoinSet::new();
    let echoing = client.clone();
    tasks.spawn(async move {
        while let Some(message) = echoes.next().await {
            if let Some(reply) = message.reply {
                let _ = echoing.publish(reply, message.payload).await;
            }
        }
    });
    tasks.spawn(async move {
        let mut total: u64 = 0;
        while let Some(message) = bulk.next().await {
            total += message.payload.len() as u64;
            if let Some(reply) = message.reply {
                let _ = client.publish(reply, total.to_string().into()).await;
            }
        }
    });
    crate::reached_at(&place).await
}

async fn server() -> Result<(Child, String)> {
    let mut server = Command::new("nats-server")
        .args(["--addr", "127.0.0.1", "--port", "-1"])
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("nats-server cannot be started")?;
    let said = server.stderr.take().context("it is a pipe")?;
    let mut lines = BufReader::new(said).lines();
    let mut place = None;
    while let Some(line) = lines.next_line().await? {
        if let Some((_, at)) = line.split_once("client connections on ") {
            place = Some(at.trim().to_owned());
        }
        if line.contains("Server is ready") {
            break;
        }
    }
    Ok((server, place.context("nats-server ended at its start")?))
}

/// The asking side.
#[derive(Clone, Debug)]
pub(crate) struct Nats {
    place: String,
    client: Client,
}

impl Nats {
    /// Connected to the server.
    pub(crate) async fn new(place: &str) -> Result<Self> {
        Ok(Self {
            client: async_nats::connect(place).await?,
            place: place.to_owned(),
        })
    }
}

/// Asks by NATS's own requests.
#[derive(Debug)]
pub(crate) struct Asker {
    client: Client,
    payload: Bytes,
}

impl Ask for Asker {
    async fn ask(&mut self) -> Result<()> {
        let answer = self.client.request(ECHO, self.payload.clone()).await?;
        ensure!(
            answer.payload == self.payload,
            "another answer than what was sent"
        );
        Ok(())
    }
}

impl Side for Nats {
    type Asker = Asker;

    async fn asker(&self, _: &str) -> Result<Asker> {
        Ok(Asker {
            client: self.client.clone(),
            payload: Bytes::from(vec![b'x'; PAYLOAD]),
        })
    }

    async fn transfer(&self, _: &str, send: bool, bytes: u64) -> Result<()> {
        ensure!(send, "NATS only sends");
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await?;
        let mut body = Repeated::new(bytes);
        let (mut count, mut sent, mut waiting) = (0, 0, 0);
        let mut totals: Vec<u64> = Vec::new();
        while let Some(chunk) = body.chunk() {
            count += 1;
            sent += chunk.len() as u64;
            if count % MARK != 0 && sent < bytes {
                self.client.publish(BULK, chunk).await?;
                continue;
            }
            let marked = self.client.publish_with_reply(BULK, inbox.clone(), chunk);
            marked.await?;
            waiting += 1;
            while waiting > MARKS || (sent == bytes && waiting > 0) {
                let answer = answers.next().await.context("no answer")?;
                totals.push(std::str::from_utf8(&answer.payload)?.parse()?);
                waiting -= 1;
            }
        }
        // The receiver counts on from one transfer to the next.
        let first = bytes.min(MARK * crate::ways::CHUNK as u64);
        match (totals.first(), totals.last()) {
            (Some(one), Some(all)) if all - one == bytes - first => Ok(()),
            _ => bail!("not all bytes arrived"),
        }
    }

    async fn first(&self, way: &str) -> Result<Duration> {
        let start = std::time::Instant::now();
        Self::new(&self.place)
            .await?
            .asker(way)
            .await?
            .ask()
            .await?;
        Ok(start.elapsed())
    }
}
