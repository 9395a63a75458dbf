#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| hoist_fuzz::load(text));
