//! With real processes: they end when they should, and with them all that they started.

use std::{collections::BTreeMap, env, ffi::OsString, fs, io::Read, path::Path, process};

use tokio::time::timeout;

use super::*;

/// A server that answers `initialize`, starts another process, and neither leaves when its input is
/// closed nor when it is asked to. Whoever lives holds the other end of the pipe `up`.
const STUBBORN: &str = r#"
exec 3>"$1"
trap '' TERM HUP
sleep 1000 &
printf 'up\n' >&3
printf '{"jsonrpc":"2.0","id":0,"result":{}}\n'
while :; do sleep 1; done
"#;

/// Names the script for `node_entry` and the command for `guard_entry`.
const COMMAND: &str = "PEERAGE_TEST_COMMAND";

struct Stubborn {
    home: tempfile::TempDir,
}

impl Stubborn {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("server"), STUBBORN).unwrap();
        let made = process::Command::new("mkfifo")
            .arg(home.path().join("up"))
            .status();
        assert!(made.unwrap().success());
        Self { home }
    }

    fn spec(&self) -> CommandSpec {
        spec_in(self.home.path())
    }

    /// Waits until the server runs.
    async fn up(&self) -> fs::File {
        let path = self.home.path().join("up");
        let up = move || {
            let mut pipe = fs::File::open(path).unwrap();
            let mut said = [0; 3];
            pipe.read_exact(&mut said).unwrap();
            assert_eq!(&said, b"up\n");
            pipe
        };
        in_time(up).await.expect("the server does not run")
    }
}

/// What may block for ever, in a thread that nobody waits for then; `None` when it takes too long.
async fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (told, outcome) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || told.send(work()));
    let outcome = timeout(Duration::from_secs(30), outcome).await.ok()?;
    Some(outcome.expect("it panicked"))
}

/// Waits until no process is left.
async fn is_gone(mut pipe: fs::File) {
    let rest = in_time(move || pipe.read_to_end(&mut Vec::new())).await;
    assert_eq!(rest.expect("a process is left").unwrap(), 0);
}

fn spec_in(home: &Path) -> CommandSpec {
    CommandSpec {
        program: "sh".to_owned(),
        args: ["server", "up"]
            .map(|name| home.join(name).display().to_string())
            .into(),
        env: BTreeMap::new(),
        cwd: None,
    }
}

/// This program again, as the guard.
fn guard() -> Vec<OsString> {
    let again = format!(
        r#"exe=$1; shift; {COMMAND}="$*" exec "$exe" --exact mcp::stdio::tests::processes::guard_entry --ignored --nocapture"#
    );
    let exe = env::current_exe().unwrap();
    [
        "sh".into(),
        "-c".into(),
        again.into(),
        "sh".into(),
        exe.into(),
    ]
    .into()
}

fn limits(guard: Vec<OsString>) -> Limits {
    Limits {
        stop_grace: Duration::from_millis(200),
        guard,
        ..Limits::default()
    }
}

#[test]
#[ignore = "run by other tests, as a program of its own"]
fn guard_entry() {
    if let Ok(command) = env::var(COMMAND) {
        let _exit_code = guard::run(command.split(' ').map(Into::into));
    }
}

#[test]
#[ignore = "run by another test, as a program of its own"]
fn node_entry() {
    let Ok(home) = env::var(COMMAND) else {
        return;
    };
    let node = async {
        let server = StdioServer::new(spec_in(Path::new(&home)), limits(guard()), &Tasks::new());
        let _opened = server.handle("a", post(INITIALIZE, &[])).await;
        std::future::pending::<()>().await;
    };
    tokio::runtime::Runtime::new().unwrap().block_on(node);
}

#[tokio::test]
async fn a_process_ends_with_its_session_and_all_it_started() {
    for guard in [Vec::new(), guard()] {
        let stubborn = Stubborn::new();
        let tasks = Tasks::new();
        let server = StdioServer::new(stubborn.spec(), limits(guard), &tasks);
        let (response, pipe) =
            tokio::join!(server.handle("a", post(INITIALIZE, &[])), stubborn.up());
        let session = header(response.headers(), "mcp-session-id").to_owned();
        let delete = request("DELETE", Body::empty(), &[("mcp-session-id", &session)]);
        assert_eq!(server.handle("a", delete).await.status(), 204);
        is_gone(pipe).await;
        assert!(tasks.running() <= 2);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_process_ends_with_its_node() {
    for guard in [Vec::new(), guard()] {
        let stubborn = Stubborn::new();
        let tasks = Tasks::new();
        let server = StdioServer::new(stubborn.spec(), limits(guard), &tasks);
        let (_, pipe) = tokio::join!(server.handle("a", post(INITIALIZE, &[])), stubborn.up());
        tasks.stop().await;
        is_gone(pipe).await;
    }
}

#[tokio::test]
async fn stop_waits_until_the_process_is_gone() {
    let stubborn = Stubborn::new();
    let server = StdioServer::new(stubborn.spec(), limits(Vec::new()), &Tasks::new());
    let (_, pipe) = tokio::join!(server.handle("a", post(INITIALIZE, &[])), stubborn.up());
    server.stop().await;
    is_gone(pipe).await;
    let response = server.handle("a", post(INITIALIZE, &[])).await;
    assert_eq!(
        json(response).await["error"]["data"]["code"],
        "server_ended"
    );
}

#[tokio::test]
async fn a_guarded_process_ends_when_its_node_is_killed() {
    let stubborn = Stubborn::new();
    let mut node = tokio::process::Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "mcp::stdio::tests::processes::node_entry",
            "--ignored",
        ])
        .env(COMMAND, stubborn.home.path())
        .kill_on_drop(true)
        .stdout(process::Stdio::null())
        .spawn()
        .unwrap();
    let pipe = stubborn.up().await;
    node.kill().await.unwrap();
    is_gone(pipe).await;
}

#[tokio::test]
async fn a_process_that_leaves_by_itself_says_how() {
    for guard in [Vec::new(), guard()] {
        let spec = CommandSpec {
            program: "false".to_owned(),
            ..Stubborn::new().spec()
        };
        let server = StdioServer::new(spec, limits(guard), &Tasks::new());
        let response = server.handle("a", post(INITIALIZE, &[])).await;
        let error = json(response).await;
        assert_eq!(error["error"]["data"]["code"], "server_ended");
        assert!(
            error["error"]["message"]
                .as_str()
                .unwrap()
                .contains("exit status"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_told_at_once() {
    let spec = CommandSpec {
        program: "/nowhere/no-such-program".to_owned(),
        ..Stubborn::new().spec()
    };
    let server = StdioServer::new(spec, Limits::default(), &Tasks::new());
    let response = server.handle("a", post(INITIALIZE, &[])).await;
    assert_eq!(response.status(), 502);
    let error = json(response).await;
    assert_eq!(
        (&error["id"], &error["error"]["data"]["code"]),
        (&0.into(), &"server_not_started".into())
    );
}

#[test]
fn debug_output_holds_no_secrets() {
    let spec = CommandSpec {
        program: "server".to_owned(),
        args: vec!["--token=secret1".to_owned()],
        env: BTreeMap::from([("API_KEY".to_owned(), "secret2".to_owned())]),
        cwd: None,
    };
    let shown = format!("{spec:?}");
    assert!(
        shown.contains("API_KEY") && !shown.contains("secret"),
        "{shown}"
    );
    let server = StdioServer::new(spec, Limits::default(), &Tasks::new());
    assert!(!format!("{server:?}").contains("secret"));
}

/// Cargo gives this test variables of its own, which stand for all that a node may have and its children may not.
#[tokio::test]
async fn a_child_has_of_the_environment_what_is_listed_and_what_its_share_says() {
    use tokio::io::{AsyncReadExt as _, BufReader};

    assert!(env::var_os("CARGO_MANIFEST_DIR").is_some());
    let spec = CommandSpec {
        program: "env".to_owned(),
        args: Vec::new(),
        env: [("SHARE_SAYS".to_owned(), "so".to_owned())].into(),
        cwd: None,
    };
    let tasks = Tasks::new();
    let mut pipes = spec.start(&[], &tasks).unwrap();
    let mut said = String::new();
    let mut from = BufReader::new(&mut pipes.stdout);
    timeout(Duration::from_secs(30), from.read_to_string(&mut said))
        .await
        .expect("in time")
        .unwrap();
    let names: Vec<&str> = said
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .collect();
    assert!(
        names.contains(&"SHARE_SAYS") && names.contains(&"PATH"),
        "{names:?}"
    );
    let listed =
        |name: &&str| *name == "SHARE_SAYS" || super::super::process::INHERITED.contains(name);
    assert!(names.iter().all(listed), "{names:?}");
    tasks.stop().await;
}
