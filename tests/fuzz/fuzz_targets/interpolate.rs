#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| hoist_fuzz::manifest::fuzz::interpolate(text));
