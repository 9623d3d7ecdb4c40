//! Secrets go over plain http to loopback and to allowed hosts only.

use tower_keystone::{
    Credentials,
    federation::{FederatedCredentials, Grant, IdentityProvider, OidcClient},
};

use crate::wire::{response, transport};

/// Logs in at these URLs, and returns the requests and the error.
async fn log_in(client: OidcClient, keystone: IdentityProvider) -> (Vec<String>, String) {
    let (transport, requests) = transport(|request| {
        Ok(match request.uri().path() {
            "/token" => response(200, &[], r#"{"access_token": "at"}"#),
            _ => response(503, &[], ""),
        })
    });
    let grant = Grant::password(client, "alice", "canary");
    let error = FederatedCredentials::new(keystone, grant).get_auth_ref(transport).await.unwrap_err();
    (requests.lines(), error.to_string())
}

fn keystone(origin: &str) -> IdentityProvider {
    IdentityProvider::new(format!("{origin}/v3"), "op", "openid")
}

fn client(origin: &str) -> OidcClient {
    OidcClient::new("cli").secret("canary").access_token_endpoint(format!("{origin}/token"))
}

#[tokio::test]
async fn a_password_is_sent_to_https_and_loopback() {
    for origin in ["https://op.example.com", "http://localhost:1", "http://127.9.9.9", "http://[::1]:1"] {
        let (requests, _) = log_in(client(origin), keystone("https://k.example.com")).await;
        assert_eq!(requests.len(), 2, "{requests:?}");
    }
}

#[tokio::test]
async fn nothing_is_sent_to_other_hosts() {
    for origin in [
        "http://op.example.com",
        "http://localhost.",
        "http://127.1",
        "http://2130706433",
        "http://[::ffff:127.0.0.1]",
        "http://LOCALHOST.example.com",
        "http://localhost@op.example.com",
    ] {
        let (requests, error) = log_in(client(origin), keystone("https://k.example.com")).await;
        assert!(requests.is_empty(), "{requests:?}");
        assert!(!error.contains("canary"), "{error}");
        let (requests, error) = log_in(client("https://op.example.com"), keystone(origin)).await;
        assert!(requests.is_empty(), "{requests:?}");
        assert!(!error.contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn hosts_are_allowed_one_by_one() {
    let (op, k) = ("http://op.internal:8080", "http://k.internal");
    let (requests, _) =
        log_in(client(op).allow_http("OP.internal"), keystone(k).allow_http("k.internal")).await;
    assert_eq!(requests.len(), 2, "{requests:?}");
    let (requests, error) =
        log_in(client(op).allow_http("k.internal"), keystone(k).allow_http("k.internal")).await;
    assert!(requests.is_empty(), "{requests:?}");
    assert!(
        error.contains("the token endpoint at http://op.internal:8080") && error.contains("allow_http"),
        "{error}"
    );
}
