//! Grants that need no person.

use std::time::Duration;

use http::StatusCode;
use tokio::time::sleep;
use tower_keystone::{
    Credentials, Error, Scope, Secret,
    error::LoginStep,
    federation::{
        AccessTokenSource, ClientAuthentication, FederatedCredentials, Grant, IdentityProvider, OidcClient,
    },
};
use url::Url;

use crate::{
    browser::Browser,
    session::{Session, assert_failed, assert_keystone, login_error, unknown_project},
    support::{Stack, file, stack},
};

const REDIRECT_URI: &str = "http://127.0.0.1:9/callback";

pub(crate) fn credentials(stack: &Stack, keystone: &str, grant: Grant) -> FederatedCredentials {
    FederatedCredentials::new(stack.identity_provider(keystone), grant).scope(stack.project())
}

pub(crate) fn robot(stack: &Stack) -> Grant {
    Grant::client_credentials(stack.oidc_client("robot"))
}

pub(crate) fn person(stack: &Stack, name: &str) -> Grant {
    Grant::password(stack.oidc_client("cli"), name, format!("{name}-pass"))
}

/// Returns an access token of this person, from the provider.
async fn access_token(stack: &Stack, client: &str, name: &str) -> String {
    let password = format!("{name}-pass");
    let fields = [
        ("grant_type", "password"),
        ("username", name),
        ("password", &password),
        ("scope", "openid profile"),
    ];
    stack.provider_token(client, &fields).await.json()["access_token"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn client_credentials_log_in_and_are_renewed() {
    let Some(stack) = stack() else { return };
    let client = stack.client();
    let session = Session::new(credentials(stack, "auth_url", robot(stack)), &client);
    let access_info = session.access_info().await;
    assert_eq!(access_info.project_name(), Some("fed-project"));
    assert!(access_info.is_federated());
    let federated = "/v3/OS-FEDERATION/identity_providers/op/protocols/openid/auth";
    let login = [
        "GET /.well-known/openid-configuration 200".to_owned(),
        "POST /token 200".to_owned(),
        format!("POST {federated} 201"),
        "POST /v3/auth/tokens 201".to_owned(),
    ];
    assert_eq!(client.sent(), login);
    session.assert_renewed_after_a_revocation(stack).await;
    let requests = ["GET /v3/auth/projects 200".to_owned(), "GET /v3/auth/projects 401".to_owned()];
    assert_eq!(client.sent(), [&requests[..], &login[1..], &requests[..1]].concat());
}

#[tokio::test]
async fn a_client_sends_its_secret_in_each_way() {
    let Some(stack) = stack() else { return };
    for (name, authentication) in [
        ("robot", ClientAuthentication::EncodedBasic),
        ("robot", ClientAuthentication::Form),
        ("robot-post", ClientAuthentication::Form),
    ] {
        let grant = Grant::client_credentials(stack.oidc_client(name).authentication(authentication));
        let session = Session::new(credentials(stack, "auth_url", grant), &stack.client());
        assert_eq!(session.access_info().await.project_name(), Some("fed-project"));
    }
}

#[tokio::test]
async fn a_wrong_client_secret_is_named() {
    let Some(stack) = stack() else { return };
    for grant in [
        Grant::client_credentials(stack.oidc_client("robot").secret("wrong")),
        Grant::password(stack.oidc_client("cli").secret("wrong"), "alice", "alice-pass"),
    ] {
        let error = login_error(&credentials(stack, "auth_url", grant), &stack.client()).await;
        assert_failed(&error, LoginStep::Token, 401, Some("invalid_client"));
    }
}

#[tokio::test]
async fn a_project_that_is_unknown_or_without_a_role_is_an_error_of_keystone() {
    let Some(stack) = stack() else { return };
    for (grant, scope) in [
        (robot(stack), unknown_project()),
        (person(stack, "alice"), unknown_project()),
        (person(stack, "bob"), Scope::new().project_id(stack.text("second_project_id"))),
        (person(stack, "mallory"), stack.project()),
        (Grant::access_token(access_token(stack, "cli", "alice").await), unknown_project()),
    ] {
        let credentials = credentials(stack, "auth_url", grant).scope(scope);
        let error = login_error(&credentials, &stack.client()).await;
        assert_keystone(&error, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn an_unknown_identity_provider_or_protocol_is_named() {
    let Some(stack) = stack() else { return };
    for (provider, protocol, status) in [("nobody", "openid", 404), ("op", "nothing", 401)] {
        let provider = IdentityProvider::new(stack.url("auth_url"), provider, protocol);
        let credentials = FederatedCredentials::new(provider, robot(stack)).scope(stack.project());
        let error = login_error(&credentials, &stack.client()).await;
        assert_failed(&error, LoginStep::Federation, status, None);
    }
}

#[tokio::test]
async fn a_password_logs_in_and_is_renewed() {
    let Some(stack) = stack() else { return };
    let session = Session::new(credentials(stack, "auth_url", person(stack, "alice")), &stack.client());
    assert_eq!(session.access_info().await.username(), Some("alice"));
    session.assert_renewed_after_a_revocation(stack).await;
}

#[tokio::test]
async fn a_wrong_password_is_named_and_not_shown() {
    let Some(stack) = stack() else { return };
    let grant = Grant::password(stack.oidc_client("cli"), "alice", "not-the-password");
    let error = login_error(&credentials(stack, "auth_url", grant), &stack.client()).await;
    assert_failed(&error, LoginStep::Token, 400, Some("invalid_grant"));
    assert!(!format!("{error} {error:?}").contains("not-the-password"));
}

#[tokio::test]
async fn scopes_of_one_login_share_its_unscoped_token() {
    let Some(stack) = stack() else { return };
    let client = stack.client();
    let first = credentials(stack, "auth_url", person(stack, "alice"));
    let second = first.clone().scope(Scope::new().project_id(stack.text("second_project_id")));
    let domain = first.clone().scope(Scope::new().domain_id(stack.text("domain_id")));
    let first = Session::new(first, &client);
    assert_eq!(first.access_info().await.project_name(), Some("fed-project"));
    client.sent();
    assert_eq!(Session::new(second, &client).access_info().await.project_name(), Some("fed-second"));
    assert_eq!(Session::new(domain, &client).access_info().await.project_name(), None);
    assert_eq!(client.sent(), ["POST /v3/auth/tokens 201"; 2]);
    // A renewal logs in anew.
    first.assert_renewed_after_a_revocation(stack).await;
    assert!(client.sent().contains(&"POST /token 200".to_owned()));
}

#[tokio::test]
async fn an_access_token_logs_in_again_until_it_is_revoked() {
    let Some(stack) = stack() else { return };
    let token = access_token(stack, "cli", "alice").await;
    let session = Session::new(credentials(stack, "auth_url", Grant::access_token(&*token)), &stack.client());
    assert_eq!(session.access_info().await.username(), Some("alice"));
    session.assert_renewed_after_a_revocation(stack).await;
    stack.revoke_at_provider("cli", &token).await;
    let error = session.error_after_a_revocation(stack).await;
    assert_failed(&error, LoginStep::Federation, 401, Some("invalid_token"));
    assert!(!error.is_transient());
}

#[tokio::test]
async fn an_unknown_access_token_is_named_and_not_shown() {
    let Some(stack) = stack() else { return };
    let credentials = credentials(stack, "auth_url", Grant::access_token("no-such-token"));
    let error = login_error(&credentials, &stack.client()).await;
    assert_failed(&error, LoginStep::Federation, 401, Some("invalid_token"));
    assert!(!format!("{error} {error:?}").contains("no-such-token"));
}

#[tokio::test]
async fn an_access_token_in_a_file_is_read_at_each_login() {
    let Some(stack) = stack() else { return };
    let old = access_token(stack, "cli", "alice").await;
    let path = file("access-token", &format!("{old}\n"));
    let grant = Grant::access_token(AccessTokenSource::file(&path));
    let session = Session::new(credentials(stack, "auth_url", grant), &stack.client());
    assert_eq!(session.access_info().await.username(), Some("alice"));
    stack.revoke_at_provider("cli", &old).await;
    file("access-token", &access_token(stack, "cli", "bob").await);
    session.assert_renewed_after_a_revocation(stack).await;
    assert_eq!(session.access_info().await.username(), Some("bob"));
}

#[tokio::test]
async fn an_access_token_that_has_ended_is_named() {
    let Some(stack) = stack() else { return };
    let token = access_token(stack, "brief-cli", "alice").await;
    let credentials = credentials(stack, "auth_url", Grant::access_token(token)).scope(Scope::new());
    // The login is tried until the provider says that the token has ended.
    let error = loop {
        match credentials.get_auth_ref(stack.client().transport()).await {
            Ok(_) => sleep(Duration::from_millis(100)).await,
            Err(error) => break error,
        }
    };
    assert_failed(&error, LoginStep::Federation, 401, Some("invalid_token"));
    assert!(!error.is_transient());
}

/// Returns an authorization code, as a person gets it in a browser.
async fn code(stack: &Stack, client: &str, challenge: &str) -> String {
    let mut url: Url = format!("{}/auth", stack.text("issuer")).parse().unwrap();
    url.query_pairs_mut()
        .extend_pairs([("client_id", client), ("response_type", "code"), ("scope", "openid profile")])
        .extend_pairs([("redirect_uri", REDIRECT_URI), ("state", "s")])
        .extend_pairs([("code_challenge", challenge), ("code_challenge_method", "S256")]);
    let back = Browser::new(stack.client(), "alice").authorize(url.as_str(), REDIRECT_URI).await;
    back.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned()
}

/// Of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn by_code(client: OidcClient, code: String) -> Grant {
    Grant::authorization_code(client, Secret::new(code)).redirect_uri(REDIRECT_URI)
}

#[tokio::test]
async fn an_authorization_code_logs_in_once_and_lasts_as_long_as_its_unscoped_token() {
    let Some(stack) = stack() else { return };
    let code = code(stack, "public-cli", CHALLENGE).await;
    let grant = by_code(stack.oidc_client("public-cli"), code).code_verifier(VERIFIER);
    let (credentials, client) = (credentials(stack, "auth_url", grant), stack.client());
    let session = Session::new(credentials.clone(), &client);
    assert_eq!(session.access_info().await.username(), Some("alice"));
    session.assert_renewed_after_a_revocation(stack).await;
    stack.revoke(&Session::new(credentials.scope(Scope::new()), &client).token().await).await;
    let error = session.error_after_a_revocation(stack).await;
    assert!(matches!(error, Error::LoginEnded), "{error}");
    assert_eq!(client.sent().iter().filter(|request| request.starts_with("POST /token")).count(), 1);
}

#[tokio::test]
async fn a_public_client_needs_the_verifier_of_its_code() {
    let Some(stack) = stack() else { return };
    for verifier in [None, Some("another-verifier-another-verifier-another-ve")] {
        let code = code(stack, "public-cli", CHALLENGE).await;
        let mut grant = by_code(stack.oidc_client("public-cli"), code);
        if let Some(verifier) = verifier {
            grant = grant.code_verifier(verifier);
        }
        let error = login_error(&credentials(stack, "auth_url", grant), &stack.client()).await;
        assert_failed(&error, LoginStep::Token, 400, Some("invalid_grant"));
    }
}
