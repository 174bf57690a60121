//! The right to change a table's slots, for a microsecond at a time.
//!
//! One word: 0, or the owner inside. Nothing sleeps or calls the kernel while inside, so those who come
//! meanwhile look again soon, then yield, then nap. An owner that died inside is succeeded by compare-and-swap
//! from its word, which exactly one of those waiting wins; the successor is told, and repairs.

use std::time::Duration;

use super::{layout::Header, Environment};
use crate::crash;
use crate::liveness::OwnerId;
use crate::sync::Ordering;

/// After so long in the hands of one owner that lives, a guard counts as stuck: its owner was stopped in the
/// middle, or the word is forged.
pub const STUCK_AFTER: Duration = Duration::from_secs(1);

/// After so long it is asked whether the owner lives.
const SUSPECT_AFTER: Duration = Duration::from_millis(1);

/// The guard of a table is with an owner that neither leaves nor dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stuck;

/// Inside. Leaves when dropped.
#[derive(Debug)]
pub struct Guard<'a> {
    header: &'a Header,
    /// The one before died inside: what is derived from the slots must be derived anew.
    pub recovered: bool,
}

/// Enters, as soon as nobody else is inside.
///
/// # Errors
/// [`Stuck`] when someone alive stays inside for [`STUCK_AFTER`].
pub fn enter<'a>(
    header: &'a Header,
    me: OwnerId,
    environment: &impl Environment,
) -> Result<Guard<'a>, Stuck> {
    // Acquire: pairs with the Release in `drop`.
    let entered = header
        .guard
        .compare_exchange(0, me.word(), Ordering::Acquire, Ordering::Relaxed);
    let guard = match entered {
        Ok(_) => Guard {
            header,
            recovered: false,
        },
        Err(_) => enter_contended(header, me, environment)?,
    };
    crash::point("lock-guard-entered");
    Ok(guard)
}

#[cold]
fn enter_contended<'a>(
    header: &'a Header,
    me: OwnerId,
    environment: &impl Environment,
) -> Result<Guard<'a>, Stuck> {
    let mut inside = 0;
    let mut since = 0;
    let mut looks = 0;
    loop {
        let owner = header.guard.load(Ordering::Relaxed);
        let now = environment.now_ns();
        if owner != inside || since == 0 {
            (inside, since) = (owner, now.max(1));
        }
        let waited = Duration::from_nanos(now.saturating_sub(since));
        // One that is this thread's cannot be: it is left over or forged.
        let may_enter = match OwnerId::from_word(owner) {
            None => true,
            Some(owner) if owner == me => true,
            Some(owner) => waited >= SUSPECT_AFTER && !environment.is_alive(owner),
        };
        // Acquire: pairs with the Release in `drop`; what a dead owner wrote came before its death.
        if may_enter
            && header
                .guard
                .compare_exchange(owner, me.word(), Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        {
            return Ok(Guard {
                header,
                recovered: owner != 0,
            });
        }
        if waited >= STUCK_AFTER {
            return Err(Stuck);
        }
        environment.relax(looks);
        looks += 1;
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Given up in the middle: for whoever comes next, as if it had died.
            return;
        }
        // Release: pairs with the Acquire of the next to enter.
        self.header.guard.store(0, Ordering::Release);
        crash::point("lock-guard-left");
    }
}
