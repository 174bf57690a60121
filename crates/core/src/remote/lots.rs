//! The tasks queued on the caller's side: higher priority first, then in order of arrival, also for tasks
//! that were assigned to a worker and revoked.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use crate::queue::{Priority, Task};

/// A task that is queued or may be requeued.
#[derive(Clone, Debug)]
pub struct Item {
    /// The task.
    pub task: Task,
    /// Higher first.
    pub priority: Priority,
    /// Sequence number of arrival.
    pub arrival: u64,
    /// Whether it is for a specific worker.
    pub pinned: bool,
}

impl Item {
    /// The item that comes first is the greater one.
    fn rank(&self, other: &Self) -> Ordering {
        self.priority
            .total_cmp(&other.priority)
            .then(other.arrival.cmp(&self.arrival))
    }
}

/// A priority queue of tasks.
#[derive(Debug, Default)]
pub struct Lot {
    /// Tasks of priority 0 in order of arrival.
    ordinary: VecDeque<Item>,
    /// All others, and requeued ones.
    ranked: BinaryHeap<Ranked>,
}

impl Lot {
    /// Adds a new task.
    pub fn push(&mut self, item: Item) {
        if item.priority == 0.0 {
            self.ordinary.push_back(item);
        } else {
            self.ranked.push(Ranked(item));
        }
    }

    /// Requeues a task at its former position.
    pub fn give_back(&mut self, item: Item) {
        self.ranked.push(Ranked(item));
    }

    /// The first task.
    pub fn peek(&self) -> Option<&Item> {
        match (self.ranked.peek(), self.ordinary.front()) {
            (Some(Ranked(ranked)), Some(ordinary)) if ranked.rank(ordinary).is_ge() => Some(ranked),
            (Some(Ranked(ranked)), None) => Some(ranked),
            (_, ordinary) => ordinary,
        }
    }

    /// Removes the first task.
    pub fn pop(&mut self) -> Option<Item> {
        let is_ranked = match (self.ranked.peek(), self.ordinary.front()) {
            (Some(Ranked(ranked)), Some(ordinary)) => ranked.rank(ordinary).is_ge(),
            (ranked, _) => ranked.is_some(),
        };
        if is_ranked {
            return self.ranked.pop().map(|Ranked(item)| item);
        }
        let item = self.ordinary.pop_front();
        if self.ordinary.is_empty() {
            self.ordinary.shrink_to(1024);
        }
        item
    }

    /// Whether its first task precedes that of another queue.
    pub fn comes_before(&self, other: &Self) -> bool {
        match (self.peek(), other.peek()) {
            (Some(mine), Some(theirs)) => mine.rank(theirs).is_gt(),
            (mine, _) => mine.is_some(),
        }
    }

    /// Number of tasks.
    pub fn len(&self) -> usize {
        self.ordinary.len() + self.ranked.len()
    }
}

#[derive(Debug)]
struct Ranked(Item);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.rank(&other.0)
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::TaskKind;

    fn item(arrival: u64, priority: f64) -> Item {
        Item {
            task: Task::new(TaskKind::Call, arrival as u32, &[]),
            priority,
            arrival,
            pinned: false,
        }
    }

    #[test]
    fn priorities_first_then_arrivals_also_of_what_came_back() {
        let mut lot = Lot::default();
        for (arrival, priority) in [(1, 0.0), (2, -1.0), (3, 5.0), (4, 0.0), (5, 5.0)] {
            lot.push(item(arrival, priority));
        }
        let order = |lot: &mut Lot, n| -> Vec<u64> {
            (0..n)
                .map_while(|_| {
                    let next = lot.peek()?.arrival;
                    (lot.pop()?.arrival == next).then_some(next)
                })
                .collect()
        };
        assert_eq!(order(&mut lot, 3), [3, 5, 1]);
        lot.give_back(item(1, 0.0));
        lot.give_back(item(3, 5.0));
        assert_eq!((lot.len(), order(&mut lot, 9)), (4, vec![3, 1, 4, 2]));
        assert!(lot.pop().is_none() && lot.peek().is_none());
    }
}
