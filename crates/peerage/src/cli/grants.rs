//! `peerage grant`, `peerage grants` and `peerage revoke`: who bears which name, with which rights, until when.

use std::time::Duration;

use http::Method;
use peerage::config::parse_duration;
use peerage_services::api::{GrantRequest, GrantView, GrantsView};

use super::{
    Context, Failure,
    client::{Client, segment},
    output::Output,
};

/// How long giving one may take: the peer may have to be connected first.
const WITHIN: Duration = Duration::from_secs(60);
/// Characters of an id that are enough to mean it.
const SHORTEST: usize = 6;

/// Grant a name to a peer: your own, or one below it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    peerage grant o://acme/sales --to laptop --rights be,call,grant\n  \
    peerage grant helper --to 12D3KooWQS6hTkAjSR7EVJ4DiaBv9moxofD6CXm1HDqM3aT48Lz7 --for 7d")]
pub(crate) struct Args {
    /// The name: o://acme/sales, or relative to this node's own
    #[arg(value_name = "NAME")]
    granted: String,
    /// The peer that gets it: its name, PeerId or DID
    #[arg(long, value_name = "PEER")]
    to: String,
    /// What it may do: be (bear the name), call, grant, and words of your own
    #[arg(
        long,
        value_name = "RIGHTS",
        value_delimiter = ',',
        default_value = "be,call"
    )]
    rights: Vec<String>,
    /// For how long; it is renewed until it is revoked
    #[arg(long = "for", value_name = "TIME", default_value = "30d", value_parser = parse_duration)]
    life: Duration,
}

/// Take back a grant that this node has given
#[derive(Debug, clap::Args)]
pub(crate) struct RevokeArgs {
    /// Its id, as `peerage grants` shows it, or the beginning of it
    grant: String,
}

pub(crate) async fn give(context: &Context, args: Args) -> Result<(), Failure> {
    let request = GrantRequest {
        name: args.granted,
        to: args.to,
        rights: args.rights,
        seconds: args.life.as_secs(),
    };
    let client = context.client().await?;
    let given: GrantView = client
        .send(Method::POST, "/api/v1/grants", &request, WITHIN)
        .await?;
    let output = &context.output;
    output.answer(&given, |given| {
        let holder = given.peer.as_ref().unwrap_or(&given.peer_id);
        format!(
            "{holder} is {} until {} (grant {})",
            output.bold(&given.name),
            given.expires,
            given.id
        )
    });
    if let (Some(why), Some(chain)) = (&given.undelivered, &given.chain) {
        output.note(format!("it has not got the grant yet: {why}"));
        output.note(format!("hint: on its machine: peerage join {chain}"));
    }
    Ok(())
}

pub(crate) async fn list(context: &Context) -> Result<(), Failure> {
    let grants: GrantsView = context.client().await?.get("/api/v1/grants").await?;
    let output = &context.output;
    output.answer(&grants, |grants| render(output, grants));
    if grants.given.is_empty() {
        output.note("nothing is granted to others");
    }
    Ok(())
}

pub(crate) async fn revoke(context: &Context, args: RevokeArgs) -> Result<(), Failure> {
    let client = context.client().await?;
    let id = whole(&client, args.grant).await?;
    client
        .act(Method::DELETE, &format!("/api/v1/grants/{}", segment(&id)))
        .await?;
    let revoked = serde_json::json!({ "id": id, "revoked": true });
    context
        .output
        .answer(&revoked, |_| format!("grant {id} is revoked"));
    Ok(())
}

/// The id that is meant by the beginning of one.
async fn whole(client: &Client, beginning: String) -> Result<String, Failure> {
    let grants: GrantsView = client.get("/api/v1/grants").await?;
    let given = grants.given.into_iter().map(|grant| grant.id);
    let mut meant = given.filter(|id| beginning.len() >= SHORTEST && id.starts_with(&beginning));
    match (meant.next(), meant.next()) {
        (Some(id), None) => Ok(id),
        _ => Ok(beginning),
    }
}

fn render(output: &Output, grants: &GrantsView) -> String {
    let row = |way: &str, grant: &GrantView| {
        vec![
            way.to_owned(),
            grant.name.clone(),
            grant.peer.clone().unwrap_or_else(|| grant.peer_id.clone()),
            grant.rights.join(", "),
            grant.expires.clone(),
            grant.id.clone(),
        ]
    };
    let held = grants.held.iter().map(|grant| row("held", grant));
    let given = grants.given.iter().map(|grant| row("given", grant));
    output.table(
        &["", "name", "holder", "rights", "until", "grant"],
        held.chain(given).collect(),
    )
}
