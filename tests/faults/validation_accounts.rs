//! The account of the service: its token ends, its logins fail, its catalog has no Keystone.

use std::sync::{Arc, atomic::AtomicUsize, atomic::Ordering};

use http::Method;
use serde_json::json;
use tokio::time::Instant;
use tower_keystone::{
    AccessFuture, Error, IdentityPlugin, RenewingPlugin, ServiceAccess, ValidateTokenLayer, endpoint::Origin,
};

use crate::{support::*, validation::*};

cases![
    paused d19_a_token_of_the_account_that_ended_is_renewed_once_and_the_question_kept,
    paused d20_a_new_token_of_the_account_that_is_rejected_too_is_a_503,
    paused d21_a_failed_login_of_the_account_is_a_503_with_each_status,
    paused d22_a_wrong_password_of_the_account_does_not_cost_a_login_per_request,
    paused d23_a_login_of_the_account_that_never_ends_is_a_503_within_the_timeout,
    paused d24_an_account_without_an_endpoint_of_keystone_is_a_503,
    paused d25_a_version_document_that_cannot_be_read_is_a_503,
    paused d26_a_token_that_validates_itself_is_judged_by_its_own_401,
];

/// Returns services whose account logs in with a password.
fn with_password(
    script: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static + Clone,
) -> impl Iterator<Item = Service> {
    services_with(script, |keystone, time| {
        let plugin = RenewingPlugin::new(password(), keystone.transport()).clock(time.clone()).seed(7);
        ValidateTokenLayer::new(plugin, keystone.transport())
    })
}

fn logged_in(before: usize) -> Reply {
    let own = json!({ "token": user("own", &["service"]) });
    let token = format!("canary-own-{before}");
    with_body(201, &[("x-subject-token", &token)], own.to_string())
}

fn methods(asked: &[Asked]) -> Vec<&str> {
    asked.iter().map(|asked| asked.method.as_str()).collect()
}

async fn d19_a_token_of_the_account_that_ended_is_renewed_once_and_the_question_kept() {
    for service in with_password(|asked, before| match asked.method {
        Method::POST => logged_in(before),
        _ if asked.own_token.as_deref() == Some("canary-own-0") => status(401),
        _ => known(asked),
    }) {
        let both = [("x-auth-token", "canary-old"), ("x-service-token", "canary-service")];
        service.expect(ALICE, CONFIRMED).await;
        let asked = service.keystone.take_asked();
        assert_eq!(methods(&asked), ["POST", "GET", "POST", "GET"]);
        assert!(asked[1].token.is_some() && asked[1].token == asked[3].token);

        // The token of the account ends again, while an expired token is asked about.
        service.keystone.set(|asked, before| match asked.method {
            Method::POST => logged_in(100 + before),
            _ if asked.own_token.as_deref() == Some("canary-own-2") && asked.allows_expired() => status(401),
            _ => known(asked),
        });
        sleep_secs(60).await;
        service.expect(&both, (200, CONFIRMED.1, CONFIRMED.1)).await;
        let asked = service.keystone.take_asked();
        assert_eq!(methods(&asked), ["GET", "GET", "POST", "GET"]);
        assert!(asked[1].allows_expired() && asked[3].allows_expired() && !asked[0].allows_expired());
        assert_ne!(asked[1].own_token, asked[3].own_token);
    }
}

async fn d20_a_new_token_of_the_account_that_is_rejected_too_is_a_503() {
    for service in with_password(|asked, before| match asked.method {
        Method::POST => logged_in(before),
        _ => status(401),
    }) {
        service.expect(ALICE, UNAVAILABLE).await;
        assert_eq!(methods(&service.keystone.take_asked()), ["POST", "GET", "POST", "GET"]);
        // The rejections do not cost a login each.
        for _ in 0..10 {
            service.expect(ALICE, UNAVAILABLE).await;
        }
        let asked = service.keystone.take_asked();
        let logins = asked.iter().filter(|asked| asked.method == Method::POST).count();
        assert!(logins <= 2, "{logins} logins");
    }
}

async fn d21_a_failed_login_of_the_account_is_a_503_with_each_status() {
    for code in
        [200, 201, 204, 300, 302, 400, 401, 403, 404, 405, 409, 410, 413, 429, 431, 500, 502, 503, 504]
    {
        for service in with_password(move |asked, _| match asked.method {
            Method::POST => status(code),
            _ => known(asked),
        }) {
            service.expect(ALICE, UNAVAILABLE).await;
            let asked = service.keystone.take_asked();
            assert!((1..=4).contains(&asked.len()), "{code}: {}", asked.len());
            assert!(asked.iter().all(|asked| asked.token.is_none()), "{code}: no question was sent");
            assert_eq!(service.layer.metrics().snapshot().in_flight, 0);
        }
    }
    for service in with_password(|_, _| Reply::refused()) {
        service.expect(ALICE, UNAVAILABLE).await;
        assert!(service.keystone.take_asked().iter().all(|asked| asked.method == Method::POST));
    }
}

async fn d22_a_wrong_password_of_the_account_does_not_cost_a_login_per_request() {
    for service in with_password(|_, _| status(401)) {
        for _ in 0..50 {
            service.expect(ALICE, UNAVAILABLE).await;
        }
        let logins = service.keystone.questions();
        assert!(logins <= 2, "{logins} logins");
        service.keystone.set(|asked, before| match asked.method {
            Method::POST => logged_in(before),
            _ => known(asked),
        });
        sleep_secs(HOUR).await;
        service.expect(ALICE, CONFIRMED).await;
    }
}

async fn d23_a_login_of_the_account_that_never_ends_is_a_503_within_the_timeout() {
    for service in with_password(|_, _| Reply::Hang) {
        let start = Instant::now();
        service.expect(ALICE, UNAVAILABLE).await;
        assert!(start.elapsed() < millis(10_010), "{:?}", start.elapsed());
        assert!(service.keystone.take_asked().iter().all(|asked| asked.method == Method::POST));
    }
}

async fn d24_an_account_without_an_endpoint_of_keystone_is_a_503() {
    for url in ["", "::::", "ftp://keystone.test/v3", "/v3", "https://keystone.test/v2.0"] {
        let layer = |keystone: &Keystone, _: &SimulatedTime| {
            ValidateTokenLayer::new(own_plugin(url), keystone.transport())
        };
        for service in services_with(|_, _| status(404), layer) {
            service.expect(ALICE, UNAVAILABLE).await;
            assert!(service.keystone.take_asked().iter().all(|asked| asked.token.is_none()), "{url}");
        }
    }
    for service in services(|asked, _| known(asked)) {
        let service = service.with(|layer| layer.region("elsewhere"));
        service.expect(ALICE, UNAVAILABLE).await;
        assert_eq!(service.keystone.questions(), 0);
    }
}

async fn d25_a_version_document_that_cannot_be_read_is_a_503() {
    let layer = |keystone: &Keystone, _: &SimulatedTime| {
        ValidateTokenLayer::new(own_plugin("https://keystone.test/"), keystone.transport()).connect_retries(0)
    };
    type Make = fn() -> Reply;
    let replies: [Make; 9] = [
        || status(404),
        || status(401),
        || status(500),
        || with_body(200, &[], ""),
        || with_body(200, &[], "<html>canary</html>"),
        || with_body(200, &[], "[".repeat(5_000)),
        || {
            with_body(
                300,
                &[],
                r#"{"versions": {"values": [{"id": "v2.0", "status": "stable", "links": []}]}}"#,
            )
        },
        Reply::refused,
        || Reply::Hang,
    ];
    for make in replies {
        // A 404 of a URL without a version says nothing about the token.
        for service in services_with(move |_, _| make(), layer) {
            service.expect(ALICE, UNAVAILABLE).await;
            assert!(service.keystone.take_asked().iter().all(|asked| asked.token.is_none()));
        }
    }
}

/// A plugin that counts what is asked of it.
struct Untouched(Arc<AtomicUsize>);

impl IdentityPlugin for Untouched {
    fn access(&self) -> AccessFuture {
        self.0.fetch_add(1, Ordering::Relaxed);
        AccessFuture::ready(Err(Error::NoToken))
    }

    fn invalidate(&self, _: &Arc<ServiceAccess>, _: &Origin) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        false
    }
}

async fn d26_a_token_that_validates_itself_is_judged_by_its_own_401() {
    for (code, expected) in [(401, INVALID), (404, INVALID), (403, UNAVAILABLE), (500, UNAVAILABLE)] {
        for service in services_with(
            move |_, _| status(code),
            |keystone, _| {
                ValidateTokenLayer::self_validating("https://keystone.test/v3", keystone.transport())
            },
        ) {
            service.expect(ALICE, expected).await;
            let asked = service.keystone.take_asked();
            assert_eq!(asked.len(), 1);
            assert!(asked[0].own_token.is_some() && asked[0].own_token == asked[0].token);
        }
    }
    // A plugin without a token is an outage.
    let uses = Arc::new(AtomicUsize::new(0));
    let layer = |keystone: &Keystone, _: &SimulatedTime| {
        ValidateTokenLayer::new(Untouched(Arc::clone(&uses)), keystone.transport())
    };
    for service in services_with(|_, _| status(404), layer) {
        service.expect(ALICE, UNAVAILABLE).await;
        assert_eq!(service.keystone.questions(), 0);
    }
    assert_eq!(uses.load(Ordering::Relaxed), 2, "once for each request");
}
