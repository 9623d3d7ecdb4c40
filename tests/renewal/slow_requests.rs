//! A token that is renewed while its request waits for something else.

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

/// A filter for which the version document has to be read.
fn newest() -> EndpointFilter {
    EndpointFilter::new("compute").newest_microversion("2.1", "latest")
}

fn versions() -> Response<Full<Bytes>> {
    let versions = Versions::new().microversions("v2.1", "CURRENT", "https://nova.test/v2.1/", "2.1", "2.96");
    Response::new(versions.document().to_string().into())
}

fn refused() -> Response<Full<Bytes>> {
    Response::builder().status(401).body(Full::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn no_service_token_is_sent_that_ended_while_the_users_was_waited_for() {
    let (of_user, of_service) = (Keystone::new(), Keystone::new());
    let service = of_service.plugin();
    assert_eq!(token(&service).await.unwrap(), "token-1");
    pass(HOUR - 15).await;
    of_user.usually(Answer::Token.slowly(seconds(9)));
    of_user.then([Answer::NoConnection, Answer::Hang]); // it takes more than the 15 s
    let together = ServiceTokenAuthWrapper::new(of_user.plugin(), service);
    let access = together.access().await.unwrap();
    let mut headers = HeaderMap::new();
    access.insert_headers(&mut headers);
    assert_eq!(headers["x-service-token"], "token-2");
    assert!(of_service.time().elapsed() > seconds(HOUR));
}

#[tokio::test(start_paused = true)]
async fn two_tokens_are_refused_by_the_origin_that_refuses_them() {
    let (of_user, of_service) = (Keystone::new(), Keystone::new());
    let together = ServiceTokenAuthWrapper::new(of_user.plugin(), of_service.plugin());
    let bad = nova();
    for _ in 0..10 {
        let used = together.access().await.unwrap();
        assert!(together.invalidate(&used, &bad));
    }
    assert_eq!((of_user.logins(), of_service.logins()), (4, 4));
    let used = together.access().await.unwrap();
    assert!(together.invalidate(&used, &Origin::from_uri(&"https://glance.test".parse().unwrap()).unwrap()));
    together.access().await.unwrap();
    assert_eq!((of_user.logins(), of_service.logins()), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn no_token_is_sent_that_ended_while_a_version_document_was_waited_for() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let slow = service_fn(|request: Request<Full<Bytes>>| async move {
        // The root does not answer in time, and what is asked next is slow.
        sleep(seconds(if request.uri().path() == "/" { HOUR } else { 9 })).await;
        Ok::<_, BoxError>(versions())
    });
    let nova = Nova::new(&keystone, || seconds(0));
    let layer = AuthLayer::new(plugin.clone()).discovery(Transport::new(slow));
    let service =
        ServiceBuilder::new().layer(layer.endpoint(newest().min_version(2, 1))).service(nova.clone());
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    pass(HOUR - 12).await;
    assert_eq!(Oneshot::new(service, get()).await.unwrap().status(), 200);
    assert!(keystone.time().elapsed() > seconds(HOUR));
    assert_eq!(nova.seen().iter().map(|seen| seen.expired).collect::<Vec<_>>(), [false]);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_noticed_where_the_version_document_wants_one() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let known = keystone.clone();
    let guarded = service_fn(move |request: Request<Full<Bytes>>| {
        let token = request.headers().get("x-auth-token").and_then(|token| token.to_str().ok());
        let is_good = token.and_then(|token| known.look_up(token)).is_some_and(|issued| !issued.revoked);
        async move { Ok::<_, BoxError>(if is_good { versions() } else { refused() }) }
    });
    let nova = Nova::new(&keystone, || seconds(0));
    let layer = AuthLayer::new(plugin.clone()).discovery(Transport::new(guarded)).endpoint(newest());
    let service = ServiceBuilder::new().layer(layer).service(nova.clone());
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    keystone.revoke();
    assert_eq!(Oneshot::new(service, get()).await.unwrap().status(), 200);
    assert_eq!((keystone.logins(), nova.seen().len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_version_document_that_no_token_opens_costs_no_more_logins_than_a_service_that_refuses_all() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let closed = service_fn(|_: Request<Full<Bytes>>| async { Ok::<_, BoxError>(refused()) });
    let layer = AuthLayer::new(plugin.clone()).discovery(Transport::new(closed)).endpoint(newest());
    let service = ServiceBuilder::new().layer(layer).service(Nova::new(&keystone, || seconds(0)));
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    for _ in 0..50 {
        let error = Oneshot::new(service.clone(), get()).await.unwrap_err();
        assert!(matches!(Error::find(&*error), Some(Error::DiscoveryFailure(_))), "{error}");
        pass(1).await;
    }
    assert_eq!(keystone.logins(), 4);
}

#[tokio::test(start_paused = true)]
async fn credentials_that_find_out_the_version_come_no_earlier_than_keystone_asks() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let busy = service_fn(move |_: Request<Full<Bytes>>| {
        counted.fetch_add(1, Ordering::Relaxed);
        let answer = Response::builder().status(503).header("retry-after", "120");
        async move { Ok::<_, BoxError>(answer.body(Full::<Bytes>::default())?) }
    });
    let alice = User::new().username("alice").user_domain_name("Default");
    let credentials = GenericCredentials::password("https://keystone.test/", alice, "wonderland");
    let plugin = RenewingPlugin::new(credentials, Transport::new(busy)).clock(Time::new());
    for _ in 0..119 {
        assert!(token(&plugin).await.is_err());
        pass(1).await;
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    pass(1).await;
    assert!(token(&plugin).await.is_err());
    assert!(asked.load(Ordering::Relaxed) > 1);
}
