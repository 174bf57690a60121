//! The monotonic clock, the same for all threads and processes of the machine.

/// Nanoseconds on CLOCK_MONOTONIC. Never 0, so that 0 can stand for "never".
pub fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let ns = (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64);
    ns.max(1)
}
