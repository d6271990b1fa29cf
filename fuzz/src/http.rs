//! The two ends of a call that read what the other one wrote: heads and bodies of HTTP/1.1.

use std::{
    convert::Infallible,
    io::Cursor,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full, Limited};
use hyper::{
    body::Incoming, client::conn::http1 as client, server::conn::http1 as server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of a head, at the most, as the mesh has it.
const MAX_HEAD: usize = 64 * 1024;
/// Bytes of a body that are read.
const MAX_BODY: usize = 1024 * 1024;

/// A stream on which some bytes arrive, and which takes whatever is written.
struct Arriving(Cursor<Vec<u8>>);

impl AsyncRead for Arriving {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Arriving {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The bytes as requests on one stream: each that is taken has a head within the bounds.
pub(crate) fn requests(bytes: &[u8]) {
    let service = service_fn(|request: Request<Incoming>| async {
        let length: usize = request
            .headers()
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        assert!(length <= MAX_HEAD);
        let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes);
        Ok::<_, Infallible>(Response::new(Full::new(body.unwrap_or_default())))
    });
    let stream = TokioIo::new(Arriving(Cursor::new(bytes.to_vec())));
    let served = server::Builder::new()
        .max_header_size(MAX_HEAD)
        .serve_connection(stream, service);
    // It ends with the bytes, in one way or the other.
    assert!(ends(served), "it waits for more");
}

/// The bytes as the answer to a request.
pub(crate) fn answer(bytes: &[u8]) {
    let stream = TokioIo::new(Arriving(Cursor::new(bytes.to_vec())));
    let call = async {
        let (mut sender, connection) = client::Builder::new()
            .max_header_size(MAX_HEAD)
            .handshake(stream)
            .await?;
        let request = Request::get("/").header("host", "x");
        let request = request.body(Empty::<Bytes>::new()).expect("it is valid");
        let answer = async {
            let answer = sender.send_request(request).await?;
            let body = Limited::new(answer.into_body(), MAX_BODY).collect().await;
            drop(sender);
            drop(body);
            Ok::<_, hyper::Error>(())
        };
        drop(futures::future::join(connection, answer).await);
        Ok::<_, hyper::Error>(())
    };
    assert!(ends(call), "it waits for more");
}

/// Whether a future ends when nothing more comes; it may ask to be polled again, but not forever.
fn ends(future: impl Future) -> bool {
    const POLLS: usize = 100_000;
    let mut future = std::pin::pin!(future);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    (0..POLLS).any(|_| future.as_mut().poll(&mut cx).is_ready())
}
