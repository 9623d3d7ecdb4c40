//! Responses of the device authorization endpoint that are not shown to a person.

use serde_json::{Value, json};
use tower_keystone::{
    Error,
    error::LoginStep,
    federation::{DeviceLogin, IdentityProvider, OidcClient},
};

use super::{
    assert_definite,
    stub::{DEVICE, Reply, Stub, TOKEN, client, codes, error, status, tokens},
};

async fn start(reply: Reply) -> Result<DeviceLogin, Error> {
    let stub = Stub::new([tokens()]);
    stub.script(DEVICE, [reply]);
    let login = stub.start().await;
    assert!(stub.requests(TOKEN).is_empty());
    login
}

#[tokio::test(start_paused = true)]
async fn texts_that_are_not_safe_to_print_are_errors() {
    for members in [
        json!({"user_code": "WDJB\u{1b}[2J"}),
        json!({"user_code": "WDJB\nMJHT"}),
        json!({"user_code": "WDJB\u{202e}MJHT"}),
        json!({"verification_uri": "https://op.example.com/\u{7}"}),
        json!({"verification_uri": "http://op.example.com/activate"}),
        json!({"verification_uri": "http://localhost.example.com/activate"}),
        json!({"verification_uri": "javascript:alert(1)"}),
        json!({"verification_uri_complete": "https://op.example.com/\u{1b}]0;title\u{7}"}),
        json!({"verification_uri_complete": "http://op.example.com/activate?user_code=WDJB"}),
    ] {
        let error = start(codes(members.clone())).await.unwrap_err();
        assert_definite(&error, LoginStep::DeviceAuthorization, None);
        assert!(!error.to_string().contains(char::is_control), "{members}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_without_tls_is_shown_on_loopback_and_on_allowed_hosts() {
    let loopback = codes(json!({"verification_uri": "http://127.0.0.1:8080/activate"}));
    assert_eq!(start(loopback).await.unwrap().verification_uri(), "http://127.0.0.1:8080/activate");

    let stub = Stub::new([tokens()]);
    stub.script(DEVICE, [codes(json!({"verification_uri": "http://op.internal/activate"}))]);
    assert!(stub.start().await.unwrap_err().to_string().contains("allow_http"));
    let login = stub.start_with(client().allow_http("op.internal")).await.unwrap();
    assert_eq!(login.verification_uri(), "http://op.internal/activate");
}

#[tokio::test(start_paused = true)]
async fn a_response_without_a_code_is_an_error() {
    let null = |name: &str| codes(json!({name: null}));
    for reply in [
        null("device_code"),
        null("user_code"),
        null("verification_uri"),
        codes(json!({"expires_in": 0})),
        Reply::Response(200, &[], json!({})),
    ] {
        let error = start(reply).await.unwrap_err();
        assert_definite(&error, LoginStep::DeviceAuthorization, None);
    }
    for body in [json!([]), json!("x"), Value::Null] {
        start(Reply::Response(200, &[], body)).await.unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn the_lifetime_is_lenient_and_bounded() {
    for (lifetime, expected) in [
        (json!("30"), 30),
        (json!(null), 600),
        (json!("soon"), 600),
        (json!(-5), 600),
        (json!(1e300), 86_400),
        (json!(u64::MAX), 86_400),
    ] {
        let login = start(codes(json!({"expires_in": lifetime.clone()}))).await.unwrap();
        assert_eq!(login.expires_in().as_secs(), expected, "{lifetime}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_provider_is_returned() {
    let denied = start(error("unauthorized_client")).await.unwrap_err();
    assert_definite(&denied, LoginStep::DeviceAuthorization, Some("unauthorized_client"));
    for reply in [status(503), Reply::Unreachable, Reply::Never] {
        let error = start(reply).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert!(error.to_string().contains("the device authorization endpoint"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn codes_are_not_sent_without_tls() {
    let stub = Stub::new([tokens()]);
    let client = client().device_authorization_endpoint("http://op.example.com/device");
    let error = stub.start_with(client).await.unwrap_err();
    assert_definite(&error, LoginStep::DeviceAuthorization, None);
    assert!(stub.requests(DEVICE).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_code_is_not_shown_if_the_token_endpoint_is_unknown_or_has_no_tls() {
    let stub = Stub::new([tokens()]);
    let unknown = OidcClient::new("cli").device_authorization_endpoint("https://op.example.com/device");
    for client in [unknown, client().access_token_endpoint("http://op.example.com/token")] {
        let error = stub.start_with(client).await.unwrap_err();
        assert_definite(&error, LoginStep::Token, None);
    }
}

#[tokio::test(start_paused = true)]
async fn the_url_of_keystone_is_checked_before_a_code_is_requested() {
    let stub = Stub::new([tokens()]);
    let keystone = IdentityProvider::new("http://keystone.example.com/v3", "op", "openid");
    let error = DeviceLogin::start(keystone, client(), stub.transport()).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert!(stub.requests(DEVICE).is_empty());
}
