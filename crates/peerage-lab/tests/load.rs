//! The truth under load, and while connections are cut: every call is answered once or ends in an error
//! that says what happened, and nothing is left behind. The large numbers are run by `peerage-bench`.

#[cfg(test)]
mod load {
    mod bare;
    mod cut;
    mod system;
}
