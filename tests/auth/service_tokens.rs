//! Requests with an `Identity` and the token of the layer's plugin as `X-Service-Token`.

use http::{Request, Response};
use http_body_util::Full;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt, limit::ConcurrencyLimit, retry::RetryLayer, service_fn,
};
use tower_keystone::{
    AccessInfoPlugin, AuthLayer, EndpointFilter, Error, FixedEndpointPlugin, RaiseForStatusLayer,
    ReauthPolicy, ServiceTokenAuthWrapper,
};
use tower_test::mock;

use crate::{
    identities::{USER_NOVA, get_as, service_tokens, untouched, user},
    support::*,
};

/// A plugin for a service account, with `service-1`, `service-2` and so on.
fn service_layer(service: &ScriptedPlugin) -> AuthLayer<ScriptedPlugin> {
    AuthLayer::new(service.clone()).endpoint(EndpointFilter::new("compute")).send_service_token()
}

#[tokio::test]
async fn the_service_token_is_added_to_requests_with_an_identity() {
    let service = ScriptedPlugin::default();
    let layer = service_layer(&service);
    for uri in ["/servers".to_owned(), format!("{USER_NOVA}/servers")] {
        let seen = sent(&layer, get_as(user(), &uri)).await;
        assert_eq!(seen.uri.to_string(), format!("{USER_NOVA}/servers"));
        assert_eq!((tokens(&seen), service_tokens(&seen.headers)), (vec!["user-token"], vec!["token-1"]));
        assert!(seen.headers["x-service-token"].is_sensitive());
    }
    let mut request = get_as(user(), "/servers");
    request.headers_mut().insert("x-service-token", "of the caller".parse().unwrap());
    assert_eq!(service_tokens(&sent(&layer, request).await.headers), ["token-1"]);

    let seen = sent(&layer, get("/servers")).await;
    assert_eq!((tokens(&seen), service_tokens(&seen.headers)), (vec!["token-1"], vec![]));
}

/// The token of a service says that it acts for the user of the other token. Without that one it would act for nobody.
#[tokio::test]
async fn the_service_token_is_not_sent_without_a_token_of_the_user() {
    let no_auth = FixedEndpointPlugin::no_auth(uri("https://ironic.example.com")).unwrap();
    let basic =
        FixedEndpointPlugin::http_basic(uri("https://ironic.example.com"), "bob", &"pw".into()).unwrap();
    for identity in [no_auth, basic] {
        let layer = service_layer(&ScriptedPlugin::default());
        let seen = sent(&layer, get_as(identity.clone(), "/nodes")).await;
        assert_eq!((tokens(&seen), service_tokens(&seen.headers)), (vec![], vec![]));

        let wrapper = ServiceTokenAuthWrapper::new(identity, ScriptedPlugin::default());
        let seen = sent(&AuthLayer::new(wrapper), get("/nodes")).await;
        assert_eq!((tokens(&seen), service_tokens(&seen.headers)), (vec![], vec![]));
    }
}

#[tokio::test]
async fn without_the_setting_no_service_token_is_sent() {
    assert!(service_tokens(&sent(&untouched(), get_as(user(), "/servers")).await.headers).is_empty());
}

#[tokio::test]
async fn the_origin_of_a_request_with_a_service_token_must_be_known_to_the_identity() {
    let service = ScriptedPlugin::default();
    let error = refused(&service_layer(&service), get_as(user(), NOVA)).await;
    assert!(matches!(error, Error::OriginNotAllowed { .. }));
}

#[tokio::test]
async fn a_request_waits_for_both_tokens_at_the_same_time() {
    for service_first in [false, true] {
        let (service, identity) = (ScriptedPlugin::default(), ScriptedPlugin::default());
        let (release_service, release_identity) = (service.hold(), identity.hold());
        let inner = Inner::new();
        let limited = service_layer(&service).layer(ConcurrencyLimit::new(inner.clone(), 1));
        let (mut one, mut other) = (mock::Spawn::new(limited.clone()), mock::Spawn::new(limited));
        assert_ready_ok!(one.poll_ready());
        let mut waiting = task::spawn(one.call(get_as(identity.clone(), "/servers")));
        assert_pending!(waiting.poll());
        assert_eq!((service.access_calls(), identity.access_calls()), (1, 1));
        assert_ready_ok!(other.poll_ready(), "the request holds no permit");
        drop(other);
        let (first, second) = match service_first {
            true => (release_service, release_identity),
            false => (release_identity, release_service),
        };
        first.send(()).unwrap();
        assert!(waiting.is_woken());
        assert_pending!(waiting.poll());
        second.send(()).unwrap();
        assert!(waiting.is_woken());
        assert_ready_ok!(waiting.poll());
        let seen = inner.seen().remove(0);
        assert_eq!((tokens(&seen), service_tokens(&seen.headers)), (vec!["token-1"], vec!["token-1"]));
    }
}

#[tokio::test]
async fn one_pending_token_is_enough_to_wait() {
    for service_is_pending in [false, true] {
        let (service, identity) = (ScriptedPlugin::default(), ScriptedPlugin::default());
        let release = if service_is_pending { service.hold() } else { identity.hold() };
        let inner = Inner::new();
        let mut auth = service_layer(&service).layer(inner.clone());
        let mut waiting = task::spawn(auth.ready().await.unwrap().call(get_as(identity.clone(), "/servers")));
        assert_pending!(waiting.poll());
        release.send(()).unwrap();
        assert_ready_ok!(waiting.poll());
        let seen = inner.seen().remove(0);
        assert_eq!((tokens(&seen), service_tokens(&seen.headers)), (vec!["token-1"], vec!["token-1"]));
    }
}

#[tokio::test]
async fn a_service_without_a_token_fails_the_request() {
    let service = ScriptedPlugin::default();
    service.fail(Error::Recursion);
    let layer = service_layer(&service);
    assert!(matches!(refused(&layer, get_as(user(), "/servers")).await, Error::Recursion));

    // The login of the user need not end.
    let (service, identity) = (ScriptedPlugin::default(), ScriptedPlugin::default());
    let _held = identity.hold();
    service.fail(Error::Recursion);
    let mut auth = service_layer(&service).layer(Inner::new());
    let mut waiting = task::spawn(auth.ready().await.unwrap().call(get_as(identity, "/servers")));
    let error = assert_ready_err!(waiting.poll());
    assert!(matches!(Error::find(&*error), Some(Error::Recursion)));
}

#[tokio::test]
async fn a_401_of_a_request_with_both_tokens_is_reported_to_the_identity_only() {
    let (service, identity) = (ScriptedPlugin::default(), ScriptedPlugin::default());
    let layer = service_layer(&service);
    let inner = Inner::with_statuses([401]);
    let stack = ServiceBuilder::new().layer(RetryLayer::new(ReauthPolicy::new())).layer(layer);
    let response = stack.service(inner.clone()).oneshot(get_as(identity.clone(), "/servers")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(service.invalidated().is_empty());
    assert_eq!(identity.invalidated().len(), 1);
    assert_eq!(identity.invalidated()[0].auth_ref().unwrap().auth_token(), Some("token-1"));
    assert_eq!(inner.tokens(), ["token-1", "token-2"]);
    assert!(inner.seen().iter().all(|seen| service_tokens(&seen.headers) == ["token-1"]));
}

#[tokio::test]
async fn an_error_shows_neither_of_the_two_tokens() {
    let service = AccessInfoPlugin::new(access_info("secret-of-the-service"));
    let client = service_fn(|request: Request<()>| async move {
        let body = format!(
            "{:?}",
            request.headers().values().map(|value| value.to_str().unwrap()).collect::<Vec<_>>()
        );
        Ok::<_, tower::BoxError>(
            Response::builder().status(403).body(Full::<bytes::Bytes>::from(body)).unwrap(),
        )
    });
    let stack = ServiceBuilder::new()
        .layer(RaiseForStatusLayer::new())
        .layer(AuthLayer::new(service).endpoint(EndpointFilter::new("compute")).send_service_token())
        .service(client);
    let error = stack.oneshot(get_as(user(), "/servers")).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("user-token") && !shown.contains("secret-of-the-service"), "{shown}");
}
