//! Where a process runs.
//!
//! Left to the system, the two ends of a measure sometimes share a processor and sometimes do not, which
//! changes every latency by a factor of two and more from one round to the next.

/// Keeps this thread, and those it starts, on one processor, or lets it run on all, where the system can do
/// that (Linux) and has so many.
#[cfg(target_os = "linux")]
pub(crate) fn pin(cpu: Option<usize>) -> std::io::Result<()> {
    use rustix::{
        io::Errno,
        thread::{CpuSet, sched_setaffinity},
    };

    let mut those = CpuSet::new();
    for cpu in cpu.map_or(0..CpuSet::MAX_CPU, |cpu| cpu..cpu + 1) {
        those.set(cpu);
    }
    match sched_setaffinity(None, &those) {
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Keeps this thread, and those it starts, on one processor, or lets it run on all, where the system can do
/// that (Linux) and has so many.
#[cfg(not(target_os = "linux"))]
pub(crate) fn pin(_: Option<usize>) -> std::io::Result<()> {
    Ok(())
}
