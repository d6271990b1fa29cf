//! HTTP/1.1 keep-alive over TLS: axum serves, reqwest asks.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Path},
    routing::{get, post},
    serve::Listener,
};
use bytes::Bytes;
use http_body_util::BodyExt;
use reqwest::{Certificate, Client};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
    server::TlsStream,
};

use crate::ways::{Ask, PAYLOAD, Repeated, Side};

/// The name in the certificate.
const NAME: &str = "localhost";

/// Connections of a listener, with TLS.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Tls {
    async fn try_accept(&self) -> io::Result<(TlsStream<TcpStream>, SocketAddr)> {
        let (stream, from) = self.listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok((self.acceptor.accept(stream).await?, from))
    }
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok(accepted) = self.try_accept().await {
                return accepted;
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// Answers until the input ends.
pub(crate) async fn serve() -> Result<()> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let certificate = made.cert.der().clone();
    let key =
        PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(io::Error::other)?;
    // The fastest that rustls has; reqwest uses it too.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)?;
    let tls = Tls {
        listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?,
        acceptor: TlsAcceptor::from(Arc::new(config)),
    };
    let port = tls.local_addr()?.port();
    let routes = Router::new()
        .route("/echo", post(|body: Bytes| async move { body }))
        .route(
            "/bytes/{count}",
            get(|Path(count): Path<u64>| async move { Body::new(Repeated::new(count)) }),
        )
        .route("/sink", post(sink).layer(DefaultBodyLimit::disable()));
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(tls, routes).await });
    crate::reached_at(&format!("{port}/{}", hex(&certificate))).await
}

async fn sink(mut body: Body) -> String {
    let mut total = 0;
    while let Some(Ok(frame)) = body.frame().await {
        total += frame.data_ref().map_or(0, Bytes::len);
    }
    total.to_string()
}

/// The asking side.
#[derive(Clone, Debug)]
pub(crate) struct Https {
    port: u16,
    certificate: Vec<u8>,
    client: Client,
}

impl Https {
    /// A client of one who serves.
    pub(crate) fn new(place: &str) -> Result<Self> {
        let (port, certificate) = place.split_once('/').context("no place")?;
        let certificate = unhex(certificate)?;
        Ok(Self {
            port: port.parse()?,
            client: client(&certificate)?,
            certificate,
        })
    }

    fn url(&self, path: &str) -> String {
        format!("https://{NAME}:{}{path}", self.port)
    }
}

fn client(certificate: &[u8]) -> Result<Client> {
    let client = Client::builder()
        .tls_certs_only([Certificate::from_der(certificate)?])
        .resolve(NAME, (Ipv4Addr::LOCALHOST, 0).into())
        .http1_only()
        .build()?;
    Ok(client)
}

/// Asks by one request for each call; the client keeps its connections.
#[derive(Debug)]
pub(crate) struct Asker {
    client: Client,
    url: String,
    payload: Bytes,
}

impl Ask for Asker {
    async fn ask(&mut self) -> Result<()> {
        let request = self.client.post(&self.url).body(self.payload.clone());
        let answer = request.send().await?.error_for_status()?;
        let echoed = answer.bytes().await?;
        ensure!(echoed == self.payload, "another answer than what was sent");
        Ok(())
    }
}

impl Side for Https {
    type Asker = Asker;

    async fn asker(&self, _: &str) -> Result<Asker> {
        Ok(Asker {
            client: self.client.clone(),
            url: self.url("/echo"),
            payload: Bytes::from(vec![b'x'; PAYLOAD]),
        })
    }

    async fn transfer(&self, _: &str, send: bool, bytes: u64) -> Result<()> {
        let total = if send {
            let body = reqwest::Body::wrap(Repeated::new(bytes));
            let request = self.client.post(self.url("/sink")).body(body);
            request.send().await?.text().await?.parse()?
        } else {
            let request = self.client.get(self.url(&format!("/bytes/{bytes}")));
            let mut answer = request.send().await?;
            let mut total = 0;
            while let Some(chunk) = answer.chunk().await? {
                total += chunk.len() as u64;
            }
            total
        };
        ensure!(total == bytes, "{total} of {bytes} bytes arrived");
        Ok(())
    }

    async fn first(&self, way: &str) -> Result<Duration> {
        let fresh = Self {
            client: client(&self.certificate)?,
            ..self.clone()
        };
        let mut asker = fresh.asker(way).await?;
        let start = Instant::now();
        asker.ask().await?;
        Ok(start.elapsed())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?);
    digits.map(byte).collect()
}
