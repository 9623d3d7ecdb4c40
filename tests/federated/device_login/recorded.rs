//! The exchanges that were recorded with a real provider and a real Keystone.

use std::time::Duration;

use tower_keystone::{
    error::LoginStep,
    federation::{DeviceLogin, IdentityProvider, OidcClient},
};

use super::{
    assert_definite,
    stub::{EXCHANGE, Received, Stub, TOKEN, recorded},
};

const RECORDED_DEVICE: &str = "/device/auth";

fn client(id: &str) -> OidcClient {
    OidcClient::new(id)
        .device_authorization_endpoint("http://127.0.0.1:48003/device/auth")
        .access_token_endpoint("http://127.0.0.1:48003/token")
}

/// Plays the responses, and returns the requests that were recorded with them.
async fn start(client: OidcClient, device: &str, tokens: &[&str]) -> (Stub, DeviceLogin, Vec<String>) {
    let (stub, mut requests) = (Stub::default(), Vec::new());
    let mut play = |path, names: &[&str]| {
        let (bodies, replies): (Vec<_>, Vec<_>) = names
            .iter()
            .map(|name| {
                let (request, reply) = recorded(name);
                (request["body"].as_str().unwrap_or_default().to_owned(), reply)
            })
            .unzip();
        requests.extend(bodies);
        stub.script(path, replies);
    };
    play(RECORDED_DEVICE, &[device]);
    play(TOKEN, tokens);
    play(EXCHANGE, &["oidc-device-5-unscoped"]);
    let keystone = IdentityProvider::new("http://127.0.0.1:48000/v3", "op", "openid");
    let login = DeviceLogin::start(keystone, client, stub.transport()).await.unwrap();
    (stub, login, requests)
}

/// Replaces what differs in each login.
fn without_random_values(request: &Received) -> String {
    let fields = request.body.split('&').map(|field| match field.split_once('=') {
        Some((name @ ("code_challenge" | "code_verifier"), _)) => name.to_owned(),
        _ => field.to_owned(),
    });
    fields.collect::<Vec<_>>().join("&")
}

#[tokio::test(start_paused = true)]
async fn a_login_with_a_secret() {
    let tokens = ["oidc-device-2-token", "oidc-device-3-token", "oidc-device-4-token"];
    let client = client("cli").secret("cli-secret").without_code_challenge();
    let (stub, mut login, recorded) = start(client, "oidc-device-1-device", &tokens).await;
    assert_eq!(login.user_code(), "user-code-1");
    assert_eq!(login.expires_in(), Duration::from_secs(60));
    let completed = login.complete().await.unwrap();
    assert_eq!(completed.access_info().username(), Some("alice"));
    assert_eq!(stub.times(TOKEN), [0, 1, 2]);
    let sent = [stub.requests(RECORDED_DEVICE), stub.requests(TOKEN), stub.requests(EXCHANGE)].concat();
    assert_eq!(sent.iter().map(|request| &*request.body).collect::<Vec<_>>(), recorded);
    for request in &sent[..4] {
        assert_eq!(request.headers["authorization"], "Basic Y2xpOmNsaS1zZWNyZXQ=");
    }
}

#[tokio::test(start_paused = true)]
async fn a_public_client_with_a_code_challenge() {
    let tokens = ["oidc-device-pkce-2-token", "oidc-device-pkce-3-token", "oidc-device-pkce-4-token"];
    let (stub, mut login, recorded) = start(client("public-cli"), "oidc-device-pkce-1-device", &tokens).await;
    login.complete().await.unwrap();
    let sent = [stub.requests(RECORDED_DEVICE), stub.requests(TOKEN)].concat();
    assert_eq!(sent.len(), 4);
    for (sent, recorded) in sent.iter().zip(&recorded) {
        let recorded = Received { body: recorded.clone(), ..sent.clone() };
        assert_eq!(without_random_values(sent), without_random_values(&recorded));
    }
}

#[tokio::test(start_paused = true)]
async fn denied_slowed_down_and_expired_logins() {
    let (device, pending, denied) =
        ("oidc-device-1-device", "oidc-device-denied-1-token", "oidc-device-denied-3-token");
    let (stub, mut login, _) = start(client("cli"), device, &[pending, denied]).await;
    let error = login.complete().await.unwrap_err();
    assert_definite(&error, LoginStep::Token, Some("access_denied"));
    assert!(error.to_string().contains("End-User aborted interaction"), "{error}");
    assert_eq!(stub.times(TOKEN), [0, 1]);

    let slowed = ["oidc-device-slow-down-2-token", "oidc-device-slow-down-3-token", "oidc-device-4-token"];
    let (stub, mut login, _) = start(client("cli"), "oidc-device-slow-down-1-device", &slowed).await;
    login.complete().await.unwrap();
    assert_eq!(stub.times(TOKEN), [0, 1, 7]);

    let (_, mut login, _) = start(client("cli"), device, &["oidc-device-expired-1-token"]).await;
    let error = login.complete().await.unwrap_err();
    assert_definite(&error, LoginStep::Token, Some("expired_token"));
    assert!(error.to_string().contains("device code is expired"), "{error}");
}
