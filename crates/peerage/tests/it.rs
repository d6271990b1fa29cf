//! The program `peerage` from outside: what is typed, what is printed, how it ends.

#[cfg(test)]
mod it {
    mod background;
    mod commands;
    mod damaged;
    mod demo;
    mod fake;
    mod hostile;
    mod interrupted;
    mod killed;
    mod kills;
    mod program;
    mod running;
    mod session;
    mod together;
    mod toolbox;
    mod usage;
}
