//! No secret is shown by any error or `Debug`, whatever a provider returns.

use super::*;
use crate::{
    Error, Secret,
    federation::{Grant, grant::Kind},
};

/// A secret that looks different when it is encoded.
const CANARY: &str = "cän&ary \"1\"";

fn assert_hidden(shown: &str) {
    for part in ["cän", "ary \"", "c%C3%A4n", "Y2xp", "c\\u00e4n", "canary"] {
        assert!(!shown.contains(part), "{shown}");
    }
}

fn grants(client: &OidcClient) -> Vec<Grant> {
    vec![
        Grant::client_credentials(client.clone()),
        Grant::password(client.clone(), "alice", CANARY).passcode("otp", CANARY),
        Grant::authorization_code(client.clone(), CANARY)
            .code_verifier(CANARY)
            .redirect_uri("http://localhost/"),
        Grant::refresh_token(client.clone(), CANARY),
    ]
}

fn clients() -> Vec<OidcClient> {
    use ClientAuthentication::{Basic, EncodedBasic, Form};
    [Basic, EncodedBasic, Form]
        .map(|authentication| client().secret(CANARY).authentication(authentication))
        .into()
}

/// Responses that repeat what was sent.
fn echoes(request: &Request<Bytes>) -> Vec<Response<Full<Bytes>>> {
    let body = str::from_utf8(request.body()).unwrap();
    let basic = request.headers().get(AUTHORIZATION).map_or("none", |value| value.to_str().unwrap());
    let credentials = basic.trim_start_matches("Basic ");
    let mut responses = Vec::new();
    for text in [CANARY, body, basic, credentials] {
        let json = serde_json::to_string(text).unwrap();
        let ascii: String = json
            .chars()
            .flat_map(|c| if c.is_ascii() { vec![c] } else { "\\u00e4".chars().collect() })
            .collect();
        for text in [json, ascii] {
            for status in [200, 400, 500] {
                responses.push(response(
                    status,
                    &[],
                    &format!(r#"{{"error": {text}, "error_description": {text}}}"#),
                ));
                let error = format!(r#"{{"error": "invalid_grant", "error_description": {text}}}"#);
                responses.push(response(status, &[], &error));
                responses.push(response(status, &[], &format!(r#"{{"error": {{"message": {text}}}}}"#)));
                responses.push(response(status, &[], &text));
            }
        }
        if let Ok(value) =
            http::HeaderValue::from_str(&format!("Bearer error=\"x\", error_description=\"{text}\""))
        {
            let mut response = response(401, &[], "<html>");
            response.headers_mut().insert("www-authenticate", value);
            responses.push(response);
        }
    }
    responses.push(response(302, &[("location", "https://op.test/?canary")], ""));
    responses.push(response(200, &[], r#"{"access_token": "can ary", "refresh_token": "canary"}"#));
    responses.push(response(200, &[], r#"{"access_token": "canary", "token_type": "mac"}"#));
    responses.push(response(200, &[], r#"{"id_token": "canary"}"#));
    responses.push(response(200, &[], "access_token=canary"));
    responses.push(response(200, &[], r#"{"access_token": "canary""#));
    responses
}

async fn bearer(Grant(kind): &Grant, transport: &Transport) -> Result<Secret, Error> {
    match kind {
        Kind::Bearer(grant) => grant.request_bearer(transport).await,
        Kind::RefreshToken { client, refresh_token } => {
            client.refresh(transport, refresh_token).await.map(|response| response.bearer)
        }
        _ => panic!("a grant without a request to the provider"),
    }
}

#[tokio::test]
async fn no_error_shows_a_secret() {
    let mut count = 0;
    for client in clients() {
        for grant in grants(&client) {
            let mut responses = 1;
            let mut index = 0;
            while index < responses {
                let seen = Arc::new(Mutex::new(0));
                let length = Arc::clone(&seen);
                let transport = Transport::with_body(
                    service_fn(move |request: Request<Bytes>| {
                        let mut all = echoes(&request);
                        *length.lock().unwrap() = all.len();
                        ready(Ok::<_, Infallible>(all.swap_remove(index)))
                    }),
                    |body| body,
                );
                let error = bearer(&grant, &transport).await.unwrap_err();
                assert_hidden(&format!("{error} {error:#} {error:?}"));
                responses = *seen.lock().unwrap();
                index += 1;
                count += 1;
            }
            assert_hidden(&format!("{grant:?} {client:?}"));
        }
    }
    assert!(count > 1000, "{count}");
}
