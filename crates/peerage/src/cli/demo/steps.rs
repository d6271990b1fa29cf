//! What the demo does, step by step.

use std::{future::Future, path::Path, time::Duration};

use http::Method;
use peerage_services::api::{
    CallToolAnswer, CallToolRequest, InviteRequest, InviteView, JoinRequest, JoinView, NodeStatus,
    PeerView, ToolView,
};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{
    super::{Failure, client::Client},
    Told,
    machine::{LOOK, Machine},
};

/// Name of the node that shares.
const SHARES: &str = "workstation";
/// Name of the node that calls.
const CALLS: &str = "laptop";
/// Name of the share.
const SERVER: &str = "toolbox";
/// How long multicast is given before the address is used.
const MULTICAST: Duration = Duration::from_millis(2_500);
/// How long anything else may take.
const WAIT: Duration = Duration::from_secs(15);

/// What the steps work with.
pub(super) struct Story<'a, 'b> {
    /// Where the homes go.
    pub(super) folder: &'a Path,
    /// Where each step is told.
    pub(super) told: &'a mut Told<'b>,
    /// The nodes, which the caller stops whatever happens.
    pub(super) machines: &'a mut Vec<Machine>,
}

/// All of it.
pub(super) async fn tell(story: Story<'_, '_>) -> Result<(), Failure> {
    let Story {
        folder,
        told,
        machines,
    } = story;
    let (first, second) = start(folder, told, machines).await?;
    let first_id = first.get::<NodeStatus>("/api/v1/node").await?.peer_id;
    discover(told, &second, &first_id).await?;
    join(told, &first, &second).await?;
    let tools = list(told, &second, &first_id).await?;
    for (tool, arguments) in [
        ("echo", json!({ "text": "hello from the other side" })),
        ("time", json!({})),
        ("host", json!({})),
        // The same once more: this one finds everything warm.
        ("echo", json!({ "text": "and once more, warm" })),
    ] {
        call(told, &second, &tools, (tool, arguments)).await?;
    }
    Ok(())
}

async fn start(
    folder: &Path,
    told: &mut Told<'_>,
    machines: &mut Vec<Machine>,
) -> Result<(Client, Client), Failure> {
    let since = told.doing("starting two nodes");
    let program = std::env::current_exe();
    let program = program.map_err(|error| Failure::io("cannot find this program", &error))?;
    let program = program.into_os_string().into_string();
    let program = program.map_err(|_| Failure::usage("the path of this program is not Unicode"))?;
    let command = shell_words::join([&program, "toolbox"]);
    let share = ["--share".to_owned(), format!("{SERVER}={command}")];
    machines.push(Machine::start(folder, SHARES, &share)?);
    machines.push(Machine::start(folder, CALLS, &[])?);
    let [one, other] = machines.as_mut_slice() else {
        unreachable!("two were just pushed onto an empty list");
    };
    let clients = tokio::try_join!(one.ready(), other.ready())?;
    let detail =
        format!("{SHARES} shares `peerage toolbox`; {CALLS} has a home and key of its own");
    told.step("start", since, detail);
    Ok(clients)
}

/// Waits for mDNS. Where multicast is missing, the invite carries the address; the step says which it was.
async fn discover(told: &mut Told<'_>, second: &Client, first_id: &str) -> Result<(), Failure> {
    let since = told.doing("waiting for the nodes to find each other");
    let status: NodeStatus = second.get("/api/v1/node").await?;
    let multicast = status
        .mdns
        .iter()
        .any(|on| matches!(on.state.as_str(), "up" | "starting"));
    let within = if multicast { MULTICAST } else { Duration::ZERO };
    let known = async {
        until(|| async {
            let peers: Vec<PeerView> = second.get("/api/v1/peers").await?;
            let found = |peer: &PeerView| peer.peer_id == first_id && peer.connected;
            Ok(peers.into_iter().find(found))
        })
        .await
    };
    let detail = match timeout(within, known).await {
        Ok(peer) => {
            let peer = peer?;
            let source = peer
                .addresses
                .first()
                .map_or("mdns", |seen| seen.source.as_str());
            let address = peer.addresses.first().map(|seen| seen.address.as_str());
            format!(
                "{CALLS} found {SHARES} over {source} at {}",
                address.unwrap_or_default()
            )
        }
        Err(_) if multicast => {
            "mDNS brought nothing, so the address in the invite is used".to_owned()
        }
        Err(_) => "no multicast here, so the address in the invite is used".to_owned(),
    };
    told.step("discover", since, detail);
    Ok(())
}

async fn join(told: &mut Told<'_>, first: &Client, second: &Client) -> Result<(), Failure> {
    let since = told.doing("inviting");
    let invite: InviteView = first
        .post("/api/v1/invites", &InviteRequest::default())
        .await?;
    let detail = format!(
        "{SHARES} made a code that works once, until {}",
        invite.expires
    );
    told.step("invite", since, detail);
    let since = told.doing("joining");
    let request = JoinRequest { code: invite.code };
    let joined: JoinView = second
        .send(Method::POST, "/api/v1/join", &request, WAIT)
        .await?;
    told.step("join", since, format!("{CALLS} is now {}", joined.name));
    Ok(())
}

async fn list(
    told: &mut Told<'_>,
    second: &Client,
    first_id: &str,
) -> Result<Vec<ToolView>, Failure> {
    let since = told.doing("waiting for the tools");
    let listed = until(|| async {
        let mut tools: Vec<ToolView> = second.get("/api/v1/tools").await?;
        tools.retain(|tool| tool.peer_id == first_id && tool.server == SERVER);
        Ok(Some(tools).filter(|tools| !tools.is_empty()))
    });
    let tools = timeout(WAIT, listed).await.map_err(|_| {
        Failure::failed(
            "demo_failed",
            format!("{CALLS} never saw the tools of {SHARES}"),
        )
    })??;
    let names: Vec<_> = tools.iter().map(|tool| tool.tool.as_str()).collect();
    told.step(
        "tools",
        since,
        format!("{CALLS} may call {}", names.join(", ")),
    );
    Ok(tools)
}

async fn call(
    told: &mut Told<'_>,
    second: &Client,
    tools: &[ToolView],
    (tool, arguments): (&str, Value),
) -> Result<(), Failure> {
    let since = told.doing("calling");
    let known = tools.iter().find(|known| known.tool == tool);
    let known =
        known.ok_or_else(|| Failure::failed("demo_failed", format!("there is no {tool}")))?;
    let arguments: Map<String, Value> = arguments.as_object().cloned().unwrap_or_default();
    let request = CallToolRequest {
        peer: known.peer_id.clone(),
        server: known.server.clone(),
        tool: known.tool.clone(),
        arguments,
        timeout_s: WAIT.as_secs(),
    };
    let route = "/api/v1/tools/call";
    let answer: CallToolAnswer = second.send(Method::POST, route, &request, WAIT).await?;
    let text = answer.result["content"][0]["text"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    if answer.result["isError"] == json!(true) {
        return Err(Failure::failed(
            "demo_failed",
            format!("{tool} failed: {text}"),
        ));
    }
    told.step("call", since, format!("{SHARES}/{SERVER}/{tool} -> {text}"));
    Ok(())
}

/// Asks again and again until there is an answer; the caller limits the time.
async fn until<T, F>(mut ask: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<Option<T>, Failure>>,
{
    loop {
        let asked = Instant::now();
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        sleep(LOOK.saturating_sub(asked.elapsed())).await;
    }
}
