//! `peerage trust` and `peerage untrust`: one peer, without an invite.

use std::time::Duration;

use http::Method;
use peerage_services::api::TrustView;
use serde_json::json;

use super::{Context, Failure, client::segment, output::Output};

/// How long it may take.
const WITHIN: Duration = Duration::from_secs(30);

/// Which peer
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its name, PeerId, DID or o:// name
    peer: String,
}

pub(crate) async fn trust(context: &Context, args: Args) -> Result<(), Failure> {
    change(context, Method::PUT, &args.peer).await
}

pub(crate) async fn untrust(context: &Context, args: Args) -> Result<(), Failure> {
    change(context, Method::DELETE, &args.peer).await
}

async fn change(context: &Context, method: Method, peer: &str) -> Result<(), Failure> {
    let client = context.client().await?;
    let path = format!("/api/v1/trust/{}", segment(peer));
    let view: TrustView = client.send(method, &path, &json!({}), WITHIN).await?;
    let output = &context.output;
    output.answer(&view, |view| render(output, view));
    Ok(())
}

fn render(output: &Output, view: &TrustView) -> String {
    let name = view.name.as_deref().unwrap_or(&view.peer_id);
    let fields = output.fields(&[
        (
            if view.trusted {
                "trusted"
            } else {
                "no longer trusted"
            },
            name.to_owned(),
        ),
        ("peer id", view.peer_id.clone()),
        ("fingerprint", view.fingerprint.clone()),
        ("both keys", view.pair_fingerprint.clone()),
    ]);
    if !view.trusted {
        return fields;
    }
    let hint =
        "`both keys` must read the same on the other side: compare it over a channel you trust";
    format!("{fields}\n\n{hint}")
}
