//! Logins and requests with secrets of all kinds, to servers that echo them. No log, error or `Debug` output contains a
//! secret in any encoding.

#[path = "canary/federated.rs"]
mod federated;
#[path = "canary/output.rs"]
mod output;
#[path = "canary/stores.rs"]
mod stores;

use std::{
    collections::BTreeSet,
    error::Error as StdError,
    fmt::{Debug, Display, Write as _},
    sync::Arc,
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tower::{BoxError, ServiceBuilder, ServiceExt, retry::RetryLayer, service_fn, util::BoxCloneService};
use tower_http::{
    follow_redirect::FollowRedirectLayer,
    trace::{DefaultMakeSpan, TraceLayer},
};
use tower_keystone::{
    AccessFuture, AccessInfo, AccessInfoPlugin, AuthLayer, AuthMethod, Credentials, EndpointFilter, Error,
    ErrorContextLayer, FixedEndpointPlugin, GenericCredentials, IdentityPlugin, PluginPool,
    RaiseForStatusLayer, ReauthPolicy, RedirectPolicy, RenewingPlugin, ReplayBody, RetryPolicy, Secret,
    ServiceAccess, ServiceTokenAuthWrapper, Transport, User, V2Credentials, V3Credentials,
    discovery::Discovery,
    fixture::{CatalogService, V2Token, V3Token},
    identity::AuthRefFuture,
};

use output::{CANARY, OUTPUT, assert_clean, capture_output, debug, output};

const KEYSTONE: &str = "https://keystone.example.com/v3";
const NOVA: &str = "https://nova.example.com/v2.1";

/// Returns a password that is escaped in JSON.
fn password() -> String {
    format!(r#"{CANARY}-"pass\word""#)
}

fn token(name: &str) -> String {
    format!("{CANARY}-{name}")
}

fn display(value: &dyn Display) {
    let shown = format!("{value}\n{value:#}\n");
    assert_clean(&shown);
    OUTPUT.lock().unwrap().push_str(&shown);
}

/// Checks an error and its sources, and returns the name of its variant.
fn error(error: &(dyn StdError + 'static)) -> String {
    let mut next = Some(error);
    while let Some(error) = next {
        debug(&error);
        display(&error);
        next = error.source();
    }
    let found = format!("{:?}", Error::find(error).expect("an error of this crate"));
    found.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

/// How a server echoes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Echo {
    Message,
    Details,
    Errors,
    Html,
    RequestId,
    BrokenJson,
    Receipt,
    Redirect,
    Versions,
    NoConnection,
}

const ECHOES: [Echo; 10] = [
    Echo::Message,
    Echo::Details,
    Echo::Errors,
    Echo::Html,
    Echo::RequestId,
    Echo::BrokenJson,
    Echo::Receipt,
    Echo::Redirect,
    Echo::Versions,
    Echo::NoConnection,
];

/// A server that always echoes the headers and the body of a request.
type Server = BoxCloneService<Request<Full<Bytes>>, Response<UnsyncBoxBody<Bytes, BoxError>>, BoxError>;

fn server(status: u16, echo: Echo) -> Server {
    let trace = TraceLayer::new_for_http().make_span_with(DefaultMakeSpan::new().include_headers(true));
    let server = service_fn(move |request: Request<Full<Bytes>>| async move {
        let (parts, body) = request.into_parts();
        tracing::trace!(headers = ?parts.headers, uri = %parts.uri, "received a request");
        let mut text = String::from_utf8(body.collect().await?.to_bytes().to_vec())?;
        for (name, value) in &parts.headers {
            write!(text, " {name}: {}", value.to_str()?)?;
        }
        echo_response(status, echo, &text)
    });
    let boxed =
        |response: Response<_>| response.map(|body| BodyExt::map_err(body, BoxError::from).boxed_unsync());
    BoxCloneService::new(ServiceBuilder::new().map_response(boxed).layer(trace).service(server))
}

fn echo_response(status: u16, echo: Echo, text: &str) -> Result<Response<Full<Bytes>>, BoxError> {
    let response = Response::builder().status(status);
    let json = |response: http::response::Builder, body: serde_json::Value| {
        let body = Full::new(Bytes::from(body.to_string()));
        Ok(response.header("content-type", "application/json").body(body)?)
    };
    let receipt = serde_json::json!({
        "receipt": {"methods": [text], "expires_at": "2036-01-15T13:00:00Z"},
        "required_auth_methods": [["password", text]],
    });
    match echo {
        Echo::Message => json(response, serde_json::json!({"error": {"message": text}})),
        Echo::Details => json(response, serde_json::json!({"error": {"message": "no", "details": text}})),
        Echo::Errors => json(response, serde_json::json!({"errors": [{"title": text, "detail": text}]})),
        Echo::Html => {
            Ok(response.header("content-type", "text/html").body(Full::new(Bytes::from(text.to_owned())))?)
        }
        Echo::RequestId => json(response.header("x-openstack-request-id", text), serde_json::json!({})),
        Echo::BrokenJson => Ok(response.body(Full::new(Bytes::from(format!("{{\"token\": {text}"))))?),
        Echo::Receipt => json(response.header("openstack-auth-receipt", token("receipt")), receipt),
        Echo::Redirect => {
            let evil = format!("https://{}@evil.example.org/{}?{}", token("a"), token("b"), token("c"));
            Ok(response.header("location", evil).body(Full::new(Bytes::from(text.to_owned())))?)
        }
        Echo::Versions => {
            let link = serde_json::json!([{"rel": "self", "href": text}]);
            json(response, serde_json::json!({"versions": [{"id": text, "status": text, "links": link}]}))
        }
        Echo::NoConnection => Err("connection refused".into()),
    }
}

/// Credentials that panic before they send a request.
#[derive(Debug)]
struct Panicking {
    #[expect(dead_code, reason = "it is part of the `Debug` output")]
    password: Secret,
    auth_url: Uri,
}

impl Credentials for Panicking {
    fn get_auth_ref(&self, _: Transport) -> AuthRefFuture {
        panic!("no credentials here: {self:?}");
    }

    fn auth_url(&self) -> &Uri {
        &self.auth_url
    }
}

/// Logs in against all kinds of responses, directly and for a request, and returns the names of the errors.
async fn log_in<C: Credentials + Debug>(make: impl Fn() -> C) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    debug(&make());
    for status in [201, 300, 302, 307, 400, 401, 403, 404, 500, 503] {
        for echo in ECHOES {
            let renewing = RenewingPlugin::new(make(), Transport::new(server(status, echo)));
            let layer = AuthLayer::new(renewing.clone()).endpoint(EndpointFilter::new("compute"));
            let nova = ServiceBuilder::new().layer(&layer).service(server(200, echo));
            let crate_error =
                nova.oneshot(Request::get("/servers").body(Full::default()).unwrap()).await.unwrap_err();
            seen.insert(error(&*crate_error));
            let crate_error = renewing.renew().await.unwrap_err();
            seen.insert(error(&crate_error));
            debug(&renewing);
            debug(&layer);
            display(&renewing.cache_id().unwrap_or_default());
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn logins_do_not_show_credentials() {
    capture_output();
    let auth_url = || Uri::from_static(KEYSTONE);
    let user = || User::new().username("alice").user_domain_name("Default");
    let v3 = |method: fn() -> AuthMethod| move || V3Credentials::new(Uri::from_static(KEYSTONE), method());
    let mut seen = BTreeSet::new();
    seen.append(
        &mut log_in(|| V3Credentials::new(auth_url(), AuthMethod::password(user(), password()))).await,
    );
    seen.append(&mut log_in(v3(|| AuthMethod::totp(User::new().user_id("u"), token("totp")))).await);
    seen.append(&mut log_in(v3(|| AuthMethod::token(token("own")))).await);
    seen.append(&mut log_in(v3(|| AuthMethod::application_credential("id", password()))).await);
    seen.append(
        &mut log_in(|| {
            V3Credentials::new(auth_url(), AuthMethod::receipt(token("receipt")))
                .and(AuthMethod::password(user(), password()))
                .and(AuthMethod::totp(user(), token("totp")))
        })
        .await,
    );
    let v2 = Uri::from_static("https://keystone.example.com/v2.0");
    seen.append(
        &mut log_in(|| V2Credentials::password(v2.clone(), User::new().username("alice"), password())).await,
    );
    seen.append(&mut log_in(|| V2Credentials::token(v2.clone(), token("own"))).await);
    seen.append(&mut log_in(|| GenericCredentials::password(auth_url(), user(), password())).await);
    let root = Uri::from_static("https://keystone.example.com");
    seen.append(&mut log_in(|| GenericCredentials::token(root.clone(), token("own"))).await);
    let with_user_name: Uri = format!("https://admin:{CANARY}@keystone.example.com").parse().unwrap();
    seen.append(&mut log_in(|| GenericCredentials::token(with_user_name.clone(), token("own"))).await);
    seen.append(
        &mut log_in(|| V3Credentials::new(with_user_name.clone(), AuthMethod::token(token("own")))).await,
    );
    seen.append(&mut log_in(|| Panicking { password: password().into(), auth_url: auth_url() }).await);

    for expected in [
        "ConnectFailure",
        "DiscoveryFailure",
        "Keystone",
        "InvalidEndpoint",
        "InvalidResponse",
        "LoginRedirected",
        "PluginPanicked",
    ] {
        assert!(seen.contains(expected), "{expected} is among {seen:?}");
    }
    assert_output_is_clean();
}

/// Returns an access info with this token, and with a password in the URL of the service `odd`.
fn access_info(token: &str) -> AccessInfo {
    let nova = CatalogService::new("compute").standard_endpoints("RegionOne", NOVA);
    let odd = format!("https://admin:{CANARY}@odd.example.com/v1");
    let odd = CatalogService::new("odd").standard_endpoints("RegionOne", &odd);
    V3Token::new("u", "alice").project("p", "demo").service(&nova).service(&odd).access_info(token).unwrap()
}

/// Sends requests of all kinds through a stack of all middleware, and returns the names of the errors.
async fn send<P: IdentityPlugin + Debug + 'static>(plugin: P) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    debug(&plugin);
    let plugin: Arc<dyn IdentityPlugin> = Arc::new(plugin);
    debug(&plugin.access().await);
    for status in [200, 307, 401, 403, 404, 500, 503] {
        for echo in ECHOES {
            let compute = EndpointFilter::new("compute");
            let discovery = Discovery::new(Transport::new(server(status, echo)));
            let layer =
                AuthLayer::new(Arc::clone(&plugin)).endpoint(compute.clone()).discovery(discovery.clone());
            debug(&layer);
            debug(&discovery);
            let logged =
                TraceLayer::new_for_http().make_span_with(DefaultMakeSpan::new().include_headers(true));
            let reauth = ReauthPolicy::new();
            let retry = RetryPolicy::new().status_code_retries(1).connect_retries(1);
            debug(&(&reauth, &retry));
            let stack = ServiceBuilder::new()
                .layer(ErrorContextLayer::new())
                .layer(RaiseForStatusLayer::new())
                .layer(RetryLayer::new(retry))
                .layer(RetryLayer::new(reauth))
                .layer(layer)
                .layer(logged)
                .layer(FollowRedirectLayer::with_policy(RedirectPolicy::new()))
                .map_request(|request: Request<Full<Bytes>>| {
                    debug(&request);
                    request
                })
                .service(server(status, echo));
            for request in [
                Request::get("/servers"),
                Request::get("/servers").header("x-auth-token", "the caller's own"),
                Request::get("/servers").extension(compute.clone().min_version(2, 1)),
                Request::get("/servers").extension(compute.clone().newest_microversion("2.1", "latest")),
                Request::get("/servers").extension(EndpointFilter::new("odd").min_version(2, 1)),
                Request::get("/servers")
                    .extension(EndpointFilter::new("odd").version(2, 1).no_version_hack()),
                Request::get("/servers").extension(EndpointFilter::new("image")),
                Request::get("https://evil.example.org/servers"),
                Request::get(format!("https://{}@nova.example.com/", token("user"))),
                Request::get("/../servers"),
            ] {
                match stack.clone().oneshot(request.body(Full::default()).unwrap()).await {
                    Ok(response) => assert!(response.status().as_u16() < 400),
                    Err(crate_error) if Error::find(&*crate_error).is_some() => {
                        seen.insert(error(&*crate_error));
                    }
                    Err(client_error) => {
                        debug(&client_error);
                        display(&client_error);
                        assert_eq!(client_error.source().unwrap().to_string(), "connection refused");
                    }
                }
            }
            let odd = format!("https://admin:{CANARY}@odd.example.com/v1");
            seen.insert(error(&discovery.document(&odd).await.unwrap_err()));
            let found = discovery.endpoint_data(&*plugin, &compute.clone().version(2, 1)).await;
            match found {
                Ok(endpoint) => debug(&endpoint),
                Err(crate_error) => drop(seen.insert(error(&crate_error))),
            }
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn requests_do_not_show_tokens() {
    capture_output();
    let endpoint = || Uri::from_static(NOVA);
    let issued = || AccessInfoPlugin::new(access_info(&token("issued")));
    let admin = || FixedEndpointPlugin::admin_token(endpoint(), &token("admin").into()).unwrap();
    let mut seen = send(issued().auth_url(Uri::from_static(KEYSTONE))).await;
    seen.append(&mut send(admin()).await);
    seen.append(
        &mut send(FixedEndpointPlugin::http_basic(endpoint(), "alice", &password().into()).unwrap()).await,
    );
    seen.append(&mut send(ServiceTokenAuthWrapper::new(issued(), admin())).await);

    let credentials = || V3Credentials::new(Uri::from_static(KEYSTONE), AuthMethod::token(token("own")));
    let renewing = RenewingPlugin::new(credentials(), Transport::new(server(401, Echo::Message)));
    let state = access_info(&token("stored")).auth_state();
    debug(&state);
    let pool = PluginPool::new(2);
    let pooled = pool.get_or_insert_with(token("key"), || renewing);
    debug(&pool);
    pooled.set_auth_state(Some(&state)).unwrap();
    debug(&pooled.auth_state());
    seen.append(&mut send(pooled.clone()).await);
    error(
        &pooled.set_auth_state(Some(&Secret::new(format!(r#"{{"auth_token": "{CANARY}"}}"#)))).unwrap_err(),
    );

    debug(&ReplayBody::new(Full::new(Bytes::from(password())), 1024));
    let own = AccessFuture::ready(ServiceAccess::from_auth_ref(access_info(&token("issued"))).map(Arc::new));
    debug(&own);
    for expected in
        ["DiscoveryFailure", "EndpointNotFound", "Keystone", "OriginNotAllowed", "PathTraversal", "Service"]
    {
        assert!(seen.contains(expected), "{expected} is among {seen:?}");
    }
    assert_output_is_clean();
}

fn assert_output_is_clean() {
    let seen = output();
    for logged in ["received a request", "cannot obtain a usable token"] {
        assert!(seen.contains(logged) && seen.len() > 100_000, "{} bytes of output", seen.len());
    }
    for line in seen.lines() {
        assert_clean(line);
    }
}
