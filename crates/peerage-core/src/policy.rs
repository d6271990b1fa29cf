//! Stub.
use crate::{PeerId, grant::Grant, problem::Problem};
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub enum Audience { #[default] Mesh, Public, Only(Vec<String>) }
impl std::str::FromStr for Audience { type Err = Problem; fn from_str(_: &str) -> Result<Self, Problem> { Ok(Self::Mesh) } }
impl Audience { pub fn only(x: Vec<String>) -> Result<Self, Problem> { Ok(Self::Only(x)) } }
#[derive(Debug, Clone)]
pub struct Caller { pub peer: PeerId, pub grants: Vec<Grant>, pub trusted: bool }
pub enum Verdict { Allow, Refuse(Problem) }
pub fn decide(_: &Audience, _: &Caller, _: u64) -> Verdict { Verdict::Allow }
