//! A stdio MCP server written in shell, which tells what it received and answers what the test wrote.

use std::{
    fs,
    path::{Path, PathBuf},
};

use peerage_services::api::{Allow, ShareRequest};

/// Answers what an MCP client asks before it calls; a call is answered with the file `$FOLDER/answer`.
/// Each line that came is in `$FOLDER/lines`, the id of each process in `$FOLDER/pids`.
const SERVER: &str = r#"
echo $$ >> "$FOLDER/pids"
while IFS= read -r line; do
  printf '%s\n' "$line" >> "$FOLDER/lines"
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\("[^"]*"\|[0-9]*\).*/\1/p')
  [ -n "$id" ] || continue
  case "$line" in
    *'"method":"initialize"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"script","version":"1"}}}\n' "$id" ;;
    *'"method":"tools/list"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"tools":[{"name":"run","inputSchema":{"type":"object"}}]}}\n' "$id" ;;
    *'"method":"tools/call"'*) printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$(cat "$FOLDER/answer")" ;;
    *) printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no such method"}}\n' "$id" ;;
  esac
done
"#;

/// See the module's page. It is in a folder of the lab.
#[derive(Clone, Debug)]
pub struct Script {
    folder: PathBuf,
}

impl Script {
    /// Writes the server; its tool `run` answers with `answer`, a JSON text in one line.
    ///
    /// # Panics
    ///
    /// When the folder cannot be written.
    #[must_use]
    pub fn new(folder: &Path, answer: &str) -> Self {
        let folder = folder.to_owned();
        fs::create_dir_all(&folder).expect("the lab's folder can be written");
        fs::write(folder.join("server.sh"), SERVER).expect("the lab's folder can be written");
        fs::write(folder.join("answer"), answer).expect("the lab's folder can be written");
        Self { folder }
    }

    /// How it is shared.
    #[must_use]
    pub fn share(&self, name: &str, allow: &str) -> ShareRequest {
        ShareRequest {
            name: name.to_owned(),
            command: Some("sh".to_owned()),
            args: vec![self.folder.join("server.sh").display().to_string()],
            env: [("FOLDER".to_owned(), self.folder.display().to_string())].into(),
            allow: Allow::One(allow.to_owned()),
            ..ShareRequest::default()
        }
    }

    /// The lines that its processes received.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join("lines")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The tool calls among them.
    #[must_use]
    pub fn calls(&self) -> usize {
        let lines = self.lines();
        lines
            .iter()
            .filter(|line| line.contains("\"tools/call\""))
            .count()
    }

    /// The ids of all processes that were started.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.folder.join("pids")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

/// Whether there is a process of this id that has not ended.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // "pid (name) state …"; a zombie has ended, and waits for its parent.
    let state = status
        .rsplit(')')
        .next()
        .and_then(|rest| rest.trim().chars().next());
    state.is_some_and(|state| state != 'Z')
}
