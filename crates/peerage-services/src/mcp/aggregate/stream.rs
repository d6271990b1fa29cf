//! One client over a byte stream: newline-delimited JSON, as over stdio.

use std::{io, sync::Arc};

use rmcp::service::serve_server_with_ct;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
    DuplexStream,
};
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    handler::Handler,
    whole::{MAX_LINE, Marker},
};

/// How much may wait between the server and the stream, in bytes.
const BUFFER: usize = 64 << 10;

/// Why serving a client over a stream ended otherwise than by its leaving.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The client did not introduce itself as the protocol says.
    #[error("no MCP session: {0}")]
    Introduction(String),
    /// Nothing could be written to the stream any more.
    #[error("the stream broke: {0}")]
    Stream(#[from] io::Error),
}

pub(super) async fn serve_stream<S>(shared: Arc<Shared>, stream: S) -> Result<(), ServeError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let cancel = shared.tasks.token().child_token();
    let _ended = cancel.clone().drop_guard();
    let marker = shared.marker.clone();
    let (read, write) = tokio::io::split(stream);
    let (server_end, our_end) = tokio::io::duplex(BUFFER);
    let serve = serve(Handler::new(shared, None), read, server_end, cancel.clone());
    let copy = async {
        let copied = copy_lines(&marker, our_end, write).await;
        if copied.is_err() {
            // Nobody reads any more: what is under way is for nobody.
            cancel.cancel();
        }
        copied
    };
    let (served, copied) = tokio::join!(serve, copy);
    served?;
    Ok(copied?)
}

async fn serve<R>(
    handler: Handler,
    read: R,
    write: DuplexStream,
    cancel: CancellationToken,
) -> Result<(), ServeError>
where
    R: AsyncRead + Send + Unpin + 'static,
{
    let running = serve_server_with_ct(handler, (read, write), cancel)
        .await
        .map_err(|error| ServeError::Introduction(error.to_string()))?;
    let ended = running.waiting().await;
    tracing::debug!(?ended, "an MCP client over a stream has gone");
    Ok(())
}

async fn copy_lines(
    marker: &Marker,
    from: DuplexStream,
    mut to: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = MAX_LINE as u64;
        (&mut from).take(limit).read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return to.shutdown().await;
        }
        let restored = marker.restore_line(&line);
        to.write_all(restored.as_deref().unwrap_or(&line)).await?;
        to.flush().await?;
    }
}
