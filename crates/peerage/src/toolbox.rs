//! The built-in MCP server: echo, time and host facts, to have something to share at once.

use std::time::{SystemTime, UNIX_EPOCH};

use rmcp::{
    Json, RoleServer, ServerHandler, ServiceExt as _,
    handler::server::wrapper::Parameters,
    service::{QuitReason, RunningService, ServerInitializeError},
    tool, tool_handler, tool_router,
    transport::IntoTransport,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sysinfo::System;

/// The MCP server of `peerage toolbox`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Toolbox;

/// Why the toolbox stopped before its client left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolboxError {
    /// The client did not begin as an MCP client does.
    #[error("the client did not begin an MCP session")]
    Begin(#[source] Box<ServerInitializeError>),
    /// The session's task failed.
    #[error("the MCP session failed")]
    Session(#[source] tokio::task::JoinError),
}

/// What to echo.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct EchoRequest {
    /// Text that comes back as it is.
    pub text: String,
}

/// The time of day, in UTC.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Now {
    /// RFC 3339, as `2026-11-21T09:30:00Z`.
    pub utc: String,
    /// Milliseconds since 1970.
    pub unix_ms: u64,
}

/// Facts about the machine; unknown ones are null.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// Name of the host.
    pub hostname: Option<String>,
    /// Name and version of the operating system.
    pub os: Option<String>,
    /// Version of the kernel.
    pub kernel: Option<String>,
    /// Architecture of the processor.
    pub arch: String,
    /// Processors that this process may use.
    pub cpus: Option<usize>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Memory that could still be used, in bytes.
    pub memory_available_bytes: Option<u64>,
    /// Seconds since the machine started.
    pub uptime_s: Option<u64>,
}

#[tool_router]
impl Toolbox {
    /// Gives the text back.
    #[tool(
        description = "Gives the text back as it is",
        annotations(title = "Echo", read_only_hint = true, open_world_hint = false)
    )]
    fn echo(&self, Parameters(request): Parameters<EchoRequest>) -> String {
        request.text
    }

    /// The time on this machine.
    #[tool(
        description = "The current time on this machine, in UTC",
        annotations(title = "Time", read_only_hint = true, open_world_hint = false)
    )]
    fn time(&self) -> Json<Now> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let since = since.unwrap_or_default();
        Json(Now {
            utc: rfc3339(since.as_secs()),
            unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Facts about this machine.
    #[tool(
        description = "Facts about this machine: operating system, processors, memory, uptime",
        annotations(title = "Host facts", read_only_hint = true, open_world_hint = false)
    )]
    fn host(&self) -> Json<Host> {
        let mut system = System::new().ok();
        if let Some(system) = &mut system {
            system.refresh_memory();
        }
        Json(Host {
            hostname: System::host_name().ok(),
            os: System::long_os_version().ok(),
            kernel: System::kernel_version().ok(),
            arch: System::cpu_arch(),
            cpus: std::thread::available_parallelism().ok().map(usize::from),
            memory_bytes: system.as_ref().map(System::total_memory),
            memory_available_bytes: system.as_ref().map(System::available_memory),
            uptime_s: System::uptime().ok(),
        })
    }
}

#[tool_handler(
    name = "peerage-toolbox",
    instructions = "Small tools to try a connection with: echo, time, and facts about the host"
)]
impl ServerHandler for Toolbox {}

impl Toolbox {
    /// Serves one client over a transport until the client leaves.
    ///
    /// # Errors
    /// When the client does not begin an MCP session, or the session's task fails.
    pub async fn serve_on<T, E, A>(self, transport: T) -> Result<(), ToolboxError>
    where
        T: IntoTransport<RoleServer, E, A>,
        E: std::error::Error + Send + Sync + 'static,
    {
        let session: RunningService<RoleServer, Self> = match self.serve(transport).await {
            Ok(session) => session,
            Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
            Err(error) => return Err(ToolboxError::Begin(Box::new(error))),
        };
        match session.waiting().await {
            Ok(QuitReason::JoinError(error)) | Err(error) => Err(ToolboxError::Session(error)),
            Ok(_) => Ok(()),
        }
    }

    /// Serves one client on this process's standard input and output.
    ///
    /// # Errors
    /// See [`Toolbox::serve_on`].
    pub async fn serve_stdio(self) -> Result<(), ToolboxError> {
        self.serve_on(rmcp::transport::stdio()).await
    }
}

/// A time in UTC as RFC 3339, from seconds since 1970.
fn rfc3339(unix: u64) -> String {
    let (day, second) = (unix / 86_400, unix % 86_400);
    // Days since 0000-03-01, so that the leap day is a year's last (Hinnant, "chrono-compatible date algorithms").
    let shifted = day + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!(
        "{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{:02}Z",
        second % 60
    )
}

#[cfg(test)]
mod tests;
