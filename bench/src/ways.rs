//! The asking process of a measure: it is told by lines what to do and answers each with a line of figures.
//!
//! `rivals` has this module too, by its path, so that everybody is measured by the same loops.
//!
//! ```text
//! warm WAY COUNT              nanoseconds of each, one after the other
//! flight WAY COUNT IN_FLIGHT  seconds that all took
//! send WAY BYTES              seconds
//! receive WAY BYTES           seconds
//! first WAY COUNT             nanoseconds from nothing to the first answer, each
//! ```
//!
//! An answer that begins with `!` says what went wrong.

use std::{
    collections::HashMap,
    future::Future,
    io::Write,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    task::JoinSet,
};

/// Bytes of each small payload.
pub(crate) const PAYLOAD: usize = 128;
/// Bytes of what a transfer writes at once.
pub(crate) const CHUNK: usize = 64 * 1024;

/// One who asks again and again and checks each answer.
pub(crate) trait Ask: Send + 'static {
    /// Asks once.
    fn ask(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// An asking process: what it can do, in the ways that it knows.
pub(crate) trait Side: Clone + Send + Sync + 'static {
    /// Asks in one of the ways.
    type Asker: Ask;

    /// Somebody who asks in this way.
    fn asker(&self, way: &str) -> impl Future<Output = Result<Self::Asker>> + Send;

    /// Sends so many bytes, or has them sent, and waits until all have arrived.
    fn transfer(
        &self,
        way: &str,
        send: bool,
        bytes: u64,
    ) -> impl Future<Output = Result<()>> + Send;

    /// How long the first answer takes for one who is not connected.
    fn first(&self, way: &str) -> impl Future<Output = Result<Duration>> + Send;
}

/// Does what it is told until its input ends.
pub(crate) async fn obey<S: Side>(side: S) -> Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut kept = HashMap::new();
    while let Some(line) = lines.next_line().await? {
        let answer = match act(&side, &mut kept, &line).await {
            Ok(figures) => figures
                .iter()
                .map(f64::to_string)
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => format!("! {error:#}").replace('\n', " "),
        };
        let mut out = std::io::stdout();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

async fn act<S: Side>(
    side: &S,
    kept: &mut HashMap<String, S::Asker>,
    line: &str,
) -> Result<Vec<f64>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [what, way, count, ..] = words[..] else {
        bail!("{line:?} is no order");
    };
    let count: u64 = count.parse()?;
    match what {
        "warm" => {
            let asker = match kept.remove(way) {
                Some(asker) => asker,
                None => side.asker(way).await?,
            };
            let (asker, times) = warm(asker, count).await?;
            kept.insert(way.to_owned(), asker);
            Ok(times)
        }
        "flight" => {
            let in_flight = words.get(3).context("how many in flight?")?.parse()?;
            Ok(vec![flight(side, way, count, in_flight).await?])
        }
        "send" | "receive" => {
            let start = Instant::now();
            let (side, way, send) = (side.clone(), way.to_owned(), what == "send");
            on_a_worker(async move { side.transfer(&way, send, count).await }).await?;
            Ok(vec![start.elapsed().as_secs_f64()])
        }
        "first" => {
            let (side, way) = (side.clone(), way.to_owned());
            on_a_worker(async move {
                let mut times = Vec::new();
                for _ in 0..count {
                    times.push(nanos(side.first(&way).await?));
                }
                Ok(times)
            })
            .await
        }
        _ => bail!("{what:?} is no order"),
    }
}

async fn warm<A: Ask>(mut asker: A, count: u64) -> Result<(A, Vec<f64>)> {
    on_a_worker(async move {
        let mut times = Vec::new();
        for _ in 0..count {
            let start = Instant::now();
            asker.ask().await?;
            times.push(nanos(start.elapsed()));
        }
        Ok((asker, times))
    })
    .await
}

/// In a task of its own, as a caller is: the main thread would add its own waking to each wait.
async fn on_a_worker<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let mut task = JoinSet::new();
    task.spawn(work);
    task.join_next().await.context("it was just spawned")??
}

async fn flight<S: Side>(side: &S, way: &str, count: u64, in_flight: u64) -> Result<f64> {
    ensure!(in_flight > 0, "nobody asks");
    let mut askers = Vec::new();
    for _ in 0..in_flight {
        askers.push(side.asker(way).await?);
    }
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for mut asker in askers {
        tasks.spawn(async move {
            for _ in 0..count / in_flight {
                asker.ask().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(start.elapsed().as_secs_f64())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nothing here takes as long as 52 bits of nanoseconds"
)]
fn nanos(time: Duration) -> f64 {
    time.as_nanos() as f64
}

/// A body of a known length that repeats one chunk.
#[derive(Debug)]
pub(crate) struct Repeated {
    chunk: Bytes,
    left: u64,
}

impl Repeated {
    /// So many bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        Self {
            chunk: Bytes::from(vec![b'x'; CHUNK]),
            left: bytes,
        }
    }

    /// The next chunk; none after the last.
    pub(crate) fn chunk(&mut self) -> Option<Bytes> {
        let length = usize::try_from(self.left).map_or(CHUNK, |left| left.min(CHUNK));
        self.left -= length as u64;
        (length > 0).then(|| self.chunk.slice(..length))
    }
}

impl http_body::Body for Repeated {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.chunk().map(|chunk| Ok(Frame::data(chunk))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
