//! The test lab: many real nodes in one process, over memory, with keys and addresses that are known
//! before a node starts.
//!
//! A [`Lab`] is a temporary folder; a [`Place`] in it is where a node lives. A node that is started
//! again at its place is the same node: home, key and address stay. Nothing here sleeps to wait: what
//! is waited for is a change that somebody tells of ([`until`], [`until_watched`]).

mod local;
mod place;
mod script;
mod wait;

pub use local::{Answered, LocalApi};
pub use place::{Lab, Place, counted, shuffled};
pub use script::{Script, is_alive};
pub use wait::{WITHIN, introduced, related, until, until_true, until_watched};
