//! The worker's side of the queue.

use std::cell::Cell;
use std::sync::Arc;

use crossbeam::deque::Worker as Deque;

use super::completions::{Entry, Kind};
use super::line::{Call, LINE_BYTES};
use super::pool::{Queue, POLLS_OF_LINE};
use super::slots::Place;
use super::station::{settle, Hands, InHand, Station};
use super::stock::Payload;
use super::task::{Task, TaskKind};
use crate::ring::doorbell::Consumer;
use crate::sync::{fence, AtomicU64, Ordering};
use crate::sys::clock::monotonic_ns;
use crate::sys::eventfd::EventFd;

/// A worker takes a batch of tasks into its deque only while its tasks run for less than this on average ...
const BRIEF_US: f64 = 20.0;
/// ... and more than this many per worker are queued, so that their order hardly matters.
const DEEP: u32 = 64;

/// A worker's handle, owned by its thread. Dropping it when the thread ends reports the end to the caller.
pub struct Worker {
    queue: Arc<Queue>,
    station: Arc<Station>,
    deque: Deque<Task>,
    /// Moving average of run times in microseconds.
    average_us: Cell<f64>,
    /// When the last task was over, [`monotonic_ns`]; 0 once another has been begun.
    over_ns: Cell<u64>,
    /// Whether calls may be offered, and whether one has been and is the next to be pulled.
    is_open: Cell<bool>,
    is_offered: Cell<bool>,
    /// The call being processed and when it was begun.
    call: Cell<Option<(Call, u64)>>,
}

impl Worker {
    /// Takes the station allocated by [`Queue::add_worker`]. `None` when it does not exist or is already
    /// taken.
    pub fn attach(queue: Arc<Queue>, number: u32) -> Option<Self> {
        let station = queue.station(number)?;
        let deque = Deque::new_fifo();
        station.stealer.set(deque.stealer()).ok()?;
        Some(Self {
            queue,
            station,
            deque,
            average_us: Cell::new(f64::MAX),
            over_ns: Cell::new(0),
            is_open: Cell::new(false),
            is_offered: Cell::new(false),
            call: Cell::new(None),
        })
    }

    /// The worker's number.
    pub fn number(&self) -> u32 {
        self.station.number
    }

    /// The queue it works for.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// The bell watched by its event loop.
    pub fn bell(&self) -> &EventFd {
        &self.station.bell
    }

    /// The time, [`monotonic_ns`], as of the end of the last task if none has begun since: reading the clock costs
    /// as much as most of the work for a short task.
    pub fn now_ns(&self) -> u64 {
        match self.over_ns.get() {
            0 => monotonic_ns(),
            over_ns => over_ns,
        }
    }

    /// The next notice or task. A task is in hand from here on.
    pub fn pull(&self) -> Option<Task> {
        self.demote();
        if self.is_offered.take() {
            return Some(self.begin_call());
        }
        if let Some(notice) = self.station.notices.pop() {
            return Some(notice);
        }
        let mut hands = self.station.hands();
        loop {
            let task = self.find(&hands)?;
            if self.queue.slots.transition_to_taken(task.slot, self.number()) {
                self.begin(&mut hands, &task);
                drop(hands);
                self.queue.pass_on();
                return Some(task);
            }
            self.tell(Kind::Dropped, task.slot, &[], Vec::new());
        }
    }

    fn begin_call(&self) -> Task {
        let mut record = [0; LINE_BYTES];
        let (call, len) = self.station.line.read_call(&mut record);
        self.call.set(Some((call, monotonic_ns())));
        self.over_ns.set(0);
        // What became visible while this thread was searching is for another worker.
        self.queue.pass_on();
        let mut task = Task::new(TaskKind::Call, call.slot, &record[..len]);
        task.handler = call.handler;
        task.definitions = call.definitions;
        task.created_ns = call.created_ns;
        task
    }

    /// Whether a call is being processed.
    pub fn is_called(&self) -> bool {
        self.call.get().is_some()
    }

    /// Puts the call being processed into this worker's hands: its result is not the next thing that happens.
    fn demote(&self) {
        if let Some((call, started_ns)) = self.call.take() {
            self.station
                .demote(&self.queue.slots, call.slot, call.created_ns, started_ns);
            self.station.line.leave();
        }
    }

    /// Answers the call being processed. Returns false if it has been demoted.
    fn answer(&self, (call, started_ns): (Call, u64), record: &[u8]) -> bool {
        let over_ns = monotonic_ns();
        let run_ns = over_ns.saturating_sub(started_ns);
        let wait_ns = started_ns.saturating_sub(call.created_ns);
        // First: the caller may ask for the load of this worker at once.
        let (completed, busy_us) = (&self.station.completed, &self.station.busy_us);
        add(completed, 1);
        add(busy_us, run_ns / 1000);
        if self.station.line.answer(record, wait_ns, run_ns) {
            self.call.set(None);
            self.over_ns.set(over_ns);
            self.average(run_ns as f64 / 1000.0);
            return true;
        }
        // Counted when it is reported.
        add(completed, 1_u64.wrapping_neg());
        add(busy_us, (run_ns / 1000).wrapping_neg());
        false
    }

    fn begin(&self, hands: &mut Hands, task: &Task) {
        hands.alone = task.alone;
        hands.taken += 1;
        hands.retired |= hands.taken == self.station.limits.tasks;
        hands.tasks.push(InHand {
            slot: task.slot,
            created_ns: task.created_ns,
            started_ns: monotonic_ns(),
            kept: task.keep.then(|| task.clone()),
        });
        self.over_ns.set(0);
        self.count_in_hand(hands);
    }

    /// Written with the hands locked.
    fn count_in_hand(&self, hands: &Hands) {
        let count = hands.tasks.len() as u32;
        self.station.in_hand.store(count, Ordering::Release);
    }

    fn find(&self, hands: &Hands) -> Option<Task> {
        if !hands.have_room(self.station.limits) {
            return None;
        }
        if let Some(task) = self.station.pinned.pop() {
            return Some(task);
        }
        if self.queue.waiting_alone.load(Ordering::SeqCst) == 0 {
            return self.find_ordinary();
        }
        if !self.queue.is_alone_next() {
            if let Some(task) = self.find_ordinary() {
                return Some(task);
            }
        }
        // A worker with tasks in hand finishes them first, so that alone-tasks are not starved.
        if !hands.tasks.is_empty() {
            return None;
        }
        self.find_alone().or_else(|| self.find_ordinary())
    }

    fn find_alone(&self) -> Option<Task> {
        let task = self.queue.alone.pop()?;
        self.queue.waiting_alone.fetch_sub(1, Ordering::SeqCst);
        Some(task)
    }

    fn find_ordinary(&self) -> Option<Task> {
        let queue = &self.queue;
        if queue.traffic.waiting.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let task = queue
            .returned
            .pop()
            .or_else(|| queue.urgent.pop())
            .or_else(|| self.deque.pop())
            .or_else(|| self.steal_new())
            .or_else(|| queue.relaxed.pop())
            .or_else(|| self.steal_from_others())?;
        queue.traffic.waiting.fetch_sub(1, Ordering::SeqCst);
        queue.count_taken();
        Some(task)
    }

    fn steal_new(&self) -> Option<Task> {
        let injector = &self.queue.injector;
        let is_deep = || {
            let workers = self.queue.workers.load(Ordering::Relaxed);
            self.queue.traffic.waiting.load(Ordering::Relaxed) > DEEP.saturating_mul(workers)
        };
        let batch = self.queue.batch.load(Ordering::Relaxed) as usize;
        if batch > 1 && self.average_us.get() < BRIEF_US && is_deep() {
            return settle(|| injector.steal_batch_with_limit_and_pop(&self.deque, batch));
        }
        settle(|| injector.steal())
    }

    fn steal_from_others(&self) -> Option<Task> {
        let stations = self.queue.stations();
        let after = self.station.number as usize + 1;
        (0..stations.len())
            .map(|i| (after + i) % stations.len())
            .filter_map(|at| stations.get(at)?.as_ref()?.stealer.get())
            .find_map(|stealer| settle(|| stealer.steal()))
    }

    /// Reports the completion of a task. Returns false when this worker does not have it in hand.
    pub fn complete(&self, kind: Kind, slot: u32, record: &[u8], payloads: Vec<Payload>) -> bool {
        if let Some(called) = self.call.get() {
            let fits = kind == Kind::Result && payloads.is_empty() && record.len() <= LINE_BYTES;
            if fits && called.0.slot == slot && self.answer(called, record) {
                return true;
            }
            self.demote();
        }
        let mut hands = self.station.hands();
        let Some(at) = hands.tasks.iter().position(|task| task.slot == slot) else {
            return false;
        };
        let task = hands.tasks.swap_remove(at);
        hands.alone = false;
        let is_last = hands.retired && hands.tasks.is_empty();
        self.count_in_hand(&hands);
        drop(hands);
        let us = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1000.0;
        let wait_us = us(task.created_ns, task.started_ns);
        let over_ns = monotonic_ns();
        self.over_ns.set(over_ns);
        let run_us = us(task.started_ns, over_ns);
        self.average(run_us);
        add(&self.station.completed, 1);
        add(&self.station.busy_us, run_us as u64);
        self.queue.slots.transition_to_free(slot);
        self.report(kind, slot, (wait_us, run_us), record, payloads);
        if is_last {
            self.tell(Kind::Retired, 0, &[], Vec::new());
        }
        true
    }

    fn average(&self, run_us: f64) {
        self.average_us.set(match self.average_us.get() {
            f64::MAX => run_us,
            average => (average * 3.0 + run_us) / 4.0,
        });
    }

    /// Sends a report that does not complete a task.
    pub fn tell(&self, kind: Kind, slot: u32, record: &[u8], payloads: Vec<Payload>) {
        self.report(kind, slot, (0.0, 0.0), record, payloads);
    }

    /// Takes no more tasks; [`Kind::Retired`] is reported once none is in hand.
    pub fn retire(&self) {
        self.demote();
        let is_over = {
            let mut hands = self.station.hands();
            hands.retired = true;
            hands.tasks.is_empty()
        };
        self.queue.pass_on();
        if is_over {
            self.tell(Kind::Retired, 0, &[], Vec::new());
        }
    }

    fn report(
        &self,
        kind: Kind,
        slot: u32,
        (wait_us, run_us): (f64, f64),
        record: &[u8],
        payloads: Vec<Payload>,
    ) {
        // The caller reads this report first.
        self.demote();
        let entry = Entry {
            kind,
            slot,
            worker: self.station.number,
            wait_us,
            run_us,
        };
        self.queue.report(&self.station, entry, record, payloads);
    }

    /// Whether a task in hand is to be aborted.
    pub fn is_aborted(&self, slot: u32) -> bool {
        matches!(self.queue.slots.place(slot), Place::Taken { aborted: true, .. })
    }

    /// Lets calls be offered while this thread spins, if it has nothing in hand and the caller has all its reports.
    fn open(&self) {
        let station = &self.station;
        if station.limits.tasks != 0 || station.outbox.is_reported() {
            return;
        }
        let hands = station.hands();
        if !hands.retired && hands.tasks.is_empty() {
            // With the lock held: `Queue::retire` closes it.
            station.line.open();
            self.is_open.set(true);
        }
    }

    fn has_tasks(&self, hands: &Hands) -> bool {
        if !hands.have_room(self.station.limits) {
            return false;
        }
        let is_idle = hands.tasks.is_empty();
        let alone = self.queue.waiting_alone.load(Ordering::SeqCst) > 0;
        let any = self.queue.traffic.waiting.load(Ordering::SeqCst) > 0;
        let has_shared = match is_idle {
            true => alone || any,
            false => any && !(alone && self.queue.is_alone_next()),
        };
        !self.station.pinned.is_empty() || has_shared
    }
}

/// Adds to a count that no other thread writes.
fn add(count: &AtomicU64, more: u64) {
    count.store(
        count.load(Ordering::Relaxed).wrapping_add(more),
        Ordering::Relaxed,
    );
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Tasks left in the deque remain reachable through its stealer, for `Queue::abandon`.
        self.tell(Kind::Ended, 0, &[], Vec::new());
    }
}

/// The worker's event loop, waiting for tasks.
impl Consumer for Worker {
    fn is_pending(&self) -> bool {
        if self.is_offered.get() {
            return true;
        }
        let line = &self.station.line;
        if self.is_open.get() && (0..POLLS_OF_LINE).any(|_| line.is_offered()) {
            return true;
        }
        !self.station.notices.is_empty() || self.has_tasks(&self.station.hands())
    }

    fn begin_sleep(&self) {
        self.station.asleep.swap(1, Ordering::SeqCst);
    }

    /// Registers as a sleeper that can be woken for a task, unless it has no room for one.
    fn transition_to_asleep(&self) -> bool {
        let station = &self.station;
        self.begin_sleep();
        // SeqCst: pairs with the fence in `Queue::push_to`.
        fence(Ordering::SeqCst);
        let (has_room, is_idle) = {
            let hands = station.hands();
            (hands.have_room(station.limits), hands.tasks.is_empty())
        };
        let is_pending = || Consumer::is_pending(self);
        let is_asleep = match has_room {
            true => self
                .queue
                .traffic
                .sleepers
                .transition_to_asleep(station.number, is_idle, is_pending),
            // Not registered as a sleeper: its own completions wake it.
            false => !is_pending(),
        };
        if !is_asleep {
            station.asleep.swap(0, Ordering::SeqCst);
        }
        is_asleep
    }

    fn transition_to_awake(&self) {
        self.station.asleep.swap(0, Ordering::SeqCst);
        self.queue
            .traffic
            .sleepers
            .transition_to_awake(self.station.number);
    }

    fn signalled_at(&self) -> u64 {
        self.station.signalled_at.load(Ordering::Relaxed)
    }

    /// The event loop must not be blocked while tasks are in hand; a call being processed is put there.
    fn may_spin(&self) -> bool {
        self.demote();
        self.station.in_hand.load(Ordering::SeqCst) == 0
    }

    fn begin_search(&self) {
        self.queue.traffic.sleepers.begin_search();
        self.open();
    }

    fn end_search(&self) -> bool {
        if self.is_open.take() {
            self.is_offered.set(self.station.line.close());
        }
        self.queue.traffic.sleepers.end_search();
        self.is_offered.get()
    }
}

#[cfg(all(test, not(loom)))]
pub(super) mod tests {
    use super::*;
    use crate::queue::{Limits, Target, Task, TaskKind};
    use std::time::Duration;

    /// A queue with two workers.
    pub fn queue(concurrency: u32) -> (Arc<Queue>, [Worker; 2]) {
        let made = || {
            let limits = Limits {
                concurrency,
                tasks: 0,
            };
            let queue = Arc::new(Queue::new(limits).ok()?);
            let attach = || Worker::attach(Arc::clone(&queue), queue.add_worker().ok()?);
            let workers = [attach()?, attach()?];
            Some((queue, workers))
        };
        made().unwrap_or_else(|| panic!("no descriptors left"))
    }

    fn push(queue: &Queue, slot: u32, target: Target) {
        assert!(queue.push(Task::new(TaskKind::Call, slot, &[]), target, 0.0));
    }

    fn is_rung(worker: &Worker) -> bool {
        worker.bell().wait(Duration::ZERO);
        let was_rung = worker.station.asleep.load(Ordering::SeqCst) == 0;
        worker.bell().clear();
        was_rung
    }

    /// Both workers sleep; the pushed task wakes the second.
    fn woken() -> (Arc<Queue>, [Worker; 2]) {
        let (queue, workers) = queue(1);
        assert!(workers.iter().all(Consumer::transition_to_asleep));
        push(&queue, 1, Target::Any);
        assert!(!is_rung(&workers[0]) && is_rung(&workers[1]));
        (queue, workers)
    }

    #[test]
    fn a_task_whose_worker_ended_on_its_way_wakes_another() {
        let (queue, [first, second]) = woken();
        let number = second.number();
        drop(second);
        assert!(queue.abandon(number).is_empty());
        assert!(is_rung(&first));
        assert_eq!(first.pull().unwrap().slot, 1);
    }

    #[test]
    fn a_task_whose_worker_is_told_to_retire_wakes_another() {
        let (queue, [first, second]) = woken();
        assert!(queue.retire(second.number(), false));
        assert!(is_rung(&first));
        assert!(second.pull().is_none());
        assert_eq!(first.pull().unwrap().slot, 1);
    }

    #[test]
    fn a_task_whose_worker_retires_by_itself_wakes_another() {
        let (_queue, [first, second]) = woken();
        second.retire();
        assert!(is_rung(&first));
        assert_eq!(first.pull().unwrap().slot, 1);
    }

    #[test]
    fn several_are_taken_at_once_only_if_that_is_wanted() {
        for (batch, ahead) in [(1, 0), (8, 7)] {
            let (queue, [first, second]) = queue(1);
            queue.set_batch(batch);
            first.average_us.set(1.0);
            for slot in 0..DEEP * 2 + 2 {
                push(&queue, slot, Target::Any);
            }
            assert_eq!(first.pull().map(|task| task.slot), Some(0));
            assert_eq!(first.deque.len(), ahead);
            let mut slots = Vec::new();
            while let Some(task) = second.pull() {
                slots.push(task.slot);
                assert!(second.complete(Kind::Result, task.slot, &[], Vec::new()));
            }
            slots.sort_unstable();
            assert!(slots.into_iter().eq(1..DEEP * 2 + 2));
        }
    }

    #[test]
    fn who_takes_an_ordinary_task_wakes_another_for_one_that_must_be_alone() {
        let (queue, [first, second]) = queue(2);
        assert!(first.transition_to_asleep());
        Consumer::begin_search(&second);
        push(&queue, 1, Target::Any);
        push(&queue, 2, Target::Alone);
        Consumer::end_search(&second);
        assert!(!is_rung(&first));
        assert_eq!(second.pull().unwrap().slot, 1);
        assert!(is_rung(&first));
        assert_eq!(first.pull().unwrap().slot, 2);
    }

    #[test]
    fn tasks_that_must_be_alone_start_in_their_turn() {
        let (queue, [worker, _other]) = queue(2);
        let pushed = [
            Target::Any,
            Target::Any,
            Target::Alone,
            Target::Any,
            Target::Alone,
        ];
        for (slot, target) in (0..).zip(pushed) {
            push(&queue, slot, target);
        }
        let slot = |task: Option<Task>| task.map(|task| task.slot);
        let done = |slot| assert!(worker.complete(Kind::Result, slot, &[], Vec::new()));
        assert_eq!([slot(worker.pull()), slot(worker.pull())], [Some(0), Some(1)]);
        done(0);
        // The task in hand is waited for, and no later task overtakes.
        assert_eq!(slot(worker.pull()), None);
        done(1);
        assert_eq!([slot(worker.pull()), slot(worker.pull())], [Some(2), None]);
        done(2);
        assert_eq!([slot(worker.pull()), slot(worker.pull())], [Some(3), None]);
        done(3);
        assert_eq!(slot(worker.pull()), Some(4));
    }
}
