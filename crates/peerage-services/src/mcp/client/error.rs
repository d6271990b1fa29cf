//! What a call of a tool fails with.

use std::time::Duration;

use peerage_core::problem::Problem;
use serde_json::Value;

/// A JSON-RPC error as the server sent it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct RpcError {
    /// The JSON-RPC code, e.g. -32602 for invalid parameters.
    pub code: i32,
    /// What the server said.
    pub message: String,
    /// What it added, if anything.
    pub data: Option<Value>,
}

/// Why a call of a tool brought no result.
///
/// A tool that ran and failed is not among these: that is a result with `isError`.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolCallError {
    /// The server answered with a JSON-RPC error.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// There is no answer of the server.
    #[error(transparent)]
    Problem(#[from] Problem),
}

impl From<rmcp::ErrorData> for ToolCallError {
    fn from(error: rmcp::ErrorData) -> Self {
        Self::Rpc(RpcError {
            code: error.code.0,
            message: error.message.into_owned(),
            data: error.data,
        })
    }
}

pub(super) fn upstream_gone(detail: impl Into<String>) -> Problem {
    Problem::new(502, "upstream_gone", detail)
}

pub(super) fn bad_answer(detail: impl Into<String>) -> Problem {
    Problem::new(502, "bad_answer", detail)
}

pub(super) fn cancelled() -> Problem {
    Problem::new(499, "cancelled", "the caller gave the call up")
}

pub(super) fn deadline(after: Duration) -> Problem {
    let detail = format!("no answer and no progress within {after:?}");
    Problem::new(504, "deadline", detail)
        .hint("it may still have been executed; ask for a longer deadline")
}
