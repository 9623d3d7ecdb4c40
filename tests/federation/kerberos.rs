//! Kerberos by a header that the caller makes. Needs `TOWER_KEYSTONE_FEDERATION=kerberos`.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use http::{HeaderValue, StatusCode};
use serde_json::Value;
use tower_keystone::{
    AuthMethod, BoxError, V3Credentials,
    federation::{FederatedCredentials, Grant, IdentityProvider, LoginHeader},
};

use crate::{
    session::{Session, assert_keystone, login_error, unknown_project},
    support::{Stack, file, stack},
};

/// Returns the servers and the facts of Kerberos, if it is tested.
fn kerberos() -> Option<(&'static Stack, &'static Value)> {
    let stack = stack()?;
    Some((stack, stack.optional_fact("kerberos")?))
}

fn command(kerberos: &Value, program: &str, cache: &str) -> Command {
    let mut command = Command::new(program);
    for (name, value) in kerberos["environment"].as_object().expect("variables") {
        command.env(name, value.as_str().expect("text"));
    }
    command.env("KRB5CCNAME", format!("FILE:{cache}"));
    command
}

/// Logs in at the KDC, and returns a function that makes a header with a new token for each request.
fn negotiate(kerberos: &'static Value, test: &str) -> LoginHeader {
    let cache = file(&format!("krb5cc-{test}"), "").to_str().expect("text").to_owned();
    let program = kerberos["kinit"].as_str().expect("a path");
    let mut kinit = command(kerberos, program, &cache)
        .arg(kerberos["username"].as_str().expect("a name"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("kinit starts");
    let password = kerberos["password"].as_str().expect("a password");
    writeln!(kinit.stdin.take().expect("it is piped"), "{password}").expect("kinit reads it");
    assert!(kinit.wait().expect("it ends").success());
    LoginHeader::new(move |_, _| {
        let header = token(kerberos, &cache);
        async move { header }
    })
}

fn token(kerberos: &Value, cache: &str) -> Result<HeaderValue, BoxError> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/federation/stack/negotiate.py");
    let output = command(kerberos, "python3", cache).arg(script).arg("HTTP@localhost").output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(HeaderValue::from_str(&format!("Negotiate {}", String::from_utf8(output.stdout)?.trim()))?)
}

#[tokio::test]
async fn a_ticket_logs_in_and_is_renewed() {
    let Some((stack, kerberos)) = kerberos() else { return };
    let method = AuthMethod::kerberos(negotiate(kerberos, "login"));
    let url: http::Uri = kerberos["auth_url"].as_str().expect("a URL").parse().expect("a URL");
    let credentials = V3Credentials::new(url, method).scope(stack.project());
    let session = Session::new(credentials.clone(), &stack.client());
    assert_eq!(session.access_info().await.username(), Some("carol"));
    session.assert_renewed_after_a_revocation(stack).await;
    let error = login_error(&credentials.scope(unknown_project()), &stack.client()).await;
    assert_keystone(&error, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_federated_ticket_logs_in_and_is_renewed() {
    let Some((stack, kerberos)) = kerberos() else { return };
    let url: http::Uri = kerberos["federated_auth_url"].as_str().expect("a URL").parse().expect("a URL");
    let provider = IdentityProvider::new(url, "krb", "mapped");
    let grant = Grant::header(negotiate(kerberos, "federated"));
    let credentials = FederatedCredentials::new(provider, grant).scope(stack.project());
    let session = Session::new(credentials.clone(), &stack.client());
    assert_eq!(session.access_info().await.username(), Some("carol"));
    session.assert_renewed_after_a_revocation(stack).await;
    let error = login_error(&credentials.scope(unknown_project()), &stack.client()).await;
    assert_keystone(&error, StatusCode::UNAUTHORIZED);
}
