//! Whom a rule concerns.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use libp2p_identity::PeerId;

use super::{Pattern, PatternError};
use crate::{
    address::{Address, AddressError},
    did::{Did, DidError},
    grant::Grant,
    policy::Caller,
};

/// Whom a rule concerns. Names and meshes count only as far as a verified grant proves them at the moment.
///
/// | text | who |
/// |---|---|
/// | `everyone` | everyone |
/// | `members` | who has shown a grant of a mesh that this node is in |
/// | `trusted` | whom the owner trusts by hand |
/// | `strangers` | who is neither |
/// | `mesh:acme` | the members of the mesh `o://acme` |
/// | `o://acme/sales/*` | who bears a name that fits, see [`Pattern`] |
/// | a PeerId or `did:key` | who has the key |
/// | `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.1` | who comes from there |
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Who {
    /// Everyone.
    Everyone,
    /// Who has shown a grant that counts here.
    Members,
    /// Whom the owner trusts by hand.
    Trusted,
    /// Who is neither a member nor trusted.
    Strangers,
    /// The members of the mesh with this name.
    Mesh(Address),
    /// Who bears a name that fits; without `o://`.
    Name(Pattern),
    /// Who has this key.
    Key(PeerId),
    /// Who comes from these addresses.
    Net(IpNet),
}

/// Why a text means nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WhoError {
    /// A pattern of names is malformed.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The name of a mesh is malformed.
    #[error(transparent)]
    Mesh(#[from] AddressError),
    /// A `did:key` is malformed.
    #[error(transparent)]
    Did(#[from] DidError),
    /// It is none of what there is.
    #[error(
        "{0:?} is neither \"everyone\", \"members\", \"trusted\", \"strangers\", \"mesh:NAME\", an o:// name, a key nor a network"
    )]
    Unknown(String),
}

impl Who {
    /// Whether a peer that comes from an address is meant, at the time given in unix seconds.
    pub(super) fn is(&self, caller: &Caller, from: Option<IpAddr>, now: u64) -> bool {
        let mut grants = caller.own_grants().filter(|grant| grant.is_valid_at(now));
        match self {
            Self::Everyone => true,
            Self::Members => grants.next().is_some(),
            Self::Trusted => caller.trusted,
            Self::Strangers => !caller.trusted && grants.next().is_none(),
            Self::Mesh(mesh) => grants.any(|grant| mesh.covers(&grant.path)),
            Self::Name(pattern) => grants
                .filter_map(Grant::name)
                .any(|name| pattern.matches(name.path())),
            Self::Key(peer) => caller.peer == *peer,
            Self::Net(net) => from.is_some_and(|ip| net.contains(&ip.to_canonical())),
        }
    }
}

impl FromStr for Who {
    type Err = WhoError;

    fn from_str(text: &str) -> Result<Self, WhoError> {
        /// The most characters of a text that an error repeats.
        const MAX_SHOWN: usize = 80;
        Ok(match text {
            "everyone" => Self::Everyone,
            "members" => Self::Members,
            "trusted" => Self::Trusted,
            "strangers" => Self::Strangers,
            _ => {
                if let Some(mesh) = text.strip_prefix("mesh:") {
                    return Ok(Self::Mesh(Address::top(mesh)?));
                }
                if let Some(names) = text.strip_prefix("o://") {
                    return Ok(Self::Name(names.parse()?));
                }
                if text.starts_with("did:") {
                    return Ok(Self::Key(text.parse::<Did>()?.peer_id()));
                }
                let unknown = || WhoError::Unknown(text.chars().take(MAX_SHOWN).collect());
                if let Ok(net) = text.parse::<IpNet>() {
                    return Ok(Self::Net(net.trunc()));
                }
                if let Ok(ip) = text.parse::<IpAddr>() {
                    return Ok(Self::Net(ip.into()));
                }
                if text.len() > Did::MAX_TEXT {
                    return Err(unknown());
                }
                Self::Key(text.parse().map_err(|_| unknown())?)
            }
        })
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("everyone"),
            Self::Members => f.write_str("members"),
            Self::Trusted => f.write_str("trusted"),
            Self::Strangers => f.write_str("strangers"),
            Self::Mesh(mesh) => write!(f, "mesh:{}", mesh.path()),
            Self::Name(pattern) => write!(f, "o://{pattern}"),
            Self::Key(peer) => peer.fmt(f),
            Self::Net(net) => net.fmt(f),
        }
    }
}
