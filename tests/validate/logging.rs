//! What is logged about a request.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing::{
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

use tower_keystone::{BoxError, Transport, ValidateTokenLayer};

use crate::{log::subscribe, support::*};

/// Collects the fields of all events, and those that are recorded in a span later.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Lines<'a>(&'a Log);

impl Visit for Lines<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.0.lock().unwrap().push(format!("{field}={value:?}"));
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn on_record(&self, _: &span::Id, values: &span::Record<'_>, _: Context<'_, S>) {
        values.record(&mut Lines(self));
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        event.record(&mut Lines(self));
    }
}

#[tokio::test(start_paused = true)]
async fn reasons_and_users_are_logged_without_tokens() {
    let log = Log::default();
    let _guard = subscribe(tracing_subscriber::registry().with(log.clone()));
    let layer = Keystone::new().layer();
    let span =
        tracing::info_span!("request", user_id = tracing::field::Empty, project_id = tracing::field::Empty);
    let entered = span.enter();
    admitted(&layer, &[("x-auth-token", "good")]).await;
    for (headers, reason) in [
        (&[][..], "reason=the request has no token"),
        (&[("x-auth-token", "canary")], "reason=the token is unknown to Keystone"),
        (&[("x-auth-token", "canary"), ("x-auth-token", "good")], "reason=the token is malformed"),
        (
            &[("x-auth-token", "good"), ("x-service-token", "plain")],
            "reason=the service token has none of the service roles",
        ),
    ] {
        rejected(&layer, headers).await;
        assert!(log.0.lock().unwrap().iter().any(|line| line == reason), "{reason}: {:?}", log.0);
    }
    drop(entered);
    let lines = log.0.lock().unwrap();
    assert!(lines.contains(&r#"user_id="u-alice""#.to_owned()), "{lines:?}");
    assert!(lines.contains(&r#"project_id="p""#.to_owned()));
    assert!(!lines.iter().any(|line| line.contains("canary") || line.contains("good")), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn only_a_service_token_that_is_there_can_be_unconfirmed() {
    let log = Log::default();
    let _guard = subscribe(tracing_subscriber::registry().with(log.clone()));
    let layer = Keystone::new().layer().delay_auth_decision();
    let message = "message=let a request through without a confirmed service".to_owned();
    admitted(&layer, &[("x-auth-token", "good")]).await;
    admitted(&layer, &[("x-auth-token", "good"), ("x-service-token", "service")]).await;
    assert!(!log.0.lock().unwrap().contains(&message));
    admitted(&layer, &[("x-auth-token", "good"), ("x-service-token", "plain")]).await;
    assert!(log.0.lock().unwrap().contains(&message), "{:?}", log.0);
}

#[tokio::test(start_paused = true)]
async fn a_bearer_token_that_is_not_read_is_named_in_the_reason() {
    let log = Log::default();
    let _guard = subscribe(tracing_subscriber::registry().with(log.clone()));
    let is_logged =
        |reason: &str| log.0.lock().unwrap().drain(..).any(|line| line == format!("reason={reason}"));
    let ignored = "the request has no token; Authorization is ignored without bearer_tokens";
    let layer = Keystone::new().layer();
    rejected(&layer, &[("authorization", "Bearer canary")]).await;
    assert!(is_logged(ignored), "{:?}", log.0);
    rejected(&layer, &[("authorization", "Basic canary")]).await;
    assert!(is_logged("the request has no token"), "{:?}", log.0);
    rejected(&layer.clone().bearer_tokens(), &[]).await;
    assert!(is_logged("the request has no token"), "{:?}", log.0);
    admitted(&layer.delay_auth_decision(), &[("authorization", "bearer canary")]).await;
    assert!(is_logged(ignored), "{:?}", log.0);
}

#[tokio::test(start_paused = true)]
async fn the_reason_names_the_request_and_the_service_type_that_access_rules_do_not_allow() {
    let log = Log::default();
    let _guard = subscribe(tracing_subscriber::registry().with(log.clone()));
    let is_logged =
        |reason: &str| log.0.lock().unwrap().drain(..).any(|line| line == format!("reason={reason}"));
    let keystone = Keystone::new();
    let rules =
        json!({"id": "c", "access_rules": [{"service": "compute", "method": "GET", "path": "/images"}]});
    let restricted = with(user("alice", &["member"]), "application_credential", rules);
    let catalog = json!([{"type": "compute", "endpoints": []}]);
    keystone.add("restricted", Answer::Token(with(restricted, "catalog", catalog)));
    let layer = keystone.layer();
    rejected(&layer.clone().service_type("compute"), &[("x-auth-token", "restricted")]).await;
    assert!(is_logged("no access rule of the token allows the request: GET /servers"), "{:?}", log.0);
    rejected(&layer.service_type("volume"), &[("x-auth-token", "restricted")]).await;
    assert!(
        is_logged("the service catalog of the token does not list the type of this service: volume"),
        "{:?}",
        log.0
    );
}

#[tokio::test(start_paused = true)]
async fn a_public_url_that_clients_cannot_use_is_warned_about() {
    let log = Log::default();
    let _guard = subscribe(tracing_subscriber::registry().with(log.clone()));
    let warned =
        || log.0.lock().unwrap().drain(..).any(|line| line.contains("www_authenticate_uri is not a URL"));
    for (uri, expected) in [
        ("keystone.example.com", true),
        ("/v3", true),
        ("keystone.example.com:5000", true),
        ("ftp://keystone.example.com/v3", true),
        ("https://keystone.example.com/v3", false),
        ("HTTP://[::1]:5000", false),
    ] {
        rejected(&Keystone::new().layer().www_authenticate_uri(uri.parse().unwrap()), &[]).await;
        assert_eq!(warned(), expected, "{uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_without_a_public_url_is_warned_about() {
    let log = Log::default();
    let _guard = subscribe(tracing_subscriber::registry().with(log.clone()));
    let warned = || log.0.lock().unwrap().iter().any(|line| line.contains("www_authenticate_uri is not set"));
    rejected(&Keystone::new().layer(), &[]).await;
    assert!(!warned());
    let transport = Transport::new(tower::service_fn(|_: http::Request<bytes::Bytes>| {
        std::future::ready(Ok::<_, BoxError>(http::Response::new(String::new())))
    }));
    let layer = ValidateTokenLayer::self_validating("https://keystone.example.com/v3", transport);
    rejected(&layer, &[]).await;
    assert!(warned(), "{:?}", log.0);
    assert!(!log.0.lock().unwrap().iter().any(|line| line.contains("account")), "{:?}", log.0);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_because_of_too_many_validations_says_so() {
    let log = Log::default();
    let _guard = subscribe(tracing_subscriber::registry().with(log.clone()));
    let keystone = Keystone::new();
    keystone.hold();
    let layer = keystone.layer().max_validations(1, 0);
    let app = App::new();
    let first = send(&layer, &app, &[("x-auth-token", "good")]);
    let second = async {
        tokio::task::yield_now().await;
        assert_unavailable(&rejected(&layer, &[("x-auth-token", "other")]).await);
        keystone.release(1);
    };
    assert_eq!(tokio::join!(first, second).0.status(), 200);
    let reason = "reason=too many validations are in flight or waiting (max_validations)";
    assert!(log.0.lock().unwrap().iter().any(|line| line == reason), "{:?}", log.0);
    assert_eq!(layer.metrics().snapshot().rejections.unavailable, 1);
}
