//! The ideas of Peerage as data and decisions: no sockets, no tasks, no clock.
//!
//! Everything here is a value or a pure function; time is an argument in unix seconds, and what is read from others is
//! bounded and checked. Of libp2p only keys and addresses are used.
//!
//! | idea | where | what it is |
//! |---|---|---|
//! | who | [`identity`], [`did`] | one Ed25519 key; [`PeerId`] and `did:key` are two spellings of it |
//! | the same key? | [`fingerprint`] | short texts that two people can compare |
//! | name | [`address`] | `o://acme/sales/bot` says who is meant; where they are is a [`Multiaddr`] |
//! | may | [`grant`] | signed chains "this key may be this name, with these rights" |
//! | come in | [`invite`] | codes that make a stranger a member, once |
//! | what is there | [`card`] | signed agent cards with the shared MCP servers |
//! | who may call | [`policy`] | an audience, a caller, and the verdict |
//! | others | [`peer_book`] | all that is known of peers, changed by events |
//! | who bears a name | [`lookup`] | whom to ask next, and whom of several to call first |
//! | on whose behalf | [`forwarded`] | requests that another node forwards, signed by whom they come from |
//! | where from | [`reach`] | what an address says of where it can be used |
//! | when | [`dial`] | whom to dial next, and when again |
//! | no | [`problem`] | a refusal with a code, a sentence and a hint |
//!
//! A mesh with one member, from the root key to the verdict:
//!
//! ```
//! use peerage_core::{
//!     grant::{Chain, Claims, Rights},
//!     identity::Identity,
//!     policy::{Audience, Caller, decide},
//! };
//!
//! let now = 1_795_000_000;
//! let (root, laptop) = (Identity::generate(), Identity::generate());
//!
//! // The root of the mesh grants a name to the laptop's key.
//! let chain = Chain::issue_root(&root, Claims {
//!     sub: laptop.did(),
//!     path: "o://acme/laptop".parse()?,
//!     rights: Rights::member(),
//!     nbf: now,
//!     exp: now + 3_600,
//!     depth: 0,
//! })?;
//!
//! // Whoever knows the root can check it offline, and decide.
//! let grant = chain.verify(&root.did(), now)?;
//! let member = Caller { peer: laptop.peer_id(), grants: vec![grant], trusted: false };
//! assert!(decide(&Audience::Mesh, &member, now).is_allowed());
//!
//! let stranger = Caller::stranger(Identity::generate().peer_id());
//! let problem = decide(&Audience::Mesh, &stranger, now).into_result().unwrap_err();
//! assert_eq!((problem.status, problem.code.as_str()), (403, "not_a_member"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod address;
pub mod card;
pub mod dial;
pub mod did;
pub mod fingerprint;
pub mod forwarded;
pub mod grant;
pub mod identity;
pub mod invite;
mod jws;
pub mod lookup;
pub mod peer_book;
pub mod policy;
pub mod problem;
pub mod reach;
pub mod score;
pub mod secrets;

pub use identity::Identity;
pub use libp2p_identity::PeerId;
pub use multiaddr::{self, Multiaddr};
