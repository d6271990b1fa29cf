//! Which peer gave a session, so that those who bear one name are not mixed up within it.

use std::collections::{BTreeMap, HashMap};

use http::{HeaderMap, HeaderName};
use peerage_core::{PeerId, address::Address};

/// The header that names a session (MCP, Streamable HTTP).
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// Sessions that are remembered, at the most; past it the one that was not used for the longest time goes.
const MAX_SESSIONS: usize = 4096;
/// The most bytes of a session's id that is remembered.
const MAX_ID: usize = 256;

/// A session of whoever bears a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Session {
    name: Address,
    id: Vec<u8>,
}

impl Session {
    /// The session that a message belongs to.
    pub(super) fn of(name: &Address, headers: &HeaderMap) -> Option<Self> {
        let id = headers.get(SESSION)?.as_bytes();
        (id.len() <= MAX_ID).then(|| Self {
            name: name.clone(),
            id: id.to_vec(),
        })
    }
}

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    given: HashMap<Session, (PeerId, u64)>,
    /// The sessions in the order in which they were used last.
    used: BTreeMap<u64, Session>,
    count: u64,
}

impl Sessions {
    pub(super) fn get(&mut self, session: &Session) -> Option<PeerId> {
        let (peer, _) = *self.given.get(session)?;
        self.put(session.clone(), peer);
        Some(peer)
    }

    pub(super) fn put(&mut self, session: Session, peer: PeerId) {
        self.count += 1;
        self.used.insert(self.count, session.clone());
        if let Some((_, before)) = self.given.insert(session, (peer, self.count)) {
            self.used.remove(&before);
        }
        if self.given.len() > MAX_SESSIONS
            && let Some((_, stalest)) = self.used.pop_first()
        {
            self.given.remove(&stalest);
        }
    }
}

#[cfg(test)]
mod tests {
    use peerage_core::Identity;

    use super::*;

    fn session(id: usize) -> Session {
        let mut headers = HeaderMap::new();
        headers.insert(SESSION, id.into());
        Session::of(&"o://acme/sales".parse().unwrap(), &headers).unwrap()
    }

    #[test]
    fn a_session_stays_where_it_began_and_the_stalest_are_forgotten() {
        let (one, two) = (
            Identity::generate().peer_id(),
            Identity::generate().peer_id(),
        );
        let mut sessions = Sessions::default();
        sessions.put(session(0), one);
        sessions.put(session(1), two);
        for number in 2..MAX_SESSIONS {
            sessions.put(session(number), one);
        }
        assert_eq!(sessions.get(&session(0)), Some(one));
        sessions.put(session(MAX_SESSIONS), one);
        assert_eq!(
            sessions.get(&session(1)),
            None,
            "it was used before the first"
        );
        assert_eq!(sessions.get(&session(0)), Some(one));
        assert_eq!(sessions.given.len(), MAX_SESSIONS);
        assert_eq!(sessions.used.len(), MAX_SESSIONS);
    }

    #[test]
    fn an_id_without_measure_is_no_session() {
        let mut headers = HeaderMap::new();
        headers.insert(SESSION, "x".repeat(MAX_ID + 1).parse().unwrap());
        assert_eq!(Session::of(&"o://acme".parse().unwrap(), &headers), None);
    }
}
