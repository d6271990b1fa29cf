//! Runs the program as a user does.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

/// How long any command of the tests may take.
const WITHIN: Duration = Duration::from_secs(60);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// Standard output as the one JSON document that it is.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The program with a home, without what the tester's environment says.
pub(crate) fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerage"));
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("PEERAGE_") {
            command.env_remove(variable);
        }
    }
    command
        .env("PEERAGE_HOME", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs it to its end.
pub(crate) async fn peerage(home: &Path, args: &[&str]) -> Ended {
    typed(home, args, "").await
}

/// Runs it to its end with this on standard input.
pub(crate) async fn typed(home: &Path, args: &[&str], input: &str) -> Ended {
    let mut child = program(home).args(args).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program that reads no input may have ended before it is written.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = timeout(WITHIN, child.wait_with_output())
        .await
        .expect("it ends")
        .unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
