#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tower_keystone_fuzz::token_response::run(input));
