//! Whom this node has nothing to do with: keys and networks, for ever or for a while.

use std::{collections::HashMap, fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use libp2p_identity::PeerId;
use serde::{Deserialize, Serialize};

use super::rules::{Who, WhoError};

/// What is blocked: a key, or a network of IP addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Blocked {
    /// Who has this key.
    Key(PeerId),
    /// Who comes from there, and what is there.
    Net(IpNet),
}

/// For how long, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Since when, in unix seconds.
    pub since: u64,
    /// Until when, in unix seconds, exclusive; none for ever.
    pub until: Option<u64>,
    /// What its owner noted.
    pub reason: Option<String>,
}

impl Block {
    /// Whether it counts at the time given in unix seconds.
    #[must_use]
    pub fn holds_at(&self, now: u64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// All that is blocked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    keys: HashMap<PeerId, Block>,
    nets: HashMap<IpNet, Block>,
}

/// Why something cannot be blocked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlocksError {
    /// It is neither a key nor a network.
    #[error("{0:?} is neither a key nor a network such as 10.0.0.0/8")]
    Unknown(String),
    /// There are [`Blocks::MAX`] already.
    #[error(
        "{} keys and networks are blocked, and no more are possible",
        Blocks::MAX
    )]
    TooMany,
}

impl Blocks {
    /// The most keys and networks.
    pub const MAX: usize = 10_000;

    /// Blocks from now on, in place of an earlier block of the same.
    ///
    /// # Errors
    /// [`BlocksError::TooMany`].
    pub fn add(&mut self, blocked: Blocked, block: Block) -> Result<(), BlocksError> {
        let before = match blocked {
            Blocked::Key(peer) => self.keys.contains_key(&peer),
            Blocked::Net(net) => self.nets.contains_key(&net),
        };
        if !before && self.len() >= Self::MAX {
            return Err(BlocksError::TooMany);
        }
        match blocked {
            Blocked::Key(peer) => self.keys.insert(peer, block),
            Blocked::Net(net) => self.nets.insert(net, block),
        };
        Ok(())
    }

    /// Blocks no longer. `false` when it was not blocked.
    pub fn remove(&mut self, blocked: &Blocked) -> bool {
        match blocked {
            Blocked::Key(peer) => self.keys.remove(peer),
            Blocked::Net(net) => self.nets.remove(net),
        }
        .is_some()
    }

    /// Takes out what no longer counts at the time given in unix seconds.
    pub fn expire(&mut self, now: u64) -> Vec<Blocked> {
        let old: Vec<_> = self
            .all()
            .filter(|(_, block)| !block.holds_at(now))
            .map(|(blocked, _)| blocked)
            .collect();
        for blocked in &old {
            self.remove(blocked);
        }
        old
    }

    /// What keeps a peer, as far as it is known who it is, away from this node, at the time given in unix seconds.
    #[must_use]
    pub fn find(&self, peer: Option<&PeerId>, at: Option<IpAddr>, now: u64) -> Option<Blocked> {
        let holds = |block: &&Block| block.holds_at(now);
        if let Some(peer) = peer
            && self.keys.get(peer).filter(holds).is_some()
        {
            return Some(Blocked::Key(*peer));
        }
        let at = at?.to_canonical();
        let mut nets = self.nets.iter().filter(|(_, block)| block.holds_at(now));
        nets.find(|(net, _)| net.contains(&at))
            .map(|(net, _)| Blocked::Net(*net))
    }

    /// All, in no order.
    pub fn all(&self) -> impl Iterator<Item = (Blocked, &Block)> {
        let keys = self
            .keys
            .iter()
            .map(|(peer, block)| (Blocked::Key(*peer), block));
        let nets = self
            .nets
            .iter()
            .map(|(net, block)| (Blocked::Net(*net), block));
        keys.chain(nets)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len() + self.nets.len()
    }

    /// Whether nothing is blocked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl FromStr for Blocked {
    type Err = BlocksError;

    fn from_str(text: &str) -> Result<Self, BlocksError> {
        let who: Result<Who, WhoError> = text.parse();
        match who {
            Ok(Who::Key(peer)) => Ok(Self::Key(peer)),
            Ok(Who::Net(net)) => Ok(Self::Net(net)),
            _ => Err(BlocksError::Unknown(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(peer) => peer.fmt(f),
            Self::Net(net) => net.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_for_its_key_or_network_and_its_time() {
        let (a, b) = (PeerId::random(), PeerId::random());
        let mut blocks = Blocks::default();
        let until = |until| Block {
            until,
            ..Block::default()
        };
        blocks.add(Blocked::Key(a), until(Some(100))).unwrap();
        let net: Blocked = "10.1.2.3/8".parse().unwrap();
        assert_eq!(net.to_string(), "10.0.0.0/8");
        blocks.add(net, until(None)).unwrap();
        let at = |ip: &str| Some(ip.parse().unwrap());
        for (peer, from, now, found) in [
            (Some(&a), None, 99, Some(Blocked::Key(a))),
            (Some(&a), None, 100, None),
            (Some(&b), at("10.9.9.9"), 99, Some(net)),
            (Some(&b), at("::ffff:10.9.9.9"), 99, Some(net)),
            (None, at("10.9.9.9"), u64::MAX, Some(net)),
            (Some(&b), at("11.0.0.1"), 99, None),
            (None, None, 99, None),
        ] {
            assert_eq!(
                blocks.find(peer, from, now),
                found,
                "{peer:?} {from:?} {now}"
            );
        }
        assert_eq!(blocks.expire(100), [Blocked::Key(a)]);
        assert!(blocks.remove(&net) && !blocks.remove(&net) && blocks.is_empty());
    }

    #[test]
    fn what_is_neither_key_nor_network_is_refused() {
        for text in [
            "",
            "everyone",
            "o://acme/sales",
            "members",
            "10.0.0.0/99",
            "mesh:acme",
        ] {
            assert!(
                matches!(text.parse::<Blocked>(), Err(BlocksError::Unknown(_))),
                "{text}"
            );
        }
        let peer = PeerId::random();
        assert_eq!(peer.to_string().parse(), Ok(Blocked::Key(peer)));
        assert_eq!(
            "192.0.2.1".parse::<Blocked>().unwrap().to_string(),
            "192.0.2.1/32"
        );
    }

    #[test]
    fn there_is_an_end_to_what_can_be_blocked() {
        let mut blocks = Blocks::default();
        let nets =
            (0..Blocks::MAX as u32).map(|n| Blocked::Net(IpAddr::from(n.to_be_bytes()).into()));
        let known = nets.clone().next().unwrap();
        for net in nets {
            blocks.add(net, Block::default()).unwrap();
        }
        let one = Blocked::Key(PeerId::random());
        assert_eq!(blocks.add(one, Block::default()), Err(BlocksError::TooMany));
        assert_eq!(blocks.add(known, Block::default()), Ok(()));
    }
}
