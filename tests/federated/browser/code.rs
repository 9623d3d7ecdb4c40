//! The authorization code with PKCE.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response};
use sha2::{Digest, Sha256};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    time::{Instant, pause},
};
use tower_keystone::{
    BoxError, Error, Transport,
    error::LoginStep,
    federation::{BrowserLogin, CompletedLogin, IdentityProvider, OidcClient},
};

use super::{
    LONG,
    page::{connect, get, send, status},
    parameter, parameters, port, soon,
};
use crate::{
    recorded::Exchange,
    wire::{self, Requests, response},
};

const KEYSTONE: &str = "http://127.0.0.1:48000/v3";
const DISCOVERY: &str = "https://op.example.com/.well-known/openid-configuration";

fn keystone() -> IdentityProvider {
    IdentityProvider::new(KEYSTONE, "op", "openid")
}

fn client() -> OidcClient {
    OidcClient::new("public-cli").discovery_endpoint(DISCOVERY)
}

/// A provider with this member in its discovery document, and a Keystone.
fn provider(member: &'static str) -> (Transport, Requests) {
    wire::transport(move |request| respond(request, member))
}

fn respond(request: &Request<Bytes>, member: &str) -> Result<Response<Bytes>, BoxError> {
    Ok(match request.uri().path() {
        "/.well-known/openid-configuration" => {
            let document = format!(
                r#"{{"issuer": "https://op.example.com", "token_endpoint": "https://op.example.com/token",
                     "authorization_endpoint": "https://op.example.com/auth?realm=a%20b"{member}}}"#
            );
            response(200, &[], document)
        }
        "/token" => {
            let document = r#"{"access_token": "access-token-7", "refresh_token": "refresh-token-1",
                               "expires_in": 3600, "token_type": "Bearer"}"#;
            response(200, &[], document)
        }
        _ => Exchange::read("oidc-auth-code-3-unscoped").response(),
    })
}

/// Starts a login, and returns it with the host that the browser comes back to.
async fn start(transport: Transport) -> (BrowserLogin, String) {
    let login = BrowserLogin::start(keystone(), client(), transport).await.unwrap();
    let host = parameter(login.url(), "redirect_uri").replace("http://", "").replace("/callback", "");
    (login, host)
}

/// Starts a login on a port that no program is given by chance after it is closed.
async fn start_on_quiet_port() -> (BrowserLogin, String) {
    loop {
        let port = fastrand::u16(10_000..30_000);
        let builder = BrowserLogin::builder(keystone(), client()).port(port);
        if let Ok(login) = builder.start(provider("").0).await {
            return (login, format!("127.0.0.1:{port}"));
        }
    }
}

/// Logs in: the browser comes back with this query, in which `STATE` stands for the state.
async fn log_in(transport: Transport, query: &str) -> Result<CompletedLogin, Error> {
    let (login, host) = start(transport).await;
    let path = format!("/callback?{}", query.replace("STATE", &parameter(login.url(), "state")));
    let completed = tokio::spawn(login.complete(LONG));
    assert_eq!(soon(get(&host, &path)).await, 200);
    soon(completed).await.unwrap()
}

fn failed_step(error: &Error) -> LoginStep {
    let Error::FederatedLoginFailed(failed) = error else { panic!("{error:?}") };
    failed.step
}

#[tokio::test]
async fn the_url_has_a_state_and_a_challenge() {
    let (transport, requests) = provider("");
    let (login, host) = start(transport.clone()).await;
    let url = login.url();
    assert!(url.starts_with("https://op.example.com/auth?realm=a%20b&client_id=public-cli&"), "{url}");
    let names: Vec<_> = parameters(url).into_iter().map(|(name, _)| name).collect();
    let expected = [
        "realm",
        "client_id",
        "response_type",
        "scope",
        "redirect_uri",
        "state",
        "code_challenge",
        "code_challenge_method",
    ];
    assert_eq!(names, expected);
    for (name, value) in [
        ("response_type", "code".to_owned()),
        ("scope", "openid profile".to_owned()),
        ("redirect_uri", format!("http://127.0.0.1:{}/callback", port(&format!("http://{host}")))),
        ("code_challenge_method", "S256".to_owned()),
    ] {
        assert_eq!(parameter(url, name), value);
    }
    assert_eq!(parameter(url, "state").len(), 43);
    assert_eq!(parameter(url, "code_challenge").len(), 43);
    // Each login has its own.
    let (other, _) = start(transport).await;
    for name in ["state", "code_challenge"] {
        assert_ne!(parameter(url, name), parameter(other.url(), name));
    }
    // Nothing but the discovery document was requested.
    assert!(
        requests.lines().iter().all(|line| *line == format!("GET {DISCOVERY}")),
        "{:?}",
        requests.lines()
    );
}

#[tokio::test]
async fn the_builder_sets_the_redirect_and_parameters() {
    let login = BrowserLogin::builder(keystone(), client())
        .host("localhost")
        .path("/back")
        .parameter("prompt", "consent")
        .parameter("login_hint", "alice & bob")
        .start(provider("").0)
        .await
        .unwrap();
    let redirect_uri = parameter(login.url(), "redirect_uri");
    assert_eq!(redirect_uri, format!("http://localhost:{}/back", port(&redirect_uri)));
    assert_eq!(parameter(login.url(), "prompt"), "consent");
    assert_eq!(parameter(login.url(), "login_hint"), "alice & bob");

    let builder = || BrowserLogin::builder(keystone(), client());
    for (builder, hint) in [
        (builder().parameter("state", "1"), "a parameter was added twice"),
        (builder().parameter("prompt", "a").parameter("prompt", "b"), "a parameter was added twice"),
        (builder().parameter("realm", "b"), "the query of the authorization endpoint has a parameter"),
        (builder().host("0.0.0.0"), "set 127.0.0.1 or localhost"),
        (builder().host("evil.example.org"), "set 127.0.0.1 or localhost"),
        (builder().path("callback"), "the path must start with a /"),
        (builder().path("/a?b"), "the path must start with a /"),
        (builder().path("/a\r\nb"), "the path must start with a /"),
    ] {
        let error = builder.start(provider("").0).await.unwrap_err();
        assert_eq!(failed_step(&error), LoginStep::Browser);
        assert!(error.to_string().contains(hint), "{error}");
    }
}

#[tokio::test]
async fn the_url_is_safe_to_print() {
    for endpoint in ["https://op.example.com/a\u{202e}b", "https://op.example.com/auth?a=\u{9b}2J&b=\u{e9}"] {
        let (transport, _) = wire::transport(move |_| {
            let document = format!(
                r#"{{"token_endpoint": "https://op.example.com/token", "authorization_endpoint": "{endpoint}"}}"#
            );
            Ok(response(200, &[], document))
        });
        let login = BrowserLogin::start(keystone(), client(), transport).await.unwrap();
        assert!(login.url().bytes().all(|byte| byte.is_ascii_graphic()), "{:?}", login.url());
        assert!(login.url().starts_with("https://op.example.com/a"), "{:?}", login.url());
    }
}

#[tokio::test]
async fn a_provider_that_does_not_name_itself_gets_no_code_of_another_one() {
    // The document leads the browser to an honest provider, and the code to itself.
    let (transport, requests) = wire::transport(|request| {
        let document = r#"{"token_endpoint": "https://op.example.com/token",
                           "authorization_endpoint": "https://honest.example.com/auth"}"#;
        Ok(match request.uri().path() {
            "/.well-known/openid-configuration" => response(200, &[], document),
            _ => response(503, &[], ""),
        })
    });
    let query = "code=c&state=STATE&iss=https%3A%2F%2Fhonest.example.com";
    let error = log_in(transport, query).await.unwrap_err();
    assert_eq!(failed_step(&error), LoginStep::Browser);
    assert!(error.to_string().contains("another provider"), "{error}");
    assert_eq!(requests.lines(), [format!("GET {DISCOVERY}")]);
}

#[tokio::test]
async fn a_code_becomes_an_unscoped_token() {
    let (transport, requests) = provider("");
    let (login, host) = start(transport).await;
    let (challenge, state) = (parameter(login.url(), "code_challenge"), parameter(login.url(), "state"));
    let completed = tokio::spawn(login.complete(LONG));

    assert_eq!(soon(get(&host, "/favicon.ico")).await, 404);
    assert_eq!(soon(get(&host, &format!("/callback?code=code%2F1&state={state}"))).await, 200);
    let login = soon(completed).await.unwrap().unwrap();
    assert_eq!(login.access_info().auth_token(), Some("keystone-token-12"));
    assert_eq!(login.access_info().username(), Some("alice"));
    assert_eq!(login.refresh_token().map(|token| token.expose()), Some("refresh-token-1"));

    let federated_url = format!("POST {KEYSTONE}/OS-FEDERATION/identity_providers/op/protocols/openid/auth");
    let discovery = format!("GET {DISCOVERY}");
    assert_eq!(requests.lines(), [&*discovery, "POST https://op.example.com/token", &federated_url]);
    assert_eq!(requests.header("authorization"), [None, None, Some("Bearer access-token-7".to_owned())]);
    let form = requests.map(|request| String::from_utf8(request.body().to_vec()).unwrap())[1].clone();
    let form = format!("http://form/?{form}");
    let names: Vec<_> = parameters(&form).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["redirect_uri", "code", "code_verifier", "grant_type", "client_id"]);
    assert_eq!(parameter(&form, "redirect_uri"), format!("http://{host}/callback"));
    assert_eq!(parameter(&form, "code"), "code/1");
    assert_eq!(parameter(&form, "grant_type"), "authorization_code");
    let verifier = parameter(&form, "code_verifier");
    assert_eq!(BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)), challenge);
}

#[tokio::test]
async fn a_request_without_the_state_does_not_end_the_login() {
    let (login, host) = start(provider("").0).await;
    let state = parameter(login.url(), "state");
    let port = port(&format!("http://{host}"));
    let completed = tokio::spawn(login.complete(LONG));
    for (path, expected) in [
        ("/callback".to_owned(), 400),
        ("/callback?code=evil".to_owned(), 400),
        ("/callback?code=evil&state=guess".to_owned(), 403),
        ("/callback?error=access_denied&state=guess".to_owned(), 403),
        ("/callback?error=access_denied".to_owned(), 400),
        (format!("/callback?code=evil&state=guess&state={state}"), 400),
        (format!("/callback?code=evil&code=code-1&state={state}"), 400),
        (format!("/callback?state={state}"), 400),
        (format!("/other?code=evil&state={state}"), 404),
    ] {
        assert_eq!(soon(get(&host, &path)).await, expected, "{path}");
    }
    let path = format!("/callback?code=evil&state={state}");
    for (request, expected) in [
        (format!("GET {path} HTTP/1.1\r\nHost: evil.example.org:{port}\r\n\r\n"), 421),
        (format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"), 421),
        (format!("GET {path} HTTP/1.1\r\n\r\n"), 400),
        (format!("HEAD {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"), 405),
        (format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"), 405),
        (format!("GET {path} HTTP/3\r\nHost: {host}\r\n\r\n"), 505),
        (format!("GET {path}\r\n\r\n"), 400),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(20_000)), 431),
        ("\x16\x03\x01\x02\0".to_owned(), 400),
    ] {
        assert_eq!(soon(send(port, request)).await, expected);
    }
    assert!(!completed.is_finished());
    assert_eq!(soon(get(&host, &format!("/callback?code=code-1&state={state}"))).await, 200);
    assert!(soon(completed).await.unwrap().is_ok());
}

#[tokio::test]
async fn silent_and_half_requests_do_not_hold_up_the_login() {
    let (login, host) = start(provider("").0).await;
    let state = parameter(login.url(), "state");
    let port = port(&format!("http://{host}"));
    // They come before the program waits for the browser, too.
    let mut others = Vec::new();
    for _ in 0..100 {
        others.push(connect(port).await);
    }
    let completed = tokio::spawn(login.complete(LONG));
    for _ in 0..100 {
        let mut half = connect(port).await;
        half.write_all(format!("GET /callback?state={state}&code=").as_bytes()).await.unwrap();
        others.push(half);
    }
    assert_eq!(soon(get(&host, &format!("/callback?code=code-1&state={state}"))).await, 200);
    assert!(soon(completed).await.unwrap().is_ok());
    for other in &mut others {
        assert_eq!(soon(status(other)).await, 0);
    }
}

#[tokio::test]
async fn a_second_code_is_refused() {
    let (transport, requests) = provider("");
    let (login, host) = start(transport).await;
    let state = parameter(login.url(), "state");
    let port = port(&format!("http://{host}"));
    let completed = tokio::spawn(login.complete(LONG));
    let (mut first, mut second) = (connect(port).await, connect(port).await);
    for connection in [&mut first, &mut second] {
        connection.write_all(b"GET ").await.unwrap();
    }
    assert_eq!(soon(get(&host, "/")).await, 404);
    for (connection, code, expected) in
        [(&mut first, "first", &[200][..]), (&mut second, "second", &[409, 0])]
    {
        let rest = format!("/callback?code={code}&state={state} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let _ = connection.write_all(rest.as_bytes()).await;
        assert!(expected.contains(&soon(status(connection)).await), "{code}");
    }
    drop(first);
    assert!(soon(completed).await.unwrap().is_ok());
    let forms = requests.map(|request| String::from_utf8(request.body().to_vec()).unwrap());
    assert!(forms[1].contains("code=first") && !forms.concat().contains("second"), "{forms:?}");
}

#[tokio::test]
async fn a_provider_that_refuses_the_login_ends_it() {
    let (transport, requests) = provider("");
    let query = "error=access_denied&error_description=the+person+said+no&state=STATE";
    let error = log_in(transport, query).await.unwrap_err();
    let Error::FederatedLoginFailed(failed) = &error else { panic!("{error:?}") };
    assert_eq!(failed.step, LoginStep::Browser);
    assert_eq!(failed.error.as_deref(), Some("access_denied"));
    assert_eq!(failed.error_description.as_deref(), Some("the person said no"));
    assert!(!error.is_transient());
    assert_eq!(requests.lines().len(), 1, "{:?}", requests.lines());

    let error = log_in(provider("").0, "error=temporarily_unavailable&state=STATE").await.unwrap_err();
    assert!(error.is_transient());
    let long = format!("error={}&error_description={}&state=STATE", "e".repeat(5000), "%C3%A9".repeat(1500));
    let Error::FederatedLoginFailed(failed) = log_in(provider("").0, &long).await.unwrap_err() else {
        panic!()
    };
    assert!(failed.error.as_deref().unwrap().len() <= 64);
    assert_eq!(failed.error_description.as_deref().unwrap().chars().count(), 1024);
}

#[tokio::test]
async fn the_issuer_of_the_response_is_that_of_the_discovery_document() {
    const SENDS_ISSUER: &str = r#", "authorization_response_iss_parameter_supported": true"#;
    const RIGHT: &str = "&iss=https%3A%2F%2Fop.example.com";
    const WRONG: &str = "&iss=https%3A%2F%2Fevil.example.org";
    for (member, iss, is_right) in [
        (SENDS_ISSUER, RIGHT, true),
        (SENDS_ISSUER, WRONG, false),
        (SENDS_ISSUER, "", false),
        ("", RIGHT, true),
        ("", WRONG, false),
        ("", "", true),
    ] {
        let (transport, requests) = provider(member);
        match log_in(transport, &format!("code=code-1&state=STATE{iss}")).await {
            Ok(_) => assert!(is_right, "{member} {iss}"),
            Err(error) => {
                assert!(!is_right && !error.is_transient(), "{member} {iss}: {error}");
                assert!(error.to_string().contains("from another provider"), "{error}");
                // The code is not sent to anybody.
                assert_eq!(requests.lines().len(), 1);
            }
        }
    }
}

#[tokio::test]
async fn the_login_ends_after_the_timeout_and_closes_the_port() {
    let (login, host) = start_on_quiet_port().await;
    pause();
    let start = Instant::now();
    let error = login.complete(Duration::from_secs(60)).await.unwrap_err();
    assert!(start.elapsed() >= Duration::from_secs(60) && start.elapsed() < Duration::from_secs(61));
    assert_eq!(failed_step(&error), LoginStep::Browser);
    assert!(!error.is_transient());
    assert!(error.to_string().contains("the browser did not come back in time"), "{error}");
    assert!(TcpStream::connect(&host).await.is_err());
}

#[tokio::test]
async fn the_port_is_closed_when_the_login_is_dropped() {
    let (login, host) = start_on_quiet_port().await;
    drop(connect(port(&format!("http://{host}"))).await);
    drop(login);
    assert!(TcpStream::connect(&host).await.is_err());
    let (login, host) = start_on_quiet_port().await;
    let completed = tokio::spawn(login.complete(LONG));
    assert_eq!(soon(get(&host, "/")).await, 404);
    completed.abort();
    assert!(soon(completed).await.unwrap_err().is_cancelled());
    assert!(TcpStream::connect(&host).await.is_err());
}

#[tokio::test]
async fn an_occupied_port_is_an_error() {
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = other.local_addr().unwrap().port();
    let error =
        BrowserLogin::builder(keystone(), client()).port(port).start(provider("").0).await.unwrap_err();
    assert_eq!(failed_step(&error), LoginStep::Browser);
    assert!(error.to_string().contains(&format!("http://127.0.0.1:{port}")), "{error}");
    assert!(error.to_string().contains("another program"), "{error}");
}

#[tokio::test]
async fn a_url_that_must_not_get_a_token_is_an_error_before_anything_is_sent() {
    let (transport, requests) = provider("");
    let plain = IdentityProvider::new("http://keystone.example.com", "op", "openid");
    assert!(BrowserLogin::start(plain, client(), transport.clone()).await.is_err());
    let plain = client().authorization_endpoint("http://op.example.com/auth");
    assert!(BrowserLogin::start(keystone(), plain, transport).await.is_err());
    assert!(requests.lines().iter().all(|line| line.starts_with("GET ")), "{:?}", requests.lines());
}

#[tokio::test]
async fn a_keystone_that_is_down_for_a_while_does_not_lose_the_login() {
    let count = Arc::new(AtomicUsize::new(0));
    let (transport, requests) = wire::transport(move |request| {
        let is_keystone = request.uri().path().starts_with("/v3/");
        if is_keystone && count.fetch_add(1, Ordering::Relaxed) < 3 {
            return Ok(response(503, &[], ""));
        }
        respond(request, "")
    });
    let (login, host) = start(transport).await;
    let path = format!("/callback?code=code-1&state={}", parameter(login.url(), "state"));
    let completed = tokio::spawn(login.complete(LONG));
    assert_eq!(soon(get(&host, &path)).await, 200);
    pause();
    assert!(completed.await.unwrap().is_ok());
    let to_provider = requests.lines().into_iter().filter(|line| line.contains("/token")).count();
    assert_eq!((requests.lines().len(), to_provider), (6, 1));
}

#[tokio::test]
async fn errors_show_no_secret() {
    // The description of the provider repeats the state.
    let error =
        log_in(provider("").0, "error=e&error_description=about+STATE&state=STATE").await.unwrap_err();
    let Error::FederatedLoginFailed(failed) = &error else { panic!("{error:?}") };
    assert!(failed.error_description.as_deref().unwrap().contains("redacted"), "{failed:?}");

    // The token endpoint repeats the code and the verifier.
    let (transport, requests) = wire::transport(|request| match request.uri().path() {
        "/token" => {
            let form = String::from_utf8(request.body().to_vec()).unwrap();
            let document = serde_json::json!({"error": "invalid_grant", "error_description": form});
            Ok(response(400, &[], document.to_string()))
        }
        _ => respond(request, ""),
    });
    let (login, host) = start(transport).await;
    assert!(!format!("{login:?}").contains(&parameter(login.url(), "state")));
    let path = format!("/callback?code=canary-code&state={}", parameter(login.url(), "state"));
    let completed = tokio::spawn(login.complete(LONG));
    assert_eq!(soon(get(&host, &path)).await, 200);
    let error = soon(completed).await.unwrap().unwrap_err();
    assert_eq!(failed_step(&error), LoginStep::Token);
    let form = requests.map(|request| String::from_utf8(request.body().to_vec()).unwrap())[1].clone();
    let verifier = parameter(&format!("http://form/?{form}"), "code_verifier");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("canary") && !shown.contains(&verifier), "{shown}");
    assert!(shown.contains("invalid_grant"), "{shown}");
}
