//! Whether a worker should accept from a shared listening socket now.
//!
//! Workers that share a socket accept by themselves; no connection is handed over, so none can be lost. By
//! default the kernel would prefer one of them. Two corrections make this fair. Both change the worker's
//! epoll registration of the socket just before its loop blocks; a wake-up is never declined:
//!
//! - **Gate**: a worker with clearly more connections than the least loaded one removes its registration
//!   until the others have caught up. Workers with a stuck loop do not count. The tolerance depends on the
//!   connection churn: when most connections are short, their momentary number says little, and a worker that
//!   waits for the others to catch up only wastes time.
//! - **Rotation**: registrations are exclusive (`EPOLLEXCLUSIVE`), which wakes the first in the queue; a
//!   worker that has had its turn while another one is idle moves to the end of the queue.
//!
//! A worker that has few descriptors left removes all its registrations, and does not count for the others. libuv
//! would reset every waiting connection if it accepted without a free descriptor.
//!
//! A loop that is stuck in an I/O callback looks as if it were waiting for events: libuv has hooks before it
//! polls and after it has run the callbacks, but none in between. So a worker that has looked idle for a
//! while is only a suspect. If suspects alone keep a gate closed and connections wait all the same, which an
//! idle worker would have accepted, they are considered stuck until their loops turn again.
//!
//! Called on the worker's JavaScript thread. The counters of other workers are only hints.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;

use super::scoreboard::{slots, Scoreboard, CROWDED, POLLING};

/// A busy worker whose loop has not turned for this long does not hold others back.
const STUCK_NS: u64 = 5_000_000;

/// How long connections may wait for suspects.
const PATIENCE_NS: u64 = 2_000_000;

/// Minimum number of connections that a worker accepts per turn. Moving to the end of the queue costs two
/// system calls.
const TURN: u32 = 4;

/// At high accept rates, a worker moves to the end of the queue about this many times per [`CHURN_NS`].
const TURNS: u32 = 2;

/// A worker that has waited for events for this long is idle. Under load, a loop waits as well, but for less
/// time.
const IDLE_NS: u64 = 100_000;

/// Minimum number of connections that a worker may be ahead of the least loaded one.
const SLACK: u32 = 2;

/// The tolerance is at least the least loaded worker's number of connections divided by this.
const SLACK_SHARE: u32 = 8;

/// The tolerance is at least the number of connections accepted in [`CHURN_NS`] divided by this.
const CHURN_SHARE: u32 = 4;

/// The period over which accepted connections are counted.
const CHURN_NS: u64 = 8_000_000;

/// Descriptors that a worker keeps free beyond those for connections, for what these open in the same turn.
const SPARE: u32 = 14;

/// Bounds for the number of free descriptors below which a worker with this many sockets accepts nothing: those that
/// libuv may need in one turn of the loop, which accepts one connection from each, and twice those and [`SPARE`].
pub fn reserve_bounds(sockets: u32) -> (u32, u32) {
    (sockets.max(1), sockets.saturating_mul(2).saturating_add(SPARE))
}

/// Shortest and longest time between checks of a closed gate.
const LOOK_AGAIN_MS: u64 = 2;
const LOOK_AGAIN_LATEST_MS: u64 = 16;

/// The time between checks is the time for which no other worker has accepted anything, divided by this.
const STILL_SHARE: u64 = 8;

/// What to do with the registration of a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Leave it unchanged.
    Keep,
    /// Add it.
    Arm,
    /// Remove it.
    Disarm,
    /// Remove and add it again, which moves it to the end of the queue.
    Rotate,
}

/// The gate of one listening socket in one worker.
#[derive(Debug)]
pub struct Gate {
    row: u32,
    armed: bool,
    /// Connections accepted since it was opened or last rotated.
    accepted: u32,
    /// Whether its server has reached `maxConnections`.
    full: bool,
    /// Since when connections have been waiting although only suspects keep the gate closed.
    waiting_since_ns: Option<u64>,
    /// Since when the gate has been closed and no other worker has accepted anything, and how many connections
    /// the others had accepted until then.
    still_since_ns: u64,
    accepted_by_others: u32,
}

impl Gate {
    /// The gate of an armed registration; `row` is the listener's row on the scoreboard.
    pub fn new(row: u32) -> Self {
        Self {
            row,
            armed: true,
            accepted: 0,
            full: false,
            waiting_since_ns: None,
            still_since_ns: 0,
            accepted_by_others: 0,
        }
    }

    /// Whether the socket is registered.
    pub fn is_armed(&self) -> bool {
        self.armed
    }

    /// Records that a connection was accepted from the socket.
    pub fn note_accepted(&mut self) {
        self.accepted = self.accepted.saturating_add(1);
    }

    /// Whether there is certainly nothing to do: the gate is open and unused since the last step. A worker
    /// that is ahead closes only gates in use, so that idle listeners cost nothing.
    pub fn is_quiet(&self) -> bool {
        self.armed && !self.full && self.accepted == 0
    }

    /// Keeps the gate closed while the server can take no more connections.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }
}

/// What a worker knows about the others, kept between turns of its loop.
#[derive(Debug)]
pub struct Neighbours {
    board: Arc<Scoreboard>,
    slot: u32,
    /// Workers found stuck, with the heartbeat at which they got stuck.
    stuck: Vec<(u32, u64)>,
    /// The set of workers examined last in this turn, and the result.
    seen: Option<(Set, Others)>,
    churn: Churn,
    now_ns: u64,
    /// Whether few descriptors are left.
    is_crowded: bool,
}

type Set = [u64; 4];

#[derive(Clone, Copy, Debug, Default)]
struct Others {
    /// Connections of the least loaded worker that is not stuck.
    least: Option<u32>,
    /// The same without suspects.
    least_trusted: Option<u32>,
    /// Whether another worker waits for events.
    idle: bool,
    /// Connections that all others together have accepted; wraps.
    accepted: u32,
}

impl Neighbours {
    /// The neighbours of the worker in `slot`.
    pub fn new(board: Arc<Scoreboard>, slot: u32) -> Self {
        Self {
            board,
            slot,
            stuck: Vec::new(),
            seen: None,
            churn: Churn::default(),
            now_ns: 0,
            is_crowded: false,
        }
    }

    /// Keeps all gates closed while few descriptors are left. Returns whether that has changed, so that every gate
    /// needs a step, including quiet ones.
    pub fn set_crowded(&mut self, is_crowded: bool) -> bool {
        std::mem::replace(&mut self.is_crowded, is_crowded) != is_crowded
    }

    /// Starts a new turn of the loop: discards cached results.
    pub fn turn(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        self.seen = None;
        let board = &self.board;
        self.churn
            .observe(board.worker(self.slot).accepted.load(Relaxed), now_ns);
        self.stuck
            .retain(|&(slot, beat_ns)| board.worker(slot).beat_ns.load(Relaxed) == beat_ns);
    }

    /// Decides what to do with a gate in this turn; the caller carries it out. `has_waiting` tells whether
    /// connections wait in the socket's backlog and is called only when that matters.
    pub fn step(&mut self, gate: &mut Gate, has_waiting: impl FnOnce() -> bool) -> Step {
        if gate.is_quiet() && !self.is_crowded {
            return Step::Keep;
        }
        let serving = self.board.serving(gate.row);
        let others = self.others(serving);
        let me = self.board.worker(self.slot);
        let mine = me.connections.load(Relaxed).max(0).unsigned_abs();
        let churn = self.churn.accepted;
        let open = !gate.full
            && !self.is_crowded
            && (is_within(mine, others.least, churn)
                || is_within(mine, others.least_trusted, churn)
                    && self.convict(gate, serving, has_waiting()));
        let step = match (open, gate.armed) {
            (true, false) => Step::Arm,
            (false, true) => Step::Disarm,
            (true, true) if others.idle && gate.accepted >= TURN.max(churn / TURNS) => Step::Rotate,
            _ => Step::Keep,
        };
        if step != Step::Keep {
            gate.accepted = 0;
        }
        if gate.armed || gate.waiting_since_ns.is_some() || others.accepted != gate.accepted_by_others {
            gate.still_since_ns = self.now_ns;
            gate.accepted_by_others = others.accepted;
        }
        gate.armed = open;
        step
    }

    /// When to check a gate again even if the loop has nothing else to do, in milliseconds: while it is closed,
    /// because the others may catch up. The longer none of them has accepted anything, the later, so that a
    /// worker with more long-lived connections than the others does not wake 500 times a second for nothing.
    /// The gate of a full server opens when one of its own connections ends.
    pub fn look_again_ms(&self, gate: &Gate) -> Option<u64> {
        let still_ms = self.now_ns.saturating_sub(gate.still_since_ns) / 1_000_000;
        let later_ms = (still_ms / STILL_SHARE).clamp(LOOK_AGAIN_MS, LOOK_AGAIN_LATEST_MS);
        (!gate.armed && !gate.full).then_some(later_ms)
    }

    /// Called when only suspects keep the gate closed. Once connections have waited long enough, the suspects
    /// are marked as stuck.
    fn convict(&mut self, gate: &mut Gate, serving: Set, has_waiting: bool) -> bool {
        if !has_waiting {
            gate.waiting_since_ns = None;
            return false;
        }
        let since_ns = *gate.waiting_since_ns.get_or_insert(self.now_ns);
        if self.now_ns - since_ns < PATIENCE_NS {
            return false;
        }
        gate.waiting_since_ns = None;
        let suspects: Vec<u32> = slots(serving).filter(|&slot| self.is_suspect(slot)).collect();
        for slot in suspects {
            self.stuck
                .push((slot, self.board.worker(slot).beat_ns.load(Relaxed)));
        }
        self.seen = None;
        true
    }

    /// Whether a worker's heartbeat is overdue.
    fn is_suspect(&self, slot: u32) -> bool {
        slot != self.slot && self.beat_age_ns(slot) > STUCK_NS
    }

    /// Time since a worker's loop last turned.
    fn beat_age_ns(&self, slot: u32) -> u64 {
        self.now_ns
            .saturating_sub(self.board.worker(slot).beat_ns.load(Relaxed))
    }

    /// Most listeners are served by the same workers, so the cached result can usually be reused.
    fn others(&mut self, serving: Set) -> Others {
        if let Some((_, others)) = self.seen.filter(|&(set, _)| set == serving) {
            return others;
        }
        let mut others = Others::default();
        for slot in slots(serving).filter(|&slot| slot != self.slot) {
            let worker = self.board.worker(slot);
            others.accepted = others.accepted.wrapping_add(worker.accepted.load(Relaxed));
            let state = worker.state.load(Relaxed);
            if state & CROWDED != 0 {
                continue;
            }
            let is_polling = state & POLLING != 0;
            let is_late = self.is_suspect(slot);
            if is_late && (!is_polling || self.stuck.iter().any(|&(stuck, _)| stuck == slot)) {
                continue;
            }
            others.idle |= is_polling && self.beat_age_ns(slot) > IDLE_NS;
            let connections = worker.connections.load(Relaxed).max(0).unsigned_abs();
            let lower = |least: Option<u32>| Some(least.map_or(connections, |least| least.min(connections)));
            others.least = lower(others.least);
            if !is_late {
                others.least_trusted = lower(others.least_trusted);
            }
        }
        self.seen = Some((serving, others));
        others
    }
}

/// The number of connections that this worker accepts per [`CHURN_NS`].
#[derive(Debug, Default)]
struct Churn {
    accepted: u32,
    since_ns: u64,
    at_since: u32,
}

impl Churn {
    fn observe(&mut self, accepted: u32, now_ns: u64) {
        let elapsed_ns = now_ns.saturating_sub(self.since_ns);
        if elapsed_ns < CHURN_NS {
            return;
        }
        let count = u64::from(accepted.wrapping_sub(self.at_since));
        self.accepted = u32::try_from(count * CHURN_NS / elapsed_ns).unwrap_or(u32::MAX);
        self.since_ns = now_ns;
        self.at_since = accepted;
    }
}

/// Whether `mine` is within the tolerance of the least.
fn is_within(mine: u32, least: Option<u32>, churn: u32) -> bool {
    least.is_none_or(|least| {
        let slack = SLACK.max(least / SLACK_SHARE).max(churn / CHURN_SHARE);
        mine <= least.saturating_add(slack)
    })
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

    /// A gate that has just been used.
    fn used_gate(row: u32) -> Gate {
        let mut gate = Gate::new(row);
        gate.note_accepted();
        gate
    }

    fn step(board: &Arc<Scoreboard>, slot: u32, gate: &mut Gate) -> Step {
        let mut neighbours = Neighbours::new(Arc::clone(board), slot);
        neighbours.turn(NOW_NS);
        neighbours.step(gate, || false)
    }

    #[test]
    fn closes_when_ahead_of_the_least_loaded_and_opens_again() {
        let (board, mut gate) = (board(), used_gate(0));
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
    fn a_closed_gate_is_looked_at_less_often_while_nothing_happens() {
        let (board, mut gate) = (board(), used_gate(0));
        let mut neighbours = Neighbours::new(Arc::clone(&board), 0);
        let mut look = |gate: &mut Gate, after_ms: u64| {
            let now_ns = NOW_NS + after_ms * 1_000_000;
            for slot in 1..3 {
                board.worker(slot).beat_ns.store(now_ns, Relaxed);
            }
            neighbours.turn(now_ns);
            neighbours.step(gate, || false);
            neighbours.look_again_ms(gate)
        };
        assert_eq!(look(&mut gate, 0), None, "it is open");
        board.worker(0).connections.store(3, Relaxed);
        let looks = [0, 8, 24, 80, 200, 100_000].map(|after_ms| look(&mut gate, after_ms));
        assert_eq!(looks, [2, 2, 3, 10, 16, 16].map(Some));
        board.worker(2).accepted.store(1, Relaxed);
        assert_eq!(
            look(&mut gate, 100_001),
            Some(2),
            "another worker has accepted one"
        );
        assert_eq!(look(&mut gate, 100_041), Some(5));
        gate.set_full(true);
        assert_eq!(look(&mut gate, 100_042), None, "it opens when a connection ends");
        gate.set_full(false);
        board.worker(0).connections.store(2, Relaxed);
        assert_eq!(look(&mut gate, 100_043), None);
        assert!(gate.is_armed());
    }

    #[test]
    fn slack_grows_with_load() {
        let (board, mut gate) = (board(), used_gate(0));
        board.worker(1).connections.store(800, Relaxed);
        board.worker(2).connections.store(900, Relaxed);
        board.worker(0).connections.store(900, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Keep);
        board.worker(0).connections.store(901, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Disarm);
    }

    #[test]
    fn slack_grows_with_the_connections_that_come_and_go() {
        let (board, mut gate) = (board(), used_gate(0));
        let mut neighbours = Neighbours::new(Arc::clone(&board), 0);
        let mut after = |connections: i32, accepted: u32, now_ns: u64| {
            board.worker(0).connections.store(connections, Relaxed);
            board.worker(0).accepted.store(accepted, Relaxed);
            for slot in 1..3 {
                board.worker(slot).beat_ns.store(now_ns, Relaxed);
            }
            neighbours.turn(now_ns);
            gate.note_accepted();
            neighbours.step(&mut gate, || false)
        };
        assert_eq!(after(0, 0, NOW_NS), Step::Keep);
        let per_turn = 10 * CHURN_SHARE;
        assert_eq!(after(10, per_turn, NOW_NS + CHURN_NS), Step::Keep);
        assert_eq!(after(11, per_turn, NOW_NS + CHURN_NS + 1), Step::Disarm);
        assert_eq!(after(10, per_turn, NOW_NS + CHURN_NS + 2), Step::Arm);
        assert_eq!(
            after(3, per_turn, NOW_NS + 3 * CHURN_NS),
            Step::Disarm,
            "none came"
        );
    }

    #[test]
    fn a_worker_that_is_busy_for_long_holds_nobody_back() {
        let (board, mut gate) = (board(), used_gate(0));
        board.worker(0).connections.store(10, Relaxed);
        board.worker(1).connections.store(10, Relaxed);
        board.worker(2).beat_ns.store(NOW_NS - STUCK_NS - 1, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Keep);
        board.worker(2).state.store(POLLING, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Disarm, "an idle one does");
    }

    #[test]
    fn a_worker_that_only_looks_idle_is_found_out_when_connections_wait() {
        let (board, mut gate) = (board(), used_gate(0));
        board.worker(0).connections.store(10, Relaxed);
        board.worker(1).connections.store(10, Relaxed);
        board.worker(2).beat_ns.store(NOW_NS - STUCK_NS - 1, Relaxed);
        board.worker(2).state.store(POLLING, Relaxed);
        let mut neighbours = Neighbours::new(Arc::clone(&board), 0);
        let mut at = |after_ns: u64, has_waiting: bool| {
            neighbours.turn(NOW_NS + after_ns);
            board.worker(1).beat_ns.store(NOW_NS + after_ns, Relaxed);
            gate.note_accepted();
            neighbours.step(&mut gate, || has_waiting)
        };
        assert_eq!(at(0, true), Step::Disarm);
        assert_eq!(at(PATIENCE_NS - 1, true), Step::Keep);
        assert_eq!(at(PATIENCE_NS, false), Step::Keep, "what waited was taken");
        assert_eq!(at(PATIENCE_NS + 1, true), Step::Keep);
        assert_eq!(at(2 * PATIENCE_NS + 1, true), Step::Arm);
        assert_eq!(at(2 * PATIENCE_NS + 2, false), Step::Keep, "it stays convicted");
        board
            .worker(2)
            .beat_ns
            .store(NOW_NS + 2 * PATIENCE_NS + 3, Relaxed);
        assert_eq!(
            at(2 * PATIENCE_NS + 3, false),
            Step::Disarm,
            "its loop has turned"
        );
    }

    #[test]
    fn goes_to_the_end_of_the_line_after_its_turn_while_another_is_idle() {
        let (board, mut gate) = (board(), Gate::new(0));
        (0..TURN).for_each(|_| gate.note_accepted());
        assert_eq!(step(&board, 0, &mut gate), Step::Keep, "everybody is busy");
        board.worker(1).state.store(POLLING, Relaxed);
        let just = "it has just begun to wait";
        assert_eq!(step(&board, 0, &mut gate), Step::Keep, "{just}");
        board.worker(1).beat_ns.store(NOW_NS - IDLE_NS - 1, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Rotate);
        (1..TURN).for_each(|_| gate.note_accepted());
        assert_eq!(step(&board, 0, &mut gate), Step::Keep, "still its turn");
        gate.note_accepted();
        assert_eq!(step(&board, 0, &mut gate), Step::Rotate);
    }

    #[test]
    fn the_reserve_suffices_for_a_turn_of_all_sockets() {
        assert_eq!(reserve_bounds(1), (1, 16));
        assert_eq!(reserve_bounds(100), (100, 214));
    }

    #[test]
    fn without_descriptors_every_gate_is_closed_until_there_are_some() {
        let (board, mut gate) = (board(), Gate::new(0));
        let mut neighbours = Neighbours::new(Arc::clone(&board), 0);
        neighbours.turn(NOW_NS);
        assert!(!neighbours.set_crowded(false));
        assert!(neighbours.set_crowded(true));
        assert_eq!(
            neighbours.step(&mut gate, || true),
            Step::Disarm,
            "a quiet one too"
        );
        assert!(!neighbours.set_crowded(true));
        assert_eq!(neighbours.step(&mut gate, || true), Step::Keep);
        assert_eq!(neighbours.look_again_ms(&gate), Some(LOOK_AGAIN_MS));
        assert!(neighbours.set_crowded(false));
        assert_eq!(neighbours.step(&mut gate, || true), Step::Arm);
    }

    #[test]
    fn a_worker_without_descriptors_holds_nobody_back() {
        let (board, mut gate) = (board(), used_gate(0));
        board.worker(0).connections.store(10, Relaxed);
        board.worker(1).connections.store(10, Relaxed);
        board.worker(2).state.store(CROWDED | POLLING, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Keep);
        board.worker(1).state.store(CROWDED, Relaxed);
        gate.note_accepted();
        assert_eq!(step(&board, 0, &mut gate), Step::Keep, "nobody else can take any");
        board.worker(2).state.store(POLLING, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Disarm);
    }

    #[test]
    fn the_faster_connections_come_the_longer_a_turn_lasts() {
        let (board, mut gate) = (board(), Gate::new(0));
        let mut neighbours = Neighbours::new(Arc::clone(&board), 0);
        board.worker(1).state.store(POLLING, Relaxed);
        board.worker(1).beat_ns.store(NOW_NS - IDLE_NS - 1, Relaxed);
        neighbours.turn(NOW_NS - CHURN_NS);
        board.worker(0).accepted.store(40, Relaxed);
        neighbours.turn(NOW_NS);
        (1..40 / TURNS).for_each(|_| gate.note_accepted());
        assert_eq!(neighbours.step(&mut gate, || false), Step::Keep);
        gate.note_accepted();
        assert_eq!(neighbours.step(&mut gate, || false), Step::Rotate);
    }

    #[test]
    fn a_listener_that_nobody_connects_to_stays_as_it_is() {
        let (board, mut gate) = (board(), Gate::new(0));
        board.worker(0).connections.store(50, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Keep);
        gate.note_accepted();
        assert_eq!(step(&board, 0, &mut gate), Step::Disarm);
        board.worker(0).connections.store(0, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Arm);
        board.worker(0).connections.store(50, Relaxed);
        assert_eq!(step(&board, 0, &mut gate), Step::Keep, "quiet again");
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
        let mut neighbours = Neighbours::new(Arc::clone(&board), 0);
        neighbours.turn(NOW_NS);
        let (mut shared, mut own) = (used_gate(0), used_gate(1));
        assert_eq!(neighbours.step(&mut shared, || false), Step::Disarm);
        assert_eq!(neighbours.step(&mut own, || false), Step::Keep);
    }
}
