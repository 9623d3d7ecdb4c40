//! Requests with a token that is cached are decided as those with a new one.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::json;
use tower_keystone::{
    Caller, SystemClock,
    renewal::{Clock, Now},
};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_cached_token_does_not_hide_the_rest_of_the_request() {
    let keystone = Keystone::new();
    let layer = keystone.layer();
    for token in ["good", "service", "plain"] {
        admitted(&layer, &[("x-auth-token", token)]).await;
    }
    for headers in [
        &[("x-auth-token", "good"), ("x-auth-token", "plain")][..],
        &[("x-auth-token", "good"), ("x-service-token", "plain")],
        &[("x-auth-token", "good"), ("x-service-token", " ")],
        &[("x_auth_token", "good")],
    ] {
        assert_unauthorized(&rejected(&layer, headers).await);
    }
    let request =
        admitted(&layer, &[("x-auth-token", "good"), ("x-roles", "admin"), ("X_User_Id", "root")]).await;
    assert_eq!(request.headers.len(), 1);
    let request = admitted(&layer, &[("x-auth-token", "good"), ("x-service-token", "service")]).await;
    let caller = Caller::from_extensions(&request.extensions).unwrap();
    assert_eq!(caller.service().unwrap().user_id(), Some("u-nova"));
    assert_eq!(keystone.asked(), ["good", "service", "plain"]);
}

#[tokio::test(start_paused = true)]
async fn layers_that_share_a_cache_have_their_own_settings() {
    let keystone = Keystone::new();
    let layer = keystone.layer();
    admitted(&layer, &[("x-auth-token", "good")]).await;
    admitted(&layer.clone().max_token_length(4), &[("x-auth-token", "good")]).await;
    for stricter in [layer.clone().max_token_length(3), layer.clone().require_certificate_bound_tokens()] {
        assert_unauthorized(&rejected(&stricter, &[("x-auth-token", "good")]).await);
    }
    let bearer = layer.clone().bearer_tokens();
    assert_unauthorized(
        &rejected(&bearer, &[("x-auth-token", "good"), ("authorization", "Bearer unknown")]).await,
    );
    assert_eq!(keystone.asked(), ["good", "unknown"]);
}

static IS_LATE: AtomicBool = AtomicBool::new(false);

struct ClockOfTest;

impl Clock for ClockOfTest {
    fn now(&self) -> Now {
        let now = SystemClock.now();
        let ahead = if IS_LATE.load(Ordering::Relaxed) { 100 } else { 0 };
        Now::new(now.wall + Duration::from_secs(ahead), now.monotonic)
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expires_in_the_cache_is_counted_as_expired() {
    let keystone = Keystone::new();
    let expires_at = SystemClock.now().wall + Duration::from_secs(50);
    let seconds = expires_at.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let expires_at = jiff::Timestamp::from_second(seconds.cast_signed()).unwrap().to_string();
    keystone.add("short", Answer::Token(with(user("alice", &[]), "expires_at", json!(expires_at))));
    let layer = keystone.layer().clock(ClockOfTest);
    admitted(&layer, &[("x-auth-token", "short")]).await;
    IS_LATE.store(true, Ordering::Relaxed);
    assert_unauthorized(&rejected(&layer, &[("x-auth-token", "short")]).await);
    let rejections = layer.metrics().snapshot().rejections;
    assert_eq!((rejections.expired_token, rejections.unknown_token), (1, 0));
    assert_eq!(keystone.asked(), ["short"]);
}

#[tokio::test(start_paused = true)]
async fn a_handle_to_the_metrics_survives_later_settings() {
    let keystone = Keystone::new();
    let layer = keystone.layer();
    let metrics = layer.metrics();
    let layer = layer.token_cache_time(Duration::from_secs(60)).bearer_tokens().cache_capacity(100, 1 << 20);
    admitted(&layer, &[("x-auth-token", "good")]).await;
    admitted(&layer, &[("x-auth-token", "good")]).await;
    rejected(&layer, &[]).await;
    let snapshot = metrics.snapshot();
    assert_eq!((snapshot.misses, snapshot.hits, snapshot.cached_tokens), (1, 1, 1));
    assert_eq!((snapshot.valid, snapshot.rejections.no_token), (1, 1));
    assert_eq!(layer.metrics().snapshot(), snapshot);
}

#[tokio::test(start_paused = true)]
async fn layers_with_caches_of_their_own_have_metrics_of_their_own() {
    let keystone = Keystone::new();
    let layer = keystone.layer();
    let other = layer.clone().token_cache_time(Duration::from_secs(60));
    admitted(&layer, &[("x-auth-token", "good")]).await;
    let (snapshot, of_other) = (layer.metrics().snapshot(), other.metrics().snapshot());
    assert_eq!((snapshot.misses, snapshot.cached_tokens), (1, 1));
    assert_eq!((of_other.misses, of_other.cached_tokens), (0, 0));
}
