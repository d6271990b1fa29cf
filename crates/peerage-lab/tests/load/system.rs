//! What this process holds of the machine.

use std::fs;

/// The tests measure the process that they share, so they take turns.
pub(crate) static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Memory that is in use.
pub(crate) fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.unwrap().parse().unwrap()
}

/// Files, sockets and pipes that are open.
pub(crate) fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Processes that this one has started and that live.
pub(crate) fn children() -> usize {
    let me = std::process::id().to_string();
    let parent = |entry: fs::DirEntry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let rest = stat.rsplit(')').next()?.to_owned();
        rest.split_whitespace().nth(1).map(str::to_owned)
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(parent).filter(|pid| *pid == me).count()
}
