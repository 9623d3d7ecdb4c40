//! A Keystone that cannot be reached after the person has logged in.

use std::time::Duration;

use serde_json::json;
use tokio::time::{sleep, timeout};
use tower_keystone::error::LoginStep;

use super::{
    assert_definite,
    stub::{EXCHANGE, Reply, Stub, TOKEN, after, bearer_only, error, status, tokens, unscoped},
};

#[tokio::test(start_paused = true)]
async fn a_keystone_that_is_down_for_a_minute_does_not_lose_the_login() {
    let stub = Stub::new([tokens()]);
    let down = [Reply::Unreachable, status(503), status(500), Reply::Unreachable, status(502), status(504)];
    stub.script(EXCHANGE, down.into_iter().chain([unscoped()]));
    let completed = stub.start().await.unwrap().complete().await.unwrap();
    assert_eq!(completed.access_info().auth_token(), Some("unscoped-1"));
    assert_eq!(stub.times(EXCHANGE), [0, 1, 3, 7, 15, 31, 61]);
    assert_eq!(stub.times(TOKEN), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_second_call_goes_on_without_the_person() {
    let stub = Stub::new([tokens()]);
    stub.script(EXCHANGE, [status(503)]);
    let mut login = stub.start().await.unwrap();
    let error = login.complete().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(stub.times(EXCHANGE).last(), Some(&271));

    stub.script(EXCHANGE, [unscoped()]);
    login.complete().await.unwrap();
    assert_eq!(stub.times(EXCHANGE).last(), Some(&271));
    assert_eq!(stub.times(TOKEN), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_keystone_that_hangs_is_asked_again() {
    let stub = Stub::new([tokens()]);
    stub.script(EXCHANGE, [Reply::Never, unscoped()]);
    stub.start().await.unwrap().complete().await.unwrap();
    assert_eq!(stub.times(EXCHANGE), [0, 31]);
}

#[tokio::test(start_paused = true)]
async fn retry_after_makes_a_delay_longer() {
    let stub = Stub::new([tokens()]);
    stub.script(EXCHANGE, [Reply::Response(503, &[("retry-after", "45")], json!({})), unscoped()]);
    stub.start().await.unwrap().complete().await.unwrap();
    assert_eq!(stub.times(EXCHANGE), [0, 45]);

    // Nobody waits for longer than five minutes.
    let stub = Stub::new([tokens()]);
    stub.script(EXCHANGE, [Reply::Response(503, &[("retry-after", "301")], json!({})), unscoped()]);
    let mut login = stub.start().await.unwrap();
    assert!(login.complete().await.unwrap_err().is_transient());
    assert_eq!(stub.times(EXCHANGE), [0]);
    login.complete().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_wait_ends_with_a_bearer_that_cannot_be_renewed() {
    let stub = Stub::new([bearer_only(20)]);
    stub.script(EXCHANGE, [Reply::Unreachable]);
    let mut login = stub.start().await.unwrap();
    assert!(login.complete().await.unwrap_err().is_transient());
    assert_eq!(stub.times(EXCHANGE), [0, 1, 3, 7, 15]);

    sleep(Duration::from_secs(60)).await;
    stub.script(EXCHANGE, [status(401)]);
    let error = login.complete().await.unwrap_err();
    assert_definite(&error, LoginStep::Federation, None);
    assert_eq!(login.complete().await.unwrap_err().to_string(), error.to_string());
    assert_eq!(stub.times(EXCHANGE).len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_replaces_a_bearer_that_has_ended() {
    let [first, second] =
        [json!({"access_token": "bearer-1", "expires_in": 60, "refresh_token": "refresh-1"}), {
            json!({"access_token": "bearer-2", "expires_in": 3600, "refresh_token": "refresh-2"})
        }];
    let stub =
        Stub::new([Reply::Response(200, &[], first), Reply::Unreachable, Reply::Response(200, &[], second)]);
    let down = vec![Reply::Unreachable; 6];
    stub.script(EXCHANGE, down.into_iter().chain([unscoped()]));
    let completed = stub.start().await.unwrap().complete().await.unwrap();
    assert_eq!(completed.refresh_token().map(|token| token.expose()), Some("refresh-2"));

    assert_eq!(stub.times(EXCHANGE), [0, 1, 3, 7, 15, 31, 91]);
    assert_eq!(stub.times(TOKEN), [0, 61, 91]);
    assert_eq!(
        stub.requests(TOKEN)[2].body,
        "refresh_token=refresh-1&grant_type=refresh_token&client_id=cli"
    );
    assert_eq!(stub.requests(EXCHANGE)[6].headers["authorization"], "Bearer bearer-2");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_is_used_once_if_the_wait_is_dropped() {
    let first = json!({"access_token": "bearer-1", "expires_in": 1, "refresh_token": "refresh-1"});
    let second = json!({"access_token": "bearer-2"});
    let refreshed = after(10, Reply::Response(200, &[], second));
    let stub = Stub::new([Reply::Response(200, &[], first), refreshed, error("invalid_grant")]);
    stub.script(EXCHANGE, [Reply::Unreachable, unscoped()]);
    let mut login = stub.start().await.unwrap();
    assert!(timeout(Duration::from_secs(5), login.complete()).await.is_err());
    sleep(Duration::from_secs(60)).await;
    let completed = login.complete().await.unwrap();
    assert_eq!(stub.times(TOKEN), [0, 1]);
    // The provider did not replace it.
    assert_eq!(completed.refresh_token().map(|token| token.expose()), Some("refresh-1"));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_was_revoked_ends_the_login() {
    let first = json!({"access_token": "bearer-1", "expires_in": 1, "refresh_token": "refresh-1"});
    let stub = Stub::new([Reply::Response(200, &[], first), error("invalid_grant")]);
    stub.script(EXCHANGE, [Reply::Unreachable]);
    let mut login = stub.start().await.unwrap();
    let error = login.complete().await.unwrap_err();
    assert_definite(&error, LoginStep::Token, Some("invalid_grant"));
    login.complete().await.unwrap_err();
    assert_eq!(stub.times(TOKEN), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_bearer_that_keystone_rejects_ends_the_login() {
    let stub = Stub::new([tokens()]);
    stub.script(EXCHANGE, [status(401), unscoped()]);
    let mut login = stub.start().await.unwrap();
    let error = login.complete().await.unwrap_err();
    assert_definite(&error, LoginStep::Federation, None);
    login.complete().await.unwrap_err();
    assert_eq!(stub.times(EXCHANGE), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_exchange_goes_on() {
    let stub = Stub::new([tokens()]);
    stub.script(EXCHANGE, [after(10, unscoped())]);
    let mut login = stub.start().await.unwrap();
    assert!(timeout(Duration::from_secs(5), login.complete()).await.is_err());
    assert_eq!(login.expires_in(), Duration::ZERO);
    login.complete().await.unwrap();
    assert_eq!((stub.times(TOKEN), stub.times(EXCHANGE)), (vec![0], vec![0]));
}
