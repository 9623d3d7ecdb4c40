//! OAuth 2.0 of Keystone itself: `OAuth2ClientCredentials` and `OAuth2MtlsCredentials`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_keystone::{
    AccessInfo, AuthLayer, Credentials, EndpointFilter, Error, IdentityPlugin, RenewingPlugin, Scope,
    ServiceAccess, SharedTokens, Transport,
    error::{FederatedLoginFailed, LoginStep},
    federation::{OAuth2ClientCredentials, OAuth2MtlsCredentials},
    fixture::{CatalogService, V3Token},
};

use crate::{
    recorded::Exchange,
    wire::{Requests, response, transport},
};

const V3: &str = "http://127.0.0.1:48000/v3";
const ENDPOINT: &str = "http://127.0.0.1:48000/v3/OS-OAUTH2/token";
const ID: &str = "0ca1d23c78c44b62abbdc30db89eb127";
const SECRET: &str = "app-cred-secret";

const JSON: (&str, &str) = ("content-type", "application/json");

fn credentials() -> OAuth2ClientCredentials {
    OAuth2ClientCredentials::new(V3, ENDPOINT, ID, SECRET)
}

fn mtls() -> OAuth2MtlsCredentials {
    let user_id = "1cc68ad111224c0c8fdf27ec1adfe475";
    OAuth2MtlsCredentials::new(
        "https://127.0.0.1:48001/v3",
        "https://127.0.0.1:48001/v3/OS-OAUTH2/token",
        user_id,
    )
}

fn is_oauth2(request: &Request<Bytes>) -> bool {
    request.uri().path().ends_with("/OS-OAUTH2/token")
}

/// Returns a transport to a Keystone that numbers its tokens. `oauth2` makes the response with an access token.
fn keystone(
    oauth2: impl Fn(usize) -> Response<Bytes> + Clone + Send + Sync + 'static,
) -> (Transport, Requests) {
    let count = Arc::new(AtomicUsize::new(0));
    transport(move |request| {
        if is_oauth2(request) {
            return Ok(oauth2(count.load(Ordering::Relaxed)));
        }
        let token = format!("token-{}", count.fetch_add(1, Ordering::Relaxed) + 1);
        let nova = CatalogService::new("compute").endpoint("public", "RegionOne", "https://nova.example.com");
        let document = V3Token::new("u", "alice").project("p", "demo").service(&nova).document().to_string();
        Ok(response(201, &[JSON, ("x-subject-token", &token)], document))
    })
}

/// Returns the response with access token number `n`, and with further members.
fn access_token(n: usize, members: &str) -> Response<Bytes> {
    let body = format!(r#"{{"access_token": "access-{n}", "token_type": "Bearer"{members}}}"#);
    response(200, &[JSON], body)
}

fn headers(access_info: &AccessInfo) -> HeaderMap {
    let mut headers = HeaderMap::new();
    ServiceAccess::from_auth_ref(access_info.clone()).unwrap().insert_headers(&mut headers);
    headers
}

/// Returns both tokens of an access.
fn tokens(access: &ServiceAccess) -> [String; 2] {
    let mut headers = HeaderMap::new();
    access.insert_headers(&mut headers);
    ["x-auth-token", "authorization"].map(|name| headers[name].to_str().unwrap().to_owned())
}

fn failed(error: Error) -> FederatedLoginFailed {
    let Error::FederatedLoginFailed(failed) = &error else { panic!("{error:?}") };
    (**failed).clone()
}

async fn fail(
    oauth2: impl Fn(usize) -> Response<Bytes> + Clone + Send + Sync + 'static,
) -> FederatedLoginFailed {
    failed(credentials().get_auth_ref(keystone(oauth2).0).await.unwrap_err())
}

#[tokio::test]
async fn a_login_sends_the_recorded_requests() {
    let exchanges =
        ["oauth2-client-credential-1-login", "oauth2-client-credential-2-token"].map(Exchange::read);
    let recorded = exchanges.clone();
    let (transport, requests) =
        transport(move |request| Ok(recorded[usize::from(is_oauth2(request))].response()));
    let access_info = credentials().get_auth_ref(transport).await.unwrap();
    assert_eq!(requests.lines(), [format!("POST {V3}/auth/tokens"), format!("POST {ENDPOINT}")]);
    let mut recorded = exchanges.iter();
    requests.map(|request| recorded.next().unwrap().check(request));
    let headers = headers(&access_info);
    assert_eq!(headers["x-auth-token"], "keystone-token-20");
    assert_eq!(headers["authorization"], "Bearer access-token-11");
    assert!(headers.values().all(|value| value.is_sensitive()));
    assert_eq!(access_info.project_name(), Some("fed-project"));
}

#[tokio::test]
async fn the_scope_and_the_catalog_are_those_of_the_login() {
    let (transport, requests) = keystone(|n| access_token(n, ""));
    let scoped = credentials().scope(Scope::new().project_id("p")).without_catalog();
    scoped.get_auth_ref(transport).await.unwrap();
    assert_eq!(requests.lines(), [format!("POST {V3}/auth/tokens?nocatalog"), format!("POST {ENDPOINT}")]);
    let bodies = requests.map(|request| String::from_utf8(request.body().to_vec()).unwrap());
    assert!(bodies[0].contains(r#""scope":{"project":{"id":"p"}}"#), "{}", bodies[0]);
    assert_eq!(bodies[1], "grant_type=client_credentials");
}

#[tokio::test]
async fn both_tokens_are_used_until_the_earlier_one_expires() {
    for (lifetime, expected) in [("60", 60), ("\"60\"", 60), ("7200", 3600), ("null", 3600), ("-1", 3600)] {
        let (transport, _) = keystone(move |n| access_token(n, &format!(r#", "expires_in": {lifetime}"#)));
        let before = SystemTime::now();
        let access_info = credentials().get_auth_ref(transport).await.unwrap();
        let left = access_info.expires().unwrap().unwrap().duration_since(before).unwrap();
        // Documents have whole seconds.
        let range = Duration::from_secs(expected - 1)..Duration::from_secs(expected + 600);
        assert!(range.contains(&left), "{lifetime}: {left:?}");
    }
}

#[tokio::test]
async fn the_lifetime_counts_from_the_date_of_the_login() {
    let (transport, _) = transport(|request| {
        if is_oauth2(request) {
            return Ok(access_token(1, r#", "expires_in": 60"#));
        }
        let document =
            r#"{"token": {"issued_at": "2026-01-15T11:00:00Z", "expires_at": "2026-01-15T13:00:00Z"}}"#;
        let date = ("date", "Thu, 15 Jan 2026 12:00:00 GMT");
        Ok(response(201, &[JSON, date, ("x-subject-token", "token")], document))
    });
    let access_info = credentials().get_auth_ref(transport).await.unwrap();
    let expires = "2026-01-15T12:01:00Z";
    assert!(access_info.auth_state().expose().contains(expires), "{}", access_info.auth_state().expose());
    let unix = access_info.expires().unwrap().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(unix.as_secs(), 1_768_478_460);
}

#[tokio::test]
async fn both_tokens_are_renewed_together() {
    let (transport, requests) = keystone(|n| access_token(n, r#", "expires_in": 3600"#));
    let plugin = RenewingPlugin::new(credentials(), transport);
    for _ in 0..3 {
        assert_eq!(tokens(&plugin.access().await.unwrap()), ["token-1", "Bearer access-1"]);
    }
    assert_eq!(requests.lines().len(), 2);
    assert_eq!(tokens(&plugin.renew().await.unwrap()), ["token-2", "Bearer access-2"]);
    assert_eq!(requests.lines().len(), 4);
}

#[tokio::test]
async fn an_access_token_that_expires_early_is_due_for_renewal() {
    let (transport, _) = keystone(|n| access_token(n, r#", "expires_in": 3600"#));
    let plugin = RenewingPlugin::new(credentials(), transport);
    plugin.access().await.unwrap();
    assert!(!plugin.needs_renewal());
    let (transport, _) = keystone(|n| access_token(n, r#", "expires_in": 20"#));
    let plugin = RenewingPlugin::new(credentials(), transport);
    plugin.access().await.unwrap();
    let state = plugin.auth_state().unwrap();
    let now = SystemTime::now();
    let restored = AccessInfo::from_auth_state(&state).unwrap();
    assert!(restored.will_expire_soon_at(now, Duration::from_secs(60)).unwrap());
}

#[tokio::test]
async fn a_request_to_a_service_has_both_tokens() {
    let (transport, _) = keystone(|n| access_token(n, ""));
    let requests = Requests::default();
    let sent = requests.clone();
    let nova = service_fn(move |request: Request<Full<Bytes>>| {
        let sent = sent.clone();
        async move {
            sent.push(request.map(|_| Bytes::new()));
            Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
        }
    });
    let plugin = RenewingPlugin::new(credentials(), transport);
    let nova = AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")).layer(nova);
    let request =
        Request::get("/servers").header("authorization", "Basic YTpi").body(Full::default()).unwrap();
    nova.oneshot(request).await.unwrap();
    assert_eq!(requests.lines(), ["GET https://nova.example.com/servers"]);
    assert_eq!(requests.header("x-auth-token"), [Some("token-1".to_owned())]);
    assert_eq!(requests.header("authorization"), [Some("Bearer access-1".to_owned())]);
}

#[tokio::test]
async fn a_store_has_both_tokens() {
    let store = SharedTokens::in_memory();
    let plugin = |transport| RenewingPlugin::new(credentials(), transport).store(store.clone());
    let (transport, _) = keystone(|n| access_token(n, ""));
    plugin(transport).access().await.unwrap();
    let (transport, requests) = keystone(|n| access_token(n, ""));
    assert_eq!(tokens(&plugin(transport).access().await.unwrap()), ["token-1", "Bearer access-1"]);
    assert!(requests.lines().is_empty());
}

#[test]
fn credentials_of_another_endpoint_have_other_ids() {
    let other = OAuth2ClientCredentials::new(V3, "http://127.0.0.1:48000/other", ID, SECRET);
    let plain = tower_keystone::V3Credentials::new(
        V3,
        tower_keystone::AuthMethod::application_credential(ID, SECRET),
    );
    let ids = [credentials().cache_id(), other.cache_id(), plain.cache_id()];
    assert!(ids[0] != ids[1] && ids[0] != ids[2], "{ids:?}");
    let ids = [credentials().public_id(), other.public_id(), plain.public_id()];
    assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[0].is_some(), "{ids:?}");
    let wrong = OAuth2ClientCredentials::new(V3, ENDPOINT, ID, "another secret");
    assert_ne!(wrong.cache_id(), credentials().cache_id());
    assert_eq!(wrong.public_id(), credentials().public_id());
    assert!(!credentials().can_lock_account());
}

#[tokio::test]
async fn a_wrong_secret_is_permanent_and_not_shown() {
    let exchange = Exchange::read("oauth2-wrong-secret-1-token");
    let failed = fail(move |_| exchange.response()).await;
    assert_eq!((failed.step, failed.error.as_deref()), (LoginStep::OAuth2, Some("invalid_client")));
    assert_eq!(failed.status.unwrap(), 401);
    let text = failed.to_string();
    assert!(text.contains("Invalid application credential ID or secret"), "{text}");
    assert!(text.contains("check the id and the secret"), "{text}");
    assert!(!failed.is_transient());
    assert!(!format!("{text} {failed:?}").contains(SECRET));
}

#[tokio::test]
async fn errors_of_the_endpoint_are_told_apart() {
    for (status, body, is_transient, part) in [
        (500, r#"{"error": {"code": 500, "message": "no database", "title": "x"}}"#, true, "no database"),
        (503, "<html>", true, "503"),
        (404, "<html>", false, "OS-OAUTH2/token"),
        (302, "", false, "redirect"),
        (200, "{}", false, "access_token"),
        (200, "<html>", true, "JSON"),
        (200, r#"{"access_token": "a b"}"#, false, "header"),
        (
            400,
            r#"{"error": "invalid_request", "error_description": "bad app-cred-secret"}"#,
            false,
            "invalid_request",
        ),
    ] {
        let location = ("location", "http://127.0.0.1:1/elsewhere");
        let failed = fail(move |_| response(status, &[JSON, location], body)).await;
        assert_eq!(
            (failed.step, failed.is_transient()),
            (LoginStep::OAuth2, is_transient),
            "{status} {body}"
        );
        let text = failed.to_string();
        assert!(text.contains(part), "{text}");
        assert!(!format!("{text} {failed:?}").contains(SECRET), "{text}");
    }
}

#[tokio::test]
async fn nothing_is_sent_over_plain_http() {
    let hosts = ["http://127.0.0.1:5000/v3", "http://keystone.example.com/v3"];
    for (auth_url, endpoint) in [(hosts[0], hosts[1]), (hosts[1], hosts[0])] {
        let with_secret = || OAuth2ClientCredentials::new(auth_url, endpoint, ID, SECRET);
        let with_certificate = || OAuth2MtlsCredentials::new(auth_url, endpoint, "user");
        let (transport, requests) = keystone(|n| access_token(n, ""));
        for error in [
            with_secret().get_auth_ref(transport.clone()).await.unwrap_err(),
            with_certificate().get_auth_ref(transport.clone()).await.unwrap_err(),
            with_secret().allow_http("other.example.com").get_auth_ref(transport.clone()).await.unwrap_err(),
        ] {
            assert!(failed(error).to_string().contains("plain http"));
        }
        assert!(requests.lines().is_empty());
        // The endpoint has another path than that of this Keystone, so it gets no access token.
        let error =
            with_secret().allow_http("keystone.example.com").get_auth_ref(transport).await.unwrap_err();
        assert!(!error.to_string().contains("plain http"), "{error}");
        assert_eq!(requests.lines().len(), 2);
    }
}

#[tokio::test]
async fn an_invalid_url_is_named() {
    let (transport, requests) = keystone(|n| access_token(n, ""));
    for (auth_url, endpoint, name) in
        [("keystone", ENDPOINT, "auth_url"), (V3, "keystone", "oauth2_endpoint")]
    {
        let credentials = OAuth2ClientCredentials::new(auth_url, endpoint, ID, SECRET);
        let error = credentials.get_auth_ref(transport.clone()).await.unwrap_err();
        assert!(matches!(error, Error::InvalidEndpoint { .. }), "{error:?}");
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(requests.lines().is_empty());
}

#[tokio::test]
async fn a_certificate_sends_the_recorded_requests() {
    let exchanges = ["oauth2-mtls-1-token", "oauth2-mtls-2-validate"].map(Exchange::read);
    let recorded = exchanges.clone();
    let (transport, requests) =
        transport(move |request| Ok(recorded[usize::from(!is_oauth2(request))].response()));
    let access_info = mtls().get_auth_ref(transport).await.unwrap();
    let mut recorded = exchanges.iter();
    requests.map(|request| recorded.next().unwrap().check(request));
    assert_eq!(requests.lines().len(), 2);
    let headers = headers(&access_info);
    assert_eq!(headers["x-auth-token"], "access-token-13");
    assert_eq!(headers["authorization"], "Bearer access-token-13");
    assert!(access_info.oauth2_credential_thumbprint().is_some());
    assert_eq!(access_info.username(), Some("svc-mtls"));
    assert_eq!(
        AccessInfo::from_auth_state(&access_info.auth_state()).unwrap().auth_state(),
        access_info.auth_state()
    );
}

#[tokio::test]
async fn a_rejected_certificate_is_permanent() {
    for name in ["oauth2-mtls-no-cert-1-token", "oauth2-mtls-other-name-1-token"] {
        let exchange = Exchange::read(name);
        let recorded = exchange.clone();
        let (transport, requests) = transport(move |_| Ok(recorded.response()));
        let failed = failed(mtls().get_auth_ref(transport).await.unwrap_err());
        assert_eq!(requests.lines().len(), 1);
        assert_eq!((failed.step, failed.error.as_deref()), (LoginStep::OAuth2, Some("invalid_client")));
        assert!(failed.to_string().contains("presents the certificate of this user"), "{failed}");
        assert!(!failed.is_transient() && !mtls().can_lock_account());
    }
}

#[tokio::test]
async fn a_certificate_for_requests_without_a_token_is_named() {
    let exchange = Exchange::read("tokenless-login-1-login");
    let (transport, _) = transport(move |_| Ok(exchange.response()));
    let failed = failed(mtls().get_auth_ref(transport).await.unwrap_err());
    assert!(failed.to_string().contains("a client without it"), "{failed}");
    assert!(!failed.is_transient());
}

#[tokio::test]
async fn the_document_of_an_access_token_can_be_refused() {
    let (transport, _) = transport(|request| match is_oauth2(request) {
        true => Ok(access_token(1, "")),
        false => {
            let body = r#"{"error": {"code": 401, "message": "bad access-1", "title": "Unauthorized"}}"#;
            Ok(response(401, &[JSON], body))
        }
    });
    let error = mtls().get_auth_ref(transport).await.unwrap_err();
    let Error::Keystone(failed) = &error else { panic!("{error:?}") };
    assert_eq!(failed.status, 401);
    assert!(error.to_string().contains("the OAuth 2.0 access token"), "{error}");
    assert!(!format!("{error} {error:?}").contains("access-1"), "{error}");
}

#[test]
fn no_credentials_show_their_secret() {
    assert!(!format!("{:?} {:?}", credentials(), mtls()).contains(SECRET));
}
