//! `[audit]`: what is in the audit, and how much is kept.

use peerage_services::audit::AuditSettings;
use serde::Deserialize;

use super::{Setting, Slots, format_size, limits::size};

/// `[audit]` of one layer.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditLayer {
    /// Keep each call.
    pub calls: Option<bool>,
    /// When a file is full.
    #[serde(deserialize_with = "size")]
    pub size: Option<u64>,
    /// Files that are kept.
    pub files: Option<u32>,
}

/// Puts one layer over what is there.
pub(super) fn apply(audit: &mut AuditSettings, layer: AuditLayer, slots: &mut Slots<'_>) {
    slots.put("audit.calls", layer.calls, &mut audit.calls);
    slots.put("audit.size", layer.size, &mut audit.size);
    slots.put("audit.files", layer.files, &mut audit.files);
}

/// Every effective value; `setting` adds where it came from.
pub(super) fn settings(
    audit: &AuditSettings,
    setting: impl Fn(&str, serde_json::Value) -> Setting,
) -> Vec<Setting> {
    vec![
        setting("audit.calls", audit.calls.into()),
        setting("audit.size", format_size(audit.size).into()),
        setting("audit.files", audit.files.into()),
    ]
}
