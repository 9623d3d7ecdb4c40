//! OAuth 2.0 of Keystone itself, and certificates.

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tower::{Layer, ServiceExt};
use tower_keystone::{
    AuthLayer, Credentials, EndpointFilter, Error, Interface, Scope,
    error::LoginStep,
    federation::{OAuth2ClientCredentials, OAuth2MtlsCredentials, TokenlessPlugin},
};

use crate::{
    session::{Session, assert_failed, assert_keystone, login_error, unknown_project},
    support::{Client, Stack, stack},
};

fn endpoint(stack: &Stack, keystone: &str) -> String {
    format!("{}/OS-OAUTH2/token", stack.text(keystone))
}

pub(crate) fn client_credentials(stack: &Stack, keystone: &str, secret: &str) -> OAuth2ClientCredentials {
    let id = stack.text("application_credential_id");
    OAuth2ClientCredentials::new(stack.url(keystone), endpoint(stack, keystone), id, secret)
}

pub(crate) fn mtls(stack: &Stack, keystone: &str, user_id: &str) -> OAuth2MtlsCredentials {
    OAuth2MtlsCredentials::new(stack.url(keystone), endpoint(stack, keystone), user_id)
}

#[tokio::test]
async fn an_application_credential_logs_in_with_a_bearer_and_is_renewed() {
    let Some(stack) = stack() else { return };
    let client = stack.client();
    let credentials = client_credentials(stack, "auth_url", stack.text("application_credential_secret"));
    let session = Session::new(credentials, &client);
    assert_eq!(session.access_info().await.project_name(), Some("fed-project"));
    let mut sent = client.sent();
    sent.sort();
    assert_eq!(sent, ["POST /v3/OS-OAUTH2/token 200", "POST /v3/auth/tokens 201"]);
    session.assert_renewed_after_a_revocation(stack).await;
}

#[tokio::test]
async fn a_wrong_secret_of_an_application_credential_is_an_error() {
    let Some(stack) = stack() else { return };
    let error = login_error(&client_credentials(stack, "auth_url", "wrong"), &stack.client()).await;
    match &error {
        Error::Keystone(error) => assert_eq!(error.status, StatusCode::UNAUTHORIZED),
        error => assert_failed(error, LoginStep::OAuth2, 401, Some("invalid_client")),
    }
    assert!(!format!("{error} {error:?}").contains("wrong\""), "{error:?}");
}

#[tokio::test]
async fn an_application_credential_has_no_token_of_another_project() {
    let Some(stack) = stack() else { return };
    let credentials = client_credentials(stack, "auth_url", stack.text("application_credential_secret"));
    let error = login_error(&credentials.scope(unknown_project()), &stack.client()).await;
    assert_keystone(&error, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_certificate_logs_in_and_is_renewed() {
    let Some(stack) = stack() else { return };
    let credentials = mtls(stack, "tls_auth_url", stack.text("service_user_id"));
    let session = Session::new(credentials, &stack.client_with("client"));
    let access_info = session.access_info().await;
    assert_eq!((access_info.username(), access_info.project_name()), (Some("svc-mtls"), Some("fed-project")));
    session.assert_renewed_after_a_revocation(stack).await;
}

#[tokio::test]
async fn no_certificate_or_that_of_another_user_is_an_error() {
    let Some(stack) = stack() else { return };
    for client in [stack.client(), stack.client_with("stranger")] {
        let error = login_error(&mtls(stack, "tls_auth_url", stack.text("service_user_id")), &client).await;
        assert_failed(&error, LoginStep::OAuth2, 401, Some("invalid_client"));
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_ca_is_a_failed_connection() {
    let Some(stack) = stack() else { return };
    let credentials = mtls(stack, "tls_auth_url", stack.text("service_user_id"));
    let login = credentials.get_auth_ref(stack.client_with("foreign").transport());
    let error = login.await.expect_err("no connection");
    assert!(
        error.to_string().contains(&stack.url("tls_auth_url").authority().unwrap().to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn a_certificate_of_a_user_without_a_project_has_no_token() {
    let Some(stack) = stack() else { return };
    let user = json!({"user": {"name": "nobody", "domain_id": "default"}});
    let user = stack.admin("auth_url", Method::POST, "/users", user).await;
    let id = user["user"]["id"].as_str().expect("an id");
    let error = login_error(&mtls(stack, "tls_auth_url", id), &stack.client_with("stranger")).await;
    assert_failed(&error, LoginStep::OAuth2, 401, Some("invalid_client"));
}

/// Asks for the project without a token, and returns the status and the body.
async fn tokenless(stack: &Stack, client: Client, scope: Scope) -> (StatusCode, String) {
    let plugin = TokenlessPlugin::new(stack.url("tls_auth_url"), scope).expect("a scope");
    let filter = EndpointFilter::default().interface(Interface::Auth);
    let keystone = AuthLayer::new(plugin).endpoint(filter).layer(client);
    let path = format!("/projects/{}", stack.text("project_id"));
    let request = Request::get(path).body(Full::default()).expect("a request");
    let response = keystone.oneshot(request).await.expect("Keystone responds");
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8(body.into()).expect("text"))
}

#[tokio::test]
async fn a_certificate_needs_no_token() {
    let Some(stack) = stack() else { return };
    for scope in [
        stack.project(),
        Scope::new().project_name(stack.text("project_name")).project_domain_name(stack.text("domain_name")),
    ] {
        let (status, body) = tokenless(stack, stack.client_with("tokenless"), scope).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert!(body.contains("fed-project"));
    }
}

#[tokio::test]
async fn a_request_without_a_token_needs_the_certificate_and_a_known_project() {
    let Some(stack) = stack() else { return };
    for (client, scope) in [
        (stack.client(), stack.project()),
        (stack.client_with("client"), stack.project()),
        (stack.client_with("tokenless"), unknown_project()),
    ] {
        let (status, body) = tokenless(stack, client, scope).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{body}");
    }
}
