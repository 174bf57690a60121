//! Attacks on segments found by fuzzing, replayed without a fuzzer. See `hostile`.
#![cfg(not(loom))]
#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

mod hostile;

#[test]
fn known_attacks_do_no_harm() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, attack) in hostile::TARGETS {
        let mut played = 0;
        for entry in fs::read_dir(corpus.join(name)).expect("a corpus") {
            attack(&fs::read(entry.unwrap().path()).unwrap());
            played += 1;
        }
        assert!(played > 0, "the corpus of {name} is empty");
    }
}
