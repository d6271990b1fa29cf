//! The program `peerage` from outside: what is typed, what is printed, how it ends.

#[cfg(test)]
mod it {
    mod commands;
    mod fake;
    mod program;
    mod session;
    mod toolbox;
    mod usage;
}
