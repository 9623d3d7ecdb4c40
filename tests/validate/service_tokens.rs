//! Requests that a service sends for a user.

use serde_json::json;
use tower_keystone::IdentityStatus::*;

use crate::support::*;

fn question(token: &str, allow_expired: bool) -> Question {
    Question { token: token.to_owned(), allow_expired }
}

#[tokio::test(start_paused = true)]
async fn a_service_may_send_an_expired_token() {
    let keystone = Keystone::new();
    let layer = keystone.layer();
    let both = [("x-auth-token", "old"), ("x-service-token", "service")];
    for _ in 0..2 {
        let request = admitted(&layer, &both).await;
        assert_eq!((username(&request), statuses(&request)), (Some("alice"), (Confirmed, Confirmed)));
        let service = validation(&request).service().unwrap();
        assert_eq!(service.username(), Some("nova"));
    }
    assert_eq!(keystone.questions()[..2], [question("service", false), question("old", true)]);
    // It does not count without the service token.
    assert_unauthorized(&rejected(&layer, &[("x-auth-token", "old")]).await);
    assert_unauthorized(&rejected(&layer, &[("x-auth-token", "old"), ("x-service-token", "plain")]).await);
    let optional = keystone.layer().service_token_roles_required(false);
    assert_unauthorized(&rejected(&optional, &[("x-auth-token", "old"), ("x-service-token", "plain")]).await);
}

#[tokio::test(start_paused = true)]
async fn a_bad_service_token_refuses_the_request() {
    let keystone = Keystone::new();
    let layer = keystone.layer();
    for service in ["unknown", "plain", "old", " "] {
        let headers = [("x-auth-token", "good"), ("x-service-token", service)];
        assert_unauthorized(&rejected(&layer, &headers).await);
    }
    let headers = [("x-auth-token", "good"), ("x-service-token", "service"), ("x-service-token", "plain")];
    assert_unauthorized(&rejected(&layer, &headers).await);
    assert_unavailable(&rejected(&layer, &[("x-auth-token", "good"), ("x-service-token", "down")]).await);
    // Keystone was not asked about the user.
    assert!(!keystone.asked().contains(&"good".to_owned()));
    let counts = layer.metrics().snapshot().rejections;
    assert_eq!((counts.service_token, counts.unavailable), (5, 1));
    admitted(&layer, &[("x-auth-token", "good"), ("x-service-token", "")]).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_token_is_no_user() {
    let keystone = Keystone::new();
    let layer = keystone.layer();
    for headers in
        [&[("x-service-token", "service")][..], &[("x-service-token", "service"), ("x-auth-token", "")]]
    {
        assert_unauthorized(&rejected(&layer, headers).await);
    }
    assert!(keystone.asked().is_empty());
    assert_unauthorized(
        &rejected(&layer, &[("x-auth-token", "unknown"), ("x-service-token", "service")]).await,
    );
    let twice = admitted(&layer, &[("x-auth-token", "service"), ("x-service-token", "service")]).await;
    assert_eq!((username(&twice), statuses(&twice)), (Some("nova"), (Confirmed, Confirmed)));
}

#[tokio::test(start_paused = true)]
async fn roles_are_compared_exactly_and_can_be_optional() {
    let headers = [("x-auth-token", "good"), ("x-service-token", "plain")];
    let layer = Keystone::new().layer().service_token_roles_required(false);
    assert_eq!(statuses(&admitted(&layer, &headers).await), (Confirmed, Confirmed));
    let headers = [("x-auth-token", "good"), ("x-service-token", "service")];
    for roles in [&["Service"][..], &[], &["serv"]] {
        let layer = Keystone::new().layer().service_token_roles(roles.iter().copied());
        assert_unauthorized(&rejected(&layer, &headers).await);
    }
    let layer = Keystone::new().layer().service_token_roles(["x", "service"]);
    admitted(&layer, &headers).await;
}

#[tokio::test(start_paused = true)]
async fn with_a_delayed_decision_the_tokens_are_judged_apart() {
    let keystone = Keystone::new();
    let layer = keystone.layer().delay_auth_decision();
    for (user, service, expected) in [
        ("good", "unknown", (Confirmed, Invalid)),
        ("good", "plain", (Confirmed, Invalid)),
        ("good", "down", (Confirmed, Unavailable)),
        ("good", " ", (Confirmed, Invalid)),
        ("down", "service", (Unavailable, Confirmed)),
        ("", "service", (Absent, Confirmed)),
        ("old", "plain", (Invalid, Invalid)),
        ("old", "service", (Confirmed, Confirmed)),
        ("good", "", (Confirmed, Absent)),
    ] {
        let request = admitted(&layer, &[("x-auth-token", user), ("x-service-token", service)]).await;
        assert_eq!(statuses(&request), expected, "{user} {service}");
        assert_eq!(validation(&request).service().is_some(), expected.1 == Confirmed);
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_confirmed_service_role_lifts_access_rules() {
    let keystone = Keystone::new();
    let rules =
        json!({"id": "c", "access_rules": [{"service": "compute", "method": "GET", "path": "/servers"}]});
    keystone.add("rules", Answer::Token(with(user("alice", &[]), "application_credential", rules)));
    let layer = keystone.layer().service_type("compute");
    admitted(&layer, &[("x-auth-token", "rules")]).await;

    let app = App::new();
    let send = async |layer: &_, headers: &[(&str, &str)]| {
        send_request(layer, &app, get("/images?x=/servers", headers)).await
    };
    assert_unauthorized(&send(&layer, &[("x-auth-token", "rules")]).await);
    assert_eq!(layer.metrics().snapshot().rejections.access_rules, 1);
    let optional = layer.clone().service_token_roles_required(false);
    assert_unauthorized(&send(&optional, &[("x-auth-token", "rules"), ("x-service-token", "plain")]).await);
    assert_eq!(app.count(), 0);
    send(&layer.clone().delay_auth_decision(), &[("x-auth-token", "rules"), ("x-service-token", "unknown")])
        .await;
    assert_eq!(statuses(&app.request()), (Invalid, Invalid));
    send(&layer, &[("x-auth-token", "rules"), ("x-service-token", "service")]).await;
    assert_eq!(statuses(&app.request()), (Confirmed, Confirmed));
}
