//! Crash points, at which tests let a thread or process die to check that the survivors recover.
//!
//! Without the feature `crash-points`, which only the tests enable, they compile to nothing.

/// A place between two stores to shared memory at which the executing thread may die. Tests select it by
/// `name`.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub fn point(_name: &'static str) {}

#[cfg(feature = "crash-points")]
pub use armed::{point, run_until, Crashed, VARIABLE};

#[cfg(feature = "crash-points")]
mod armed {
    use std::cell::Cell;
    use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::OnceLock;

    /// The environment variable with the crash point of this process: `name`, or `name:3` for the third time
    /// it is passed. The name `*` matches every point.
    pub const VARIABLE: &str = "MANYCORE_CRASH_POINT";

    /// The panic payload of a thread stopped at a crash point, which has cleaned up nothing in shared memory.
    #[derive(Debug)]
    pub struct Crashed(pub &'static str);

    thread_local! {
        static POINTS_LEFT: Cell<Option<u32>> = const { Cell::new(None) };
    }
    static FATAL: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);

    /// See the module documentation.
    pub fn point(name: &'static str) {
        if let Some(left) = POINTS_LEFT.get() {
            if left == 0 {
                POINTS_LEFT.set(None);
                resume_unwind(Box::new(Crashed(name)));
            }
            POINTS_LEFT.set(Some(left - 1));
        }
        let fatal = FATAL.get_or_init(|| {
            let text = std::env::var(VARIABLE).ok()?;
            let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
            Some((name.to_owned(), count.parse().unwrap_or(1)))
        });
        if let Some((fatal, count)) = fatal {
            if (fatal == name || fatal == "*") && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *count {
                let _killed =
                    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
                // Wait for the signal to be delivered.
                loop {
                    std::thread::park();
                }
            }
        }
    }

    /// Runs `action`, which is stopped at the crash point after the first `points` ones. Returns `Err` with
    /// that point if it was reached.
    pub fn run_until<T>(points: u32, action: impl FnOnce() -> T) -> Result<T, Crashed> {
        POINTS_LEFT.set(Some(points));
        let outcome = catch_unwind(AssertUnwindSafe(action));
        POINTS_LEFT.set(None);
        outcome.map_err(|payload| match payload.downcast::<Crashed>() {
            Ok(crashed) => *crashed,
            Err(other) => resume_unwind(other),
        })
    }
}
