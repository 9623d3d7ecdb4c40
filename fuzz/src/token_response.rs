//! Reading the response of a token endpoint.

use std::collections::HashMap;

use serde_json::value::RawValue;
use tower_keystone::{
    Credentials,
    federation::{AccessTokenType, FederatedCredentials, Grant, OidcClient},
};

use crate::{
    federation::{SECRET, identity_provider, look_at, run as run_login, transport, unscoped_token},
    input,
};

/// The input is an HTTP response.
pub fn run(input: &[u8]) {
    let Some(answer) = input::answer(input) else { return };
    if answer.status().is_informational() {
        return;
    }
    for (kind, name) in
        [(AccessTokenType::AccessToken, "access_token"), (AccessTokenType::IdToken, "id_token")]
    {
        let client = OidcClient::new("cli").secret(SECRET).access_token_type(kind);
        let client = client.access_token_endpoint("https://op.example.com/token");
        let response = answer.clone();
        let (transport, requests) = transport(move |request| match request.uri().host() {
            Some("op.example.com") => response.clone(),
            _ => unscoped_token(),
        });
        let credentials = FederatedCredentials::new(identity_provider(), Grant::client_credentials(client));
        let login = run_login(credentials.get_auth_ref(transport));
        let requests = requests.lock().expect("no panic");
        assert!(requests[0].headers()["authorization"].is_sensitive());
        match login {
            Ok(_) => {
                assert!(answer.status().is_success() && requests.len() == 2, "{}", requests.len());
                let body = answer.body().strip_prefix(b"\xef\xbb\xbf").unwrap_or(answer.body());
                let document: HashMap<String, &RawValue> = serde_json::from_slice(body).expect("JSON");
                let token = serde_json::from_str::<String>(document[name].get()).expect("a string");
                let bearer = requests[1].headers()["authorization"].to_str().expect("ASCII");
                assert_eq!(bearer.strip_prefix("Bearer "), Some(&*token));
                assert!(requests[1].headers()["authorization"].is_sensitive());
            }
            Err(error) => {
                look_at(&error);
                // The response is read once, and never sends the client elsewhere.
                assert_eq!(requests.len(), 1);
            }
        }
    }
}
