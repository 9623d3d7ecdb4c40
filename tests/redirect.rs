//! `RedirectPolicy` with tower-http's `FollowRedirect` over loopback, with HTTP/1.1 and HTTP/2.

use std::sync::{Arc, Mutex};

use axum::{Router, body::to_bytes, extract::Request as Incoming};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::json;
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt};
use tower_http::follow_redirect::{FollowRedirect, FollowRedirectLayer, RequestUri};
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, AuthLayer, EndpointFilter, Error, Microversion, RedirectPolicy,
    TokenRejected, Unauthenticated,
};

type Body = Full<Bytes>;

/// A request that a server received.
#[derive(Clone, Debug)]
struct ReceivedRequest {
    method: Method,
    path: String,
    version: Version,
    headers: HeaderMap,
    body: Bytes,
}

impl ReceivedRequest {
    /// Returns the names of the headers with secrets.
    fn secret_headers(&self) -> Vec<&str> {
        let named = ["x-auth-token", "x-service-token", "x-subject-token", "authorization", "cookie"];
        named.into_iter().filter(|name| self.headers.contains_key(*name)).collect()
    }
}

/// A server on loopback. It redirects `/moved/<code>/<url>` to the URL and responds with 401 to `/denied`.
struct Server {
    origin: String,
    seen: Arc<Mutex<Vec<ReceivedRequest>>>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&seen);
        let routes = Router::new().fallback(move |request: Incoming| {
            let recorded = Arc::clone(&recorded);
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, 1_000_000).await.unwrap();
                let path = parts.uri.path().to_owned();
                let (method, version, headers) = (parts.method, parts.version, parts.headers);
                recorded.lock().unwrap().push(ReceivedRequest {
                    method,
                    path: path.clone(),
                    version,
                    headers,
                    body,
                });
                let mut response = Response::builder();
                match path.strip_prefix("/moved/").and_then(|rest| rest.split_once('/')) {
                    Some((code, location)) => response = response.status(code).header("location", location),
                    None if path == "/denied" => response = response.status(401),
                    None => {}
                }
                response.body(axum::body::Body::empty()).unwrap()
            }
        });
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { origin, seen }
    }

    /// Returns and forgets the requests so far.
    fn take(&self) -> Vec<ReceivedRequest> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

/// A service in the catalog, and a foreign server that is not in the catalog.
struct Servers {
    service: Server,
    foreign: Server,
}

impl Servers {
    async fn start() -> Self {
        Self { service: Server::start().await, foreign: Server::start().await }
    }

    fn layer(&self) -> AuthLayer<AccessInfoPlugin> {
        let endpoint = |url: &str| json!({"id": "e", "interface": "public", "region": "R", "url": url});
        let catalog = json!([
            {"type": "compute", "id": "s", "name": "nova", "endpoints": [endpoint(&self.service.origin)]},
        ]);
        let body = json!({"token": {"user": {"id": "u"}, "catalog": catalog}}).to_string();
        let plugin = AccessInfoPlugin::new(AccessInfo::new("token-1", body).unwrap());
        AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute"))
    }
}

fn clients() -> [(Version, Client<HttpConnector, Body>); 2] {
    [false, true].map(|http2| {
        let version = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
        (version, Client::builder(TokioExecutor::new()).http2_only(http2).build_http())
    })
}

fn following<S: Clone>(client: S) -> FollowRedirect<S, RedirectPolicy<Body>> {
    FollowRedirectLayer::with_policy(RedirectPolicy::new()).layer(client)
}

/// Returns a request with all headers that must not be forwarded to another origin, except the token of the layer.
fn post(uri: impl AsRef<str>) -> Request<Body> {
    Request::post(uri.as_ref())
        .header("x-service-token", "s")
        .header("x-subject-token", "s")
        .header("authorization", "Basic s")
        .header("cookie", "s")
        .header("content-type", "application/json")
        .header("x-custom", "kept")
        .body(Body::from("{}"))
        .unwrap()
}

const ALL: [&str; 5] = ["x-auth-token", "x-service-token", "x-subject-token", "authorization", "cookie"];
const CODES: [u16; 5] = [301, 302, 303, 307, 308];

#[tokio::test]
async fn below_the_layer_a_redirect_to_another_origin_drops_only_secrets() {
    let servers = Servers::start().await;
    for (version, client) in clients() {
        let nova = servers.layer().layer(following(client));
        for code in CODES {
            for (location, is_foreign) in [
                ("/new".to_owned(), false),
                (format!("{}/new", servers.service.origin), false),
                (format!("{}/new", servers.foreign.origin), true),
            ] {
                let response = nova.clone().oneshot(post(format!("/moved/{code}/{location}"))).await.unwrap();
                assert_eq!(response.status(), StatusCode::OK);
                let mut seen = servers.service.take();
                seen.extend(servers.foreign.take());
                let [first, second] = &seen[..] else { panic!("{code} {location}: {seen:?}") };
                assert_eq!(first.secret_headers(), ALL);
                assert_eq!(second.secret_headers(), if is_foreign { &[][..] } else { &ALL });
                for seen in [first, second] {
                    assert_eq!((&seen.method, &seen.version), (&Method::POST, &version));
                    assert_eq!(seen.body, "{}");
                    assert_eq!(seen.headers["content-type"], "application/json");
                    assert_eq!(seen.headers["content-length"], "2");
                    assert_eq!(seen.headers["x-custom"], "kept");
                }
            }
        }
    }
}

#[tokio::test]
async fn above_the_layer_a_redirect_to_a_foreign_origin_is_refused() {
    let servers = Servers::start().await;
    let (service, foreign) = (&servers.service, &servers.foreign);
    for (version, client) in clients() {
        let nova = following(servers.layer().layer(client));
        for code in CODES {
            let moved = |to: &Server| format!("{}/moved/{code}/{}/new", service.origin, to.origin);

            assert_eq!(nova.clone().oneshot(post(moved(service))).await.unwrap().status(), StatusCode::OK);
            let seen = service.take();
            assert_eq!(seen.len(), 2);
            assert!(
                seen.iter().all(|seen| seen.secret_headers() == ALL && seen.version == version),
                "{seen:?}"
            );

            let error = nova.clone().oneshot(post(moved(foreign))).await.unwrap_err();
            assert!(matches!(Error::find(&*error), Some(Error::OriginNotAllowed { .. })), "{error}");
            assert_eq!((service.take().len(), foreign.take().len()), (1, 0));

            let mut unauthenticated = post(moved(foreign));
            unauthenticated.extensions_mut().insert(Unauthenticated);
            assert_eq!(nova.clone().oneshot(unauthenticated).await.unwrap().status(), StatusCode::OK);
            assert_eq!(service.take()[0].secret_headers(), ALL[1..]);
            assert!(foreign.take()[0].secret_headers().is_empty());

            let relative = post(format!("/moved/{code}/{}/new", service.origin));
            assert_eq!(
                nova.clone().oneshot(relative).await.unwrap().status(),
                code,
                "a redirect of a relative URI cannot be followed"
            );
            assert_eq!(service.take().len(), 1);
        }
    }
}

#[tokio::test]
async fn a_microversion_of_the_request_is_forwarded_to_another_origin() {
    let servers = Servers::start().await;
    let (service, foreign) = (&servers.service, &servers.foreign);
    let layer = servers.layer().allow_origin(&foreign.origin.parse().unwrap()).unwrap();
    let [(_, client), _] = clients();
    let mut request = post(format!("{}/moved/307/{}/new", service.origin, foreign.origin));
    request.extensions_mut().insert(Microversion::new("2.79"));
    following(layer.layer(client)).oneshot(request).await.unwrap();
    for seen in [&service.take()[0], &foreign.take()[0]] {
        assert_eq!(seen.headers["openstack-api-version"], "compute 2.79");
    }
}

#[tokio::test]
async fn a_redirect_back_to_the_first_origin_does_not_restore_secrets() {
    let servers = Servers::start().await;
    let (service, foreign) = (&servers.service, &servers.foreign);
    let [(_, client), _] = clients();
    let nova = servers.layer().layer(following(client));
    let there_and_back = format!("/moved/307/{}/moved/302/{}/new", foreign.origin, service.origin);
    let response = nova.oneshot(post(there_and_back)).await.unwrap();
    assert_eq!(response.extensions().get::<RequestUri>().unwrap().0, *format!("{}/new", service.origin));
    let [first, last] = &service.take()[..] else { panic!("expected two requests") };
    assert_eq!(
        (first.secret_headers().len(), last.secret_headers().len(), foreign.take()[0].secret_headers().len()),
        (5, 0, 0)
    );
    assert_eq!((&last.method, &last.body[..]), (&Method::POST, &b"{}"[..]));
}

#[tokio::test]
async fn sensitive_headers_are_not_forwarded_to_another_origin() {
    let servers = Servers::start().await;
    let [(_, client), _] = clients();
    let nova = servers.layer().layer(following(client));
    for (to, kept) in [(&servers.service, true), (&servers.foreign, false)] {
        let mut request = post(format!("/moved/307/{}/new", to.origin));
        let mut key = HeaderValue::from_static("s");
        key.set_sensitive(true);
        request.headers_mut().insert("x-api-key", key);
        nova.clone().oneshot(request).await.unwrap();
        let last = to.take().pop().unwrap();
        assert_eq!(last.headers.contains_key("x-api-key"), kept);
        assert_eq!(last.headers["x-custom"], "kept");
    }
}

#[tokio::test]
async fn a_host_header_of_the_caller_is_not_forwarded_to_another_origin() {
    let servers = Servers::start().await;
    let (service, foreign) = (&servers.service, &servers.foreign);
    let host_header = |server: &Server| server.origin.strip_prefix("http://").unwrap().to_owned();
    let [(_, client), _] = clients();
    for code in CODES {
        for (location, reached, host) in [
            (format!("{}/new", foreign.origin), foreign, host_header(foreign)),
            (format!("{}/moved/302/{}/new", foreign.origin, service.origin), service, host_header(service)),
            // A redirect within the origin keeps the header.
            ("/new".to_owned(), service, "virtual.example.com".to_owned()),
        ] {
            let mut request = post(format!("{}/moved/{code}/{location}", service.origin));
            request.headers_mut().insert("host", HeaderValue::from_static("virtual.example.com"));
            following(client.clone()).oneshot(request).await.unwrap();
            assert_eq!(service.seen.lock().unwrap()[0].headers["host"], "virtual.example.com");
            let last = reached.take().pop().unwrap();
            assert_eq!(last.path, "/new");
            assert_eq!(last.headers["host"], host.as_str(), "{code} {location}");
            service.take();
            foreign.take();
        }
    }
}

#[tokio::test]
async fn a_dropped_token_of_the_caller_is_not_replaced_by_the_layer() {
    let servers = Servers::start().await;
    let (service, foreign) = (&servers.service, &servers.foreign);
    let [(_, client), _] = clients();
    let nova = servers.layer().allow_origin(&foreign.origin.parse().unwrap()).unwrap().layer(client);
    for (token, reached) in [(Some("the-callers"), None), (None, Some("token-1"))] {
        let mut request = Request::delete(format!("{}/moved/307/{}/new", service.origin, foreign.origin));
        if let Some(token) = token {
            request = request.header("x-auth-token", token);
        }
        following(nova.clone()).oneshot(request.body(Body::default()).unwrap()).await.unwrap();
        let first = service.take().pop().unwrap();
        assert_eq!(first.headers["x-auth-token"], token.unwrap_or("token-1"));
        let last = foreign.take().pop().unwrap();
        assert_eq!(last.headers.get("x-auth-token").map(|token| token.to_str().unwrap()), reached);
    }
}

#[tokio::test]
async fn a_redirect_keeps_the_method() {
    let servers = Servers::start().await;
    let [(_, client), _] = clients();
    let nova = servers.layer().layer(following(client));
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::PATCH, Method::DELETE] {
        for code in CODES {
            let request = Request::builder().method(method.clone()).uri(format!("/moved/{code}//new"));
            nova.clone().oneshot(request.body(Body::default()).unwrap()).await.unwrap();
            let seen = servers.service.take();
            assert_eq!(seen.iter().map(|seen| &seen.method).collect::<Vec<_>>(), [&method; 2], "{code}");
        }
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_if_the_body_cannot_be_cloned() {
    let servers = Servers::start().await;
    let [(_, client), _] = clients();
    let policy = RedirectPolicy::<Body>::with_clone_body(|_| None);
    let nova = servers.layer().layer(FollowRedirectLayer::with_policy(policy).layer(client));
    for code in CODES {
        let response = nova.clone().oneshot(post(format!("/moved/{code}//new"))).await.unwrap();
        assert_eq!((response.status().as_u16(), servers.service.take().len()), (code, 1));
        let empty = Request::post(format!("/moved/{code}//new")).body(Body::default()).unwrap();
        assert_eq!(nova.clone().oneshot(empty).await.unwrap().status(), StatusCode::OK);
        assert_eq!(servers.service.take().len(), 2);
    }
}

#[tokio::test]
async fn at_the_limit_the_redirect_response_is_returned() {
    let servers = Servers::start().await;
    let [(_, client), _] = clients();
    for (limit, requests) in [(None, 31), (Some(4), 5), (Some(0), 1)] {
        let policy = RedirectPolicy::<Body>::new();
        let policy = match limit {
            Some(limit) => policy.limit(limit),
            None => policy,
        };
        let nova = servers.layer().layer(FollowRedirectLayer::with_policy(policy).layer(client.clone()));
        let round = "/moved/302/".repeat(40);
        let response = nova.oneshot(post(round)).await.unwrap();
        assert_eq!((response.status().as_u16(), servers.service.take().len()), (302, requests));
    }
}

#[tokio::test]
async fn below_the_layer_a_401_after_a_redirect_is_a_rejected_token() {
    let servers = Servers::start().await;
    for (_, client) in clients() {
        let nova = servers.layer().layer(following(client));
        for denied in ["/denied".to_owned(), format!("{}/denied", servers.foreign.origin)] {
            let response = nova.clone().oneshot(post(format!("/moved/308/{denied}"))).await.unwrap();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            assert_eq!(response.extensions().get(), Some(&TokenRejected::Final));
            assert_eq!(servers.foreign.take().len(), usize::from(denied != "/denied"));
        }
        servers.service.take();
        nova.oneshot(post("/moved/308//denied")).await.unwrap();
        let paths: Vec<_> = servers.service.take().into_iter().map(|seen| seen.path).collect();
        assert_eq!(paths, ["/moved/308//denied", "/denied"]);
    }
}
