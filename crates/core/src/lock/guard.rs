//! The guard: a robust spin lock over a table's slots, held for about a microsecond.
//!
//! It is one word: 0, or the owner id of the holder. The holder never sleeps and makes no system call, so
//! contenders spin first, then yield, then sleep briefly. A holder that died is succeeded by a
//! compare-and-swap from its word, which exactly one contender wins; the successor is told so and repairs the
//! table.

use std::time::Duration;

use super::{layout::Header, Environment};
use crate::crash;
use crate::liveness::OwnerId;
use crate::sync::Ordering;

/// A guard held this long by one live owner counts as stuck: its owner was stopped, or the word is forged.
pub const STUCK_AFTER: Duration = Duration::from_secs(1);

/// How long to wait before checking whether the owner is alive.
const SUSPECT_AFTER: Duration = Duration::from_millis(1);

/// The guard's owner is alive but does not release it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stuck;

/// The right to change the table. Released on drop.
#[derive(Debug)]
pub struct Guard<'a> {
    header: &'a Header,
    /// The previous holder died inside: derived data must be recomputed from the slots.
    pub recovered: bool,
}

/// Acquires the guard, waiting for it if necessary.
///
/// # Errors
/// [`Stuck`] when a live owner has held it for [`STUCK_AFTER`].
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
        // This thread cannot hold the guard here, so such a word is stale or forged.
        let may_enter = match OwnerId::from_word(owner) {
            None => true,
            Some(owner) if owner == me => true,
            Some(owner) => waited >= SUSPECT_AFTER && !environment.is_alive(owner),
        };
        // Acquire: pairs with the Release in `drop`; a dead owner's stores happened before its death was
        // observed.
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
            // Leave the guard taken, so that the next thread repairs the table as if this one had died.
            return;
        }
        // Release: pairs with the Acquire of the next holder.
        self.header.guard.store(0, Ordering::Release);
        crash::point("lock-guard-left");
    }
}
