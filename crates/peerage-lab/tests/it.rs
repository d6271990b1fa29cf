//! What nodes do with each other: real ones, several in one process.

#[cfg(test)]
mod it {
    mod asked;
    mod attacks;
    mod audit;
    mod by_name;
    mod calls;
    mod cards;
    mod discovery;
    mod failures;
    mod gateways;
    mod grants;
    mod hostile;
    mod invites;
    mod local_api;
    mod names;
    mod policy;
    mod reputation;
    mod secrets;
    mod strangers;
}
