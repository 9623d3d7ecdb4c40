//! The application decides (`delay_auth_decision`), and identity headers.

use serde_json::json;
use tower_keystone::{Caller, IdentityStatus::*};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn the_application_can_tell_an_outage_from_a_bad_token() {
    let keystone = Keystone::new();
    let layer = keystone.layer().delay_auth_decision();
    for (headers, expected, rejection) in [
        (&[][..], Absent, Some(401)),
        (&[("x-auth-token", "")], Absent, Some(401)),
        (&[("x-auth-token", " ")], Invalid, Some(401)),
        (&[("x-auth-token", "good"), ("x-auth-token", "bad")], Invalid, Some(401)),
        (&[("x-auth-token", "unknown")], Invalid, Some(401)),
        (&[("x-auth-token", "old")], Invalid, Some(401)),
        (&[("x-auth-token", "down")], Unavailable, Some(503)),
        (&[("x-auth-token", "good")], Confirmed, None),
    ] {
        let request = admitted(&layer, headers).await;
        assert_eq!(statuses(&request), (expected, Absent), "{headers:?}");
        let caller = Caller::from_extensions(&request.extensions);
        assert_eq!(caller.as_ref().err().map(|rejection| rejection.status().as_u16()), rejection);
        let challenge = caller.err().and_then(|rejection| rejection.www_authenticate().cloned());
        assert_eq!(challenge.is_some(), rejection == Some(401));
    }
    assert_eq!(layer.metrics().snapshot().rejections, Default::default());
}

#[tokio::test(start_paused = true)]
async fn identity_headers_describe_the_user_and_the_service() {
    let keystone = Keystone::new();
    let layer = keystone.layer().identity_headers();
    let request = admitted(&layer, &[("x-auth-token", "good"), ("x-service-token", "service")]).await;
    for (name, value) in [
        ("x-identity-status", "Confirmed"),
        ("x-user-id", "u-alice"),
        ("x-user-name", "alice"),
        ("x-user", "alice"),
        ("x-user-domain-id", "default"),
        ("x-user-domain-name", "Default"),
        ("x-project-id", "p"),
        ("x-project-name", "demo"),
        ("x-project-domain-id", "default"),
        ("x-project-domain-name", "Default"),
        ("x-tenant", "demo"),
        ("x-tenant-id", "p"),
        ("x-tenant-name", "demo"),
        ("x-roles", "member,reader"),
        ("x-role", "member,reader"),
        ("x-is-admin-project", "True"),
        ("x-service-identity-status", "Confirmed"),
        ("x-service-user-name", "nova"),
        ("x-service-roles", "service"),
        ("x-service-project-id", "p"),
    ] {
        assert_eq!(request.headers[name], value, "{name}");
    }
    for name in ["x-domain-id", "openstack-system-scope", "x-service-catalog", "x-service-role"] {
        assert!(!request.headers.contains_key(name), "{name}");
    }
    let plain = admitted(&keystone.layer(), &[("x-auth-token", "good")]).await;
    assert_eq!(plain.headers.len(), 1, "{:?}", plain.headers);
}

#[tokio::test(start_paused = true)]
async fn identity_headers_say_when_there_is_no_identity() {
    let layer = Keystone::new().layer().identity_headers().delay_auth_decision();
    for headers in [
        &[("x-auth-token", "unknown"), ("x-service-token", "plain")],
        &[("x-auth-token", "down"), ("x-service-token", "down")],
    ] {
        let request = admitted(&layer, headers).await;
        assert_eq!(request.headers["x-identity-status"], "Invalid");
        assert_eq!(request.headers["x-service-identity-status"], "Invalid");
        assert_eq!(request.headers.len(), 4, "{:?}", request.headers);
    }
    let request = admitted(&layer, &[("x-service-token", "service")]).await;
    assert_eq!(
        (&request.headers["x-identity-status"], &request.headers["x-service-user-name"]),
        (&"Invalid".parse().unwrap(), &"nova".parse().unwrap())
    );
}

#[tokio::test(start_paused = true)]
async fn the_system_scope_is_that_of_the_user() {
    let keystone = Keystone::new();
    let system = |name: &str| Answer::Token(with(user(name, &["service"]), "system", json!({"all": true})));
    keystone.add("system", system("root"));
    let layer = keystone.layer().identity_headers();
    for (user, service, expected) in
        [("system", "service", true), ("good", "system", false), ("system", "system", true)]
    {
        let request = admitted(&layer, &[("x-auth-token", user), ("x-service-token", service)]).await;
        assert_eq!(request.headers.contains_key("openstack-system-scope"), expected, "{user} {service}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_hides_a_service_is_not_taken_for_a_bad_token() {
    let keystone = Keystone::new();
    let rules = json!({"access_rules": [{"service": "compute", "method": "GET", "path": "/other"}]});
    keystone.add("rules", Answer::Token(with(user("alice", &[]), "application_credential", rules)));
    let layer = keystone.layer().delay_auth_decision().service_type("compute");
    for (user, service, expected) in [
        ("old", "service", Confirmed),
        ("rules", "service", Confirmed),
        ("old", "down", Unavailable),
        ("rules", "down", Unavailable),
        ("old", "unknown", Invalid),
        ("rules", "unknown", Invalid),
        (" ", "down", Invalid),
        ("", "down", Absent),
    ] {
        let request = admitted(&layer, &[("x-auth-token", user), ("x-service-token", service)]).await;
        assert_eq!(validation(&request).status(), expected, "{user} {service}");
    }
}
