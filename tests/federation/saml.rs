//! SAML: the assertion of another Keystone, and a password at an identity provider with ECP.

use http::{Method, StatusCode};
use serde_json::json;
use tower_keystone::{
    AuthMethod, Error, IdentityPlugin, RenewingPlugin, Scope, User, V3Credentials,
    error::LoginStep,
    federation::{
        FederatedCredentials, Grant, IdentityProvider, Keystone2KeystoneCredentials, SamlIdentityProvider,
    },
};

use crate::{
    session::{Session, assert_failed, assert_keystone, login_error, unknown_project},
    support::{Client, Stack, stack},
};

/// Returns the plugin of a user at home.
fn home(stack: &Stack, username: &str, password: &str, client: &Client) -> RenewingPlugin<V3Credentials> {
    let user = User::new().username(username).user_domain_id("default");
    let scope = Scope::new()
        .project_name(stack.fact("home")["project_name"].as_str().expect("a name"))
        .project_domain_id("default");
    let method = AuthMethod::password(user, password);
    RenewingPlugin::new(
        V3Credentials::new(stack.url("home_auth_url"), method).scope(scope),
        client.transport(),
    )
}

pub(crate) fn dora(stack: &Stack, client: &Client) -> RenewingPlugin<V3Credentials> {
    home(stack, "dora", "dora-pass", client)
}

pub(crate) fn ecp(stack: &Stack, keystone: &str, password: &str) -> FederatedCredentials {
    let provider = SamlIdentityProvider::new(stack.url("ecp_url"), "erin", password);
    let keystone = IdentityProvider::new(stack.url(keystone), "ecp", "saml2");
    FederatedCredentials::new(keystone, Grant::saml(provider)).scope(stack.project())
}

#[tokio::test]
async fn a_keystone_logs_in_at_another_one_and_is_renewed() {
    let Some(stack) = stack() else { return };
    let client = stack.client();
    let credentials = Keystone2KeystoneCredentials::new(dora(stack, &client), "sp").scope(stack.project());
    let session = Session::new(credentials, &client);
    let access_info = session.access_info().await;
    assert_eq!((access_info.username(), access_info.project_name()), (Some("dora"), Some("fed-project")));
    session.assert_renewed_after_a_revocation(stack).await;
}

#[tokio::test]
async fn a_revoked_token_at_home_is_renewed_for_the_next_assertion() {
    let Some(stack) = stack() else { return };
    let client = stack.client();
    let plugin = dora(stack, &client);
    let credentials = Keystone2KeystoneCredentials::new(plugin.clone(), "sp").scope(stack.project());
    let session = Session::new(credentials, &client);
    session.access_info().await;
    let access = plugin.access().await.expect("a token");
    let token = access.auth_ref().and_then(|info| info.auth_token()).expect("a token").to_owned();
    stack.revoke_at("home_auth_url", &token).await;
    session.assert_renewed_after_a_revocation(stack).await;
}

#[tokio::test]
async fn a_keystone_names_what_is_wrong_with_a_login_at_another_one() {
    let Some(stack) = stack() else { return };
    let client = stack.client();
    let wrong = Keystone2KeystoneCredentials::new(home(stack, "dora", "wrong", &client), "sp");
    assert_keystone(&login_error(&wrong, &client).await, StatusCode::UNAUTHORIZED);
    let unknown = Keystone2KeystoneCredentials::new(dora(stack, &client), "nowhere");
    let error = login_error(&unknown, &client).await;
    assert!(matches!(error, Error::UnknownServiceProvider { .. }), "{error}");
    assert!(error.to_string().contains("nowhere"), "{error}");
    let project = Keystone2KeystoneCredentials::new(dora(stack, &client), "sp").scope(unknown_project());
    assert_keystone(&login_error(&project, &client).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_saml_password_logs_in_and_is_renewed() {
    let Some(stack) = stack() else { return };
    let session = Session::new(ecp(stack, "auth_url", "erin-pass"), &stack.client());
    let access_info = session.access_info().await;
    assert_eq!((access_info.username(), access_info.project_name()), (Some("erin"), Some("fed-project")));
    session.assert_renewed_after_a_revocation(stack).await;
}

#[tokio::test]
async fn a_wrong_saml_password_is_named_and_not_shown() {
    let Some(stack) = stack() else { return };
    let error = login_error(&ecp(stack, "auth_url", "not-the-password"), &stack.client()).await;
    assert_failed(&error, LoginStep::SamlIdentityProvider, 401, None);
    assert!(!format!("{error} {error:?}").contains("not-the-password"));
}

#[tokio::test]
async fn a_saml_user_has_no_token_of_a_project_that_is_unknown() {
    let Some(stack) = stack() else { return };
    let error =
        login_error(&ecp(stack, "auth_url", "erin-pass").scope(unknown_project()), &stack.client()).await;
    assert_keystone(&error, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_service_provider_that_is_disabled_gives_no_token() {
    let Some(stack) = stack() else { return };
    let path = "/OS-FEDERATION/service_providers/disabled";
    let provider = json!({"service_provider": {
        "auth_url": stack.federated("auth_url", "k2k", "saml2"),
        "sp_url": format!("{}/mellon/paosResponse", stack.text("auth_url")),
        "enabled": false,
    }});
    stack.admin("home_auth_url", Method::PUT, path, provider).await;
    let client = stack.client();
    let credentials = Keystone2KeystoneCredentials::new(dora(stack, &client), "disabled");
    let error = login_error(&credentials, &client).await;
    assert!(matches!(error, Error::UnknownServiceProvider { .. }), "{error}");
}
