//! Tokens that expire or are revoked while their request waits for another token or a version document.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use tokio::time::sleep;
use tower::{ServiceBuilder, service_fn, util::Oneshot};
use tower_keystone::{
    AuthLayer, BoxError, EndpointFilter, Error, GenericCredentials, IdentityPlugin, RenewingPlugin,
    ServiceTokenAuthWrapper, Transport, User, endpoint::Origin, fixture::Discovery as Versions,
};

use crate::support::*;

/// Returns a filter that requires version discovery.
fn newest_microversion() -> EndpointFilter {
    EndpointFilter::new("compute").newest_microversion("2.1", "latest")
}

fn versions() -> Response<Full<Bytes>> {
    let versions = Versions::new().microversions("v2.1", "CURRENT", "https://nova.test/v2.1/", "2.1", "2.96");
    Response::new(versions.document().to_string().into())
}

fn rejected() -> Response<Full<Bytes>> {
    Response::builder().status(401).body(Full::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_service_token_that_expires_while_the_user_token_is_renewed_is_not_sent() {
    let (user_keystone, service_keystone) = (ScriptedKeystone::new(), ScriptedKeystone::new());
    let service = service_keystone.plugin();
    assert_eq!(token(&service).await.unwrap(), "token-1");
    sleep_secs(HOUR - 15).await;
    user_keystone.respond_with(LoginResponse::Token.delayed_by(seconds(9)));
    // With two failed attempts, the login of the user takes more than 15 s.
    user_keystone.queue_responses([LoginResponse::NoConnection, LoginResponse::Never]);
    let combined = ServiceTokenAuthWrapper::new(user_keystone.plugin(), service);
    let access = combined.access().await.unwrap();
    let mut headers = HeaderMap::new();
    access.insert_headers(&mut headers);
    assert_eq!(headers["x-service-token"], "token-2");
    assert!(service_keystone.time().elapsed() > seconds(HOUR));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_pair_of_tokens_counts_against_the_rejecting_origin_only() {
    let (user_keystone, service_keystone) = (ScriptedKeystone::new(), ScriptedKeystone::new());
    let combined = ServiceTokenAuthWrapper::new(user_keystone.plugin(), service_keystone.plugin());
    let origin = nova_origin();
    for _ in 0..10 {
        let used = combined.access().await.unwrap();
        assert!(combined.invalidate(&used, &origin));
    }
    assert_eq!((user_keystone.logins(), service_keystone.logins()), (4, 4));
    let used = combined.access().await.unwrap();
    assert!(combined.invalidate(&used, &Origin::from_uri(&"https://glance.test".parse().unwrap()).unwrap()));
    combined.access().await.unwrap();
    assert_eq!((user_keystone.logins(), service_keystone.logins()), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expires_during_version_discovery_is_not_sent() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    let slow = service_fn(|request: Request<Full<Bytes>>| async move {
        // The response of the root times out, and the response of the next URL takes 9 s.
        sleep(seconds(if request.uri().path() == "/" { HOUR } else { 9 })).await;
        Ok::<_, BoxError>(versions())
    });
    let nova = ScriptedService::new(&keystone, || seconds(0));
    let layer = AuthLayer::new(plugin.clone()).discovery(Transport::new(slow));
    let service = ServiceBuilder::new()
        .layer(layer.endpoint(newest_microversion().min_version(2, 1)))
        .service(nova.clone());
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    sleep_secs(HOUR - 12).await;
    assert_eq!(Oneshot::new(service, get()).await.unwrap().status(), 200);
    assert!(keystone.time().elapsed() > seconds(HOUR));
    assert_eq!(nova.take_requests().iter().map(|request| request.token_expired).collect::<Vec<_>>(), [false]);
}

#[tokio::test(start_paused = true)]
async fn a_version_document_that_rejects_a_revoked_token_causes_a_new_login() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    let issuer = keystone.clone();
    let protected = service_fn(move |request: Request<Full<Bytes>>| {
        let token = request.headers().get("x-auth-token").and_then(|token| token.to_str().ok());
        let is_good =
            token.and_then(|token| issuer.issued_token(token)).is_some_and(|issued| !issued.revoked);
        async move { Ok::<_, BoxError>(if is_good { versions() } else { rejected() }) }
    });
    let nova = ScriptedService::new(&keystone, || seconds(0));
    let layer =
        AuthLayer::new(plugin.clone()).discovery(Transport::new(protected)).endpoint(newest_microversion());
    let service = ServiceBuilder::new().layer(layer).service(nova.clone());
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    keystone.revoke();
    assert_eq!(Oneshot::new(service, get()).await.unwrap().status(), 200);
    assert_eq!((keystone.logins(), nova.take_requests().len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_version_document_that_rejects_every_token_causes_as_few_logins_as_such_a_service() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    let rejecting = service_fn(|_: Request<Full<Bytes>>| async { Ok::<_, BoxError>(rejected()) });
    let layer =
        AuthLayer::new(plugin.clone()).discovery(Transport::new(rejecting)).endpoint(newest_microversion());
    let service = ServiceBuilder::new().layer(layer).service(ScriptedService::new(&keystone, || seconds(0)));
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    for _ in 0..50 {
        let error = Oneshot::new(service.clone(), get()).await.unwrap_err();
        assert!(matches!(Error::find(&*error), Some(Error::DiscoveryFailure(_))), "{error}");
        sleep_secs(1).await;
    }
    assert_eq!(keystone.logins(), 4);
}

#[tokio::test(start_paused = true)]
async fn generic_credentials_obey_the_retry_after_of_a_version_document() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let busy = service_fn(move |_: Request<Full<Bytes>>| {
        counter.fetch_add(1, Ordering::Relaxed);
        let response = Response::builder().status(503).header("retry-after", "120");
        async move { Ok::<_, BoxError>(response.body(Full::<Bytes>::default())?) }
    });
    let alice = User::new().username("alice").user_domain_name("Default");
    let credentials = GenericCredentials::password("https://keystone.test/", alice, "wonderland");
    let plugin = RenewingPlugin::new(credentials, Transport::new(busy)).clock(SimulatedTime::new());
    for _ in 0..119 {
        assert!(token(&plugin).await.is_err());
        sleep_secs(1).await;
    }
    assert_eq!(requests.load(Ordering::Relaxed), 1);
    sleep_secs(1).await;
    assert!(token(&plugin).await.is_err());
    assert!(requests.load(Ordering::Relaxed) > 1);
}
