#![no_main]

#[allow(dead_code)]
#[path = "../../crates/core/tests/hostile/mod.rs"]
mod hostile;

libfuzzer_sys::fuzz_target!(|data: &[u8]| hostile::processes(data));
