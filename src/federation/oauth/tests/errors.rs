use std::{io, time::Duration};

use super::*;
use crate::{
    Error,
    error::{FederatedLoginFailed, LoginStep},
};

async fn failure(client: &OidcClient, grant_type: &str, provider: &Provider) -> Arc<FederatedLoginFailed> {
    match client.request_token(&provider.transport(), grant_type, &[]).await {
        Err(Error::FederatedLoginFailed(failed)) => failed,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_error_of_the_provider_is_shown() {
    let body = r#"{"error": "invalid_grant", "error_description": "grant request is invalid"}"#;
    let provider = Provider::new([(400, body)]);
    let failed = failure(&client().secret("client-secret"), "password", &provider).await;
    assert_eq!(failed.step, LoginStep::Token);
    assert_eq!(
        failed.to_string(),
        "federated login failed: the token endpoint at https://op.test returned 400 Bad Request: invalid_grant \
         (grant request is invalid); check the user name and the password"
    );
    assert!(!failed.is_transient());
}

#[tokio::test]
async fn the_hint_is_that_of_the_grant() {
    for (grant_type, hint) in [
        ("password", "check the user name and the password"),
        ("authorization_code", "log in again"),
        ("refresh_token", "log in again"),
    ] {
        let provider = Provider::new([(400, r#"{"error": "invalid_grant"}"#)]);
        let failed = failure(&client().secret("client-secret"), grant_type, &provider).await;
        assert!(failed.to_string().ends_with(hint), "{failed}");
    }
}

#[tokio::test]
async fn the_hint_names_the_authentication_that_the_provider_supports() {
    use ClientAuthentication::{Basic, EncodedBasic, Form};
    let (basic, post) = (r#""client_secret_basic""#, r#""client_secret_post""#);
    for (secret, authentication, methods, hint) in [
        ("cs", Basic, post, "use ClientAuthentication::Form"),
        ("cs", EncodedBasic, post, "use ClientAuthentication::Form"),
        ("cs", Form, basic, "use ClientAuthentication::EncodedBasic"),
        ("cs", Basic, basic, "(OidcClient::authentication)"),
        ("cs", Basic, "", "(OidcClient::authentication)"),
        ("cs", Basic, r#""private_key_jwt""#, "(OidcClient::authentication)"),
        ("c+s", Basic, basic, "use ClientAuthentication::EncodedBasic"),
        ("c+s", EncodedBasic, basic, "(OidcClient::authentication)"),
        ("", Basic, basic, "whether this client needs a secret"),
    ] {
        let document = format!(
            r#"{{"token_endpoint": "https://op.test/t", "token_endpoint_auth_methods_supported": [{methods}]}}"#
        );
        let provider = Provider::new([(200, &*document), (401, r#"{"error": "invalid_client"}"#)]);
        let client = OidcClient::new("cli")
            .secret(secret)
            .authentication(authentication)
            .discovery_endpoint("https://op.test/d");
        let failed = failure(&client, "g", &provider).await;
        assert!(failed.to_string().ends_with(hint), "{secret} {authentication:?} {methods}: {failed}");
    }
}

#[tokio::test]
async fn an_error_is_transient_if_the_same_login_can_succeed_later() {
    for (status, body, is_transient) in [
        (400, r#"{"error": "invalid_request"}"#, false),
        (400, r#"{"error": "temporarily_unavailable"}"#, true),
        (500, r#"{"error": "invalid_grant"}"#, false),
        (500, "<html>", true),
        (502, "", true),
        (429, "", true),
        (408, "", true),
        (501, "", false),
        (401, "<html>", false),
        (403, "<html>", false),
        (404, "", false),
        (200, r#"{"error": "invalid_grant"}"#, false),
        (200, r#"{"error": "server_error"}"#, true),
        (200, "<html>", true),
        (200, "", true),
        (204, "", true),
        (200, "{}", false),
        (200, r#"{"error": "", "error_description": ""}"#, false),
    ] {
        let provider = Provider::new([(status, body)]);
        let failed = failure(&client(), "g", &provider).await;
        assert_eq!(failed.is_transient(), is_transient, "{status} {body}");
        assert_eq!(failed.status.unwrap().as_u16(), status);
    }
}

#[tokio::test]
async fn an_empty_error_does_not_hide_a_token() {
    let provider =
        Provider::new([(200, r#"{"access_token": "at", "error": "", "error_description": null}"#)]);
    client().request_token(&provider.transport(), "g", &[]).await.unwrap();
}

#[tokio::test]
async fn the_requested_delay_is_kept() {
    let provider = Provider::default();
    provider.respond(response(429, &[("retry-after", "7")], ""));
    let failed = failure(&client().secret("client-secret"), "g", &provider).await;
    assert_eq!(failed.retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn an_error_in_www_authenticate_is_shown() {
    let provider = Provider::default();
    let challenge = r#"Basic realm="op", error="invalid_client", error_description="no such client""#;
    provider.respond(response(401, &[("www-authenticate", challenge)], "<html>"));
    let failed = failure(&client().secret("client-secret"), "g", &provider).await;
    assert!(
        failed.to_string().contains("401 Unauthorized: invalid_client (no such client); check"),
        "{failed}"
    );
}

#[tokio::test]
async fn a_redirect_is_refused_and_nothing_is_sent_on() {
    for status in [300, 301, 302, 303, 304, 307, 308] {
        let provider = Provider::default();
        provider.respond(response(status, &[("location", "https://op.test/other")], ""));
        let failed = failure(&client().secret("client-secret"), "g", &provider).await;
        assert!(failed.to_string().contains("redirects are not followed"), "{failed}");
        assert!(!failed.is_transient());
        assert_eq!(provider.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_is_named() {
    for (text, is_transient, shown) in [
        ("connection refused", true, "(check its URL and the network)"),
        ("invalid peer certificate: UnknownIssuer", false, "check the CA certificates"),
    ] {
        let transport = Transport::with_body(
            service_fn(move |_: Request<Bytes>| {
                ready(Err::<Response<Full<Bytes>>, _>(io::Error::other(text)))
            }),
            |body| body,
        );
        let error = client().request_token(&transport, "g", &[]).await.unwrap_err();
        assert!(
            error.to_string().starts_with("cannot reach the token endpoint at https://op.test"),
            "{error}"
        );
        assert!(error.to_string().contains(shown), "{error}");
        assert_eq!(error.is_transient(), is_transient, "{error}");
    }
}

#[tokio::test]
async fn texts_of_a_provider_are_bounded_and_escaped() {
    let long = "x".repeat(60_000);
    for body in [
        format!(r#"{{"error": "{long}", "error_description": "{long}"}}"#),
        format!(r#"{{"error": "invalid_grant", "error_description": "a\u001b[31m\n{long}"}}"#),
        format!("<html>{long}"),
    ] {
        let provider = Provider::new([(400, &*body)]);
        let failed = failure(&client().secret("client-secret"), "g", &provider).await;
        let shown = failed.to_string();
        assert!(shown.len() < 1000 && !shown.contains('\u{1b}') && !shown.contains('\n'), "{shown}");
        assert!(format!("{failed:?}").len() < 3000);
    }
}
