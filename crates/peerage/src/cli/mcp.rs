//! `peerage mcp`: standard input and output are an MCP session with the running node.
//!
//! Whoever has a command in an MCP client's configuration wants it to work at once, so a node is started if
//! none runs. It stays when the client leaves.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split, stdin, stdout},
    time::timeout,
};

use super::{Context, Failure, client::Client, up};

/// Bytes copied at once.
const BUFFER: usize = 64 * 1024;
/// How long answers are waited for after the client has said its last word: the deadline of a call.
const DRAIN: Duration = Duration::from_secs(60);

pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let client = running(context).await?;
    let (mut from_node, to_node) = split(client.mcp().await?);
    let asking = copy(stdin(), to_node);
    let mut out = stdout();
    let answering = async {
        let mut buffer = vec![0; BUFFER];
        pass(&mut from_node, &mut out, &mut buffer).await
    };
    tokio::pin!(answering);
    tokio::select! {
        ended = &mut answering => {
            ended?;
            Err(Failure::failed("node_gone", "the node ended the session"))
        }
        asked = asking => {
            asked?;
            match timeout(DRAIN, answering).await {
                Ok(ended) => ended,
                Err(_) => Ok(()),
            }
        }
    }
}

/// The running node, or one that is started now.
async fn running(context: &Context) -> Result<Client, Failure> {
    match context.client().await {
        Err(failure) if failure.code() == "node_not_running" => up::detach::ensure(context).await,
        found => found,
    }
}

/// Copies to the end, then says that this was the end.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> Result<(), Failure> {
    let mut buffer = vec![0; BUFFER];
    pass(&mut from, &mut to, &mut buffer).await?;
    // The node may have gone first; the other direction says so.
    drop(to.shutdown().await);
    Ok(())
}

/// Copies what comes as it comes, each part at once.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    buffer: &mut [u8],
) -> Result<(), Failure> {
    let failed = |error| Failure::io("the MCP session broke", &error);
    loop {
        let count = from.read(buffer).await.map_err(failed)?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..count]).await.map_err(failed)?;
        to.flush().await.map_err(failed)?;
    }
}
