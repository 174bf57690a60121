//! Exploration of the loom models.

use std::sync::{Arc, Mutex};

/// A model with fewer executions has next to nothing happen at the same time, and proves nothing.
const FEWEST: usize = 5;

/// Explores the executions with at most so many preemptions; with `None`, all of them.
///
/// # Panics
/// When `check` does in one of them, or when there are hardly any.
#[allow(dead_code, reason = "each test is a crate of its own")]
pub fn explore(preemptions: Option<usize>, check: impl Fn() + Sync + Send + 'static) {
    expect_many(count(preemptions, check));
}

/// Explores like [`explore`], and returns the number of executions.
///
/// # Panics
/// When `check` does in one of them.
pub fn count(preemptions: Option<usize>, check: impl Fn() + Sync + Send + 'static) -> usize {
    let executions = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&executions);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions.or(builder.preemption_bound);
    builder.max_branches = 20_000;
    builder.check(move || {
        *counted.lock().unwrap() += 1;
        check();
    });
    let executions = *executions.lock().unwrap();
    println!("{executions} executions");
    executions
}

/// # Panics
/// When there were hardly any executions.
pub fn expect_many(executions: usize) {
    assert!(executions >= FEWEST, "only {executions} executions");
}
