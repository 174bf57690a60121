//! Scheduling policies: pure functions from a snapshot of the workers' load to a choice.
//!
//! The caller lists all workers of a listener in a stable order, marks those that are not eligible now, and
//! keeps one [`Cursor`] per listener. Nothing here reads a clock, shared memory or a socket.

use std::net::IpAddr;

/// How connections are assigned to workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Each worker in turn.
    RoundRobin,
    /// The worker with the fewest open connections; in turn among equals.
    LeastConnections,
    /// The less loaded of two workers chosen at random: by connections, then by loop lag. M. Mitzenmacher,
    /// "The Power of Two Choices in Randomized Load Balancing", 2001.
    PowerOfTwoChoices,
    /// The same worker for the same client address, moving as few clients as possible when workers come and
    /// go: highest random weight, D. Thaler and C. Ravishankar, "A Name-Based Mapping Scheme for Rendezvous",
    /// 1996.
    IpHash,
}

/// A worker as seen by a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The worker's slot on the scoreboard. A re-forked worker gets the lowest free one, and with it the
    /// clients of its predecessor.
    pub slot: u32,
    /// Whether it may be chosen: it is alive, not stalled, and has not refused this connection.
    pub eligible: bool,
    /// Whether it is not eligible only because its queue is full.
    pub behind: bool,
    /// Open connections, including those on their way to it.
    pub connections: u64,
    /// How long its event loop has been busy without a turn, in nanoseconds.
    pub loop_lag_ns: u64,
}

/// The standing of a worker in [`next_in_turn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It can have its turn.
    Takes,
    /// It is behind: another worker gets its turn, and it is owed one.
    Behind,
    /// It is excluded.
    Out,
}

/// Limit on the turns owed to a worker, so that one that has been slow for long is not flooded when it
/// recovers.
const MOST_OWED: u32 = 128;

/// The state that a policy keeps between choices.
#[derive(Clone, Debug)]
pub struct Cursor {
    next: usize,
    random: u64,
    /// Turns owed to each worker; missing entries count as 0.
    owed: Vec<u32>,
    /// The worker that had the last turn gets another one, which it is owed.
    repays: bool,
}

impl Cursor {
    /// A cursor at the first worker. `seed` initialises the random choices.
    pub fn new(seed: u64) -> Self {
        Self {
            next: 0,
            random: seed,
            owed: Vec::new(),
            repays: false,
        }
    }

    /// Adjusts the cursor when the worker at `index` leaves the list.
    pub fn removed(&mut self, index: usize) {
        if self.next > index {
            self.next -= 1;
        }
        if index < self.owed.len() {
            self.owed.remove(index);
        }
        self.repays = false;
    }

    /// Records that the worker at `index` missed `turns` turns because it is behind.
    pub fn owe(&mut self, index: usize, turns: u64) {
        if index >= self.owed.len() {
            self.owed.resize(index + 1, 0);
        }
        let owed = u64::from(self.owed[index]).saturating_add(turns);
        self.owed[index] = owed.min(MOST_OWED.into()) as u32;
    }

    /// Cancels all turns owed to the worker at `index`.
    pub fn forgive(&mut self, index: usize) {
        if let Some(owed) = self.owed.get_mut(index) {
            *owed = 0;
        }
    }

    /// Uses one of the turns owed to the worker at `index`, if there is one.
    fn repay(&mut self, index: usize) -> bool {
        match self.owed.get_mut(index) {
            Some(owed) if *owed > 0 => {
                *owed -= 1;
                true
            }
            _ => false,
        }
    }

    fn is_owed(&self, index: usize) -> bool {
        self.owed.get(index).is_some_and(|&owed| owed > 0)
    }

    /// SplitMix64, G. Steele, D. Lea and C. Flood, 2014.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.random)
    }
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The index of the worker that gets the next connection, or `None` when none is eligible.
///
/// `client` is the address used by [`Policy::IpHash`]; without one, that policy falls back to round-robin.
pub fn choose(
    policy: Policy,
    cursor: &mut Cursor,
    workers: &[Candidate],
    client: Option<IpAddr>,
) -> Option<usize> {
    match (policy, client) {
        (Policy::RoundRobin, _) | (Policy::IpHash, None) => round_robin(cursor, workers),
        (Policy::LeastConnections, _) => least_connections(cursor, workers),
        (Policy::PowerOfTwoChoices, _) => power_of_two(cursor, workers),
        (Policy::IpHash, Some(address)) => ip_hash(workers, address),
    }
}

fn in_turn(cursor: &Cursor, workers: &[Candidate]) -> impl Iterator<Item = usize> {
    let (next, len) = (cursor.next, workers.len());
    (0..len).map(move |step| (next + step) % len)
}

/// The first of `count` workers in turn that can take its turn. Nobody waits for a worker that is behind, but
/// all get equally many in the end: it gets a second turn after each of its own until it has had all that it
/// is owed.
pub fn next_in_turn(
    cursor: &mut Cursor,
    count: usize,
    mut standing: impl FnMut(usize) -> Standing,
) -> Option<usize> {
    if std::mem::take(&mut cursor.repays) && count > 0 {
        let last = (cursor.next + count - 1) % count;
        if standing(last) == Standing::Takes && cursor.repay(last) {
            return Some(last);
        }
    }
    let first = cursor.next;
    let in_turn = |step: usize| (first + step) % count;
    let step = (0..count).find(|&step| standing(in_turn(step)) == Standing::Takes)?;
    for index in (0..step).map(in_turn) {
        if standing(index) == Standing::Behind {
            cursor.owe(index, 1);
        }
    }
    let chosen = in_turn(step);
    cursor.next = (chosen + 1) % count;
    cursor.repays = cursor.is_owed(chosen);
    Some(chosen)
}

fn round_robin(cursor: &mut Cursor, workers: &[Candidate]) -> Option<usize> {
    next_in_turn(cursor, workers.len(), |index| match workers[index] {
        Candidate { eligible: true, .. } => Standing::Takes,
        Candidate { behind: true, .. } => Standing::Behind,
        _ => Standing::Out,
    })
}

fn least_connections(cursor: &mut Cursor, workers: &[Candidate]) -> Option<usize> {
    let chosen = in_turn(cursor, workers)
        .filter(|&index| workers[index].eligible)
        .min_by_key(|&index| workers[index].connections)?;
    cursor.next = (chosen + 1) % workers.len();
    Some(chosen)
}

fn power_of_two(cursor: &mut Cursor, workers: &[Candidate]) -> Option<usize> {
    let eligible = workers.iter().filter(|worker| worker.eligible).count();
    if eligible == 0 {
        return None;
    }
    let nth_eligible = |n: usize| workers.iter().enumerate().filter(|(_, w)| w.eligible).nth(n);
    let first = (cursor.random() % eligible as u64) as usize;
    // Chosen among the others, so that the two differ whenever there are two.
    let second = (first + 1 + (cursor.random() % (eligible.max(2) - 1) as u64) as usize) % eligible;
    let (a, first) = nth_eligible(first)?;
    let (b, second) = nth_eligible(second)?;
    let load = |worker: &Candidate| (worker.connections, worker.loop_lag_ns);
    Some(if load(second) < load(first) { b } else { a })
}

fn ip_hash(workers: &[Candidate], address: IpAddr) -> Option<usize> {
    let key = match address {
        IpAddr::V4(v4) => u64::from(u32::from(v4)),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => u64::from(u32::from(v4)),
            None => {
                let bits = u128::from(v6);
                mix((bits >> 64) as u64) ^ bits as u64
            }
        },
    };
    let weight = |slot: u32| mix(mix(key).wrapping_add(u64::from(slot).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let mut best: Option<(usize, u64)> = None;
    for (index, worker) in workers.iter().enumerate().filter(|(_, worker)| worker.eligible) {
        let weight = weight(worker.slot);
        if best.is_none_or(|(_, heaviest)| weight > heaviest) {
            best = Some((index, weight));
        }
    }
    best.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn workers(connections: &[u64]) -> Vec<Candidate> {
        let slot = 0..connections.len() as u32;
        slot.zip(connections)
            .map(|(slot, &connections)| Candidate {
                slot,
                eligible: true,
                behind: false,
                connections,
                loop_lag_ns: 0,
            })
            .collect()
    }

    fn run(policy: Policy, workers: &[Candidate], count: usize) -> Vec<usize> {
        let mut cursor = Cursor::new(1);
        (0..count)
            .map(|_| choose(policy, &mut cursor, workers, None).unwrap())
            .collect()
    }

    #[test]
    fn nobody_eligible_is_no_choice() {
        let mut none = workers(&[1, 2]);
        none.iter_mut().for_each(|worker| worker.eligible = false);
        let address = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        for policy in [
            Policy::RoundRobin,
            Policy::LeastConnections,
            Policy::PowerOfTwoChoices,
            Policy::IpHash,
        ] {
            assert_eq!(choose(policy, &mut Cursor::new(1), &none, address), None);
            assert_eq!(choose(policy, &mut Cursor::new(1), &[], address), None);
        }
    }

    #[test]
    fn round_robin_is_strict_and_skips_the_ineligible() {
        assert_eq!(
            run(Policy::RoundRobin, &workers(&[9, 0, 5]), 7),
            [0, 1, 2, 0, 1, 2, 0]
        );
        let mut some = workers(&[0, 0, 0]);
        some[1].eligible = false;
        assert_eq!(run(Policy::RoundRobin, &some, 4), [0, 2, 0, 2]);
    }

    #[test]
    fn round_robin_keeps_its_turn_when_a_worker_leaves() {
        let mut list = workers(&[0, 0, 0, 0]);
        let mut cursor = Cursor::new(1);
        for expected in [0, 1] {
            assert_eq!(round_robin(&mut cursor, &list), Some(expected));
        }
        list.remove(0);
        cursor.removed(0);
        let slots: Vec<u32> = (0..3)
            .map(|_| list[round_robin(&mut cursor, &list).unwrap()].slot)
            .collect();
        assert_eq!(slots, [2, 3, 1]);
    }

    #[test]
    fn round_robin_makes_up_for_turns_of_those_that_were_behind() {
        let mut list = workers(&[0, 0, 0]);
        let mut cursor = Cursor::new(1);
        let mut turns = |list: &[Candidate], count: usize| -> Vec<usize> {
            (0..count)
                .map(|_| round_robin(&mut cursor, list).unwrap())
                .collect()
        };
        (list[1].eligible, list[1].behind) = (false, true);
        assert_eq!(turns(&list, 4), [0, 2, 0, 2]);
        (list[1].eligible, list[1].behind) = (true, false);
        assert_eq!(turns(&list, 8), [0, 1, 1, 2, 0, 1, 1, 2]);
        assert_eq!(turns(&list, 6), [0, 1, 2, 0, 1, 2]);
        // A worker excluded for another reason is owed nothing, and the debt to one that was behind is
        // limited.
        list[1].eligible = false;
        assert_eq!(turns(&list, 2), [0, 2]);
        list[1].behind = true;
        turns(&list, 10_000);
        (list[1].eligible, list[1].behind) = (true, false);
        let made_up = turns(&list, 10_000);
        let of = |worker| made_up.iter().filter(|&&each| each == worker).count();
        assert!(of(1) <= of(0) + MOST_OWED as usize + 1, "{} and {}", of(0), of(1));
    }

    #[test]
    fn what_is_owed_goes_with_the_worker() {
        let list = workers(&[0, 0, 0]);
        let mut cursor = Cursor::new(1);
        cursor.owe(1, 2);
        cursor.owe(2, 5);
        cursor.forgive(2);
        cursor.removed(0);
        let turns: Vec<usize> = (0..6)
            .map(|_| round_robin(&mut cursor, &list[1..]).unwrap())
            .collect();
        assert_eq!(turns, [0, 0, 1, 0, 0, 1]);
        cursor.owe(0, 1);
        cursor.removed(0);
        let alone: Vec<usize> = (0..3)
            .map(|_| round_robin(&mut cursor, &list[2..]).unwrap())
            .collect();
        assert_eq!(alone, [0, 0, 0]);
    }

    #[test]
    fn least_connections_takes_turns_among_equals() {
        assert_eq!(run(Policy::LeastConnections, &workers(&[3, 1, 2]), 2), [1, 1]);
        assert_eq!(
            run(Policy::LeastConnections, &workers(&[1, 1, 2]), 4),
            [0, 1, 0, 1]
        );
    }

    #[test]
    fn power_of_two_prefers_the_less_loaded_and_never_the_worst() {
        let chosen = run(Policy::PowerOfTwoChoices, &workers(&[0, 5, 9]), 300);
        assert!(!chosen.contains(&2));
        assert!(chosen.contains(&0) && chosen.contains(&1));
        let mut lagging = workers(&[4, 4]);
        lagging[0].loop_lag_ns = 1_000_000;
        assert!(run(Policy::PowerOfTwoChoices, &lagging, 50)
            .iter()
            .all(|&index| index == 1));
    }

    #[test]
    fn ip_hash_is_sticky_spreads_and_moves_only_what_it_must() {
        let four = workers(&[0, 0, 0, 0]);
        let address = |n: u32| Some(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n)));
        let place = |list: &[Candidate], n| {
            list[choose(Policy::IpHash, &mut Cursor::new(1), list, address(n)).unwrap()].slot
        };
        let before: Vec<u32> = (0..4000).map(|n| place(&four, n)).collect();
        for slot in 0..4 {
            let share = before.iter().filter(|&&chosen| chosen == slot).count();
            assert!((850..1150).contains(&share), "slot {slot} got {share} of 4000");
        }
        let mut three = four.clone();
        three.remove(2);
        for (n, &slot) in (0..4000).zip(&before) {
            let now = place(&three, n);
            assert!(
                slot == 2 || now == slot,
                "client {n} moved from {slot} to {now} for nothing"
            );
        }
    }

    #[test]
    fn ip_hash_treats_a_mapped_v4_address_as_v4() {
        let list = workers(&[0; 16]);
        let v4 = Ipv4Addr::new(192, 0, 2, 7);
        let place = |address| choose(Policy::IpHash, &mut Cursor::new(1), &list, Some(address));
        assert_eq!(place(IpAddr::V4(v4)), place(IpAddr::V6(v4.to_ipv6_mapped())));
    }
}
