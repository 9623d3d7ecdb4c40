//! Many requests at once with new tokens. The bench `cost` measures more of them.

#[path = "../benches/cost/counting.rs"]
#[allow(dead_code)]
mod counting;
#[path = "../benches/cost/keystone.rs"]
#[allow(dead_code)]
mod keystone;
#[path = "../benches/cost/many_tokens.rs"]
#[allow(dead_code)]
mod many_tokens;
#[path = "../benches/cost/sample.rs"]
#[allow(dead_code)]
mod sample;

use many_tokens::{Burst, burst};

#[test]
fn a_new_token_in_many_requests_at_once_is_validated_once() {
    let Burst { accepted, validations, .. } = burst(10_000, 1, true);
    assert_eq!((accepted, validations), (10_000, 1));
}

#[test]
fn many_different_bad_tokens_at_once_are_rejected_in_bounded_memory() {
    let Burst { unauthorized, unavailable, validations, most_in_flight, peak, .. } =
        burst(2_000, 2_000, false);
    // 64 validations in flight, and 1,024 that wait.
    assert_eq!((unauthorized, unavailable, validations), (1_088, 912, 1_088));
    assert_eq!(most_in_flight, 64);
    assert!(peak <= 10_000_000, "{peak} bytes");
}
