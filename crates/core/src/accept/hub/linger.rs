//! How long the hub may let connections gather: as long as all processors have work without them. Checking for every
//! connection interrupts the very workers it serves, and under round-robin wakes another one each time.

/// At this many queued connections per processor, the gathering time reaches its maximum.
const MOST_WAITING: u64 = 16;

/// The time for which all processors certainly have work, in units of one connection's time, at most
/// [`MOST_WAITING`].
///
/// `work` is the number of connections queued for each worker. One worker keeps one processor busy at a time, so all
/// processors are busy for a time `t` if the workers' queues, each counted up to `t`, suffice for all processors for
/// that time (R. McNaughton, "Scheduling with Deadlines and Loss Functions", 1959). With no more workers than
/// processors, `t` is the shortest queue.
pub(super) fn busy_for(work: impl Iterator<Item = u64>, processors: usize) -> u32 {
    // `have[n]` is the number of workers with at least `n` connections queued.
    let mut workers = 0;
    let mut have = [0; MOST_WAITING as usize + 1];
    for work in work {
        workers += 1;
        for count in &mut have[1..=work.min(MOST_WAITING) as usize] {
            *count += 1;
        }
    }
    let busy = processors.min(workers).max(1);
    let mut total = 0;
    let lasts = |&(time, have): &(usize, usize)| {
        total += have;
        total >= busy * time
    };
    have.into_iter().enumerate().skip(1).take_while(lasts).count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(work: &[u64], processors: usize) -> u32 {
        busy_for(work.iter().copied(), processors)
    }

    #[test]
    fn with_a_processor_for_each_worker_the_least_busy_one_settles_it() {
        assert_eq!(time(&[3, 5], 2), 3);
        assert_eq!(time(&[3, 5], 8), 3);
        assert_eq!(time(&[0, 5], 2), 0);
        assert_eq!(time(&[4], 2), 4);
        assert_eq!(time(&[], 2), 0);
        assert_eq!(time(&[u64::MAX, 100], 2), MOST_WAITING as u32);
    }

    #[test]
    fn workers_that_share_processors_keep_them_busy_together() {
        assert_eq!(time(&[1, 0, 0, 0], 2), 0, "a processor is free");
        assert_eq!(time(&[1, 1, 0, 0], 2), 1);
        assert_eq!(time(&[1, 1, 1, 1], 2), 2);
        assert_eq!(time(&[9, 1, 1, 0], 2), 2, "one worker does not run on two");
        assert_eq!(time(&[5, 0, 2], 1), 7);
        assert_eq!(time(&[1; 64], 2), MOST_WAITING as u32);
    }
}
