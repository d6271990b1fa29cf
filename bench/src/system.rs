//! What a process holds of the machine, as the system tells it (Linux).

use std::{fs, io};

/// Memory of this process that is in use.
pub(crate) fn resident_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Files, sockets and pipes that this process has open.
pub(crate) fn open_files() -> io::Result<usize> {
    // One of them is the folder that is read here.
    Ok(fs::read_dir("/proc/self/fd")?.count().saturating_sub(1))
}

/// Processes that this one has started and that it has not seen the end of.
pub(crate) fn children() -> io::Result<usize> {
    let me = std::process::id().to_string();
    let mut count = 0;
    for entry in fs::read_dir("/proc")?.flatten() {
        // "pid (name) state parent …"; one that has just ended has no such file.
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(1));
        count += usize::from(parent == Some(me.as_str()));
    }
    Ok(count)
}
