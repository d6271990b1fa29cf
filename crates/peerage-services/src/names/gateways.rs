//! Where calls are forwarded: which names this node reaches through a gateway, and for whom it is one.

use peerage_core::{address::Address, policy::Audience};

/// What a configuration says of gateways. Nothing is forwarded by default.
#[derive(Clone, Debug, Default)]
pub struct Gateways {
    /// The names that this node reaches through another one.
    pub via: Vec<Via>,
    /// The names that this node forwards calls for.
    pub forwards: Vec<Forwards>,
}

/// Names at or below `prefix` are reached through `via`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// The name that those meant are at or below.
    pub prefix: Address,
    /// The name of the gateway.
    pub via: Address,
}

/// Calls for names at or below `prefix` are forwarded for those in the audience.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwards {
    /// The name that those meant are at or below.
    pub prefix: Address,
    /// Who may call through this node: what counts is whose signature a call carries, not who brings it.
    pub audience: Audience,
}

impl Gateways {
    /// The gateway for a name: that of the longest prefix.
    pub(super) fn via(&self, name: &Address) -> Option<&Address> {
        let fitting = self.via.iter().filter(|via| via.prefix.covers(name));
        let nearest = fitting.max_by_key(|via| via.prefix.depth())?;
        // A gateway is not reached through itself.
        (nearest.via != *name).then_some(&nearest.via)
    }

    /// For whom calls for a name are forwarded here.
    pub(super) fn audience(&self, name: &Address) -> Option<&Audience> {
        let fitting = self.forwards.iter().filter(|to| to.prefix.covers(name));
        let nearest = fitting.max_by_key(|to| to.prefix.depth())?;
        Some(&nearest.audience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_counts_and_no_gateway_is_behind_itself() {
        let name = |text: &str| text.parse::<Address>().unwrap();
        let via = |prefix, via| Via {
            prefix: name(prefix),
            via: name(via),
        };
        let gateways = Gateways {
            via: vec![
                via("o://acme", "o://acme/gate"),
                via("o://acme/partners", "o://acme/door"),
            ],
            forwards: Vec::new(),
        };
        let through = |text| gateways.via(&name(text)).map(ToString::to_string);
        assert_eq!(through("o://acme/sales").as_deref(), Some("o://acme/gate"));
        assert_eq!(
            through("o://acme/partners/bob").as_deref(),
            Some("o://acme/door")
        );
        assert_eq!(through("o://acme/gate"), None);
        assert_eq!(through("o://other"), None);
        assert_eq!(gateways.audience(&name("o://acme/sales")), None);
    }
}
