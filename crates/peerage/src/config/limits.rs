//! `[limits]`: how long things may take, and what peers may use.

use std::time::Duration;

use peerage_mesh::{Limits as PeersLimits, PeerLimits};
use serde::{Deserialize, Deserializer};

use super::{Setting, Slots, format_duration, format_size, parse_duration, parse_size};

/// Deadline of a call.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// When the child of an idle MCP session is ended.
pub const DEFAULT_SESSION_IDLE: Duration = Duration::from_secs(15 * 60);

/// Limits of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Deadline of a call, extended while progress flows.
    pub request_timeout: Duration,
    /// When the child of an idle MCP session is ended.
    pub session_idle: Duration,
    /// What peers may use, each and together.
    pub peers: PeersLimits,
}

impl Default for Limits {
    /// The ceilings are those for this machine's memory.
    fn default() -> Self {
        Self {
            request_timeout: DEFAULT_REQUEST_TIMEOUT,
            session_idle: DEFAULT_SESSION_IDLE,
            peers: memory().map_or_else(PeersLimits::default, PeersLimits::of_memory),
        }
    }
}

/// Bytes of memory that this process can have: the machine's, or those of its control group. None where
/// the system does not tell.
fn memory() -> Option<u64> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    let group = system.cgroup_limits().map(|limits| limits.total_memory);
    let group = group.filter(|bytes| *bytes > 0).unwrap_or(u64::MAX);
    Some(system.total_memory().min(group)).filter(|bytes| *bytes > 0)
}

/// `[limits]` of one layer.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsLayer {
    /// Deadline of a call.
    #[serde(deserialize_with = "duration")]
    pub request_timeout: Option<Duration>,
    /// When the child of an idle MCP session is ended.
    #[serde(deserialize_with = "duration")]
    pub session_idle: Option<Duration>,
    /// Connections in all.
    pub connections: Option<u64>,
    /// Connections a second from one address.
    pub connections_per_second: Option<u32>,
    /// Streams of peers in all.
    pub streams: Option<u64>,
    /// Bytes of peers' calls in all.
    #[serde(deserialize_with = "size")]
    pub bytes_in_flight: Option<u64>,
    /// What a member or a trusted peer may use.
    pub member: PeerLimitsLayer,
    /// What any other peer may use.
    pub stranger: PeerLimitsLayer,
}

/// `[limits.member]` and `[limits.stranger]` of one layer.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PeerLimitsLayer {
    /// Streams that it has open.
    pub streams: Option<u64>,
    /// Bytes of its calls.
    #[serde(deserialize_with = "size")]
    pub bytes_in_flight: Option<u64>,
    /// Calls a second, and streams that it opens a second.
    pub calls_per_second: Option<u32>,
}

impl Limits {
    /// Puts one layer over what is there.
    pub(super) fn apply(&mut self, layer: LimitsLayer, slots: &mut Slots<'_>) {
        let Self {
            request_timeout,
            session_idle,
            peers,
        } = self;
        slots.put(
            "limits.request_timeout",
            layer.request_timeout,
            request_timeout,
        );
        slots.put("limits.session_idle", layer.session_idle, session_idle);
        slots.put(
            "limits.connections",
            layer.connections,
            &mut peers.connections,
        );
        slots.put(
            "limits.connections_per_second",
            layer.connections_per_second,
            &mut peers.connections_per_second,
        );
        slots.put("limits.streams", layer.streams, &mut peers.streams);
        let bytes = layer.bytes_in_flight;
        slots.put("limits.bytes_in_flight", bytes, &mut peers.bytes_in_flight);
        for (who, layer, limits) in [
            ("member", layer.member, &mut peers.member),
            ("stranger", layer.stranger, &mut peers.stranger),
        ] {
            let key = |name| format!("limits.{who}.{name}");
            slots.put(&key("streams"), layer.streams, &mut limits.streams);
            let bytes = layer.bytes_in_flight;
            slots.put(&key("bytes_in_flight"), bytes, &mut limits.bytes_in_flight);
            let calls = layer.calls_per_second;
            slots.put(
                &key("calls_per_second"),
                calls,
                &mut limits.calls_per_second,
            );
        }
    }

    /// Every effective value; `setting` adds where it came from.
    pub(super) fn settings(
        &self,
        setting: impl Fn(&str, serde_json::Value) -> Setting,
    ) -> Vec<Setting> {
        let peers = &self.peers;
        let mut settings = vec![
            setting(
                "limits.request_timeout",
                format_duration(self.request_timeout).into(),
            ),
            setting(
                "limits.session_idle",
                format_duration(self.session_idle).into(),
            ),
            setting("limits.connections", peers.connections.into()),
            setting(
                "limits.connections_per_second",
                peers.connections_per_second.into(),
            ),
            setting("limits.streams", peers.streams.into()),
            setting(
                "limits.bytes_in_flight",
                format_size(peers.bytes_in_flight).into(),
            ),
        ];
        for (who, limits) in [("member", &peers.member), ("stranger", &peers.stranger)] {
            let PeerLimits {
                streams,
                bytes_in_flight,
                calls_per_second,
            } = *limits;
            let key = |name| format!("limits.{who}.{name}");
            settings.push(setting(&key("streams"), streams.into()));
            let bytes = format_size(bytes_in_flight);
            settings.push(setting(&key("bytes_in_flight"), bytes.into()));
            settings.push(setting(&key("calls_per_second"), calls_per_second.into()));
        }
        settings
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_size(&text)
        .map(Some)
        .map_err(serde::de::Error::custom)
}
