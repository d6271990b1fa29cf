//! Which nodes run under a home, found by the files they write.

use std::path::Path;

use peerage_core::problem::Problem;
use peerage_services::api::NodeFile;
use sysinfo::{Pid, ProcessStatus, ProcessesToUpdate, System};

use super::{super::Failure, Client};

/// Folder of the nodes under a home, one folder each.
const FOLDER: &str = "nodes";
/// The file in a node's folder that says how to reach it.
const FILE: &str = "node.json";
/// The most nodes that are looked at.
const MAX_NODES: usize = 256;

/// The node of that name, or the only one that runs.
pub(crate) async fn find(home: &Path, name: Option<&str>) -> Result<Client, Failure> {
    if let Some(name) = name {
        return find_named(home, name)
            .await
            .ok_or_else(|| not_running(Some(name)));
    }
    let mut running = Vec::new();
    for file in files(home) {
        let client = Client::new(file);
        if client.is_up().await {
            running.push(client);
        }
    }
    let mut names: Vec<_> = running
        .iter()
        .map(|client| client.node().name.clone())
        .collect();
    match (running.pop(), running.len()) {
        (None, _) => Err(not_running(None)),
        (Some(client), 0) => Ok(client),
        (Some(client), _) => {
            // Like a command without options: the environment and the file may still say which.
            names.sort();
            default_of(home, &names, running, client)
        }
    }
}

/// The node of that name, if it runs.
pub(crate) async fn find_named(home: &Path, name: &str) -> Option<Client> {
    let client = Client::new(files(home).find(|file| file.name == name)?);
    client.is_up().await.then_some(client)
}

/// No node runs, or not that one.
pub(crate) fn not_running(name: Option<&str>) -> Failure {
    let (detail, hint) = match name {
        Some(name) => (
            format!("the node `{name}` is not running"),
            format!("start it: peerage up --name {name}"),
        ),
        None => (
            "no node is running".to_owned(),
            "start one: peerage up".to_owned(),
        ),
    };
    Problem::new(503, "node_not_running", detail)
        .hint(hint)
        .into()
}

/// Whether there is a process with that id that has not ended.
pub(super) fn is_alive(pid: u32) -> bool {
    let pid = Pid::from_u32(pid);
    System::new().is_ok_and(|mut system| {
        system.refresh_processes(ProcessesToUpdate::Some(&[pid]), true);
        let process = system.process(pid);
        process.is_some_and(|process| process.status() != ProcessStatus::Zombie)
    })
}

/// Of several running nodes, the one that `up` without a name would mean.
fn default_of(
    home: &Path,
    names: &[String],
    others: Vec<Client>,
    last: Client,
) -> Result<Client, Failure> {
    use peerage::config::{Config, Environment, Layer, Origin};

    let config = Config::load(home, &Environment::process(), Layer::default())?;
    let said = config.origin("name") != Origin::Default;
    let mut clients = others.into_iter().chain([last]);
    let named = clients.find(|client| said && client.node().name == config.name);
    named.ok_or_else(|| {
        let detail = format!("several nodes are running: {}", names.join(", "));
        Problem::new(409, "several_nodes", detail)
            .hint(format!("say which: --name {}", names.join(" or --name ")))
            .into()
    })
}

/// What nodes wrote, running or not; what cannot be read is not there.
fn files(home: &Path) -> impl Iterator<Item = NodeFile> {
    let folders = std::fs::read_dir(home.join(FOLDER)).into_iter().flatten();
    folders.flatten().take(MAX_NODES).filter_map(|folder| {
        let text = std::fs::read(folder.path().join(FILE)).ok()?;
        serde_json::from_slice(&text).ok()
    })
}
