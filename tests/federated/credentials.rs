//! `FederatedCredentials`: the exchange of a bearer at Keystone, its errors, and the cache ids.

use std::{collections::HashSet, fs, io, path::Path};

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use tower_keystone::{
    AccessInfo, BoxError, Credentials, Error, Scope, Transport,
    error::LoginStep,
    federation::{FederatedCredentials, Grant, IdentityProvider, OidcClient},
};

use crate::{recorded::Exchange, wire};

fn provider() -> IdentityProvider {
    IdentityProvider::new("https://keystone.example.com/v3", "op", "openid")
}

fn with_access_token(token: &str) -> FederatedCredentials {
    FederatedCredentials::new(provider(), Grant::access_token(token))
}

fn project(id: &str) -> Scope {
    Scope::new().project_id(id)
}

/// Responds with one exchange after the other, and checks the requests.
fn replay(exchanges: &[&'static str]) -> (Transport, wire::Requests) {
    let exchanges: Vec<_> = exchanges.iter().map(|name| Exchange::read(name)).collect();
    let next = std::sync::Arc::new(std::sync::Mutex::new(exchanges.into_iter()));
    wire::transport(move |request| {
        let exchange = next.lock().unwrap().next().expect("no further request");
        exchange.check(request);
        Ok(exchange.response())
    })
}

async fn log_in(credentials: &impl Credentials, transport: Transport) -> Result<AccessInfo, Error> {
    credentials.get_auth_ref(transport).await
}

/// Returns the error of a login whose exchange has this response.
async fn exchange_error(response: Response<Bytes>) -> Error {
    let (transport, requests) = wire::transport(move |_| Ok(response.clone()));
    let error = log_in(&with_access_token("canary-bearer"), transport).await.unwrap_err();
    assert_eq!(requests.lines().len(), 1);
    assert!(!format!("{error} {error:?} {error:#}").contains("canary"), "{error:?}");
    error
}

#[tokio::test]
async fn a_bearer_is_not_sent_to_another_path() {
    for (id, protocol) in
        [("..", "openid"), ("op", ".."), ("..", ".."), (".", "openid"), ("", "openid"), ("op", "")]
    {
        let keystone = IdentityProvider::new("https://keystone.example.com/v3", id, protocol);
        let (transport, requests) = wire::transport(|_| Ok(wire::response(503, &[], "")));
        let credentials = FederatedCredentials::new(keystone, Grant::access_token("canary-bearer"));
        let error = log_in(&credentials, transport).await.unwrap_err();
        assert_eq!(requests.lines(), [""; 0], "{id:?} {protocol:?}");
        assert!(!error.is_transient() && error.to_string().contains("segment of a path"), "{error}");
    }
}

#[tokio::test]
async fn client_credentials_log_in_as_recorded() {
    let client = OidcClient::new("robot")
        .secret("robot-secret")
        .discovery_endpoint("http://127.0.0.1:48003/.well-known/openid-configuration");
    let credentials = FederatedCredentials::new(provider(), Grant::client_credentials(client))
        .scope(project("8096c87a0b384a8e9afc72fc03835eea"));
    let (transport, _) = replay(&[
        "oidc-client-credentials-1-discovery",
        "oidc-client-credentials-2-token",
        "oidc-client-credentials-3-unscoped",
        "oidc-client-credentials-4-rescope",
    ]);
    let access_info = log_in(&credentials, transport).await.unwrap();
    assert_eq!(access_info.project_id(), Some("8096c87a0b384a8e9afc72fc03835eea"));
    assert!(access_info.has_service_catalog());
}

#[tokio::test]
async fn an_access_token_is_exchanged_and_rescoped_as_recorded() {
    let credentials = with_access_token("access-token-5");
    let (transport, requests) = replay(&["oidc-access-token-1-unscoped"]);
    let access_info = log_in(&credentials, transport).await.unwrap();
    assert_eq!(access_info.auth_token(), Some("keystone-token-9"));
    assert_eq!(access_info.username(), Some("alice"));
    assert_eq!(
        requests.lines(),
        ["POST https://keystone.example.com/v3/OS-FEDERATION/identity_providers/op/protocols/openid/auth"]
    );
    assert_eq!(requests.map(|request| request.headers()["authorization"].is_sensitive()), [true]);

    let (transport, _) = replay(&["oidc-access-token-1-unscoped", "oidc-access-token-2-rescope"]);
    let project = project("8096c87a0b384a8e9afc72fc03835eea");
    let access_info = log_in(&with_access_token("access-token-5").scope(project), transport).await.unwrap();
    assert_eq!(access_info.project_id(), Some("8096c87a0b384a8e9afc72fc03835eea"));
}

#[tokio::test]
async fn the_web_server_rejects_a_bearer() {
    let error = exchange_error(Exchange::read("oidc-access-token-bad-1-unscoped").response()).await;
    let Error::FederatedLoginFailed(failed) = &error else { panic!("{error:?}") };
    assert_eq!(failed.step, LoginStep::Federation);
    assert_eq!(&*failed.origin, "https://keystone.example.com");
    assert_eq!(failed.status.unwrap(), 401);
    assert_eq!(failed.error.as_deref(), Some("invalid_token"));
    assert_eq!(failed.error_description.as_deref(), Some("Reference token could not be introspected"));
    assert!(!error.is_transient());
    assert_eq!(
        error.to_string(),
        "federated login failed: the federation URL of Keystone at https://keystone.example.com returned 401 \
         Unauthorized: invalid_token (Reference token could not be introspected); check that the token has not expired \
         or been revoked, and that it is the kind of token that Keystone's web server expects \
         (OidcClient::access_token_type)"
    );
}

#[tokio::test]
async fn keystone_rejects_the_identity_provider_or_the_protocol() {
    for (exchange, message, hint) in [
        (
            "oidc-unknown-idp-1-unscoped",
            "404 Not Found: Could not find Identity Provider: nobody.",
            "check the auth_url, and that Keystone has this identity provider",
        ),
        (
            "oidc-unknown-protocol-1-unscoped",
            "401 Unauthorized: Attempted to authenticate with an unsupported method.",
            "check the protocol: Keystone must have it, and its id must be in `[auth] methods` of keystone.conf",
        ),
    ] {
        let error = exchange_error(Exchange::read(exchange).response()).await;
        assert!(error.to_string().ends_with(&format!(" returned {message}; {hint}")), "{error}");
        assert!(!error.is_transient());
    }
    let forbidden = r#"{"error": {"code": 403, "message": "m", "title": "Forbidden"}}"#;
    let error = exchange_error(wire::response(403, &[], forbidden)).await;
    assert!(
        error.to_string().contains("403 Forbidden: m; check that the identity provider is enabled"),
        "{error}"
    );
    assert!(!error.is_transient());
}

#[tokio::test]
async fn an_echoed_bearer_is_redacted() {
    let body = r#"{"error": {"code": 401, "message": "canary-bearer is unknown", "title": "t"}}"#;
    let error = exchange_error(wire::response(401, &[], body)).await;
    assert!(error.to_string().contains("(redacted: it contains a secret that was sent)"), "{error}");
}

#[tokio::test]
async fn a_login_page_in_place_of_a_token_says_that_the_protocol_takes_no_bearers() {
    for location in ["https://op.example.com/auth?client_id=keystone", "/login"] {
        let error = exchange_error(wire::response(302, &[("location", location)], "")).await;
        assert!(
            error.to_string().contains(" returned 302 Found; this protocol takes no bearers: "),
            "{error}"
        );
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn a_bearer_is_not_sent_to_another_origin() {
    for status in [301, 307, 308] {
        let elsewhere = [("location", "https://elsewhere.example.com/v3/")];
        let error = exchange_error(wire::response(status, &elsewhere, "")).await;
        assert!(matches!(error, Error::LoginRedirected { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn an_outage_is_transient() {
    for status in [408, 429, 500, 502, 503, 504] {
        let error = exchange_error(wire::response(status, &[("retry-after", "7")], "<html>")).await;
        let Error::FederatedLoginFailed(failed) = &error else { panic!("{error:?}") };
        assert_eq!(failed.retry_after.unwrap().as_secs(), 7);
        assert!(error.is_transient(), "{error}");
    }
    let (transport, _) =
        wire::transport(|_| Err(io::Error::new(io::ErrorKind::ConnectionRefused, "refused").into()));
    let error = log_in(&with_access_token("token"), transport).await.unwrap_err();
    assert!(matches!(error, Error::ConnectFailure { .. }) && error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_response_without_a_token_document_is_invalid() {
    let token = [("x-subject-token", "gAAAA")];
    for (headers, body) in [
        (&token[..], "<html>log in</html>"),
        (&token, r#"{"access": {"token": {"id": "x", "expires": "2026-01-15T13:00:00Z"}}}"#),
        (&[], r#"{"token": {"user": {"id": "u"}}}"#),
    ] {
        let error = exchange_error(wire::response(200, headers, body)).await;
        assert!(matches!(error, Error::InvalidResponse { .. } | Error::NoToken), "{error:?}");
    }
}

#[tokio::test]
async fn nothing_is_sent_over_plain_http_to_another_host() {
    let (transport, requests) = wire::transport(|_| unreachable!());
    let grant = || {
        let client =
            OidcClient::new("robot").secret("s").access_token_endpoint("https://op.example.com/token");
        Grant::client_credentials(client)
    };
    for auth_url in ["http://keystone.example.com:5000/v3", "keystone.example.com"] {
        let credentials = FederatedCredentials::new(IdentityProvider::new(auth_url, "op", "openid"), grant());
        assert!(!log_in(&credentials, transport.clone()).await.unwrap_err().is_transient());
    }
    assert!(requests.lines().is_empty());
}

#[tokio::test]
async fn the_hint_of_a_rescope_names_the_role() {
    let (transport, _) = replay(&["oidc-access-token-1-unscoped"]);
    let unscoped = Exchange::read("oidc-access-token-1-unscoped").response();
    let refused = Exchange::read("oidc-no-role-1-rescope").response();
    drop(transport);
    let (transport, _) = wire::transport(move |request: &Request<Bytes>| {
        Ok::<_, BoxError>(if request.uri().path().ends_with("/auth") {
            unscoped.clone()
        } else {
            refused.clone()
        })
    });
    let error = log_in(&with_access_token("token").scope(project("other")), transport).await.unwrap_err();
    assert!(matches!(error, Error::Keystone(_)) && !error.is_transient());
    let text = error.to_string();
    assert!(
        text.contains("the unscoped token of a federated login for project id \"other\" failed with 401"),
        "{text}"
    );
    assert!(text.ends_with("or by a group of the mapping of the identity provider"), "{text}");
}

#[test]
fn the_unscoped_cache_id_is_that_of_keystoneauth() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/data/auth_requests.jsonl");
    let mut checked = 0;
    for line in fs::read_to_string(path).unwrap().lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let parameters = &case["plugin"]["parameters"];
        let text = |name: &str| parameters[name].as_str();
        let client = || {
            let client = OidcClient::new(text("client_id").unwrap());
            text("client_secret").map_or(client.clone(), |secret| client.secret(secret))
        };
        let grant = match case["family"].as_str().unwrap() {
            "oidc_client_credentials" => Grant::client_credentials(client()),
            "oidc_password" => {
                Grant::password(client(), text("username").unwrap(), text("password").unwrap())
            }
            "oidc_access_token" => Grant::access_token(text("access_token").unwrap()),
            "oidc_authorization_code" => Grant::authorization_code(client(), text("code").unwrap()),
            _ => continue,
        };
        let auth_url = text("auth_url").unwrap();
        let is_root = auth_url.matches('/').count() == 3 && auth_url.ends_with('/');
        let provider =
            IdentityProvider::new(auth_url, text("identity_provider").unwrap(), text("protocol").unwrap());
        let id = FederatedCredentials::new(provider, grant).unscoped_cache_id();
        let calls = case["calls"].as_array().unwrap();
        let call = calls.iter().position(|call| call["op"] == "get_unscoped_cache_id").unwrap();
        let expected = case["expect"]["calls"][call]["result"].as_str();
        // A URL without a path has no slash, as in the other cache ids.
        assert_eq!(id.as_deref() == expected, !is_root, "{}", case["id"]);
        checked += 1;
    }
    assert!(checked >= 40, "{checked}");
}

#[test]
fn credentials_that_obtain_different_tokens_have_different_ids() {
    let client = || OidcClient::new("c").secret("s");
    let grants = [
        Grant::client_credentials(client()),
        Grant::client_credentials(OidcClient::new("c").secret("other")),
        Grant::client_credentials(OidcClient::new("other").secret("s")),
        Grant::password(client(), "u", "p"),
        Grant::password(client(), "u", "other"),
        Grant::password(client(), "other", "p"),
        Grant::access_token("t"),
        Grant::access_token("other"),
        Grant::authorization_code(client(), "t"),
        Grant::authorization_code(client(), "other"),
        Grant::refresh_token(client(), "t"),
        Grant::refresh_token(client(), "other"),
    ];
    let mut ids = HashSet::new();
    let mut count = 0;
    for grant in grants {
        let credentials = FederatedCredentials::new(provider(), grant);
        for scope in
            [Scope::new(), project("a"), Scope::new().project_name("a"), Scope::new().system_scope("all")]
        {
            ids.extend(credentials.clone().scope(scope).cache_id());
            count += 1;
        }
    }
    assert_eq!(ids.len(), count);
}

#[test]
fn a_public_id_is_made_of_no_secret() {
    let id = |grant| FederatedCredentials::new(provider(), grant).public_id();
    let client = |id, secret| OidcClient::new(id).secret(secret);
    assert_eq!(
        id(Grant::client_credentials(client("c", "s"))),
        id(Grant::client_credentials(client("c", "other")))
    );
    assert_ne!(
        id(Grant::client_credentials(client("c", "s"))),
        id(Grant::client_credentials(client("other", "s")))
    );
    assert_eq!(
        id(Grant::password(client("c", "s"), "u", "p")),
        id(Grant::password(client("c", "t"), "u", "q"))
    );
    assert_ne!(
        id(Grant::password(client("c", "s"), "u", "p")),
        id(Grant::password(client("c", "s"), "v", "p"))
    );
    assert_eq!(id(Grant::access_token("t")), None);
    assert_eq!(id(Grant::refresh_token(client("c", "s"), "t")), None);
}

#[test]
fn only_a_password_can_lock_an_account() {
    let client = || OidcClient::new("c");
    let can_lock = |grant| FederatedCredentials::new(provider(), grant).can_lock_account();
    assert!(can_lock(Grant::password(client(), "u", "p")));
    for grant in [
        Grant::client_credentials(client()),
        Grant::access_token("t"),
        Grant::authorization_code(client(), "c"),
        Grant::refresh_token(client(), "t"),
    ] {
        assert!(!can_lock(grant));
    }
}

#[test]
fn no_secret_is_shown() {
    let client = OidcClient::new("c").secret("canary");
    let grant = Grant::password(client, "u", "canary");
    let shown = format!("{grant:?} {:?}", FederatedCredentials::new(provider(), grant.clone()));
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("openid"), "{shown}");
}
