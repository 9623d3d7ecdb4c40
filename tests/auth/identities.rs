//! Requests with an `Identity`: it replaces the plugin of the layer wherever that is used.

use std::time::Duration;

use http::{HeaderMap, Request, Response, request::Parts};
use http_body_util::Full;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt,
    limit::ConcurrencyLimit,
    retry::{Retry, RetryLayer},
};
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, Auth, AuthLayer, AuthMethod, EndpointFilter, Error, Identity,
    IdentityPlugin, Interface, Microversion, PluginPool, ReauthPolicy, RedirectPolicy, RenewingPlugin,
    RetryPolicy, Scope, TokenRejected, Unauthenticated, User, V3Credentials,
    fixture::{CatalogService, Cloud, V3Token},
};
use tower_test::mock;

use crate::{support::*, untouched::Untouched};

pub(crate) const USER_NOVA: &str = "https://nova.user.example.com/v2.1";

pub(crate) fn untouched() -> AuthLayer<Untouched> {
    AuthLayer::new(Untouched).endpoint(EndpointFilter::new("compute"))
}

/// Returns the access info of a user in the project `project-1`, whose Nova is at [`USER_NOVA`].
pub(crate) fn user_access_info() -> AccessInfo {
    let nova = CatalogService::new("compute").standard_endpoints("RegionOne", USER_NOVA);
    V3Token::new("user-1", "bob")
        .project("project-1", "demo")
        .service(&nova)
        .access_info("user-token")
        .unwrap()
}

pub(crate) fn user() -> AccessInfoPlugin {
    AccessInfoPlugin::new(user_access_info())
}

pub(crate) fn get_as(identity: impl IdentityPlugin, uri: &str) -> Request<()> {
    Request::get(uri).extension(Identity::new(identity)).body(()).unwrap()
}

pub(crate) fn service_tokens(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all("x-service-token").iter().map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn the_token_and_the_endpoint_are_those_of_the_identity() {
    let seen = sent(&untouched(), get_as(user(), "/servers")).await;
    assert_eq!(seen.uri.to_string(), format!("{USER_NOVA}/servers"));
    assert_eq!(tokens(&seen), ["user-token"]);
    assert!(seen.headers["x-auth-token"].is_sensitive());
    assert!(seen.extensions.is_empty(), "the identity is removed from the request");
}

#[tokio::test]
async fn requests_with_and_without_an_identity_alternate() {
    let layer = AuthLayer::new(fixed_token()).endpoint(EndpointFilter::new("compute"));
    let inner = Inner::new();
    for request in [get("/a"), get_as(user(), "/b"), get("/c"), get_as(fixed_token(), "/d")] {
        send(&layer, &inner, request).await.unwrap();
    }
    assert_eq!(inner.tokens(), ["token-1", "user-token", "token-1", "token-1"]);
    assert_eq!(inner.uris()[1], format!("{USER_NOVA}/b"));
}

#[tokio::test]
async fn other_extensions_of_the_request_count_too() {
    let mut request = get_as(fixed_token(), "/servers");
    request.extensions_mut().insert(EndpointFilter::new("compute").region("RegionTwo"));
    request.extensions_mut().insert(Microversion::new("2.79"));
    let seen = sent(&untouched(), request).await;
    assert_eq!(seen.uri, "https://nova.two.example.com/v2.1/servers");
    assert_eq!(tokens(&seen), ["token-1"]);
    assert_eq!(seen.headers["openstack-api-version"], "compute 2.79");
}

#[tokio::test]
async fn an_identity_whose_access_is_ready_is_sent_within_call() {
    let layer = AuthLayer::new(fixed_token()).endpoint(EndpointFilter::new("compute")).send_service_token();
    for layer in [AuthLayer::new(fixed_token()).endpoint(EndpointFilter::new("compute")), layer] {
        let inner = Inner::new();
        let mut service = layer.layer(inner.clone());
        let clones = inner.clones();
        let response = service.ready().await.unwrap().call(get_as(user(), "/servers"));
        assert_eq!((inner.count(), inner.clones()), (1, clones));
        assert_eq!(format!("{response:?}"), "ResponseFuture(sent)");
    }
}

#[tokio::test]
async fn a_request_that_waits_for_its_identity_releases_its_readiness() {
    let plugin = ScriptedPlugin::default();
    let release = plugin.hold();
    let inner = Inner::new();
    let limited = untouched().layer(ConcurrencyLimit::new(inner.clone(), 1));
    let (mut one, mut other) = (mock::Spawn::new(limited.clone()), mock::Spawn::new(limited));

    assert_ready_ok!(one.poll_ready());
    let mut waiting = task::spawn(one.call(get_as(plugin.clone(), "/first")));
    assert_pending!(waiting.poll());
    assert_ready_ok!(other.poll_ready());
    assert_ready_ok!(task::spawn(other.call(get_as(user(), "/second"))).poll());
    release.send(()).unwrap();
    assert!(waiting.is_woken());
    assert_ready_ok!(waiting.poll());
    assert_eq!(inner.tokens(), ["user-token", "token-1"]);
}

#[tokio::test]
async fn a_request_that_waited_gets_the_current_token_of_its_identity() {
    let plugin = ScriptedPlugin::default();
    let release = plugin.hold();
    let inner = Inner::new();
    let mut service = untouched().layer(inner.clone());
    let mut late = task::spawn(service.ready().await.unwrap().call(get_as(plugin.clone(), "/servers")));
    assert_pending!(late.poll());
    release.send(()).unwrap();
    let rejected = plugin.access().await.unwrap();
    plugin.invalidate(&rejected, &origin(NOVA));
    assert_ready_ok!(late.poll());
    assert_eq!(inner.tokens(), ["token-2"]);
}

#[tokio::test]
async fn an_error_of_the_identity_fails_its_request_only() {
    let plugin = ScriptedPlugin::default();
    plugin.fail(Error::NoToken);
    let layer = AuthLayer::new(fixed_token()).endpoint(to_nova());
    assert!(matches!(refused(&layer, get_as(plugin, "/servers")).await, Error::NoToken));
    assert_eq!(tokens(&sent(&layer, get("/servers")).await), ["token-1"]);
}

#[tokio::test]
async fn a_401_is_reported_to_the_identity_only() {
    let plugin = ScriptedPlugin::default();
    let inner = Inner::with_statuses([401]);
    let response = send(&untouched(), &inner, get_as(plugin.clone(), "/servers")).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&TokenRejected::Renewable));
    assert_eq!(plugin.invalidated()[0].auth_ref().unwrap().auth_token(), Some("token-1"));
    send(&untouched(), &inner, get_as(plugin.clone(), "/servers")).await.unwrap();
    assert_eq!(inner.tokens(), ["token-1", "token-2"]);

    let waiting = ScriptedPlugin::default();
    drop(waiting.hold());
    let inner = Inner::with_statuses([401]);
    send(&untouched(), &inner, get_as(waiting.clone(), "/servers")).await.unwrap();
    assert_eq!(waiting.invalidated().len(), 1);
}

#[tokio::test]
async fn a_401_is_final_if_the_identity_cannot_renew() {
    let layer = AuthLayer::new(ScriptedPlugin::default()).endpoint(EndpointFilter::new("compute"));
    let inner = Inner::with_statuses([401]);
    let stack = ServiceBuilder::new().layer(RetryLayer::new(ReauthPolicy::new())).layer(layer);
    let response = stack.service(inner.clone()).oneshot(get_as(user(), "/servers")).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.extensions().get(), Some(&TokenRejected::Final));
    assert_eq!(inner.tokens(), ["user-token"]);
}

#[tokio::test]
async fn an_absolute_uri_may_lead_to_the_catalog_of_the_identity_only() {
    let layer = AuthLayer::new(fixed_token()).endpoint(to_nova());
    let seen = sent(&layer, get_as(user(), &format!("{USER_NOVA}/servers"))).await;
    assert_eq!(tokens(&seen), ["user-token"]);
    let error = refused(&layer, get_as(user(), &format!("{NOVA}/servers"))).await;
    assert!(matches!(error, Error::OriginNotAllowed { .. }));
    let error = refused(&layer, get(&format!("{USER_NOVA}/servers"))).await;
    assert!(matches!(error, Error::OriginNotAllowed { .. }));
}

#[tokio::test]
async fn an_absolute_uri_may_lead_to_the_auth_url_of_the_identity_only() {
    let layer = AuthLayer::new(fixed_token().auth_url(uri(AUTH_URL)));
    let error = refused(&layer, get_as(user(), AUTH_URL)).await;
    assert!(matches!(error, Error::OriginNotAllowed { .. }));

    let user = user().auth_url(uri(AUTH_URL));
    assert_eq!(tokens(&sent(&untouched(), get_as(user.clone(), AUTH_URL)).await), ["user-token"]);
    let layer = AuthLayer::new(fixed_token());
    assert!(matches!(refused(&layer, get(AUTH_URL)).await, Error::OriginNotAllowed { .. }));
}

#[tokio::test]
async fn the_origins_that_the_layer_allows_count_for_identities() {
    let url = "https://other.example.com/";
    let layer = AuthLayer::new(fixed_token()).allow_origin(&uri(url)).unwrap();
    assert_eq!(tokens(&sent(&layer, get_as(user(), url)).await), ["user-token"]);

    let layer = untouched().require_https();
    let http = CatalogService::new("compute").standard_endpoints("RegionOne", "http://nova.example.com");
    let plugin = AccessInfoPlugin::new(V3Token::new("u", "u").service(&http).access_info("t").unwrap());
    assert!(matches!(refused(&layer, get_as(plugin, "/servers")).await, Error::HttpsRequired { .. }));
}

#[tokio::test]
async fn the_auth_interface_is_the_auth_url_of_the_identity() {
    let filter = EndpointFilter::new("identity").interface(Interface::Auth);
    let own = fixed_token().auth_url(uri("https://own.example.com/v3"));
    for layer in [AuthLayer::new(own), AuthLayer::new(fixed_token())] {
        let layer = layer.endpoint(filter.clone());
        let inner = Inner::new();
        for _ in 0..2 {
            for host in ["a", "b"] {
                let identity = user().auth_url(uri(&format!("https://{host}.example.com/v3")));
                send(&layer, &inner, get_as(identity, "/users")).await.unwrap();
            }
            assert!(matches!(refused(&layer, get_as(user(), "/users")).await, Error::NoAuthUrl));
            // The URL of the layer is parsed after one of an identity.
            let _ = send(&layer, &inner, get("/users")).await;
        }
        let uris = inner.uris().into_iter().filter(|uri| !uri.starts_with("https://own")).collect::<Vec<_>>();
        let (a, b) = ("https://a.example.com/v3/users", "https://b.example.com/v3/users");
        assert_eq!(uris, [a, b, a, b]);
        assert!(inner.seen().iter().all(|seen| {
            let token = if seen.uri.host() == Some("own.example.com") { "token-1" } else { "user-token" };
            tokens(seen) == [token]
        }));
    }
    let identity = user().auth_url(uri(AUTH_URL));
    let seen = sent(&untouched().endpoint(filter), get_as(identity, "/users")).await;
    assert_eq!(seen.uri.to_string(), format!("{AUTH_URL}/users"));
}

#[tokio::test]
async fn an_endpoint_override_gets_the_ids_of_the_identity() {
    let filter = EndpointFilter::new("volume")
        .endpoint_override("https://cinder.example.com/%(project_id)s/%(user_id)s");
    let layer = untouched().endpoint(filter);
    let relative = sent(&layer, get_as(user(), "/volumes")).await;
    assert_eq!(relative.uri, "https://cinder.example.com/project-1/user-1/volumes");
    let absolute = sent(&layer, get_as(user(), "https://cinder.example.com/")).await;
    assert_eq!(tokens(&absolute), ["user-token"]);
}

#[tokio::test]
async fn an_unauthenticated_request_uses_the_catalog_of_its_identity() {
    for layer in [untouched(), untouched().send_service_token()] {
        let mut request = get_as(user(), "/");
        request.extensions_mut().insert(Unauthenticated);
        let inner = Inner::with_statuses([401]);
        let response = send(&layer, &inner, request).await.unwrap();
        assert!(response.extensions().get::<TokenRejected>().is_none());
        assert_eq!(inner.uris(), [format!("{USER_NOVA}/")]);
        assert!(inner.seen()[0].headers.is_empty());
    }
}

#[tokio::test]
async fn a_token_set_by_the_caller_is_kept_unless_it_is_overwritten() {
    let request = || {
        let mut request = get_as(user(), "/servers");
        request.headers_mut().insert("x-auth-token", "own".parse().unwrap());
        request
    };
    for layer in [untouched(), untouched().send_service_token()] {
        let inner = Inner::with_statuses([401]);
        let response = send(&layer, &inner, request()).await.unwrap();
        assert!(response.extensions().get::<TokenRejected>().is_none());
        assert_eq!(inner.uris(), [format!("{USER_NOVA}/servers")]);
        assert_eq!(inner.tokens(), ["own"]);
        assert!(service_tokens(&inner.seen()[0].headers).is_empty());
    }
    assert_eq!(tokens(&sent(&untouched().overwrite_token(), request()).await), ["user-token"]);
}

#[tokio::test(start_paused = true)]
async fn an_identity_survives_retries() {
    for layer in [untouched(), untouched().require_identity()] {
        let inner = Inner::with_statuses([503, 401, 503]);
        let response = retrying(layer, &inner).oneshot(get_as(ScriptedPlugin::default(), "/servers")).await;
        assert_eq!(response.unwrap().status(), 200);
        assert_eq!(inner.tokens(), ["token-1", "token-1", "token-2", "token-2"]);
    }
}

type Retrying<S> = Retry<ReauthPolicy<()>, Retry<RetryPolicy<()>, S>>;

fn retrying(layer: AuthLayer<Untouched>, inner: &Inner) -> Retrying<Auth<Untouched, Inner>> {
    ServiceBuilder::new()
        .layer(RetryLayer::new(ReauthPolicy::new()))
        .layer(RetryLayer::new(RetryPolicy::new().status_code_retries(2)))
        .layer(layer)
        .service(inner.clone())
}

type Body = Full<bytes::Bytes>;

/// Sends a request that is redirected to `location` through a redirect policy outside of the layer.
async fn redirected(location: &'static str) -> (Inner<Body>, Result<Response<()>, tower::BoxError>) {
    let nova = CatalogService::new("compute").standard_endpoints("RegionOne", USER_NOVA);
    let other = CatalogService::new("other").standard_endpoints("RegionOne", "https://other.example.com");
    let user = V3Token::new("u", "u").service(&nova).service(&other).access_info("user-token").unwrap();
    redirected_with(location, |request| request.extension(Identity::new(AccessInfoPlugin::new(user)))).await
}

async fn redirected_with(
    location: &'static str,
    complete: impl FnOnce(http::request::Builder) -> http::request::Builder,
) -> (Inner<Body>, Result<Response<()>, tower::BoxError>) {
    let inner = Inner::<Body>::respond_with(move |request: &Parts| match request.uri.path() {
        "/v2.1/old" => Response::builder().status(302).header("location", location).body(()).unwrap(),
        _ => status(200),
    });
    let service = ServiceBuilder::new()
        .layer(FollowRedirectLayer::with_policy(RedirectPolicy::new()))
        .layer(untouched().require_identity())
        .service(inner.clone());
    let request = complete(Request::get(format!("{USER_NOVA}/old"))).body(Body::default()).unwrap();
    let result = service.oneshot(request).await;
    (inner, result)
}

#[tokio::test]
async fn an_identity_survives_redirects() {
    for location in ["new", "https://other.example.com/new"] {
        let (inner, result) = redirected(location).await;
        assert_eq!(result.unwrap().status(), 200);
        assert_eq!(inner.tokens(), ["user-token", "user-token"]);
    }
    let (inner, result) = redirected("https://evil.example.org/").await;
    let error = result.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::OriginNotAllowed { .. })), "{error}");
    assert_eq!(inner.count(), 1);
}

#[tokio::test]
async fn a_request_without_a_required_identity_is_refused() {
    let layer = untouched().require_identity();
    for uri in ["/servers", "https://nova.example.com/v2.1/servers"] {
        assert!(matches!(refused(&layer, get(uri)).await, Error::NoIdentity));
    }
    let mut request = get("/servers");
    request.extensions_mut().insert(EndpointFilter::new("compute").microversion("2.79"));
    request.extensions_mut().insert(Microversion::new("2.79"));
    assert!(matches!(refused(&layer.clone().send_service_token(), request).await, Error::NoIdentity));

    let mut request = get("/servers");
    request.headers_mut().insert("x-auth-token", "own".parse().unwrap());
    assert!(matches!(refused(&layer.overwrite_token(), request).await, Error::NoIdentity));
}

#[tokio::test]
async fn the_refusal_of_a_request_without_an_identity_is_not_retried() {
    let inner = Inner::new();
    let error = retrying(untouched().require_identity(), &inner).oneshot(get("/servers")).await.unwrap_err();
    let error = Error::find(&*error).unwrap();
    assert!(matches!(error, Error::NoIdentity) && !error.is_transient(), "{error}");
    assert_eq!(inner.count(), 0);
}

#[tokio::test]
async fn a_required_identity_is_that_of_requests_which_need_a_token() {
    let layer = AuthLayer::new(fixed_token()).endpoint(EndpointFilter::new("compute")).require_identity();
    assert_eq!(tokens(&sent(&layer, get_as(user(), "/servers")).await), ["user-token"]);

    let mut unauthenticated = get("/servers");
    unauthenticated.extensions_mut().insert(Unauthenticated);
    assert!(tokens(&sent(&layer, unauthenticated).await).is_empty());
    let mut own = get("/servers");
    own.headers_mut().insert("x-auth-token", "own".parse().unwrap());
    assert_eq!(tokens(&sent(&layer, own).await), ["own"]);

    let seen = sent(&layer.send_service_token(), get_as(user(), "/servers")).await;
    assert_eq!((tokens(&seen), service_tokens(&seen.headers)), (vec!["user-token"], vec!["token-1"]));
}

/// The token of the caller stays behind, and the redirected request carries none.
#[tokio::test]
async fn a_request_with_a_token_of_the_caller_can_be_redirected_without_a_required_identity() {
    let own = |request: http::request::Builder| request.header("x-auth-token", "own");
    let (inner, result) = redirected_with("new", own).await;
    assert_eq!(result.unwrap().status(), 200);
    assert_eq!(inner.tokens(), ["own", "own"]);
    let (inner, result) = redirected_with("https://evil.example.org/", own).await;
    assert_eq!(result.unwrap().status(), 200);
    assert_eq!((inner.tokens(), inner.count()), (vec!["own".to_owned()], 2));
}

#[test]
fn an_identity_does_not_show_its_plugin() {
    assert_eq!(format!("{:?}", Identity::new(user())), "Identity");
}

#[tokio::test]
async fn an_identity_is_a_plugin_itself() {
    let plugin = ScriptedPlugin::default();
    let identity = Identity::new(plugin.clone());
    let inner = Inner::with_statuses([401]);
    send(&AuthLayer::new(identity.clone()), &inner, get(NOVA)).await.unwrap();
    assert_eq!(plugin.invalidated().len(), 1);
    assert!(identity.auth_url().is_none());
    let with_url = Identity::new(user().auth_url(uri(AUTH_URL)));
    assert_eq!(with_url.auth_url(), Some(&uri(AUTH_URL)));
}

#[tokio::test]
async fn many_identities_share_one_stack_and_one_pool() {
    let cloud = (0..20).fold(Cloud::new([("compute", "nova")]).project("demo"), |cloud, number| {
        cloud.user(&format!("user-{number}"), &format!("password-{number}"))
    });
    let pool = PluginPool::new(100);
    let identity = |number: usize| {
        pool.get_or_insert_with(number, || {
            let user = User::new().username(format!("user-{number}")).user_domain_name("Default");
            let method = AuthMethod::password(user, format!("password-{number}"));
            let credentials = V3Credentials::new(cloud.keystone().auth_url(), method)
                .scope(Scope::new().project_name("demo").project_domain_name("Default"));
            Identity::new(RenewingPlugin::new(credentials, cloud.transport()))
        })
    };
    let stack = ServiceBuilder::new()
        .layer(RetryLayer::new(ReauthPolicy::new()))
        .layer(untouched())
        .service(cloud.clone());
    for round in 0..3 {
        for number in 0..20 {
            let request = Request::get(format!("/servers/{number}"))
                .extension(identity(number))
                .body(Body::default())
                .unwrap();
            assert_eq!(stack.clone().oneshot(request).await.unwrap().status(), 200, "{round} {number}");
        }
        assert_eq!(cloud.keystone().logins(), if round == 2 { 21 } else { 20 });
        if round == 1 {
            let access = identity(7).access().await.unwrap();
            cloud.keystone().revoke(access.auth_ref().unwrap().auth_token().unwrap());
        }
    }
    assert_eq!(pool.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_slow_login_of_one_identity_delays_no_other() {
    let slow = ScriptedPlugin::default();
    let _held = slow.hold();
    let inner = Inner::new();
    let service = untouched().layer(tower::buffer::Buffer::new(ConcurrencyLimit::new(inner.clone(), 1), 2));
    let waiting: Vec<_> =
        (0..50).map(|_| tokio::spawn(service.clone().oneshot(get_as(slow.clone(), "/slow")))).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..50 {
        within_a_day(service.clone().oneshot(get_as(user(), "/servers"))).await.unwrap();
    }
    waiting.iter().for_each(|waiting| waiting.abort());
}
