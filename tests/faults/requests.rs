//! Bodies, methods, redirects and tokens of requests.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tokio::sync::Semaphore;
use tower::{
    BoxError, Layer, ServiceBuilder,
    retry::Retry,
    util::{BoxCloneService, Oneshot},
};
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_keystone::{
    AccessInfoPlugin, AuthLayer, EndpointFilter, Error, IdentityPlugin, ReauthPolicy, RedirectPolicy,
    RenewingPlugin, ServiceTokenAuthWrapper, TokenRejected,
    endpoint::Origin,
    fixture::{CatalogService, V3Token},
};

use crate::{
    layer::{self, Inner, NOVA, access_info, to_nova},
    support::*,
};

cases![
    paused c01_a_body_that_cannot_be_replayed_is_sent_once_and_complete,
    paused c03_a_rejected_request_of_any_method_is_sent_twice_but_a_failed_one_once,
    paused c04_no_redirect_sends_a_token_to_another_origin,
    paused c08_an_inner_layer_can_deny_link_local_addresses,
    paused c09_a_token_set_by_the_caller_is_sent_and_its_rejection_causes_no_renewal,
    paused c13_a_new_catalog_is_used_at_once_and_the_previous_one_is_still_allowed,
];

/// The requests that a service has read: whether it accepted the token, the method and the body.
type Read = Arc<Mutex<Vec<(bool, Method, Bytes)>>>;

/// Returns a service that reads the whole body, then validates the token.
fn reading_service<B>(
    keystone: &ScriptedKeystone,
) -> (Read, BoxCloneService<Request<B>, Response<()>, BoxError>)
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError> + std::fmt::Debug> + Send + 'static,
{
    let read: Read = Arc::default();
    let (log, keystone) = (Arc::clone(&read), keystone.clone());
    let service = tower::service_fn(move |request: Request<B>| {
        let (log, keystone) = (Arc::clone(&log), keystone.clone());
        async move {
            let token = request.headers()["x-auth-token"].to_str()?;
            let is_accepted = keystone.issued_token(token).is_some_and(|issued| !issued.revoked);
            let method = request.method().clone();
            let body = request.into_body().collect().await.map_err(Into::into)?.to_bytes();
            log.lock().unwrap().push((is_accepted, method, body));
            Ok(Response::builder().status(if is_accepted { 200 } else { 401 }).body(())?)
        }
    });
    (read, BoxCloneService::new(service))
}

/// A body of three parts that cannot be cloned.
struct Stream(VecDeque<&'static str>);

fn stream() -> Stream {
    Stream(["part 1, ", "part 2, ", "part 3"].into())
}

impl Body for Stream {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.pop_front().map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes())))))
    }
}

async fn c01_a_body_that_cannot_be_replayed_is_sent_once_and_complete() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    token(&plugin).await.unwrap();
    keystone.revoke();
    let (read, nova) = reading_service(&keystone);
    let layer = AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute"));
    let service = Retry::new(ReauthPolicy::with_clone_body(|_| None), layer.layer(nova));
    let upload = || Request::put("/image").body(stream()).unwrap();

    let rejected = Oneshot::new(service.clone(), upload()).await.unwrap();
    assert_eq!(rejected.status(), 401);
    assert!(!rejected.extensions().get::<TokenRejected>().unwrap().is_final(), "a retry can succeed");
    assert_eq!(Oneshot::new(service, upload()).await.unwrap().status(), 200);
    let whole = Bytes::from_static(b"part 1, part 2, part 3");
    let sent = [(false, Method::PUT, whole.clone()), (true, Method::PUT, whole)];
    assert_eq!(*read.lock().unwrap(), sent);
    assert_eq!(keystone.logins(), 2);
}

async fn c03_a_rejected_request_of_any_method_is_sent_twice_but_a_failed_one_once() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    let layer = AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("compute"));
    for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        token(&plugin).await.unwrap();
        let logins = keystone.logins();
        keystone.revoke();
        let (read, nova) = reading_service(&keystone);
        let service = Retry::new(ReauthPolicy::new(), layer.layer(nova));
        let body = Bytes::from_static(b"{}");
        let request =
            || Request::builder().method(&method).uri("/servers").body(Full::new(body.clone())).unwrap();
        assert_eq!(Oneshot::new(service, request()).await.unwrap().status(), 200);
        let sent = [(false, method.clone(), body.clone()), (true, method.clone(), body.clone())];
        assert_eq!(*read.lock().unwrap(), sent, "accepted exactly once");
        assert_eq!(keystone.logins(), logins + 1);

        // After a connection error, it is unknown whether the service has processed the request.
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let broken = tower::service_fn(move |_: Request<Full<Bytes>>| {
            counter.fetch_add(1, Ordering::Relaxed);
            async { Err::<Response<()>, _>(BoxError::from(io::Error::from(io::ErrorKind::ConnectionReset))) }
        });
        let service = Retry::new(ReauthPolicy::new(), layer.layer(broken));
        let error = Oneshot::new(service, request()).await.unwrap_err();
        assert_eq!(error.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!((requests.load(Ordering::Relaxed), keystone.logins()), (1, logins + 1));
        sleep_secs(61).await;
    }
}

/// The headers that carry a token.
const TOKENS: [&str; 2] = ["x-auth-token", "x-service-token"];

async fn c04_no_redirect_sends_a_token_to_another_origin() {
    let user = || AccessInfoPlugin::new(access_info("token-1"));
    let service_token = || AccessInfoPlugin::new(access_info("token-2"));
    let mut followed = 0;
    for code in [301, 302, 303, 307, 308] {
        for to in [
            "https://evil.example.org/servers",
            "//evil.example.org/servers",
            "http://nova.example.com/v2.1/new",
            "https://nova.example.com:8443/v2.1/new",
            "https://alice@nova.example.com/v2.1/new",
            "https://nova.example.com@evil.example.org/v2.1/new",
            "https://nova.example.com./v2.1/new",
            "https://nova.example.com.evil.example.org/",
        ] {
            for inside in [true, false] {
                let inner = Inner::<Full<Bytes>>::respond_with(move |request| match request.uri.path() {
                    "/v2.1/old" => Response::builder().status(code).header("location", to).body(()).unwrap(),
                    _ => layer::status(200),
                });
                let auth =
                    AuthLayer::new(ServiceTokenAuthWrapper::new(user(), service_token())).endpoint(to_nova());
                let follow = FollowRedirectLayer::with_policy(RedirectPolicy::new());
                let old = Request::get(format!("{NOVA}/old")).body(Full::default()).unwrap();
                let result = match inside {
                    true => {
                        let service = ServiceBuilder::new().layer(auth).layer(follow).service(inner.clone());
                        Oneshot::new(service, old).await.map(drop)
                    }
                    false => {
                        let service = ServiceBuilder::new().layer(follow).layer(auth).service(inner.clone());
                        Oneshot::new(service, old).await.map(drop)
                    }
                };
                let seen = inner.seen();
                assert!(TOKENS.iter().all(|name| seen[0].headers.contains_key(*name)));
                followed += seen.len() - 1;
                for parts in &seen[1..] {
                    assert!(inside, "{code} {to}: sent to {} in spite of {result:?}", parts.uri);
                    assert!(!TOKENS.iter().any(|name| parts.headers.contains_key(*name)), "{code} {to}");
                }
            }
        }
    }
    // Five of the eight redirects are followed without a token. Plain http and ambiguous URLs are not followed.
    assert_eq!(followed, 5 * 5);
}

/// The crate has no option for this. An inner layer sees the resolved URL and can deny it. `require_https` excludes
/// metadata services, which use plain http.
async fn c08_an_inner_layer_can_deny_link_local_addresses() {
    for address in ["http://169.254.169.254/latest", "http://[fe80::1]:8774/v2.1", "https://10.0.0.7/v2.1"] {
        let nova = CatalogService::new("compute").standard_endpoints("RegionOne", address);
        let access_info = V3Token::new("u1", "alice").service(&nova).access_info("token-1").unwrap();
        let auth =
            AuthLayer::new(AccessInfoPlugin::new(access_info)).endpoint(EndpointFilter::new("compute"));
        let inner = Inner::new();
        let response = Oneshot::new(auth.layer(inner.clone()), get()).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), inner.count()),
            (200, 1),
            "private clouds use such addresses"
        );
        assert!(inner.uris()[0].starts_with(address));

        let link_local = |request: Request<()>| match request.uri().host() {
            Some(host) if host.starts_with("169.254.") || host.starts_with("[fe80:") => {
                Err(BoxError::from("link-local addresses are denied"))
            }
            _ => Ok(request),
        };
        let inner = Inner::new();
        let filtered = ServiceBuilder::new().layer(auth.clone()).filter(link_local).service(inner.clone());
        let denied = Oneshot::new(filtered, get()).await.is_err();
        assert_eq!((denied, inner.count()), if address.contains("//10.") { (false, 1) } else { (true, 0) });

        let inner = Inner::new();
        let strict = Oneshot::new(auth.require_https().layer(inner.clone()), get()).await;
        assert_eq!(inner.count(), usize::from(address.starts_with("https:")));
        assert_eq!(strict.is_ok(), address.starts_with("https:"));
    }
}

async fn c09_a_token_set_by_the_caller_is_sent_and_its_rejection_causes_no_renewal() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    token(&plugin).await.unwrap();
    let layer = AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("compute"));
    let own = || Request::get("/servers").header("x-auth-token", "own").body(()).unwrap();
    let inner = Inner::with_statuses([401, 401]);
    let response = Oneshot::new(layer.layer(inner.clone()), own()).await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(response.extensions().get::<TokenRejected>().is_none());
    assert_eq!(token_without_waiting(&plugin).unwrap().unwrap(), "token-1");

    let overwriting = layer.overwrite_token();
    let response = Oneshot::new(overwriting.layer(inner.clone()), own()).await.unwrap();
    assert!(response.extensions().get::<TokenRejected>().is_some());
    assert_eq!(inner.tokens(), ["own", "token-1"]);
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!((inner.count(), keystone.logins()), (2, 2));
}

async fn c13_a_new_catalog_is_used_at_once_and_the_previous_one_is_still_allowed() {
    let servers = Servers::new(|_, before| {
        let generation = before + 1;
        let url = format!("https://nova{generation}.test/v2.1");
        let nova = CatalogService::new("compute").standard_endpoints("RegionOne", &url);
        let token = V3Token::new("u1", "alice").service(&nova);
        token_response(&format!("token-{generation}"), token.document())
    });
    let plugin = RenewingPlugin::new(password(), servers.transport());
    let layer = AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("compute"));
    let inner = Inner::new();
    let send = |url: &str| Oneshot::new(layer.layer(inner.clone()), layer::get(url));

    send("/servers").await.unwrap();
    // This request is in flight when the catalog changes.
    let gate = Arc::new(Semaphore::new(0));
    let closed = Arc::clone(&gate);
    let slow = tower::service_fn(move |request: Request<()>| {
        let closed = Arc::clone(&closed);
        async move {
            let _ = closed.acquire().await;
            Ok::<_, BoxError>(Response::new(request.uri().host().map(str::to_owned)))
        }
    });
    let in_flight = tokio::spawn(Oneshot::new(layer.layer(slow), layer::get("/servers")));
    settle().await;

    plugin.renew().await.unwrap();
    gate.add_permits(1);
    assert_eq!(in_flight.await.unwrap().unwrap().into_body().as_deref(), Some("nova1.test"));
    send("/servers").await.unwrap();
    send("https://nova1.test/v2.1/servers?marker=7").await.unwrap();
    // A rejection in between does not change this.
    let by = Origin::from_uri(&layer::uri("https://nova2.test/")).unwrap();
    assert!(plugin.invalidate(&plugin.access().await.unwrap(), &by));
    send("/servers").await.unwrap();
    send("https://nova2.test/v2.1/servers?marker=7").await.unwrap();
    let error = send("https://nova1.test/v2.1/servers?marker=7").await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::OriginNotAllowed { .. })), "{error}");
    assert_eq!(
        inner.uris(),
        [
            "https://nova1.test/v2.1/servers",
            "https://nova2.test/v2.1/servers",
            "https://nova1.test/v2.1/servers?marker=7",
            "https://nova3.test/v2.1/servers",
            "https://nova2.test/v2.1/servers?marker=7",
        ]
    );
    assert_eq!(inner.tokens(), ["token-1", "token-2", "token-2", "token-3", "token-3"]);
    assert_eq!(servers.posts().len(), 3);
}
