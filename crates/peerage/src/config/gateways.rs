//! `[[gateways]]` and `[[forwards]]`: which names are reached through another node, and for whom this node is one.

use peerage_core::{address::Address, policy::Audience};
use peerage_services::{
    api::Allow,
    names::{Forwards, Gateways, Via},
};
use serde::Deserialize;
use serde_json::Value;

use super::{ConfigError, Setting, Slots};

/// `[[gateways]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayEntry {
    /// The name that those meant are at or below.
    pub prefix: Address,
    /// The name of the gateway.
    pub via: Address,
}

/// `[[forwards]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardsEntry {
    /// The name that those meant are at or below.
    pub prefix: Address,
    /// For whom: `mesh`, or names and keys. There is no default.
    pub allow: Allow,
}

/// Puts the entries of one layer to those that are there; one for the same prefix replaces it.
pub(super) fn apply(
    gateways: Vec<GatewayEntry>,
    forwards: Vec<ForwardsEntry>,
    all: &mut Gateways,
    slots: &mut Slots<'_>,
) -> Result<(), ConfigError> {
    for GatewayEntry { prefix, via } in gateways {
        slots.note("gateways");
        all.via.retain(|other| other.prefix != prefix);
        all.via.push(Via { prefix, via });
    }
    for ForwardsEntry { prefix, allow } in forwards {
        slots.note("forwards");
        let audience = match allow {
            Allow::One(one) => one.parse(),
            Allow::Listed(list) => list.join(",").parse(),
        };
        let audience: Audience = audience.map_err(|error| ConfigError::Value {
            origin: (slots.origin)("forwards"),
            message: format!("{prefix}: {error}"),
        })?;
        all.forwards.retain(|other| other.prefix != prefix);
        all.forwards.push(Forwards { prefix, audience });
    }
    Ok(())
}

/// The settings as they are shown.
pub(super) fn settings(
    gateways: &Gateways,
    setting: impl Fn(&str, Value) -> Setting,
) -> [Setting; 2] {
    let via = gateways.via.iter();
    let via: Vec<_> = via
        .map(|via| format!("{} via {}", via.prefix, via.via))
        .collect();
    let forwards = gateways.forwards.iter();
    let forwards: Vec<_> = forwards
        .map(|to| format!("{} for {}", to.prefix, to.audience))
        .collect();
    [
        setting("gateways", via.into()),
        setting("forwards", forwards.into()),
    ]
}
