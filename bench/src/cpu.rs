//! Where a process runs.
//!
//! Left to the system, the two ends of a measure sometimes share a processor and sometimes do not, which
//! changes every latency by a factor of two and more from one round to the next.

/// Keeps this thread, and those it starts, on one processor, where the system can do that (Linux) and
/// has so many.
#[cfg(target_os = "linux")]
pub(crate) fn pin(cpu: usize) -> std::io::Result<()> {
    use rustix::{
        io::Errno,
        thread::{CpuSet, sched_setaffinity},
    };

    let mut only = CpuSet::new();
    only.set(cpu);
    match sched_setaffinity(None, &only) {
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Keeps this thread, and those it starts, on one processor, where the system can do that (Linux) and
/// has so many.
#[cfg(not(target_os = "linux"))]
pub(crate) fn pin(_: usize) -> std::io::Result<()> {
    Ok(())
}
