//! Requests to Keystone with a certificate in place of a token: `TokenlessPlugin`.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, AuthLayer, AuthMethod, Credentials, EndpointFilter, Error, Identity,
    Interface, RaiseForStatusLayer, Scope, User, V3Credentials, federation::TokenlessPlugin,
};

use crate::{
    recorded::Exchange,
    wire::{Requests, response, transport},
};

const V3: &str = "https://127.0.0.1:48001/v3";
const PROJECT: &str = "8096c87a0b384a8e9afc72fc03835eea";

fn plugin() -> TokenlessPlugin {
    TokenlessPlugin::new(V3, Scope::new().project_id(PROJECT)).unwrap()
}

fn keystone() -> EndpointFilter {
    EndpointFilter::default().interface(Interface::Auth)
}

/// Sends a request through a layer, to a service with this response.
async fn send(
    layer: AuthLayer<TokenlessPlugin>,
    request: Request<Full<Bytes>>,
    answer: Response<Bytes>,
) -> (Result<Response<Full<Bytes>>, BoxError>, Requests) {
    let requests = Requests::default();
    let sent = requests.clone();
    let client = service_fn(move |request: Request<Full<Bytes>>| {
        let (sent, answer) = (sent.clone(), answer.clone());
        async move {
            let (parts, body) = request.into_parts();
            sent.push(Request::from_parts(parts, body.collect().await?.to_bytes()));
            Ok::<_, BoxError>(answer.map(Full::new))
        }
    });
    (layer.layer(client).oneshot(request).await, requests)
}

fn get(uri: &str) -> Request<Full<Bytes>> {
    Request::get(uri).body(Full::default()).unwrap()
}

fn find(result: Result<Response<Full<Bytes>>, BoxError>) -> Error {
    Error::find(&*result.unwrap_err()).unwrap().clone()
}

#[tokio::test]
async fn a_request_to_keystone_has_the_scope_and_no_token() {
    let exchange = Exchange::read("tokenless-1-project");
    for filter in [EndpointFilter::new("identity"), EndpointFilter::new("Identity"), keystone()] {
        let layer = AuthLayer::new(plugin()).endpoint(filter);
        let (response, requests) =
            send(layer, get(&format!("/projects/{PROJECT}")), exchange.response()).await;
        assert_eq!(response.unwrap().status(), 200);
        assert_eq!(requests.lines(), [format!("GET {V3}/projects/{PROJECT}")]);
        requests.map(|request| {
            exchange.check(request);
            let names: Vec<_> = request.headers().keys().collect();
            assert_eq!(names, ["x-project-id"]);
        });
    }
}

#[tokio::test]
async fn a_request_to_another_service_is_not_sent() {
    let layer = || AuthLayer::new(plugin());
    let compute = layer().endpoint(EndpointFilter::new("compute"));
    let versioned = layer().endpoint(EndpointFilter::new("compute").version(2, 1));
    for layer in [compute, versioned] {
        let (result, requests) = send(layer, get("/servers"), response(200, &[], "")).await;
        assert!(matches!(find(result), Error::NoEndpoint));
        assert!(requests.lines().is_empty());
    }
    let (result, requests) = send(layer(), get("/servers"), response(200, &[], "")).await;
    assert!(matches!(find(result), Error::NoEndpointFilter));
    let (elsewhere, _) = send(layer(), get("https://nova.example.com/servers"), response(200, &[], "")).await;
    assert!(matches!(find(elsewhere), Error::OriginNotAllowed { .. }));
    assert!(requests.lines().is_empty());
}

#[tokio::test]
async fn any_version_of_keystone_is_at_the_auth_url() {
    let layer = AuthLayer::new(plugin()).endpoint(EndpointFilter::new("identity").version(3, 0));
    let (response, requests) = send(layer, get("/projects"), response(200, &[], "")).await;
    assert_eq!(response.unwrap().status(), 200);
    assert_eq!(requests.lines(), [format!("GET {V3}/projects")]);
}

#[tokio::test]
async fn a_401_is_final() {
    let exchange = Exchange::read("tokenless-no-cert-1-project");
    let layer = AuthLayer::new(plugin()).endpoint(keystone());
    let (response, requests) = send(layer, get(&format!("/projects/{PROJECT}")), exchange.response()).await;
    assert_eq!(response.unwrap().status(), 401);
    assert_eq!(requests.lines().len(), 1);
}

#[tokio::test]
async fn an_error_shows_the_scope_because_it_is_no_secret() {
    let text = format!("Could not find project: {PROJECT}.");
    let body = format!(r#"{{"error": {{"code": 404, "message": "{text}", "title": "Not Found"}}}}"#);
    let answer = response(404, &[("content-type", "application/json")], body);
    let requests = Requests::default();
    let client = service_fn(move |request: Request<Full<Bytes>>| {
        assert!(request.headers().values().all(|value| !value.is_sensitive()));
        requests.push(request.map(|_| Bytes::new()));
        std::future::ready(Ok::<_, BoxError>(answer.clone().map(Full::new)))
    });
    let layer = AuthLayer::new(plugin()).endpoint(keystone());
    let request = || get(&format!("/projects/{PROJECT}"));
    let inside = layer.layer(RaiseForStatusLayer::new().layer(client.clone())).oneshot(request()).await;
    let outside = RaiseForStatusLayer::new().layer(layer.layer(client)).oneshot(request()).await;
    for error in [inside.unwrap_err(), outside.unwrap_err()] {
        let Some(Error::Service(error)) = Error::find(&*error) else { panic!("{error:?}") };
        assert_eq!(error.message.as_deref(), Some(&*text));
    }
}

#[tokio::test]
async fn it_is_no_service_token_and_gets_none() {
    let user = AccessInfoPlugin::new(AccessInfo::new("user", r#"{"token": {"catalog": []}}"#).unwrap());
    let layer = AuthLayer::new(plugin()).send_service_token().endpoint(keystone());
    let mut request = get("/projects");
    request.extensions_mut().insert(Identity::new(user.auth_url(V3)));
    let (_, requests) = send(layer, request, response(200, &[], "")).await;
    assert_eq!(requests.header("x-auth-token"), [Some("user".to_owned())]);
    assert_eq!(requests.header("x-service-token"), [None]);
    assert_eq!(requests.header("x-project-id"), [None]);
}

#[tokio::test]
async fn a_login_with_the_certificate_says_what_is_wrong() {
    let exchange = Exchange::read("tokenless-login-1-login");
    let (transport, _) = transport(move |_| Ok(exchange.response()));
    let credentials = V3Credentials::new(V3, AuthMethod::password(User::new().user_id("u"), "svc-pass"));
    let error = credentials.get_auth_ref(transport).await.unwrap_err();
    assert!(error.to_string().contains("a client without it"), "{error}");
    assert!(!error.is_transient());
}

#[test]
fn a_plugin_that_keystone_would_reject_is_not_made() {
    let error = TokenlessPlugin::new(V3, Scope::new()).unwrap_err();
    assert!(matches!(error, Error::AuthorizationFailure { .. }), "{error}");
    assert!(error.to_string().contains("set a project or a domain"), "{error}");
    let error = TokenlessPlugin::new("keystone", Scope::new().project_id("p")).unwrap_err();
    assert!(matches!(error, Error::InvalidEndpoint { .. }), "{error}");
}

#[test]
fn the_scope_is_not_shown() {
    let plugin = TokenlessPlugin::new(V3, Scope::new().project_id("canary")).unwrap();
    assert!(!format!("{plugin:?}").contains("canary"));
}
