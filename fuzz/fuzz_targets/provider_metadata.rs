#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tower_keystone_fuzz::provider_metadata::run(input));
