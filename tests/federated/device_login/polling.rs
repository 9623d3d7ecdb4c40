//! When the token endpoint is asked, and what its responses mean.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;
use tower_keystone::error::LoginStep;

use super::{
    assert_definite, failed,
    stub::{DEVICE, EXCHANGE, Reply, Stub, TOKEN, after, codes, error, pending_login, status, tokens},
};

#[tokio::test(start_paused = true)]
async fn the_first_request_is_sent_at_once_and_the_others_in_the_interval() {
    for (members, expected) in [
        (json!({}), [0, 5, 10]),
        (json!({"interval": 2}), [0, 2, 4]),
        (json!({"interval": "7"}), [0, 7, 14]),
        (json!({"interval": 0}), [0, 1, 2]),
    ] {
        let stub = Stub::new([pending_login(), pending_login(), tokens()]);
        stub.script(DEVICE, [codes(members)]);
        stub.start().await.unwrap().complete().await.unwrap();
        assert_eq!(stub.times(TOKEN), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_interval_counts_from_the_response() {
    let stub = Stub::new([after(3, pending_login()), after(3, pending_login()), tokens()]);
    stub.start().await.unwrap().complete().await.unwrap();
    assert_eq!(stub.times(TOKEN), [0, 8, 16]);
}

#[tokio::test(start_paused = true)]
async fn slow_down_makes_the_interval_longer_for_good() {
    let [pending, slower] = [pending_login, || error("slow_down")];
    let stub = Stub::new([pending(), slower(), pending(), slower(), pending(), pending(), tokens()]);
    stub.start().await.unwrap().complete().await.unwrap();
    assert_eq!(stub.times(TOKEN), [0, 5, 15, 25, 40, 55, 70]);
}

#[tokio::test(start_paused = true)]
async fn an_error_with_the_status_200_is_one_too() {
    let ok = |code: &str| Reply::Response(200, &[], json!({"error": code}));
    let stub = Stub::new([ok("authorization_pending"), ok("slow_down"), ok("access_denied")]);
    let error = stub.start().await.unwrap().complete().await.unwrap_err();
    assert_definite(&error, LoginStep::Token, Some("access_denied"));
    assert_eq!(stub.times(TOKEN), [0, 5, 15]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_down_for_a_minute_is_asked_ever_more_slowly() {
    let down = || [Reply::Unreachable, status(503), status(500)];
    let stub = Stub::new(down().into_iter().chain([pending_login(), Reply::Unreachable, tokens()]));
    stub.start().await.unwrap().complete().await.unwrap();
    // A response ends the longer delays.
    assert_eq!(stub.times(TOKEN), [0, 10, 30, 70, 75, 85]);
}

#[tokio::test(start_paused = true)]
async fn the_delay_has_a_maximum() {
    let stub = Stub::new([Reply::Unreachable]);
    let mut login = stub.start().await.unwrap();
    let error = login.complete().await.unwrap_err();
    assert_definite(&error, LoginStep::DeviceAuthorization, Some("expired_token"));
    assert_eq!(stub.times(TOKEN), [0, 10, 30, 70, 130, 190, 250, 310, 370, 430, 490, 550]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_is_asked_again() {
    let stub = Stub::new([Reply::Never, tokens()]);
    stub.start().await.unwrap().complete().await.unwrap();
    assert_eq!(stub.times(TOKEN), [0, 40]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_panics_does_not_end_the_login() {
    let stub = Stub::new([Reply::Panics, tokens()]);
    stub.start().await.unwrap().complete().await.unwrap();
    assert_eq!(stub.times(TOKEN), [0, 10]);
}

#[tokio::test(start_paused = true)]
async fn retry_after_makes_a_delay_longer() {
    let too_many = |retry_after| Reply::Response(429, retry_after, json!({}));
    let slower = Reply::Response(400, &[("retry-after", "25")], json!({"error": "slow_down"}));
    let stub = Stub::new([
        too_many(&[("retry-after", "30")]),
        pending_login(),
        too_many(&[("retry-after", "1")]),
        slower,
        tokens(),
    ]);
    stub.start().await.unwrap().complete().await.unwrap();
    assert_eq!(stub.times(TOKEN), [0, 30, 35, 45, 70]);

    // A server that demands more than five minutes does not end the login.
    let slower = Reply::Response(400, &[("retry-after", "9999")], json!({"error": "slow_down"}));
    for slow in [too_many(&[("retry-after", "18446744073709551615")]), slower] {
        let stub = Stub::new([slow, tokens()]);
        stub.start().await.unwrap().complete().await.unwrap();
        assert_eq!(stub.times(TOKEN), [0, 300]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_login() {
    for code in ["access_denied", "expired_token", "invalid_grant", "authorization_declined"] {
        let stub = Stub::new([pending_login(), error(code), tokens()]);
        let mut login = stub.start().await.unwrap();
        let error = login.complete().await.unwrap_err();
        assert_definite(&error, LoginStep::Token, Some(code));
        assert_eq!(failed(&error).error_description, Some(format!("it is {code}").into()));
        assert_eq!(login.expires_in(), Duration::ZERO);

        let again = login.complete().await.unwrap_err();
        assert_eq!(again.to_string(), error.to_string());
        assert_eq!(stub.times(TOKEN), [0, 5]);
        assert!(stub.requests(EXCHANGE).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_expires_by_the_clock_of_this_machine() {
    let stub = Stub::new([pending_login()]);
    stub.script(DEVICE, [codes(json!({"expires_in": "12"}))]);
    let mut login = stub.start().await.unwrap();
    let error = login.complete().await.unwrap_err();
    assert_definite(&error, LoginStep::DeviceAuthorization, Some("expired_token"));
    assert!(error.to_string().contains("start another login"), "{error}");
    assert_eq!(stub.times(TOKEN), [0, 5, 10]);
    assert_eq!(login.complete().await.unwrap_err().to_string(), error.to_string());
}

#[tokio::test(start_paused = true)]
async fn a_code_that_expired_before_the_first_call_is_not_sent() {
    let stub = Stub::new([tokens()]);
    let mut login = stub.start().await.unwrap();
    tokio::time::advance(Duration::from_secs(600)).await;
    assert_eq!(login.expires_in(), Duration::ZERO);
    let error = login.complete().await.unwrap_err();
    assert_definite(&error, LoginStep::DeviceAuthorization, Some("expired_token"));
    assert!(stub.requests(TOKEN).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_goes_on_in_its_interval() {
    let stub = Stub::new([pending_login(), pending_login(), tokens()]);
    let mut login = stub.start().await.unwrap();
    for _ in 0..9 {
        assert!(timeout(Duration::from_secs(1), login.complete()).await.is_err());
    }
    assert_eq!(login.expires_in().as_secs(), 591);
    login.complete().await.unwrap();
    assert_eq!(stub.times(TOKEN), [0, 5, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_response_is_kept_if_nobody_waits_for_it() {
    let stub = Stub::new([after(3, tokens()), error("invalid_grant")]);
    let mut login = stub.start().await.unwrap();
    assert!(timeout(Duration::from_secs(1), login.complete()).await.is_err());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let completed = login.complete().await.unwrap();
    assert_eq!(completed.refresh_token().map(|token| token.expose()), Some("refresh-1"));
    assert_eq!(stub.times(TOKEN), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_response_is_kept_after_the_code_has_expired() {
    let stub = Stub::new([after(20, tokens())]);
    stub.script(DEVICE, [codes(json!({"expires_in": 10}))]);
    stub.start().await.unwrap().complete().await.unwrap();
    assert_eq!(stub.times(TOKEN), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_completed_login_is_completed_once() {
    let stub = Stub::new([tokens()]);
    let mut login = stub.start().await.unwrap();
    login.complete().await.unwrap();
    let error = login.complete().await.unwrap_err();
    assert!(error.to_string().contains("start another"), "{error}");
    assert!(!error.is_transient());
    assert_eq!((stub.times(TOKEN).len(), stub.times(EXCHANGE).len()), (1, 1));
}

#[test]
fn a_login_goes_on_in_another_runtime() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let stub = Stub::new([Reply::Never, tokens()]);
    let first = runtime();
    let mut login = first.block_on(stub.start()).unwrap();
    first.block_on(async {
        assert!(timeout(Duration::from_secs(1), login.complete()).await.is_err());
    });
    drop(first);
    runtime().block_on(login.complete()).unwrap();
    assert_eq!(stub.times(TOKEN).len(), 2);
}

#[test]
fn without_a_runtime_there_is_an_error() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let stub = Stub::new([tokens()]);
    let error = runtime.block_on(stub.start()).unwrap_err();
    assert!(matches!(error, tower_keystone::Error::NoRuntime), "{error}");
}
