//! What a client gets.

use http::{Method, Request, Response, StatusCode};
use serde_json::json;
use tower_keystone::{Caller, Validation};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_good_token_identifies_its_user() {
    let keystone = Keystone::new();
    let request = admitted(&keystone.layer(), &[("x-auth-token", " good ")]).await;
    let caller = Caller::from_extensions(&request.extensions).unwrap();
    assert_eq!(
        (caller.access_info().user_id(), caller.access_info().project_id()),
        (Some("u-alice"), Some("p"))
    );
    assert_eq!(caller.access_info().auth_token(), Some("good"));
    assert!(caller.service().is_none());
    assert!(caller.require_project("p").is_ok());
    assert_eq!(caller.require_project("P").unwrap_err().status(), 403);
    assert_eq!(keystone.asked(), ["good"]);
    let shown = format!("{caller:?} {:?}", validation(&request));
    assert!(shown.contains("u-alice") && !shown.contains("good"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn without_a_good_token_the_response_is_a_401() {
    let keystone = Keystone::new();
    let layer = keystone.layer().max_token_length(20);
    let long = "A".repeat(21);
    for headers in [
        &[][..],
        &[("x-auth-token", "")],
        &[("x-auth-token", ""), ("x-storage-token", "good")],
        &[("x-auth-token", "good"), ("x-auth-token", "bad")],
        &[("x-auth-token", "bad"), ("x-auth-token", "good")],
        &[("x-auth-token", "good"), ("x-auth-token", "")],
        &[("x-auth-token", &*long)],
        &[("authorization", "Bearer good")],
        &[("x-subject-token", "good")],
        &[("x_auth_token", "good")],
    ] {
        assert_unauthorized(&rejected(&layer, headers).await);
    }
    assert!(keystone.asked().is_empty());
    for token in ["unknown", "old"] {
        assert_unauthorized(&rejected(&layer, &[("x-auth-token", token)]).await);
    }
    assert_eq!(keystone.asked(), ["unknown", "old"]);
    let counts = layer.metrics().snapshot().rejections;
    assert_eq!((counts.no_token, counts.malformed_token, counts.unknown_token), (6, 4, 2));
}

#[tokio::test(start_paused = true)]
async fn every_method_needs_a_token() {
    let (layer, app) = (Keystone::new().layer(), App::new());
    for method in [Method::OPTIONS, Method::HEAD, Method::GET, Method::POST] {
        let mut request = get("/healthcheck", &[]);
        *request.method_mut() = method;
        assert_unauthorized(&send_request(&layer, &app, request).await);
    }
    assert_eq!(app.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_ascii_is_a_bad_token() {
    let (layer, app) = (Keystone::new().layer().delay_auth_decision(), App::new());
    let mut request = get("/", &[]);
    request.headers_mut().insert("x-auth-token", http::HeaderValue::from_bytes(b"t\xe9").unwrap());
    send_request(&layer, &app, request).await;
    let request = app.request();
    assert_eq!(statuses(&request).0, tower_keystone::IdentityStatus::Invalid);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_a_503() {
    let keystone = Keystone::new();
    keystone.add("unreachable", Answer::Unreachable);
    keystone.add("refused", Answer::Status(403));
    let layer = keystone.layer();
    for token in ["down", "unreachable", "refused"] {
        assert!(assert_unavailable(&rejected(&layer, &[("x-auth-token", token)]).await) >= 1);
    }
    assert_eq!(layer.metrics().snapshot().rejections.unavailable, 3);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expires_while_it_is_cached_is_refused() {
    use std::{
        sync::Mutex,
        time::{Duration, SystemTime},
    };
    use tower_keystone::{
        SystemClock,
        renewal::{Clock, Now},
    };

    struct Wall(Mutex<u64>);
    impl Clock for &'static Wall {
        fn now(&self) -> Now {
            let seconds = Duration::from_secs(*self.0.lock().unwrap());
            Now::new(SystemTime::UNIX_EPOCH + seconds, SystemClock.now().monotonic)
        }
    }

    let expires = 1_800_000_000;
    let clock: &'static Wall = Box::leak(Box::new(Wall(Mutex::new(expires - 60))));
    let keystone = Keystone::new();
    keystone
        .add("short", Answer::Token(with(user("alice", &[]), "expires_at", json!("2027-01-15T08:00:00Z"))));
    let layer = keystone.layer().clock(clock);
    let headers = [("x-auth-token", "short")];
    for now in [expires - 60, expires - 1, expires] {
        *clock.0.lock().unwrap() = now;
        admitted(&layer, &headers).await;
    }
    *clock.0.lock().unwrap() = expires + 1;
    assert_unauthorized(&rejected(&layer, &headers).await);
    assert!(keystone.asked().iter().all(|token| token == "short"));
}

#[tokio::test(start_paused = true)]
async fn a_401_of_the_application_gets_the_challenge_too() {
    let layer = Keystone::new().layer();
    let respond = |status: u16, challenge: Option<&'static str>| {
        let app = App::respond_with(move |_| {
            let mut response = Response::builder().status(status);
            if let Some(challenge) = challenge {
                response = response.header("www-authenticate", challenge);
            }
            response.body("mine".into()).unwrap()
        });
        let layer = layer.clone();
        async move { send(&layer, &app, &[("x-auth-token", "good")]).await }
    };
    assert_eq!(challenges(respond(401, None).await.headers()), [CHALLENGE]);
    assert_eq!(challenges(respond(401, Some("Basic")).await.headers()), ["Basic", CHALLENGE]);
    assert_eq!(challenges(respond(401, Some(CHALLENGE)).await.headers()), [CHALLENGE]);
    for status in [200, 403, 404, 503] {
        assert!(challenges(respond(status, None).await.headers()).is_empty());
        assert_eq!(challenges(respond(status, Some("Basic")).await.headers()), ["Basic"]);
    }
    assert_eq!(respond(401, None).await.body(), "mine");
}

#[tokio::test]
async fn without_the_layer_nobody_is_identified() {
    let request = Request::new(());
    for rejection in [
        Caller::from_extensions(request.extensions()).unwrap_err(),
        Validation::from_extensions(request.extensions()).unwrap_err(),
    ] {
        assert_eq!(rejection.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
