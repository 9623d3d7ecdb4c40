//! Tokens that are malformed, tokens of services, and access rules.

use std::time::Instant;

use http::{HeaderValue, Request};
use serde_json::json;
use tower_keystone::{IdentityStatus::*, SentUri};

use crate::{support::*, validation::*};

cases![
    paused d27_a_malformed_token_is_a_401_without_a_question,
    paused d28_a_bad_service_token_refuses_the_request,
    paused d29_a_service_token_that_cannot_be_validated_is_a_503,
    paused d30_a_service_may_send_an_expired_token_which_is_not_cached_as_alive,
    paused d31_without_a_service_role_an_expired_token_is_a_401,
    paused d32_a_service_token_alone_is_no_user,
    paused d33_access_rules_apply_to_each_request,
    paused d34_access_rules_need_the_service_type,
    paused d35_hostile_access_rules_are_literal_and_cost_linear_time,
    paused d36_only_a_confirmed_service_role_lifts_access_rules,
    paused d37_access_rules_apply_to_the_path_that_the_client_sent,
];

fn both<'a>(user: &'a str, service: &'a str) -> [(&'a str, &'a str); 2] {
    [("x-auth-token", user), ("x-service-token", service)]
}

async fn d27_a_malformed_token_is_a_401_without_a_question() {
    let long = "A".repeat(8_193);
    for service in services(|asked, _| known(asked)) {
        for (tokens, expected) in [
            (&[][..], ABSENT),
            (&[("x-auth-token", "")], ABSENT),
            (&[("x-auth-token", ""), ("x-storage-token", "canary-alice")], ABSENT),
            (&[("x-auth-token", "  ")], INVALID),
            (&[("x-auth-token", &*long)], INVALID),
            (&[("x-auth-token", "canary-alice"), ("x-auth-token", "canary-plain")], INVALID),
            (&[("x-auth-token", "canary alice")], INVALID),
        ] {
            service.expect(tokens, expected).await;
        }
        for bytes in [&b"canary\xe9"[..], b"canary\ttoken", b"\xff"] {
            let mut request = Request::new(());
            request.headers_mut().insert("x-auth-token", HeaderValue::from_bytes(bytes).unwrap());
            service.expect_request("d27", request, INVALID).await;
        }
        assert_eq!(service.keystone.questions(), 0);
        service.expect(&[("x-storage-token", " canary-alice\t")], CONFIRMED).await;
        service.expect(&[ALICE[0], ALICE[0]], CONFIRMED).await;
        assert_eq!(service.keystone.questions(), 1);
    }
}

async fn d28_a_bad_service_token_refuses_the_request() {
    for bad in ["canary-unknown", "canary-plain", "canary-old", " ", "canary service"] {
        for service in services(|asked, _| known(asked)) {
            service.expect(&both("canary-alice", bad), (401, Confirmed, Invalid)).await;
            let is_asked_about = bad.starts_with("canary-");
            let asked = service.keystone.take_asked();
            assert_eq!(
                asked.len(),
                usize::from(is_asked_about) + usize::from(service.delays_decision),
                "{asked:?}"
            );
            assert!(asked.iter().all(|asked| !asked.allows_expired()));
        }
    }
    for service in services(|asked, _| known(asked)) {
        let three = [ALICE[0], ("x-service-token", "canary-service"), ("x-service-token", "canary-plain")];
        service.expect(&three, (401, Confirmed, Invalid)).await;
        service.expect(&both("canary-alice", ""), CONFIRMED).await;
        let others = service.clone().with(|layer| layer.service_token_roles(["Service"]));
        others.expect(&both("canary-alice", "canary-service"), (401, Confirmed, Invalid)).await;
        let optional = service.with(|layer| layer.service_token_roles_required(false));
        optional.expect(&both("canary-alice", "canary-plain"), (200, Confirmed, Confirmed)).await;
        optional.expect(&both("canary-alice", "canary-unknown"), (401, Confirmed, Invalid)).await;
    }
}

async fn d29_a_service_token_that_cannot_be_validated_is_a_503() {
    for service in services(|asked, _| known(asked)) {
        service.expect(&both("canary-alice", "canary-down"), (503, Confirmed, Unavailable)).await;
        service.expect(&both("canary-down", "canary-service"), (503, Unavailable, Confirmed)).await;
        service.expect(&both("canary-down", "canary-down"), (503, Unavailable, Unavailable)).await;
        service.expect(&both("canary-down", "canary-unknown"), (401, Unavailable, Invalid)).await;
        service.expect(&both("canary-unknown", "canary-down"), (503, Unavailable, Unavailable)).await;
    }
}

async fn d30_a_service_may_send_an_expired_token_which_is_not_cached_as_alive() {
    for service in services(|asked, _| known(asked)) {
        for request in 0..3 {
            service.expect(&both("canary-old", "canary-service"), (200, Confirmed, Confirmed)).await;
            let asked = service.keystone.take_asked();
            assert_eq!(asked.iter().filter(|asked| asked.allows_expired()).count(), 1);
            assert_eq!(asked.len(), 1 + usize::from(request == 0), "the service token is cached");
            service.expect(&[("x-auth-token", "canary-old")], INVALID).await;
            service.keystone.take_asked();
        }
        // A token that expires in the cache.
        let short = [("x-auth-token", "canary-short")];
        service.expect(&short, CONFIRMED).await;
        sleep_secs(61).await;
        service.expect(&short, INVALID).await;
        service.keystone.take_asked();
        service.expect(&both("canary-short", "canary-service"), (200, Confirmed, Confirmed)).await;
        assert!(service.keystone.take_asked()[0].allows_expired());
        service.expect(&short, INVALID).await;
    }
    // A revoked one is unknown also then.
    for service in services(|asked, _| match asked.allows_expired() {
        true => status(404),
        false => known(asked),
    }) {
        service.expect(&both("canary-old", "canary-service"), (401, Invalid, Confirmed)).await;
    }
}

async fn d31_without_a_service_role_an_expired_token_is_a_401() {
    for service in services(|asked, _| known(asked)) {
        service.expect(&both("canary-old", "canary-plain"), (401, Invalid, Invalid)).await;
        let optional = service.clone().with(|layer| layer.service_token_roles_required(false));
        optional.expect(&both("canary-old", "canary-plain"), (401, Invalid, Confirmed)).await;
        optional.expect(&both("canary-alice", "canary-old"), (401, Confirmed, Invalid)).await;
        let none = service.clone().with(|layer| layer.service_token_roles(Vec::<String>::new()));
        none.expect(&both("canary-old", "canary-service"), (401, Invalid, Invalid)).await;
        assert!(service.keystone.take_asked().iter().all(|asked| !asked.allows_expired()));
    }
}

async fn d32_a_service_token_alone_is_no_user() {
    for service in services(|asked, _| known(asked)) {
        service.expect(&[("x-service-token", "canary-service")], (401, Absent, Confirmed)).await;
        assert_eq!(service.keystone.questions(), usize::from(service.delays_decision));
        service.expect(&both("", "canary-service"), (401, Absent, Confirmed)).await;
        service.expect(&both("canary-service", "canary-service"), (200, Confirmed, Confirmed)).await;
        service.expect(&both("canary-unknown", "canary-service"), (401, Invalid, Confirmed)).await;
    }
}

fn rule(path: &str) -> serde_json::Value {
    json!({"service": "compute", "method": "GET", "path": path})
}

/// Returns services of the type `compute`, whose users have these access rules.
fn services_with_rules(rules: serde_json::Value) -> impl Iterator<Item = Service> {
    services(move |asked, _| match asked.token.as_deref() {
        Some("canary-alice") => document(&with_rules(&rules)),
        _ => known(asked),
    })
    .map(|service| service.with(|layer| layer.service_type("compute")))
}

async fn d33_access_rules_apply_to_each_request() {
    for service in services_with_rules(json!([rule("/servers"), rule("/v2.1/*/x")])) {
        for _ in 0..2 {
            service.expect_at("/servers", ALICE, CONFIRMED).await;
            service.expect_at("/v2.1/a/x?y", ALICE, CONFIRMED).await;
            for path in ["/servers/", "/server", "//servers", "/images?/servers", "/v2x1/a/x", "/v2.1/a/b/x"]
            {
                service.expect_at(path, ALICE, INVALID).await;
            }
            let post = Request::post("/servers").header(ALICE[0].0, ALICE[0].1).body(()).unwrap();
            service.expect_request("POST", post, INVALID).await;
        }
        assert_eq!(service.keystone.questions(), 1);
    }
    for service in services_with_rules(json!([])) {
        service.expect(ALICE, INVALID).await;
    }
    for malformed in [json!("x"), json!({"path": "**"}), json!([{"path": "**"}]), json!([["compute"]])] {
        for service in services_with_rules(malformed.clone()) {
            service.expect(ALICE, INVALID).await;
        }
    }
}

async fn d34_access_rules_need_the_service_type() {
    let rules = json!([rule("**"), {"service": "network", "method": "GET", "path": "**"}]);
    let script = move |_: &Asked, _| document(&with_rules(&rules));
    for service in services(script) {
        service.expect(ALICE, INVALID).await;
        for (service_type, expected) in [
            ("compute", CONFIRMED),
            ("Compute", INVALID),
            ("network", INVALID), // not in the catalog
            ("identity", INVALID),
            ("", INVALID),
        ] {
            let service = service.clone().with(|layer| layer.service_type(service_type));
            service.expect(ALICE, expected).await;
            service
                .expect_at(
                    "/v3/auth/tokens",
                    ALICE,
                    match service_type {
                        "identity" | "compute" => CONFIRMED,
                        _ => INVALID,
                    },
                )
                .await;
        }
    }
}

async fn d35_hostile_access_rules_are_literal_and_cost_linear_time() {
    let path = format!("/{}", "a".repeat(30_000));
    let stars = format!("/{}b", "**a*a".repeat(25));
    let rules: Vec<_> =
        ["/(a+)+b", "/.*", "/[^b]+", "/(x", "/a|b", &stars, "/{x", "/^", "/$"].map(rule).into();
    for service in services_with_rules(json!(rules)) {
        let start = Instant::now();
        service.expect_at(&path, ALICE, INVALID).await;
        for path in ["/aab", "/b", "/a", "/xx", "/"] {
            service.expect_at(path, ALICE, INVALID).await;
        }
        assert!(start.elapsed().as_secs() < 60, "the time is far from linear");
        service.expect_at("/(a+)+b", ALICE, CONFIRMED).await;
        service.expect_at("/.*/x", ALICE, INVALID).await;
    }
}

async fn d36_only_a_confirmed_service_role_lifts_access_rules() {
    for service in services_with_rules(json!([rule("/other")])) {
        for (other, expected) in [
            ("canary-service", (200, Confirmed, Confirmed)),
            ("canary-plain", (401, Invalid, Invalid)),
            ("canary-unknown", (401, Invalid, Invalid)),
            ("canary-down", (503, Unavailable, Unavailable)),
            (" ", (401, Invalid, Invalid)),
        ] {
            service.expect(&both("canary-alice", other), expected).await;
        }
        let optional = service.clone().with(|layer| layer.service_token_roles_required(false));
        optional.expect(&both("canary-alice", "canary-plain"), (401, Invalid, Confirmed)).await;
        optional.expect(&both("canary-alice", "canary-service"), (200, Confirmed, Confirmed)).await;
        // The rules of a service token itself do not matter, and the user's are checked without it.
        service.expect(ALICE, INVALID).await;
    }
}

async fn d37_access_rules_apply_to_the_path_that_the_client_sent() {
    for service in services_with_rules(json!([rule("/compute/servers")])) {
        for (sent, path, expected) in [
            (Some("/compute/servers"), "/servers", CONFIRMED),
            (Some("/servers"), "/compute/servers", INVALID),
            (None, "/compute/servers", CONFIRMED),
            (None, "/servers", INVALID),
            (None, "/compute/%73ervers", CONFIRMED),
            (None, "/compute/x/../servers", INVALID),
            (None, "/compute/./servers", INVALID),
        ] {
            let mut request = Request::get(path).header(ALICE[0].0, ALICE[0].1).body(()).unwrap();
            if let Some(sent) = sent {
                request.extensions_mut().insert(SentUri(sent.parse().unwrap()));
            }
            service.expect_request(path, request, expected).await;
        }
    }
}
