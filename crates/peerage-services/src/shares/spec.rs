//! What a person says when sharing a server: a command or a URL, and who may call it.

use std::{collections::BTreeMap, path::PathBuf};

use http::Uri;
use peerage_core::{
    card::SharedServer,
    policy::{Audience, AudienceError},
    problem::Problem,
};
use peerage_mesh::Tasks;
use serde::{Deserialize, Serialize};

use crate::api::{Allow, ShareRequest};
use crate::mcp::{Backend, CommandSpec, HttpUpstream, Limits, StdioServer};

/// Characters of a wrong name that an error repeats.
const MAX_SHOWN: usize = 64;

/// Where a shared server comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A program that speaks MCP on its standard input and output.
    Stdio,
    /// A Streamable HTTP server.
    Http,
    /// Functions of this program.
    Function,
}

/// A server to share. Debug shows no arguments, no environment and no credentials of the URL.
#[derive(Clone, Serialize, Deserialize)]
pub struct ShareSpec {
    /// Name under which peers call it, see [`SharedServer::is_name`].
    pub name: String,
    /// The program and its arguments; or
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// the URL of a Streamable HTTP server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Environment of the program, beside the few variables of the node's that every child has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Working directory of the program; the node's by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// Who may call it.
    #[serde(default)]
    pub audience: Audience,
}

impl std::fmt::Debug for ShareSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShareSpec")
            .field("name", &self.name)
            .field("target", &self.target())
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

impl TryFrom<ShareRequest> for ShareSpec {
    type Error = Problem;

    /// The command is split as a shell would, and run without one.
    fn try_from(request: ShareRequest) -> Result<Self, Problem> {
        let mut command = match &request.command {
            Some(line) => shell_words::split(line)
                .map_err(|_| bad("the quotes of the command do not match"))?,
            None => Vec::new(),
        };
        command.extend(request.args);
        let audience = match request.allow {
            Allow::One(one) => one.parse(),
            Allow::Listed(list) => list.join(",").parse(),
        };
        Ok(Self {
            name: request.name,
            command,
            url: request.url,
            env: request.env,
            cwd: request.cwd.map(PathBuf::from),
            audience: audience.map_err(|error: AudienceError| {
                Problem::new(400, "bad_audience", error.to_string())
                    .hint("mesh, public, or a list of names (o://…) and keys")
            })?,
        })
    }
}

impl ShareSpec {
    /// Refuses what makes no sense.
    pub(super) fn check(&self) -> Result<(), Problem> {
        check_name(&self.name)?;
        match (self.command.is_empty(), &self.url) {
            (true, None) | (false, Some(_)) => Err(bad("a share is a command or a URL: give one")),
            (true, Some(url)) => parse(url).map(|_| ()),
            (false, None) => Ok(()),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        if self.url.is_some() {
            Kind::Http
        } else {
            Kind::Stdio
        }
    }

    /// What it is, for people: the program without its arguments, or the URL without credentials and
    /// query, for both may hold secrets.
    pub(super) fn target(&self) -> String {
        let Some(url) = self.url.as_deref().and_then(|url| url.parse::<Uri>().ok()) else {
            return self.command.first().cloned().unwrap_or_default();
        };
        let scheme = url.scheme_str().unwrap_or("http");
        let host = url.host().unwrap_or_default();
        let port = url
            .port()
            .map_or_else(String::new, |port| format!(":{port}"));
        format!("{scheme}://{host}{port}{}", url.path())
    }

    pub(super) fn backend(&self, limits: &Limits, tasks: &Tasks) -> Result<Backend, Problem> {
        if let Some(url) = &self.url {
            let upstream = HttpUpstream::new(url).map_err(|error| bad(&error.to_string()))?;
            return Ok(Backend::Http(upstream));
        }
        let mut words = self.command.iter().cloned();
        let command = CommandSpec {
            program: words.next().unwrap_or_default(),
            args: words.collect(),
            env: self.env.clone(),
            cwd: self.cwd.clone(),
        };
        Ok(Backend::Stdio(StdioServer::new(
            command,
            limits.clone(),
            tasks,
        )))
    }
}

/// Refuses a name that could not stand in a path or on a card.
pub(super) fn check_name(name: &str) -> Result<(), Problem> {
    if SharedServer::is_name(name) {
        return Ok(());
    }
    let shown: String = name.escape_debug().take(MAX_SHOWN).collect();
    Err(
        Problem::new(400, "bad_name", format!("`{shown}` is no name for a share"))
            .hint("use up to 64 letters, digits, `-`, `_` and `.`, such as `files`"),
    )
}

fn parse(url: &str) -> Result<Uri, Problem> {
    url.parse::<Uri>()
        .ok()
        .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
        .ok_or_else(|| bad("the URL of a share begins with http:// or https:// and names a host"))
}

fn bad(text: &str) -> Problem {
    Problem::new(400, "bad_share", text)
        .hint("peerage share NAME=COMMAND or peerage share NAME=http://HOST:PORT/mcp")
}
