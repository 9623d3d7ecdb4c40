//! Logins to another cloud: `Keystone2KeystoneCredentials`.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use serde_json::json;
use tower::{Layer, ServiceExt};
use tower_keystone::{
    AccessFuture, AccessInfo, AccessInfoPlugin, AuthLayer, AuthMethod, Credentials, EndpointFilter, Error,
    IdentityPlugin, Interface, RenewingPlugin, Scope, ServiceAccess, Transport, V3Credentials,
    endpoint::Origin, error::LoginStep, federation::Keystone2KeystoneCredentials,
};

use crate::{
    recorded::Exchange,
    wire::{Requests, response, transport},
};

const HOME: &str = "http://127.0.0.1:48004/v3";
const SP_URL: &str = "http://127.0.0.1:48000/v3/mellon/paosResponse";
const SP_AUTH_URL: &str =
    "http://127.0.0.1:48000/v3/OS-FEDERATION/identity_providers/k2k/protocols/saml2/auth";
const ECP: &str = "/v3/auth/OS-FEDERATION/saml2/ecp";

/// Returns the document of a token at home that lists these service providers: id, `sp_url` and `auth_url`.
fn home_document(providers: &[(&str, &str, &str)]) -> String {
    let providers = providers
        .iter()
        .map(|(id, sp_url, auth_url)| json!({"id": id, "sp_url": sp_url, "auth_url": auth_url}));
    let providers: Vec<_> = providers.collect();
    json!({"token": {"user": {"id": "u"}, "project": {"id": "p"}, "service_providers": providers}})
        .to_string()
}

fn home_token(token: &str, providers: &[(&str, &str, &str)]) -> AccessInfo {
    AccessInfo::new(token, home_document(providers)).unwrap()
}

fn home(sp_url: &str, sp_auth_url: &str) -> AccessInfoPlugin {
    AccessInfoPlugin::new(home_token(
        "keystone-token-21",
        &[("other", "x", "y"), ("sp", sp_url, sp_auth_url)],
    ))
    .auth_url(HOME)
}

fn project() -> Scope {
    Scope::new().project_id("8096c87a0b384a8e9afc72fc03835eea")
}

fn recorded_home() -> AccessInfoPlugin {
    home(SP_URL, SP_AUTH_URL)
}

/// Returns the response of a cloud that makes assertions, starts sessions and issues tokens.
fn cloud(request: &Request<Bytes>) -> Response<Bytes> {
    let token = r#"{"token": {"user": {"id": "u"}, "methods": ["saml2"]}}"#;
    match request.uri().path() {
        ECP => response(200, &[], "<assertion/>"),
        "/acs" => {
            response(303, &[("set-cookie", "session=12345678; Path=/"), ("location", "/elsewhere")], "")
        }
        _ => response(201, &[("x-subject-token", "sp-token")], token),
    }
}

fn plugin_at(sp_url: &str, sp_auth_url: &str) -> Keystone2KeystoneCredentials {
    Keystone2KeystoneCredentials::new(home(sp_url, sp_auth_url), "sp")
}

#[tokio::test]
async fn the_recorded_login_is_sent_byte_for_byte() {
    let exchanges = ["k2k-1-assertion", "k2k-2-acs", "k2k-3-unscoped", "k2k-4-rescope"].map(Exchange::read);
    let responses = Arc::new(exchanges.clone());
    let next = Arc::new(AtomicUsize::new(0));
    let (transport, requests) =
        transport(move |_| Ok(responses[next.fetch_add(1, Ordering::Relaxed)].response()));
    let credentials = Keystone2KeystoneCredentials::new(recorded_home(), "sp").scope(project());
    let access_info = credentials.get_auth_ref(transport).await.unwrap();
    assert_eq!(access_info.auth_token(), Some("keystone-token-23"));
    assert_eq!(access_info.project_name(), Some("fed-project"));
    let requests = requests.map(Request::clone);
    assert_eq!(requests.len(), 4);
    for (exchange, request) in exchanges.iter().zip(&requests) {
        // The cookie was for the session at the service provider, and is not sent to log in with the token.
        let is_rescope = request.uri().path().ends_with("/auth/tokens");
        if is_rescope {
            assert!(!request.headers().contains_key("cookie"));
        }
        let ignored: &[&str] = if is_rescope { &["cookie"] } else { &[] };
        exchange.check_without(request, ignored);
    }
    assert!(!requests[0].headers().contains_key("x-auth-token"));
    assert!(requests[2].headers()["cookie"].is_sensitive());
    assert_eq!(credentials.auth_url(), "http://127.0.0.1:48000/v3");
}

#[tokio::test]
async fn the_auth_url_is_unknown_before_the_first_login_and_never_that_of_home() {
    let credentials = Keystone2KeystoneCredentials::new(recorded_home(), "sp");
    assert!(Origin::from_uri(credentials.auth_url()).is_none(), "{}", credentials.auth_url());
    assert!(credentials.auth_url().host().is_none());
    let other = Keystone2KeystoneCredentials::new(recorded_home(), "sp2");
    assert_ne!(credentials.auth_url(), other.auth_url());
    // Clones share the URL.
    let clone = credentials.clone().scope(project());
    let (transport, requests) = transport(|_| panic!("nothing is sent"));
    clone.prepare(transport).await.unwrap();
    assert_eq!(credentials.auth_url(), "http://127.0.0.1:48000/v3");
    assert!(requests.lines().is_empty());
    assert_eq!((credentials.cache_id(), credentials.public_id()), (None, None));
}

#[tokio::test]
async fn an_unknown_service_provider_is_an_error_that_lists_the_known_ones() {
    let many: Vec<_> = (0..40).map(|index| format!("sp-{index}-{}", "x".repeat(100))).collect();
    let many: Vec<_> = many.iter().map(|id| (&**id, "u", "v")).collect();
    let home = AccessInfoPlugin::new(home_token("t", &many)).auth_url(HOME);
    let (transport, requests) = transport(|_| panic!("nothing is sent"));
    let error =
        Keystone2KeystoneCredentials::new(home, "nosuch").get_auth_ref(transport.clone()).await.unwrap_err();
    let Error::UnknownServiceProvider { service_provider, known, .. } = &error else { panic!("{error:?}") };
    assert_eq!((&**service_provider, known.len(), known[0].len()), ("nosuch", 32, 64));
    assert!(!error.is_transient());

    let error = Keystone2KeystoneCredentials::new(recorded_home(), "nosuch")
        .get_auth_ref(transport)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the token of the home Keystone lists no service provider \"nosuch\", but \"other\", \"sp\"; check the id \
         (`openstack service provider list`)"
    );
    assert!(requests.lines().is_empty());
}

#[tokio::test]
async fn a_cookie_goes_to_the_origin_that_set_it_only() {
    for (sp_url, auth_url, is_sent) in [
        ("https://sp.example.com/acs", "https://sp.example.com/v3", true),
        ("https://SP.example.com:443/acs", "https://sp.example.com/v3", true),
        ("https://sp.example.com/acs", "https://sp.example.com:5000/v3", false),
        ("https://sp.example.com/acs", "https://keystone.example.com/v3", false),
        ("https://127.0.0.1/acs", "http://127.0.0.1/v3", false),
    ] {
        let (transport, requests) = transport(|request| Ok(cloud(request)));
        plugin_at(sp_url, auth_url).get_auth_ref(transport).await.unwrap();
        let cookies = requests.header("cookie");
        assert_eq!(cookies.len(), 3);
        assert_eq!(cookies[2].as_deref(), is_sent.then_some("session=12345678"), "{sp_url} {auth_url}");
        assert_eq!(requests.lines()[2], format!("GET {}", auth_url.parse::<Uri>().unwrap()));
    }
}

#[tokio::test]
async fn a_session_of_another_origin_is_an_error_that_says_so() {
    let (transport, _) = transport(|request| {
        Ok(if request.uri().path() == "/v3" { response(401, &[], "<html>") } else { cloud(request) })
    });
    let credentials = plugin_at("https://sp.example.com/acs", "https://sp.example.com:5000/v3");
    let error = credentials.get_auth_ref(transport).await.unwrap_err();
    assert!(error.to_string().contains("an sp_url of the same origin as its auth_url"), "{error}");
}

#[tokio::test]
async fn a_second_login_sends_no_cookie_of_the_first() {
    let (transport, requests) = transport(|request| Ok(cloud(request)));
    let credentials = plugin_at("https://sp.example.com/acs", "https://sp.example.com/v3");
    for _ in 0..2 {
        credentials.get_auth_ref(transport.clone()).await.unwrap();
    }
    let session = Some("session=12345678".to_owned());
    assert_eq!(requests.header("cookie"), [None, None, session.clone(), None, None, session]);
}

#[tokio::test]
async fn a_service_provider_may_return_the_token_at_once() {
    let (transport, requests) = transport(|request| Ok(cloud(request)));
    let credentials =
        plugin_at("https://sp.example.com/token", "https://sp.example.com:5000/v3").scope(project());
    credentials.get_auth_ref(transport).await.unwrap();
    let ecp = format!("POST http://127.0.0.1:48004{ECP}");
    let expected =
        [&*ecp, "POST https://sp.example.com/token", "POST https://sp.example.com:5000/v3/auth/tokens"];
    assert_eq!(requests.lines(), expected);
}

#[tokio::test]
async fn assertions_are_not_sent_over_plain_http() {
    let http = |url: &str| url.replace("https://", "http://");
    let (sp_url, auth_url) = ("https://sp.example.com/acs", "https://keystone.example.com/v3");
    for (home_url, sp_url, auth_url, step, host) in [
        (HOME, &*http(sp_url), auth_url, LoginStep::ServiceProvider, "sp.example.com"),
        (HOME, sp_url, &*http(auth_url), LoginStep::ServiceProvider, "keystone.example.com"),
        ("http://home.example.com", sp_url, auth_url, LoginStep::Assertion, "home.example.com"),
        (HOME, "ftp://sp.example.com/acs", auth_url, LoginStep::ServiceProvider, ""),
    ] {
        let (transport, requests) = transport(|request| Ok(cloud(request)));
        let home = AccessInfoPlugin::new(home_token("t", &[("sp", sp_url, auth_url)])).auth_url(home_url);
        let credentials = Keystone2KeystoneCredentials::new(home, "sp");
        let error = credentials.get_auth_ref(transport.clone()).await.unwrap_err();
        let Error::FederatedLoginFailed(failed) = &error else { panic!("{error:?}") };
        assert_eq!(failed.step, step, "{error}");
        assert!(!error.is_transient());
        assert!(requests.lines().is_empty());
        if !host.is_empty() {
            credentials.allow_http(host).get_auth_ref(transport).await.unwrap();
        }
    }
}

#[tokio::test]
async fn unusable_urls_of_a_service_provider_are_errors() {
    for (sp_url, auth_url) in
        [("", "https://sp/v3"), ("https://sp/acs", ""), ("/acs", "/v3"), ("a b", "https://sp/v3")]
    {
        let (transport, requests) = transport(|_| panic!("nothing is sent"));
        let error = plugin_at(sp_url, auth_url).get_auth_ref(transport).await.unwrap_err();
        assert!(matches!(error, Error::FederatedLoginFailed(_)) && !error.is_transient(), "{error:?}");
        assert!(requests.lines().is_empty());
    }
    let (transport, _) = transport(|_| panic!("nothing is sent"));
    let home = AccessInfoPlugin::new(home_token("t", &[("sp", SP_URL, SP_AUTH_URL)]));
    let error = Keystone2KeystoneCredentials::new(home, "sp").get_auth_ref(transport).await.unwrap_err();
    assert!(matches!(error, Error::NoAuthUrl), "{error:?}");
}

/// A plugin with a new token after each 401.
struct Home {
    tokens: Mutex<Vec<Arc<ServiceAccess>>>,
    auth_url: Uri,
    invalidated: Arc<AtomicUsize>,
    renews: bool,
}

impl Home {
    fn new(tokens: &[AccessInfo], renews: bool) -> (Self, Arc<AtomicUsize>) {
        let tokens =
            tokens.iter().rev().map(|info| Arc::new(ServiceAccess::from_auth_ref(info.clone()).unwrap()));
        let invalidated = Arc::new(AtomicUsize::new(0));
        let (tokens, auth_url) = (Mutex::new(tokens.collect()), Uri::from_static(HOME));
        (Self { tokens, auth_url, invalidated: Arc::clone(&invalidated), renews }, invalidated)
    }
}

impl IdentityPlugin for Home {
    fn access(&self) -> AccessFuture {
        AccessFuture::ready(Ok(Arc::clone(self.tokens.lock().unwrap().last().unwrap())))
    }

    fn invalidate(&self, access: &Arc<ServiceAccess>, origin: &Origin) -> bool {
        assert_eq!(origin.to_string(), "http://127.0.0.1:48004");
        self.invalidated.fetch_add(1, Ordering::Relaxed);
        let mut tokens = self.tokens.lock().unwrap();
        if tokens.len() > 1 && tokens.last().is_some_and(|last| Arc::ptr_eq(last, access)) {
            tokens.pop();
        }
        self.renews
    }

    fn auth_url(&self) -> Option<&Uri> {
        Some(&self.auth_url)
    }
}

#[tokio::test]
async fn a_rejected_token_at_home_is_replaced_once() {
    let providers = [("sp", "https://sp/acs", "https://sp/v3")];
    let tokens = ["old", "new"].map(|token| home_token(token, &providers));
    for (status, tokens, renews, is_ok, assertions) in [
        (401, &tokens[..], true, true, 2),
        (404, &tokens[..], true, true, 2),
        (401, &tokens[..], false, false, 1),
        (401, &tokens[..1], true, false, 1),
        (403, &tokens[..], true, false, 1),
        (500, &tokens[..], true, false, 1),
    ] {
        let (transport, requests) = transport(move |request| {
            let is_old = str::from_utf8(request.body()).unwrap().contains("\"old\"");
            Ok(if is_old { response(status, &[], "") } else { cloud(request) })
        });
        let (home, invalidated) = Home::new(tokens, renews);
        let result = Keystone2KeystoneCredentials::new(home, "sp").get_auth_ref(transport).await;
        assert_eq!(result.is_ok(), is_ok, "{status} {result:?}");
        let sent = requests.lines().iter().filter(|line| line.contains(ECP)).count();
        assert_eq!(sent, assertions, "{status}");
        assert_eq!(invalidated.load(Ordering::Relaxed), usize::from(matches!(status, 401 | 404)));
        if let Err(Error::FederatedLoginFailed(failed)) = &result {
            assert_eq!(failed.step, LoginStep::Assertion);
            assert_eq!(failed.status.map(|status| status.as_u16()), Some(status));
            assert_eq!(failed.is_transient(), status == 500);
        }
    }
}

#[tokio::test]
async fn another_auth_url_later_is_an_error() {
    let tokens = ["old", "new"]
        .map(|token| home_token(token, &[("sp", "https://sp/acs", &format!("https://{token}/v3"))]));
    let (transport, requests) = transport(|request| Ok(cloud(request)));
    let (home, _) = Home::new(&tokens, true);
    let home = Arc::new(home);
    let credentials = Keystone2KeystoneCredentials::new(Arc::clone(&home), "sp");
    credentials.get_auth_ref(transport.clone()).await.unwrap();
    home.invalidate(&home.access().await.unwrap(), &Origin::from_uri(&Uri::from_static(HOME)).unwrap());
    let error = credentials.get_auth_ref(transport).await.unwrap_err();
    assert!(error.to_string().contains("another auth_url of the service provider"), "{error}");
    assert_eq!(credentials.auth_url(), "https://old/v3");
    assert_eq!(requests.lines().len(), 3);
}

#[tokio::test]
async fn the_token_goes_to_the_other_keystone_and_never_home() {
    let (transport, _) = transport(|request| Ok(cloud(request)));
    let credentials = plugin_at("https://sp/acs", "https://sp/v3");
    let sent = Arc::new(Mutex::new(Vec::new()));
    let client = {
        let sent = Arc::clone(&sent);
        tower::service_fn(move |request: Request<Bytes>| {
            let token = request.headers()["x-auth-token"].to_str().unwrap().to_owned();
            sent.lock().unwrap().push((request.uri().to_string(), token));
            std::future::ready(Ok::<_, Infallible>(Response::new(Bytes::new())))
        })
    };
    let layer = AuthLayer::new(RenewingPlugin::new(credentials, transport));
    let service = layer.layer(client);
    let keystone = EndpointFilter::new("identity").interface(Interface::Auth);
    // The first request logs in.
    let users = Request::get("/users").extension(keystone).body(Bytes::new()).unwrap();
    service.clone().oneshot(users).await.unwrap();
    let at_home = Request::get(format!("{HOME}/users")).body(Bytes::new()).unwrap();
    let error = service.oneshot(at_home).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::OriginNotAllowed { .. })), "{error:?}");
    assert_eq!(*sent.lock().unwrap(), [("https://sp/v3/users".to_owned(), "sp-token".to_owned())]);
}

/// Returns the error of a login with this response to the request with that path.
async fn failed(path: &'static str, other: Response<Bytes>) -> (Error, Requests) {
    let (transport, requests) = transport(move |request| {
        Ok(if request.uri().path() == path { other.clone() } else { cloud(request) })
    });
    let error = plugin_at("https://sp/acs", "https://sp/v3").get_auth_ref(transport).await.unwrap_err();
    (error, requests)
}

#[tokio::test]
async fn each_step_says_what_failed() {
    use LoginStep::{Assertion, Federation, ServiceProvider};

    let long = "x".repeat(1024 * 1024 + 1);
    let paos = [("content-type", "application/vnd.paos+xml")];
    for (path, response, step, status, text) in [
        (ECP, response(200, &[], ""), Assertion, 200, "contains no assertion"),
        (ECP, response(200, &[], long), Assertion, 200, "longer than 1 MiB"),
        (ECP, response(403, &[], ""), Assertion, 403, "has a project"),
        ("/acs", response(401, &[], ""), ServiceProvider, 401, "check that it trusts the identity provider"),
        ("/acs", response(200, &[], "<html>"), ServiceProvider, 200, "started no session"),
        ("/acs", response(307, &[("location", "https://evil/")], ""), ServiceProvider, 307, "not sent on"),
        ("/acs", response(503, &[("retry-after", "5")], ""), ServiceProvider, 503, ""),
        ("/v3", response(200, &paos, "<e/>"), Federation, 200, "has not accepted the assertion"),
        (
            "/v3",
            response(302, &[("location", "/login")], ""),
            Federation,
            302,
            "has not accepted the assertion",
        ),
        ("/v3", response(403, &[], ""), Federation, 403, "enabled"),
    ] {
        let (error, requests) = failed(path, response).await;
        let Error::FederatedLoginFailed(failed) = &error else { panic!("{error:?}") };
        assert_eq!(
            (failed.step, failed.status.map(|status| status.as_u16())),
            (step, Some(status)),
            "{error}"
        );
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(error.is_transient(), status == 503, "{error}");
        assert!(requests.lines().last().unwrap().contains(path), "{:?}", requests.lines());
    }
    // Keystone itself says what is wrong, and the web server in front of it that there is no session.
    let document = r#"{"error": {"code": 401, "message": "no such method", "title": "Unauthorized"}}"#;
    for (headers, body, text) in [
        (&[("content-type", "application/json")][..], document, "no such method; check the protocol"),
        (&[("content-type", "text/html")], "<html>", "it asks for another login"),
    ] {
        let (error, _) = failed("/v3", response(401, headers, body)).await;
        assert!(error.to_string().contains(text) && !error.is_transient(), "{error}");
    }
    let (error, requests) = failed(ECP, response(302, &[("location", "https://evil/")], "")).await;
    assert!(matches!(error, Error::LoginRedirected { .. }), "{error:?}");
    assert_eq!(requests.lines().len(), 1);
}

#[tokio::test]
async fn errors_show_no_token_assertion_or_cookie() {
    for (path, secret) in [(ECP, "keystone-token-21"), ("/acs", "<assertion/>"), ("/v3", "12345678")] {
        let body =
            json!({"error": {"code": 400, "message": format!("bad {secret}"), "title": "x"}}).to_string();
        let (error, _) = failed(path, response(400, &[], body)).await;
        assert!(!format!("{error:#} {error:?}").contains(secret), "{error:?}");
    }
}

#[tokio::test]
async fn a_renewal_logs_in_anew_at_the_service_provider() {
    let (transport, requests) = transport(|request| Ok(cloud(request)));
    let home = {
        let transport: Transport =
            Transport::new(tower::service_fn(|_: Request<http_body_util::Full<Bytes>>| async {
                let document = home_document(&[("sp", "https://sp/acs", "https://sp/v3")]);
                Ok::<_, Infallible>(
                    response(201, &[("x-subject-token", "home")], document).map(http_body_util::Full::new),
                )
            }));
        RenewingPlugin::new(V3Credentials::new(HOME, AuthMethod::token("t")), transport)
    };
    let credentials = Keystone2KeystoneCredentials::new(home, "sp").scope(project());
    let plugin = RenewingPlugin::new(credentials, transport);
    plugin.access().await.unwrap();
    plugin.renew().await.unwrap();
    let login = ["/v3/auth/OS-FEDERATION/saml2/ecp", "/acs", "/v3", "/v3/auth/tokens"];
    let paths = requests.map(|request| request.uri().path().to_owned());
    assert_eq!(paths, [login, login].concat());
    assert_eq!(plugin.auth_url().unwrap(), "https://sp/v3");
}
