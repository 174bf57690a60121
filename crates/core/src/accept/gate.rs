//! Whether a worker should accept from a shared listening socket now.
//!
//! Workers that share a socket accept by themselves; nobody hands connections over and nothing is lost. Left
//! alone, the kernel would prefer one of them. Two corrections make it fair, both by changing the worker's
//! epoll registration of the socket right before its loop sleeps, never by declining a wake-up:
//!
//! - **Gate**: a worker with clearly more connections than the least loaded other one takes its registration
//!   away until the others have caught up. Workers whose loop is stuck do not count.
//! - **Rotation**: registrations are exclusive (`EPOLLEXCLUSIVE`), which wakes the first in line; a worker
//!   that has accepted while another one is idle goes to the end of the line.
//!
//! Who may call: the worker's JavaScript thread. Others' counters are read as hints only.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;

use super::scoreboard::{slots, Scoreboard, POLLING};

/// A worker whose loop is busy and has not turned for this long does not hold others back.
const STUCK_NS: u64 = 5_000_000;

/// Connections a worker may be ahead of the least loaded one, at least.
const SLACK: u32 = 2;

/// One more connection ahead is allowed for each this many.
const SLACK_SHARE: u32 = 8;

/// What to do with the registration of a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Leave it.
    Keep,
    /// Register it.
    Arm,
    /// Take it away.
    Disarm,
    /// Take it away and register it again: to the end of the line.
    Rotate,
}

/// The gate of one listening socket in one worker.
#[derive(Debug)]
pub struct Gate {
    row: u32,
    armed: bool,
    last_accepted: u32,
    /// Closed by its server: at its `maxConnections`.
    full: bool,
}

impl Gate {
    /// The gate of an armed registration; `row` is the listener's on the scoreboard.
    pub fn new(row: u32) -> Self {
        Self {
            row,
            armed: true,
            last_accepted: 0,
            full: false,
        }
    }

    /// Whether the socket is registered.
    pub fn is_armed(&self) -> bool {
        self.armed
    }

    /// Keeps the gate closed while the server can take no more.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }
}

/// What a worker sees of the others, shared by the gates it looks at in one turn of its loop.
#[derive(Debug)]
pub struct Turn {
    board: Arc<Scoreboard>,
    slot: u32,
    now_ns: u64,
    /// The last set of workers looked at, and what was found.
    seen: Option<([u64; 4], Others)>,
}

#[derive(Clone, Copy, Debug)]
struct Others {
    /// Connections of the least loaded one that is not stuck.
    least: Option<u32>,
    /// Some other worker waits for events.
    idle: bool,
}

impl Turn {
    /// A turn of the loop of the worker in `slot`.
    pub fn new(board: Arc<Scoreboard>, slot: u32, now_ns: u64) -> Self {
        Self {
            board,
            slot,
            now_ns,
            seen: None,
        }
    }

    /// What to do for one gate. The caller does it.
    pub fn step(&mut self, gate: &mut Gate) -> Step {
        let others = self.others(self.board.serving(gate.row));
        let me = self.board.worker(self.slot);
        let mine = me.connections.load(Relaxed).max(0).unsigned_abs();
        let open = !gate.full
            && others
                .least
                .is_none_or(|least| mine <= least + SLACK.max(least / SLACK_SHARE));
        let accepted = me.accepted.load(Relaxed);
        let has_accepted = accepted != gate.last_accepted;
        gate.last_accepted = accepted;
        let step = match (open, gate.armed) {
            (true, false) => Step::Arm,
            (false, true) => Step::Disarm,
            (true, true) if has_accepted && others.idle => Step::Rotate,
            _ => Step::Keep,
        };
        gate.armed = open;
        step
    }

    /// Most listeners are served by the same workers, so the last answer nearly always serves again.
    fn others(&mut self, serving: [u64; 4]) -> Others {
        if let Some((set, others)) = self.seen {
            if set == serving {
                return others;
            }
        }
        let mut others = Others {
            least: None,
            idle: false,
        };
        for slot in slots(serving).filter(|&slot| slot != self.slot) {
            let worker = self.board.worker(slot);
            if worker.state.load(Relaxed) & POLLING != 0 {
                others.idle = true;
            } else if self.board.load(slot, self.now_ns).loop_lag_ns > STUCK_NS {
                continue;
            }
            let connections = worker.connections.load(Relaxed).max(0).unsigned_abs();
            others.least = Some(others.least.map_or(connections, |least| least.min(connections)));
        }
        self.seen = Some((serving, others));
        others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_NS: u64 = 1_000_000_000;

    /// A board on which workers 0, 1 and 2 serve row 0, all busy with turning loops.
    fn board() -> Arc<Scoreboard> {
        let board = Arc::new(Scoreboard::create().unwrap());
        for slot in 0..3 {
            board.set_serving(0, slot, true);
            board.worker(slot).beat_ns.store(NOW_NS, Relaxed);
        }
        board
    }

    fn step(board: &Arc<Scoreboard>, slot: u32, gate: &mut Gate) -> Step {
        Turn::new(Arc::clone(board), slot, NOW_NS).step(gate)
    }

    #[test]
    fn closes_when_ahead_of_the_least_loaded_and_opens_again() {
        let (board, mut gate) = (board(), Gate::new(0));
        board.worker(0).connections.store(2, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Keep);
        board.worker(0).connections.store(3, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Disarm);
        assert_eq!(step(&board, 0, &mut gate), Step::Keep);
        board.worker(1).connections.store(3, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Keep, "worker 2 still has none");
        board.worker(2).connections.store(1, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Arm);
    }

    #[test]
    fn slack_grows_with_load() {
        let (board, mut gate) = (board(), Gate::new(0));
        board.worker(1).connections.store(800, Relaxed);
        board.worker(2).connections.store(900, Relaxed);
        board.worker(0).connections.store(900, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Keep);
        board.worker(0).connections.store(901, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Disarm);
    }

    #[test]
    fn a_stuck_worker_holds_nobody_back_but_an_idle_one_does() {
        let (board, mut gate) = (board(), Gate::new(0));
        board.worker(0).connections.store(10, Relaxed);
        board.worker(1).connections.store(10, Relaxed);
        board.worker(2).beat_ns.store(NOW_NS - STUCK_NS - 1, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Keep);
        board.worker(2).state.store(POLLING, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Disarm);
    }

    #[test]
    fn rotates_after_accepting_while_another_is_idle() {
        let (board, mut gate) = (board(), Gate::new(0));
        board.worker(0).accepted.store(1, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Keep, "everybody is busy");
        board.worker(1).state.store(POLLING, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Keep, "nothing accepted since");
        board.worker(0).accepted.store(2, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Rotate);
    }

    #[test]
    fn a_lone_worker_is_never_gated_but_by_its_own_limit() {
        let board = Arc::new(Scoreboard::create().unwrap());
        board.set_serving(0, 5, true);
        board.worker(5).connections.store(10_000, Relaxed);
        let mut gate = Gate::new(0);
        assert_eq!(step(&board, 5, &mut gate), Step::Keep);
        gate.set_full(true);
        assert_eq!(step(&board, 5, &mut gate), Step::Disarm);
        gate.set_full(false);
        assert_eq!(step(&board, 5, &mut gate), Step::Arm);
    }

    #[test]
    fn listeners_with_other_workers_are_judged_apart() {
        let board = board();
        board.set_serving(1, 0, true);
        board.worker(0).connections.store(50, Relaxed);
        let mut turn = Turn::new(Arc::clone(&board), 0, NOW_NS);
        let (mut shared, mut own) = (Gate::new(0), Gate::new(1));
        assert_eq!(turn.step(&mut shared), Step::Disarm);
        assert_eq!(turn.step(&mut own), Step::Keep);
    }
}
