//! `[guard]`: what is done about credentials that are about to leave.

use std::collections::BTreeMap;

use peerage_core::policy::Subject;
use peerage_services::secrets::{Mode, SecretsSettings};
use serde::{Deserialize, Deserializer, de};

use super::{Setting, Slots};

/// `[guard]` of one layer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardLayer {
    /// Requests of this machine.
    #[serde(deserialize_with = "mode")]
    pub outgoing: Option<Mode>,
    /// Answers of what is shared.
    #[serde(deserialize_with = "mode")]
    pub answers: Option<Mode>,
    /// Answers of one share.
    #[serde(deserialize_with = "shares")]
    pub shares: Option<BTreeMap<String, Mode>>,
    /// What goes to one peer, by key or name.
    #[serde(deserialize_with = "peers")]
    pub peers: Option<Vec<(Subject, Mode)>>,
}

/// Puts one layer over what is there.
pub(super) fn apply(guard: &mut SecretsSettings, layer: GuardLayer, slots: &mut Slots<'_>) {
    slots.put("guard.outgoing", layer.outgoing, &mut guard.outgoing);
    slots.put("guard.answers", layer.answers, &mut guard.answers);
    slots.put("guard.shares", layer.shares, &mut guard.shares);
    slots.put("guard.peers", layer.peers, &mut guard.peers);
}

/// Every effective value; `setting` adds where it came from.
pub(super) fn settings(
    guard: &SecretsSettings,
    setting: impl Fn(&str, serde_json::Value) -> Setting,
) -> Vec<Setting> {
    let words = |pairs: BTreeMap<String, Mode>| -> serde_json::Value {
        let pairs = pairs.into_iter();
        let words: BTreeMap<_, _> = pairs.map(|(name, mode)| (name, mode.as_str())).collect();
        serde_json::json!(words)
    };
    let peers = guard.peers.iter();
    let peers = peers.map(|(subject, mode)| (subject.to_string(), *mode));
    vec![
        setting("guard.outgoing", guard.outgoing.as_str().into()),
        setting("guard.answers", guard.answers.as_str().into()),
        setting("guard.shares", words(guard.shares.clone())),
        setting("guard.peers", words(peers.collect())),
    ]
}

fn parse<E: de::Error>(text: &str) -> Result<Mode, E> {
    text.parse()
        .map_err(|modes| E::custom(format!("`{}` is none of {modes}", text.escape_debug())))
}

fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Mode>, D::Error> {
    parse(&String::deserialize(deserializer)?).map(Some)
}

fn shares<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, Mode>>, D::Error> {
    let words = BTreeMap::<String, String>::deserialize(deserializer)?;
    let modes = words
        .into_iter()
        .map(|(name, word)| Ok((name, parse(&word)?)));
    modes.collect::<Result<_, _>>().map(Some)
}

fn peers<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<(Subject, Mode)>>, D::Error> {
    let words = BTreeMap::<String, String>::deserialize(deserializer)?;
    let modes = words.into_iter().map(|(peer, word)| {
        let subject = peer.parse::<Subject>().map_err(de::Error::custom)?;
        Ok((subject, parse(&word)?))
    });
    modes.collect::<Result<_, _>>().map(Some)
}
