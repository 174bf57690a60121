use super::*;

const SECOND: u64 = 1_000_000_000;

fn at(slides: bool, now_ns: u64) -> At {
    At {
        rules: Rules {
            slides,
            limit: 10,
            window_ns: SECOND,
            burst: 10,
        },
        now_ns,
    }
}

/// Takes one at a time while allowed. Returns the state and the number taken.
fn drain(at: &At, mut state: u64) -> (u64, u64) {
    let mut taken = 0;
    while let (Some(next), verdict) = at.take(state, 1) {
        assert!(verdict.allowed);
        state = next;
        taken += 1;
        assert_eq!(at.take(state, 1).1.allowed, verdict.remaining > 0);
    }
    (state, taken)
}

#[test]
fn a_bucket_gives_a_burst_and_then_what_runs_in() {
    let start = at(false, 5 * SECOND);
    let (state, taken) = drain(&start, start.fresh(0));
    assert_eq!(taken, 10);
    let denied = start.take(state, 1).1;
    assert!(!denied.allowed && denied.remaining == 0);
    // A token takes a tenth of a second; slightly earlier there is none.
    assert!(denied.retry_after_ns.abs_diff(SECOND / 10) <= SECOND / 1000);
    assert!(
        !at(false, 5 * SECOND + denied.retry_after_ns - SECOND / 500)
            .take(state, 1)
            .1
            .allowed
    );
    assert!(
        at(false, 5 * SECOND + denied.retry_after_ns)
            .take(state, 1)
            .1
            .allowed
    );
    assert_eq!(drain(&at(false, 5 * SECOND + SECOND / 2), state).1, 5);
    let much_later = at(false, 500 * SECOND);
    assert!(much_later.is_idle(state));
    assert_eq!(drain(&much_later, state).1, 10);
    assert!(!start.take(start.fresh(0), 11).1.allowed);
}

#[test]
fn a_window_slides() {
    let start = at(true, 5 * SECOND);
    let (state, taken) = drain(&start, start.fresh(0));
    assert_eq!(taken, 10);
    assert!(!at(true, 6 * SECOND - 1).take(state, 1).1.allowed);
    // Half a window later, half of the count is left.
    assert_eq!(drain(&at(true, 6 * SECOND + SECOND / 2), state).1, 5);
    assert!(!at(true, 6 * SECOND + SECOND / 2).is_idle(state));
    assert!(at(true, 7 * SECOND).is_idle(state));
    assert_eq!(drain(&at(true, 7 * SECOND), state).1, 10);
}

#[test]
fn when_a_window_says_to_come_again_there_is_room() {
    for offset in [0, 1, SECOND / 3, SECOND / 2, SECOND - 1] {
        let start = at(true, 5 * SECOND + offset);
        let (state, _) = drain(&start, start.fresh(0));
        for cost in [1, 4, 10] {
            let denied = start.take(state, cost).1;
            assert!(!denied.allowed);
            let then = at(true, 5 * SECOND + offset + denied.retry_after_ns);
            assert!(
                then.take(state, cost).1.allowed,
                "cost {cost} at {offset}: {denied:?}"
            );
        }
    }
}

#[test]
fn a_fresh_state_is_another_one_and_says_nothing() {
    for slides in [false, true] {
        for now in [SECOND, 2 * SECOND + 1, 1 << 60] {
            let at = at(slides, now);
            let fresh = at.fresh(0);
            assert_ne!(at.fresh(fresh), fresh);
            assert!(at.take(fresh, 10).1.allowed);
            assert!(at.take(at.fresh(fresh), 9).1.allowed);
        }
    }
}
