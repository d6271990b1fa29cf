//! Every agent a peer: share MCP servers and agents in an encrypted peer-to-peer mesh.
//!
//! A [`Node`] is found by others, shows them its signed card, and answers what they may call. This is a
//! whole program that offers a function to its peers as a tool, and one that calls it:
//!
//! ```
//! use peerage::{JsonSchema, Node};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Add { a: i64, b: i64 }
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! # let (here, there) = (tempfile::tempdir()?, tempfile::tempdir()?);
//! # let loopback = "/ip4/127.0.0.1/tcp/0".parse::<peerage::Multiaddr>()?;
//! let calculator = Node::builder(here.path())
//!     .name("calculator")
//! #   .listen(loopback.clone()).mdns(false)
//!     .tool("add", "Adds two numbers", |Add { a, b }: Add| async move { Ok::<_, String>(a + b) })
//!     .spawn()
//!     .await?;
//! let agent = Node::builder(there.path())
//! #   .listen(loopback).mdns(false)
//!     .spawn().await?;
//! agent.join(&calculator.invite(60)?).await?;
//!
//! let sum = agent.call("calculator/functions/add", serde_json::json!({ "a": 2, "b": 40 })).await?;
//! assert_eq!(sum["content"][0]["text"], "42");
//! # agent.stop().await;
//! # calculator.stop().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The program `peerage` is this library with a command line.

mod builder;
pub mod config;
mod discovery;
mod home;
mod layers;
mod listeners;
mod node;
pub mod toolbox;

pub use builder::Builder;
pub use node::{FUNCTIONS, Node, join};
pub use peerage_core::{Multiaddr, PeerId, problem::Problem};
pub use schemars::JsonSchema;
