//! Keystone's web single sign-on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, pause, resume},
};
use tower_keystone::{
    Error, Transport,
    error::LoginStep,
    federation::{CompletedLogin, IdentityProvider, WebSsoLogin},
};

use super::{
    LONG,
    page::{FORM, connect, get, post, send, status},
    parameter, port, soon,
};
use crate::{
    recorded::Exchange,
    wire::{self, Requests, response},
};

const KEYSTONE: &str = "http://127.0.0.1:48000/v3";
const PATH: &str = "/auth/websso/";

fn identity_provider() -> IdentityProvider {
    IdentityProvider::new(KEYSTONE, "op", "openid")
}

/// A Keystone with the recorded document.
fn keystone() -> (Transport, Requests) {
    wire::transport(|_| Ok(Exchange::read("websso-3-validate").response()))
}

/// Starts a login on a free port, and returns it with the host that the browser comes back to.
async fn start(transport: Transport) -> (WebSsoLogin, String) {
    start_with(identity_provider(), transport).await
}

async fn start_with(identity_provider: IdentityProvider, transport: Transport) -> (WebSsoLogin, String) {
    let login = WebSsoLogin::builder(identity_provider).port(0).start(transport).await.unwrap();
    let host = format!("localhost:{}", port(&parameter(login.url(), "origin")));
    (login, host)
}

/// Logs in: a page sends this form.
async fn log_in(identity_provider: IdentityProvider, transport: Transport) -> Result<CompletedLogin, Error> {
    let (login, host) = start_with(identity_provider, transport).await;
    let completed = tokio::spawn(login.complete(LONG));
    let request = post(&host, PATH, &FORM, "token=keystone-token-16");
    assert_eq!(soon(send(port(&format!("http://{host}")), request)).await, 200);
    soon(completed).await.unwrap()
}

fn failed_step(error: &Error) -> LoginStep {
    let Error::FederatedLoginFailed(failed) = error else { panic!("{error:?}") };
    failed.step
}

#[tokio::test]
async fn the_url_has_the_origin_to_the_letter() {
    let builder = || WebSsoLogin::builder(IdentityProvider::new("https://k.example.com/", "my/op", "openid"));
    let start =
        "https://k.example.com/v3/auth/OS-FEDERATION/identity_providers/my%2Fop/protocols/openid/websso";
    let login = builder().port(0).start(keystone().0).await.unwrap();
    let origin = parameter(login.url(), "origin");
    let port = port(&origin);
    assert_eq!(origin, format!("http://localhost:{port}/auth/websso/"));
    assert_eq!(login.url(), format!("{start}?origin=http%3A%2F%2Flocalhost%3A{port}%2Fauth%2Fwebsso%2F"));

    let other = builder().port(0).host("127.0.0.1").path("/").any_identity_provider();
    let login = other.start(keystone().0).await.unwrap();
    assert!(
        login.url().starts_with("https://k.example.com/v3/auth/OS-FEDERATION/websso/openid?origin="),
        "{}",
        login.url()
    );
    let origin = parameter(login.url(), "origin");
    assert!(origin.starts_with("http://127.0.0.1:") && origin.ends_with('/'), "{origin}");

    // The default port may be occupied on this machine.
    match WebSsoLogin::start(identity_provider(), keystone().0).await {
        Ok(login) => assert_eq!(parameter(login.url(), "origin"), "http://localhost:9990/auth/websso/"),
        Err(error) => assert!(error.to_string().contains(":9990"), "{error}"),
    }
}

#[tokio::test]
async fn the_url_is_safe_to_print() {
    let provider = IdentityProvider::new("https://k.example.com/\u{202e}\u{9b}2J/v3", "op", "openid");
    let login = WebSsoLogin::builder(provider).port(0).start(keystone().0).await.unwrap();
    assert!(login.url().starts_with("https://k.example.com/%E2%80%AE%C2%9B2J/v3/auth/"), "{:?}", login.url());
}

#[tokio::test]
async fn the_token_of_the_form_gets_its_document() {
    let (transport, requests) = keystone();
    let login = log_in(identity_provider(), transport).await.unwrap();
    assert_eq!(login.access_info().auth_token(), Some("keystone-token-16"));
    assert_eq!(login.access_info().username(), Some("alice"));
    assert!(login.refresh_token().is_none());
    assert_eq!(requests.lines(), [format!("GET {KEYSTONE}/auth/tokens")]);
    requests.map(|request| {
        Exchange::read("websso-3-validate").check(request);
        assert!(request.headers()["x-auth-token"].is_sensitive());
        assert!(request.headers()["x-subject-token"].is_sensitive());
    });
}

#[tokio::test]
async fn a_form_that_is_not_that_of_keystone_is_refused() {
    let (transport, requests) = keystone();
    let (login, host) = start(transport).await;
    let port = port(&format!("http://{host}"));
    let completed = tokio::spawn(login.complete(LONG));
    let with = |header| [FORM.as_slice(), &[header]].concat();
    let without = |name: &str| -> Vec<_> {
        FORM.into_iter().filter(|header| !header.to_lowercase().starts_with(&name.to_lowercase())).collect()
    };
    let instead = |name: &str, header| [without(name), vec![header]].concat();
    let evil = "token=evil";
    for (request, expected) in [
        (post(&host, PATH, &with("Origin: https://evil.example.org"), evil), 403),
        (post(&host, PATH, &with("Origin: http://127.0.0.1:48001"), evil), 403),
        (post(&host, PATH, &with("Referer: https://evil.example.org/"), evil), 403),
        (post(&host, PATH, &instead("Sec-Fetch-Site", "Sec-Fetch-Site: none"), evil), 403),
        (post(&host, PATH, &instead("Sec-Fetch-Mode", "Sec-Fetch-Mode: cors"), evil), 403),
        (post(&host, PATH, &instead("Sec-Fetch-Dest", "Sec-Fetch-Dest: iframe"), evil), 403),
        (post(&host, PATH, &without("Sec-Fetch-Mode"), evil), 403),
        (post(&host, PATH, &without("Sec-Fetch-Dest"), evil), 403),
        (post(&host, PATH, &instead("Content-Type", "Content-Type: text/plain"), evil), 415),
        (post(&host, PATH, &without("Content-Type"), evil), 415),
        (post(&host, "/auth/websso", &FORM, evil), 404),
        (post(&format!("127.0.0.1:{port}"), PATH, &FORM, evil), 421),
        (post("evil.example.org", PATH, &FORM, evil), 421),
        (post(&host, PATH, &FORM, ""), 400),
        (post(&host, PATH, &FORM, "token="), 400),
        (post(&host, PATH, &FORM, "token=a&token=b"), 400),
        (post(&host, PATH, &FORM, "token=a%0D%0AX-Evil%3A%20b"), 400),
        (format!("GET {PATH}?token=evil HTTP/1.1\r\nHost: {host}\r\n\r\n"), 405),
        (format!("POST {PATH} HTTP/1.1\r\nHost: {host}\r\n{}\r\n\r\n", FORM.join("\r\n")), 411),
        (post(&host, PATH, &FORM, "token=evil").replace("Content-Length: 10", "Content-Length: 65537"), 413),
        (post(&host, PATH, &with("Transfer-Encoding: chunked"), evil), 411),
    ] {
        assert_eq!(soon(send(port, &request)).await, expected, "{request}");
    }
    assert_eq!(soon(get(&host, "/favicon.ico")).await, 404);
    assert!(!completed.is_finished() && requests.lines().is_empty());
    let request = post(&host, PATH, &with("Origin: http://127.0.0.1:48000"), "token=keystone-token-16");
    assert_eq!(soon(send(port, request)).await, 200);
    assert!(soon(completed).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_second_token_is_refused() {
    let (transport, requests) = keystone();
    let (login, host) = start(transport).await;
    let port = port(&format!("http://{host}"));
    let completed = tokio::spawn(login.complete(LONG));
    let (mut first, mut second) = (connect(port).await, connect(port).await);
    for connection in [&mut first, &mut second] {
        connection.write_all(b"POST ").await.unwrap();
    }
    assert_eq!(soon(get(&host, "/")).await, 404);
    for (connection, token, expected) in
        [(&mut first, "first", &[200][..]), (&mut second, "second", &[409, 0])]
    {
        let request = post(&host, PATH, &FORM, &format!("token={token}"));
        let _ = connection.write_all(request.strip_prefix("POST ").unwrap().as_bytes()).await;
        assert!(expected.contains(&soon(status(connection)).await), "{token}");
    }
    drop(first);
    assert_eq!(soon(completed).await.unwrap().unwrap().access_info().auth_token(), Some("first"));
    assert_eq!(requests.header("x-subject-token"), [Some("first".to_owned())]);
}

#[tokio::test]
async fn a_token_of_another_provider_or_protocol_is_an_error() {
    for (id, protocol) in [("other", "openid"), ("op", "saml2")] {
        let other = IdentityProvider::new(KEYSTONE, id, protocol);
        let error = log_in(other, keystone().0).await.unwrap_err();
        assert_eq!(failed_step(&error), LoginStep::Federation);
        assert!(!error.is_transient());
        assert!(error.to_string().contains("not that of this identity provider and protocol"), "{error}");
    }
    for document in [
        r#"{"token": {"user": {"name": "eve"}}}"#,
        r#"{"token": {"user": {"OS-FEDERATION": {"identity_provider": {"id": "op"}}}}}"#,
        r#"{"token": {"user": {"OS-FEDERATION": {"identity_provider": "op", "protocol": {"id": "openid"}}}}}"#,
    ] {
        let (transport, _) = wire::transport(move |_| Ok(response(200, &[], document)));
        let error = log_in(identity_provider(), transport).await.unwrap_err();
        assert!(error.to_string().contains("not that of this identity provider and protocol"), "{error}");
    }
}

#[tokio::test]
async fn a_token_that_keystone_does_not_know_is_an_error_that_does_not_show_it() {
    for status in [401, 404] {
        let body =
            r#"{"error": {"code": 404, "message": "no token keystone-token-16", "title": "Not Found"}}"#;
        let (transport, _) = wire::transport(move |_| Ok(response(status, &[], body)));
        let error = log_in(identity_provider(), transport).await.unwrap_err();
        assert!(error.to_string().contains("the token that the browser has sent is not valid"), "{error}");
        assert!(!format!("{error} {error:?}").contains("keystone-token-16"), "{error:?}");
        assert!(!error.is_transient());
    }
    let location = [("location", "https://evil.example.org/")];
    let (transport, requests) = wire::transport(move |_| Ok(response(307, &location, "")));
    assert!(log_in(identity_provider(), transport).await.is_err());
    assert_eq!(requests.lines().len(), 1);
}

#[tokio::test]
async fn a_keystone_that_is_down_for_a_while_does_not_lose_the_login() {
    for (failures, is_ok) in [(3, true), (1000, false)] {
        let count = Arc::new(AtomicUsize::new(0));
        let (transport, requests) = wire::transport(move |_| match count.fetch_add(1, Ordering::Relaxed) {
            count if count < failures => Ok(response(503, &[], "")),
            _ => Ok(Exchange::read("websso-3-validate").response()),
        });
        let (login, host) = start(transport).await;
        let completed = tokio::spawn(login.complete(LONG));
        let request = post(&host, PATH, &FORM, "token=keystone-token-16");
        assert_eq!(soon(send(port(&format!("http://{host}")), request)).await, 200);
        pause();
        let start = Instant::now();
        match completed.await.unwrap() {
            Ok(_) => assert!(is_ok && requests.lines().len() == failures + 1),
            Err(error) => assert!(!is_ok && error.is_transient(), "{error}"),
        }
        assert!(start.elapsed() <= Duration::from_secs(301), "{:?}", start.elapsed());
        resume();
    }
}

#[tokio::test]
async fn the_login_ends_after_the_timeout_and_closes_the_port() {
    let (login, host) = start(keystone().0).await;
    pause();
    let start = Instant::now();
    let error = login.complete(Duration::from_secs(60)).await.unwrap_err();
    assert!(start.elapsed() >= Duration::from_secs(60) && start.elapsed() < Duration::from_secs(61));
    assert_eq!(failed_step(&error), LoginStep::Browser);
    let port = port(&format!("http://{host}"));
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

#[tokio::test]
async fn plain_http_to_another_host_is_an_error_before_the_port_is_opened() {
    let plain = || IdentityProvider::new("http://keystone.example.com", "op", "openid");
    let error = WebSsoLogin::builder(plain()).port(0).start(keystone().0).await.unwrap_err();
    assert_eq!(failed_step(&error), LoginStep::Federation);
    let allowed = plain().allow_http("keystone.example.com");
    assert!(WebSsoLogin::builder(allowed).port(0).start(keystone().0).await.is_ok());
}
