//! The mesh as its users notice it: real nodes in one process, over loopback and over memory.

#[path = "it/calls.rs"]
mod calls;
#[path = "it/connections.rs"]
mod connections;
#[path = "it/hostile.rs"]
mod hostile;
#[path = "it/node.rs"]
mod node;
#[path = "it/streams.rs"]
mod streams;
#[path = "it/vanished.rs"]
mod vanished;
