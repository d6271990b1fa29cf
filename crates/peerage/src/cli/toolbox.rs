//! `peerage toolbox`: the built-in MCP server on standard input and output.

use peerage::toolbox::Toolbox;

use super::Failure;

pub(crate) async fn run() -> Result<(), Failure> {
    let served = Toolbox.serve_stdio().await;
    served.map_err(|error| Failure::failed("toolbox_failed", error.to_string()))
}
