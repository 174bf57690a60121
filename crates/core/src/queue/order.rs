//! Tasks with other than the default priority: highest first, FIFO among equals.

use std::cmp::Ordering as Order;
use std::collections::BinaryHeap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::task::{Priority, Task};
use crate::sync::{AtomicU32, Ordering};

/// A priority queue of tasks; any thread may push and pop.
#[derive(Debug, Default)]
pub struct Ranked {
    /// Number of tasks, to skip the lock when there are none.
    count: AtomicU32,
    heap: Mutex<Heap>,
}

#[derive(Debug, Default)]
struct Heap {
    tasks: BinaryHeap<Entry>,
    arrivals: u64,
}

#[derive(Debug)]
struct Entry {
    priority: Priority,
    arrival: u64,
    after: u64,
    task: Task,
}

impl Ranked {
    /// Adds a task.
    pub fn push(&self, task: Task, priority: Priority) {
        self.push_after(task, priority, 0);
    }

    /// Adds a task with a number that [`Ranked::first_after`] returns.
    pub fn push_after(&self, task: Task, priority: Priority, after: u64) {
        let mut heap = self.lock();
        heap.arrivals += 1;
        let arrival = heap.arrivals;
        heap.tasks.push(Entry {
            priority,
            arrival,
            after,
            task,
        });
        // Release: pairs with the load in `pop`, which may skip the lock.
        self.count.fetch_add(1, Ordering::Release);
    }

    /// Removes the first task.
    pub fn pop(&self) -> Option<Task> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let entry = self.lock().tasks.pop()?;
        self.count.fetch_sub(1, Ordering::Release);
        Some(entry.task)
    }

    /// The number that the first task was added with.
    pub fn first_after(&self) -> Option<u64> {
        self.lock().tasks.peek().map(|entry| entry.after)
    }

    fn lock(&self) -> MutexGuard<'_, Heap> {
        // Nothing panics while the lock is held.
        self.heap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Order {
        self.priority
            .total_cmp(&other.priority)
            .then(other.arrival.cmp(&self.arrival))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Order::Equal
    }
}

impl Eq for Entry {}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::task::TaskKind;
    use super::*;

    #[test]
    fn higher_first_and_in_order_among_equals() {
        let ranked = Ranked::default();
        for (slot, priority) in [(1, 2.0), (2, 5.0), (3, 2.0), (4, -1.0), (5, 0.5)] {
            ranked.push(Task::new(TaskKind::Call, slot, &[]), priority);
        }
        let order: Vec<u32> = std::iter::from_fn(|| ranked.pop())
            .map(|task| task.slot)
            .collect();
        assert_eq!(order, [2, 1, 3, 5, 4]);
    }
}
