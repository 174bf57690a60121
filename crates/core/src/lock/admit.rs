//! Admission: which waiting requests to grant. Pure functions of a table's requests, oldest first.

use super::layout::{Kind, Mode};

/// A request for the lock in question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Index of its slot.
    pub index: usize,
    /// Its position in the queue.
    pub ticket: u64,
    /// Whether it has been granted.
    pub is_held: bool,
    /// For locks.
    pub mode: Mode,
    /// For semaphores.
    pub permits: u32,
}

/// The slots to grant, in order. `entries` are all pending and granted requests of one lock.
pub fn admit(kind: Kind, limit: u32, entries: &mut [Entry]) -> Vec<usize> {
    if !entries.iter().any(|entry| !entry.is_held) {
        return Vec::new();
    }
    entries.sort_unstable_by_key(|entry| entry.ticket);
    match kind {
        Kind::Lock | Kind::Names => admit_to_lock(entries),
        Kind::Semaphore => admit_to_semaphore(limit, entries),
        Kind::Barrier => admit_to_barrier(limit, entries),
        // Only `notify` grants.
        Kind::Condition => Vec::new(),
    }
}

/// Grants in queue order, up to the first request that conflicts with the holders.
fn admit_to_lock(entries: &[Entry]) -> Vec<usize> {
    let held = || entries.iter().filter(|entry| entry.is_held);
    let mut exclusive = held().any(|entry| entry.mode == Mode::Exclusive);
    let mut is_occupied = held().next().is_some();
    let mut granted = Vec::new();
    for entry in waiting(entries) {
        if exclusive || (entry.mode == Mode::Exclusive && is_occupied) {
            break;
        }
        exclusive = entry.mode == Mode::Exclusive;
        is_occupied = true;
        granted.push(entry.index);
    }
    granted
}

/// Grants in queue order, up to the first request for which too few permits are left, so that small requests
/// do not overtake a large one.
fn admit_to_semaphore(limit: u32, entries: &[Entry]) -> Vec<usize> {
    let held = entries.iter().filter(|entry| entry.is_held);
    let taken = held.fold(0u64, |sum, entry| sum + u64::from(entry.permits));
    let mut left = u64::from(limit).saturating_sub(taken);
    let fits = |entry: &&Entry| {
        let rest = left.checked_sub(u64::from(entry.permits));
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    waiting(entries)
        .take_while(fits)
        .map(|entry| entry.index)
        .collect()
}

fn admit_to_barrier(limit: u32, entries: &[Entry]) -> Vec<usize> {
    let parties = (limit as usize).max(1);
    let arrived: Vec<usize> = waiting(entries).map(|entry| entry.index).collect();
    let rounds = arrived.len() / parties;
    arrived.into_iter().take(rounds * parties).collect()
}

fn waiting(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    entries.iter().filter(|entry| !entry.is_held)
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `W`, `R`: held in this mode; `w`, `r`: waiting for it; a digit: the number of permits waited for.
    fn entries(text: &str) -> Vec<Entry> {
        let entry = |(index, letter): (usize, char)| Entry {
            index,
            ticket: index as u64,
            is_held: letter.is_ascii_uppercase(),
            mode: match letter {
                'W' | 'w' => Mode::Exclusive,
                _ => Mode::Shared,
            },
            permits: letter.to_digit(10).unwrap_or(1),
        };
        text.chars().enumerate().map(entry).collect()
    }

    #[test]
    fn a_lock_lets_in_one_writer_or_the_readers_before_the_next_writer() {
        let granted = |text| admit(Kind::Lock, 0, &mut entries(text));
        assert_eq!(granted("www"), [0]);
        assert_eq!(granted("Ww"), []);
        assert_eq!(granted("Wr"), []);
        assert_eq!(granted("rrwr"), [0, 1]);
        assert_eq!(granted("Rrwr"), [1]);
        assert_eq!(granted("Rwr"), []);
        assert_eq!(granted("wrr"), [0]);
        assert_eq!(granted(""), []);
    }

    #[test]
    fn a_semaphore_lets_nobody_overtake() {
        let granted = |limit, text| admit(Kind::Semaphore, limit, &mut entries(text));
        assert_eq!(granted(3, "1111"), [0, 1, 2]);
        assert_eq!(granted(3, "R31"), []);
        assert_eq!(granted(3, "R21"), [1]);
        assert_eq!(granted(1, "RRR1"), []);
    }

    #[test]
    fn a_barrier_opens_for_whole_parties() {
        let granted = |limit, text| admit(Kind::Barrier, limit, &mut entries(text));
        assert_eq!(granted(3, "rr"), []);
        assert_eq!(granted(3, "rrr"), [0, 1, 2]);
        assert_eq!(granted(2, "RRrrr"), [2, 3]);
        assert_eq!(granted(0, "r"), [0]);
    }

    #[test]
    fn the_order_is_that_of_the_tickets() {
        let mut queue = entries("ww");
        queue[0].ticket = 9;
        assert_eq!(admit(Kind::Lock, 0, &mut queue), [1]);
    }

    proptest! {
        #[test]
        fn those_inside_go_together(text in "[RWrw]{0,12}") {
            // Start from a reachable state: either one writer or only readers hold the lock.
            let mut queue = entries(&text);
            let writer = queue.iter().position(|entry| entry.is_held && entry.mode == Mode::Exclusive);
            if let Some(writer) = writer {
                queue.iter_mut().for_each(|entry| entry.is_held = entry.index == writer);
            }
            let granted = admit(Kind::Lock, 0, &mut queue);
            let inside = |entry: &&Entry| entry.is_held || granted.contains(&entry.index);
            let count = queue.iter().filter(inside).count();
            let writers = queue.iter().filter(inside).filter(|entry| entry.mode == Mode::Exclusive).count();
            prop_assert!(writers == 0 || count == 1);
            prop_assert!(count > 0 || queue.is_empty());
        }

        #[test]
        fn permits_are_never_exceeded(text in "[R0-9]{0,12}", limit in 0u32..20) {
            let mut queue = entries(&text);
            let held: u32 = queue.iter().filter(|entry| entry.is_held).map(|entry| entry.permits).sum();
            let granted = admit(Kind::Semaphore, limit, &mut queue);
            let more: u32 = queue.iter().filter(|entry| granted.contains(&entry.index))
                .map(|entry| entry.permits).sum();
            prop_assert!(more == 0 || held + more <= limit);
        }
    }
}
