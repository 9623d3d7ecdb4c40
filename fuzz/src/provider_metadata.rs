//! Reading the discovery document of a provider.

use http::Uri;
use tower_keystone::{
    Credentials,
    federation::{BrowserLogin, DeviceLogin, FederatedCredentials, Grant, OidcClient},
};

use crate::{
    federation::{
        Requests, SECRET, identity_provider, json, look_at, run as run_login, transport, unscoped_token,
    },
    input,
};

const DOCUMENT: &str = "https://op.example.com/realms/a/.well-known/openid-configuration";

/// What all endpoints respond.
const RESPONSE: &str = r#"{"access_token": "a", "device_code": "d", "user_code": "u", "expires_in": 60,
                           "verification_uri": "https://op.example.com/device"}"#;

/// The input is an HTTP response.
pub fn run(input: &[u8]) {
    let Some(answer) = input::answer(input) else { return };
    if answer.status().is_informational() {
        return;
    }
    let (transport, requests) = transport(move |request| match request.uri() {
        url if *url == DOCUMENT => answer.clone(),
        url if url.host() == Some("keystone.example.com") => unscoped_token(),
        _ => json(RESPONSE),
    });
    let client = || OidcClient::new("cli").secret(SECRET).discovery_endpoint(DOCUMENT);
    let credentials = FederatedCredentials::new(identity_provider(), Grant::client_credentials(client()));
    match run_login(credentials.get_auth_ref(transport.clone())) {
        Ok(_) => assert!(sent(&requests) >= 3),
        Err(error) => look_at(&error),
    }
    match run_login(DeviceLogin::start(identity_provider(), client(), transport.clone())) {
        Ok(login) => assert_eq!(login.user_code(), "u"),
        Err(error) => look_at(&error),
    }
    match run_login(BrowserLogin::start(identity_provider(), client(), transport)) {
        Ok(login) => {
            let url: Uri = login.url().parse().expect("a URL");
            assert_eq!(url.scheme_str(), Some("https"), "{url}");
            assert!(url.query().is_some_and(|query| query.contains("code_challenge_method=S256")), "{url}");
            assert!(!login.url().contains(SECRET));
        }
        Err(error) => look_at(&error),
    }
    assert!(sent(&requests) <= 12, "{}", sent(&requests));
}

/// Returns the number of requests, of which each that may carry a secret was sent over https.
fn sent(requests: &Requests) -> usize {
    let requests = requests.lock().expect("no panic");
    for request in requests.iter().filter(|request| request.method() == "POST") {
        assert_eq!(request.uri().scheme_str(), Some("https"), "{}", request.uri());
    }
    requests.len()
}
