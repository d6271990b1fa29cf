//! The program `peerage` from outside: what is typed, what is printed, how it ends.

#[cfg(test)]
mod it {
    mod background;
    mod commands;
    mod demo;
    mod fake;
    mod program;
    mod session;
    mod toolbox;
    mod usage;
}
