use std::io;

use super::*;

fn read(
    step: LoginStep,
    status: u16,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> FederatedLoginFailed {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    let url = "https://alice:pw@op.example.com/token?secret".parse().unwrap();
    FederatedLoginFailed::read(step, &url, &response.body(body.into()).unwrap(), ["hunter2", "pa\"ss"])
}

fn token(status: u16, body: &'static str) -> FederatedLoginFailed {
    read(LoginStep::Token, status, &[], body)
}

#[test]
fn an_error_of_oauth_is_shown_with_what_to_do() {
    let error =
        token(401, r#"{"error": "invalid_client", "error_description": "client authentication failed"}"#);
    assert_eq!(error.error.as_deref(), Some("invalid_client"));
    assert_eq!(error.error_description.as_deref(), Some("client authentication failed"));
    assert_eq!(
        Error::from(error).to_string(),
        "federated login failed: the token endpoint at https://op.example.com returned 401 Unauthorized: \
         invalid_client (client authentication failed); check the client id and its secret, and how the provider \
         expects them (OidcClient::authentication)"
    );
}

#[test]
fn the_challenge_is_read_if_the_body_is_no_error_of_oauth_or_keystone() {
    let challenge = r#"Bearer error="invalid_token", error_description="it could not be introspected""#;
    let bearer = |body| read(LoginStep::Federation, 401, &[("www-authenticate", challenge)], body);
    let error = bearer("<html>401</html>");
    assert_eq!(error.error.as_deref(), Some("invalid_token"));
    assert_eq!(error.error_description.as_deref(), Some("it could not be introspected"));
    assert_eq!(bearer(r#"{"error": "other"}"#).error.as_deref(), Some("other"));

    let error =
        bearer(r#"{"error": {"code": 401, "message": "an unsupported method", "title": "Unauthorized"}}"#);
    assert_eq!(error.error, None);
    assert!(error.to_string().ends_with(
        " returned 401 Unauthorized: an unsupported method; check the protocol: Keystone must have it, and its id must \
         be in `[auth] methods` of keystone.conf"
    ));
}

#[test]
fn texts_with_a_secret_are_redacted() {
    for description in [r"the code hunter2 is unknown", r#"pa\"ss"#, r"hunter\u0032"] {
        let body = format!(r#"{{"error": "invalid_grant", "error_description": "{description}"}}"#);
        let error = read(LoginStep::Token, 400, &[], body);
        assert_eq!(error.error.as_deref(), Some("invalid_grant"));
        assert_eq!(error.error_description.as_deref(), Some(REDACTED), "{description}");
    }
    assert_eq!(token(400, r#"{"error": "no-hunter2"}"#).error, None);
    let challenge = r#"Bearer error="invalid_token", error_description="hunter2""#;
    let error = read(LoginStep::Federation, 401, &[("www-authenticate", challenge)], "");
    assert_eq!(error.error_description.as_deref(), Some(REDACTED));
}

#[test]
fn a_standard_code_is_read_even_if_it_contains_a_secret() {
    let url = "https://op.example.com/token".parse().unwrap();
    let read = |code: &str| {
        let body = format!(r#"{{"error": "{code}", "error_description": "{code}"}}"#);
        let response = Response::builder().status(400).body(body.into()).unwrap();
        FederatedLoginFailed::read(LoginStep::Token, &url, &response, ["s", "pending"])
    };
    for code in ["authorization_pending", "slow_down", "access_denied"] {
        assert_eq!(read(code).error.as_deref(), Some(code));
    }
    assert_eq!(read("slow_down").error_description.as_deref(), Some(REDACTED));
    assert_eq!(read("pending").error, None);
}

#[test]
fn texts_are_bounded_and_escaped() {
    let body =
        format!(r#"{{"error": "{}", "error_description": "\n{}"}}"#, "x".repeat(300), "ä".repeat(20_000));
    let error = read(LoginStep::Token, 400, &[], body);
    assert_eq!(error.error, None);
    assert_eq!(error.error_description.as_ref().map(|text| text.chars().count()), Some(MAX_DESCRIPTION));
    assert!(error.to_string().contains(r": \nää"), "{error}");
    assert!(error.to_string().len() < 1_000);
    for body in [
        "",
        "[]",
        "{",
        r#"{"error": 1}"#,
        r#"{"error": "a\"b"}"#,
        r#"{"error": {}}"#,
        "\u{feff}{\"error\": null}",
    ] {
        let error = token(400, body);
        assert_eq!((error.error, error.error_description), (None, None), "{body}");
    }
}

#[test]
fn a_failure_is_transient_by_its_code_and_its_status() {
    for (status, code, expected) in [
        (400, "invalid_grant", false),
        (500, "invalid_grant", false),
        (503, "invalid_client", false),
        (400, "temporarily_unavailable", true),
        (400, "server_error", true),
        (400, "something_else", false),
        (404, "", false),
        (408, "", true),
        (429, "", true),
        (500, "", true),
        (501, "", false),
        (503, "", true),
    ] {
        let error =
            read(LoginStep::Token, status, &[("retry-after", "7")], format!(r#"{{"error": "{code}"}}"#));
        assert_eq!(error.is_transient(), expected, "{status} {code}");
        assert_eq!(Error::from(error).retry_after(), Some(Duration::from_secs(7)));
    }
}

#[test]
fn a_failed_connection_names_the_step_and_its_server() {
    let url: Uri = "https://op.example.com/token".parse().unwrap();
    let failed = |text: &str| {
        FederatedLoginFailed::unreachable(
            LoginStep::Token,
            Error::connect(&url, io::Error::other(text.to_owned())),
        )
    };
    let error = failed("connection refused");
    assert!(error.is_transient());
    assert_eq!(
        error.to_string(),
        "cannot reach the token endpoint at https://op.example.com (check its URL and the network)"
    );
    assert!(format!("{error:#}").ends_with(" and the network): connection refused"));
    let error = failed("invalid peer certificate: UnknownIssuer");
    assert!(!error.is_transient());
    assert!(error.to_string().contains(": its certificate was rejected: "), "{error}");

    let error = FederatedLoginFailed::unreachable(LoginStep::Token, Error::NoRuntime);
    assert!(matches!(error, Error::NoRuntime));
}

#[test]
fn a_step_without_a_response_says_what_is_wrong() {
    let error = FederatedLoginFailed::new(LoginStep::AccessTokenSource, "".into(), "the file is empty", true);
    assert_eq!(
        error.to_string(),
        "federated login failed: the source of the access token: the file is empty"
    );
    let url = "http://h:1/x".parse().unwrap();
    let error = FederatedLoginFailed::at(LoginStep::Token, &url, "it has no access_token", false);
    assert_eq!(
        error.with_status(StatusCode::OK).to_string(),
        "federated login failed: the token endpoint at http://h:1 returned 200 OK; it has no access_token"
    );
}
