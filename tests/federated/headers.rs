//! Logins with a header that a function makes: `LoginHeader`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::{HeaderValue, Method, Uri};
use tower_keystone::{
    AuthMethod, BoxError, Credentials, Error, Scope, User, V3Credentials,
    error::LoginStep,
    federation::{FederatedCredentials, Grant, IdentityProvider, LoginHeader},
};

use crate::{
    recorded::Exchange,
    wire::{response, transport},
};

const KRB: &str = "http://127.0.0.1:48000/krb/v3";

/// Returns a header with a new ticket for each request, which contains the method and the path.
fn tickets() -> LoginHeader {
    let count = Arc::new(AtomicUsize::new(0));
    LoginHeader::new(move |method, url| {
        let count = count.fetch_add(1, Ordering::Relaxed);
        let value = format!("Negotiate ticket-{count}-{method}-{}", url.path());
        async move { Ok(HeaderValue::try_from(value)?) }
    })
}

fn fixed(value: &'static str) -> LoginHeader {
    LoginHeader::new(move |_, _| async move { Ok(HeaderValue::from_static(value)) })
}

fn failing(error: impl Fn() -> BoxError + Send + Sync + 'static) -> LoginHeader {
    LoginHeader::new(move |_, _| std::future::ready(Err(error())))
}

#[tokio::test]
async fn kerberos_sends_the_recorded_request() {
    let exchange = Exchange::read("kerberos-2-login");
    let recorded = exchange.clone();
    let (transport, requests) = transport(move |_| Ok(recorded.response()));
    let scope = Scope::new().project_id("8096c87a0b384a8e9afc72fc03835eea");
    let method = AuthMethod::kerberos(fixed("Negotiate negotiate-token"));
    let access_info = V3Credentials::new(KRB, method).scope(scope).get_auth_ref(transport).await.unwrap();
    assert_eq!(access_info.auth_token(), Some("keystone-token-26"));
    assert_eq!(requests.lines().len(), 1);
    requests.map(|request| {
        exchange.check(request);
        assert!(request.headers()["authorization"].is_sensitive());
    });
}

#[tokio::test]
async fn oauth1_sends_no_scope_and_signs_the_url_of_the_request() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let signed = Arc::clone(&seen);
    let header = LoginHeader::new(move |method: &Method, url: &Uri| {
        signed.lock().unwrap().push(format!("{method} {url}"));
        async { Ok(HeaderValue::from_static("OAuth oauth_signature=\"s\"")) }
    });
    let document = r#"{"token": {"methods": ["oauth1"], "user": {"id": "u"}}}"#;
    let (transport, requests) = transport(move |_| Ok(response(201, &[("x-subject-token", "t")], document)));
    let credentials = V3Credentials::new("https://k.example.com", AuthMethod::oauth1(header));
    credentials.get_auth_ref(transport).await.unwrap();
    assert_eq!(requests.lines(), ["POST https://k.example.com/v3/auth/tokens"]);
    assert_eq!(*seen.lock().unwrap(), requests.lines());
    let bodies = requests.map(|request| str::from_utf8(request.body()).unwrap().to_owned());
    assert_eq!(bodies, [r#"{"auth":{"identity":{"methods":["oauth1"],"oauth1":{}}}}"#]);
    assert_eq!(requests.header("authorization"), [Some("OAuth oauth_signature=\"s\"".to_owned())]);
}

#[tokio::test]
async fn each_request_has_a_new_header_also_after_a_redirect() {
    let (transport, requests) = transport(|request| {
        Ok(match request.uri().path() {
            "/krb/v3/auth/tokens" => response(307, &[("location", "/other/v3/auth/tokens")], ""),
            _ => response(201, &[("x-subject-token", "t")], r#"{"token": {"user": {"id": "u"}}}"#),
        })
    });
    let credentials = V3Credentials::new(KRB, AuthMethod::kerberos(tickets()));
    credentials.get_auth_ref(transport.clone()).await.unwrap();
    credentials.get_auth_ref(transport).await.unwrap();
    let ticket = |count, path: &str| Some(format!("Negotiate ticket-{count}-POST-{path}/v3/auth/tokens"));
    let expected = [ticket(0, "/krb"), ticket(1, "/other"), ticket(2, "/krb"), ticket(3, "/other")];
    assert_eq!(requests.header("authorization"), expected);
}

#[tokio::test]
async fn no_header_goes_to_another_origin() {
    let (transport, requests) =
        transport(|_| Ok(response(307, &[("location", "http://127.0.0.1:48001/v3/auth/tokens")], "")));
    let error =
        V3Credentials::new(KRB, AuthMethod::kerberos(tickets())).get_auth_ref(transport).await.unwrap_err();
    assert!(matches!(error, Error::LoginRedirected { .. }), "{error:?}");
    assert_eq!(requests.lines().len(), 1);
}

#[tokio::test]
async fn a_rejected_ticket_is_permanent_and_has_a_hint() {
    let exchange = Exchange::read("kerberos-1-login");
    let (transport, _) = transport(move |_| Ok(exchange.response()));
    let method = AuthMethod::kerberos(fixed("Negotiate c2VjcmV0").named("alice@EXAMPLE.COM"));
    let error = V3Credentials::new(KRB, method).get_auth_ref(transport).await.unwrap_err();
    assert!(matches!(error, Error::Keystone(_)) && !error.is_transient(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("a Kerberos ticket of \"alice@EXAMPLE.COM\""), "{text}");
    assert!(text.contains("a ticket for HTTP@host"), "{text}");
}

#[tokio::test]
async fn an_echoed_header_is_redacted() {
    for echo in ["Negotiate c2VjcmV0-ticket", "the ticket c2VjcmV0-ticket is too old"] {
        let body = format!(r#"{{"error": {{"code": 401, "message": "{echo}", "title": "Unauthorized"}}}}"#);
        let (transport, _) = transport(move |_| Ok(response(401, &[], body.clone())));
        let method = AuthMethod::kerberos(fixed("Negotiate c2VjcmV0-ticket"));
        let error = V3Credentials::new(KRB, method.clone()).get_auth_ref(transport).await.unwrap_err();
        assert!(!format!("{error:#} {error:?} {method:?}").contains("c2VjcmV0"), "{error:?}");
    }
}

#[tokio::test]
async fn an_error_of_the_function_keeps_its_source() {
    let (transport, requests) = transport(|_| panic!("a request without a header"));
    let log_in = async |header| {
        V3Credentials::new(KRB, AuthMethod::kerberos(header))
            .get_auth_ref(transport.clone())
            .await
            .unwrap_err()
    };
    let error = log_in(failing(|| "no ticket; run kinit".into())).await;
    let Error::FederatedLoginFailed(failed) = &error else { panic!("{error:?}") };
    assert_eq!(failed.step, LoginStep::LoginHeader);
    assert_eq!(&*failed.origin, "http://127.0.0.1:48000");
    assert!(error.is_transient());
    assert!(format!("{error:#}").ends_with(": no ticket; run kinit"), "{error:#}");

    let error = log_in(failing(|| Error::plugin(false, "the keytab is gone").into())).await;
    assert!(matches!(error, Error::Plugin { transient: false, .. }), "{error:?}");
    let error = log_in(LoginHeader::new(|_, _| async { panic!("a bug in the function") })).await;
    assert!(matches!(error, Error::PluginPanicked), "{error:?}");
    let makes_none = |_: &Method, _: &Uri| -> std::future::Ready<Result<HeaderValue, BoxError>> {
        panic!("a bug in the function")
    };
    assert!(matches!(log_in(LoginHeader::new(makes_none)).await, Error::PluginPanicked));
    assert!(requests.lines().is_empty());
}

#[test]
fn only_a_named_header_has_ids() {
    let ids = |method: AuthMethod| {
        let credentials = V3Credentials::new(KRB, method);
        (credentials.cache_id(), credentials.public_id())
    };
    assert_eq!(ids(AuthMethod::kerberos(tickets())), (None, None));
    assert_eq!(ids(AuthMethod::oauth1(tickets().named(""))), (None, None));
    let alice = ids(AuthMethod::kerberos(tickets().named("alice")));
    assert!(alice.0.is_some() && alice.1.is_some());
    assert_eq!(alice, ids(AuthMethod::kerberos(fixed("Negotiate x").named("alice"))));
    for other in [AuthMethod::kerberos(tickets().named("bob")), AuthMethod::oauth1(tickets().named("alice"))]
    {
        let other = ids(other);
        assert!(alice.0 != other.0 && alice.1 != other.1 && other.0.is_some());
    }
    let password = AuthMethod::password(User::new().user_id("u"), "pw");
    let both = V3Credentials::new(KRB, AuthMethod::kerberos(tickets())).and(password);
    assert_eq!(both.cache_id(), None);
    assert!(!V3Credentials::new(KRB, AuthMethod::kerberos(tickets())).can_lock_account());
}

#[test]
fn one_request_cannot_have_two_headers() {
    let one = V3Credentials::new(KRB, AuthMethod::kerberos(tickets()));
    assert!(one.clone().and(AuthMethod::kerberos(tickets())).request().is_ok());
    let error = one.and(AuthMethod::oauth1(tickets())).request().unwrap_err();
    assert!(matches!(error, Error::AuthorizationFailure { .. }), "{error:?}");
}

fn federated(auth_url: &str, header: LoginHeader) -> FederatedCredentials {
    FederatedCredentials::new(IdentityProvider::new(auth_url, "krb", "mapped"), Grant::header(header))
}

#[tokio::test]
async fn a_federated_login_sends_the_recorded_requests() {
    let exchanges = ["fedkerb-2-unscoped", "fedkerb-3-rescope"].map(Exchange::read);
    let responses = Arc::new(exchanges.clone());
    let next = Arc::new(AtomicUsize::new(0));
    let (transport, requests) =
        transport(move |_| Ok(responses[next.fetch_add(1, Ordering::Relaxed)].response()));
    let scope = Scope::new().project_id("8096c87a0b384a8e9afc72fc03835eea");
    let credentials = federated("http://127.0.0.1:48000", fixed("Negotiate negotiate-token")).scope(scope);
    let access_info = credentials.get_auth_ref(transport).await.unwrap();
    assert_eq!(access_info.auth_token(), Some("keystone-token-28"));
    let requests = requests.map(http::Request::clone);
    assert_eq!(requests.len(), 2);
    for (exchange, request) in exchanges.iter().zip(&requests) {
        exchange.check(request);
    }
    assert!(requests[0].headers()["authorization"].is_sensitive());
    assert!(!requests[1].headers().contains_key("authorization"));
}

#[tokio::test]
async fn a_rejected_header_of_a_federated_login_has_a_hint() {
    let exchange = Exchange::read("fedkerb-1-unscoped");
    let (transport, _) = transport(move |_| Ok(exchange.response()));
    let error = federated(KRB, fixed("Negotiate c2VjcmV0")).get_auth_ref(transport).await.unwrap_err();
    let Error::FederatedLoginFailed(failed) = &error else { panic!("{error:?}") };
    assert_eq!(
        (failed.step, failed.status.map(|status| status.as_u16())),
        (LoginStep::Federation, Some(401))
    );
    assert!(error.to_string().contains("a ticket for HTTP@host") && !error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_header_that_the_web_server_rejects_has_a_hint() {
    let challenge = [("www-authenticate", "OAuth realm=\"x\"")];
    let (transport, _) = transport(move |_| Ok(response(401, &challenge, "<html>")));
    let error = federated(KRB, fixed("OAuth c2VjcmV0")).get_auth_ref(transport).await.unwrap_err();
    assert!(error.to_string().contains("check the header that the function makes"), "{error}");
}

#[tokio::test]
async fn a_federated_login_asks_for_a_new_header_after_a_redirect_and_follows_no_other() {
    let token = || response(201, &[("x-subject-token", "t")], r#"{"token": {"user": {"id": "u"}}}"#);
    let (moved, requests) = transport(move |request| {
        let is_moved = request.uri().path().starts_with("/new/");
        Ok(if is_moved { token() } else { response(308, &[("location", "/new/auth")], "") })
    });
    federated(KRB, tickets()).get_auth_ref(moved).await.unwrap();
    let path = "/krb/v3/OS-FEDERATION/identity_providers/krb/protocols/mapped/auth";
    let tickets_sent =
        [format!("Negotiate ticket-0-GET-{path}"), "Negotiate ticket-1-GET-/new/auth".to_owned()];
    assert_eq!(requests.header("authorization"), tickets_sent.map(Some));

    let (login_page, requests) =
        transport(|_| Ok(response(302, &[("location", "https://idp.example.com/login")], "")));
    let error = federated(KRB, tickets()).get_auth_ref(login_page).await.unwrap_err();
    assert!(error.to_string().contains("takes no such header"), "{error}");
    assert_eq!(requests.lines().len(), 1);
}

#[tokio::test]
async fn a_federated_login_sends_no_header_over_plain_http() {
    let (transport, requests) =
        transport(|_| Ok(response(201, &[("x-subject-token", "t")], r#"{"token": {"user": {"id": "u"}}}"#)));
    let url = "http://keystone.example.com";
    let error = federated(url, tickets()).get_auth_ref(transport.clone()).await.unwrap_err();
    assert!(matches!(error, Error::FederatedLoginFailed(_)), "{error:?}");
    assert!(requests.lines().is_empty());
    let provider = IdentityProvider::new(url, "krb", "mapped").allow_http("keystone.example.com");
    let allowed = FederatedCredentials::new(provider, Grant::header(tickets()));
    allowed.get_auth_ref(transport).await.unwrap();
}

#[test]
fn only_a_named_header_has_ids_in_a_federated_login() {
    let ids = |header| {
        let credentials = federated(KRB, header);
        (credentials.cache_id(), credentials.public_id())
    };
    assert_eq!(ids(tickets()), (None, None));
    let alice = ids(tickets().named("alice"));
    assert!(alice.0.is_some() && alice.1.is_some());
    assert_ne!(alice, ids(tickets().named("bob")));
    assert!(!federated(KRB, tickets()).can_lock_account());
}
