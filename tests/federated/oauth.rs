//! Logins with the grants of OAuth 2.0: the recorded exchanges, and whole logins at the fixture.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::advance;
use tower_keystone::{
    AccessInfo, Credentials, Error, Scope, Transport,
    error::LoginStep,
    federation::{ClientAuthentication, FederatedCredentials, Grant, IdentityProvider, OidcClient},
    fixture::Cloud,
};

use crate::{
    recorded::Exchange,
    wire::{self, response, transport},
};

const PROJECT: &str = "8096c87a0b384a8e9afc72fc03835eea";

fn client(id: &str) -> OidcClient {
    OidcClient::new(id).access_token_endpoint("http://127.0.0.1:48003/token")
}

fn keystone() -> IdentityProvider {
    IdentityProvider::new("http://127.0.0.1:48000/v3", "op", "openid")
}

/// Returns a transport that checks each request, and responds as it was recorded.
fn replay(names: &[&'static str]) -> Transport {
    let exchanges: Arc<Mutex<Vec<_>>> =
        Arc::new(Mutex::new(names.iter().rev().map(|name| Exchange::read(name)).collect()));
    let (transport, _) = transport(move |request| {
        let exchange: Exchange = exchanges.lock().unwrap().pop().expect("one request for each exchange");
        exchange.check(request);
        Ok(exchange.response())
    });
    transport
}

async fn log_in(grant: Grant, scope: Scope, names: &[&'static str]) -> Result<AccessInfo, Error> {
    FederatedCredentials::new(keystone(), grant).scope(scope).get_auth_ref(replay(names)).await
}

#[tokio::test]
async fn the_requests_are_those_that_were_recorded() {
    let project = || Scope::new().project_id(PROJECT);
    let robot = OidcClient::new("robot")
        .secret("robot-secret")
        .discovery_endpoint("http://127.0.0.1:48003/.well-known/openid-configuration");
    let cli = || client("cli").secret("cli-secret");
    let code = Grant::authorization_code(cli(), "code-1").redirect_uri("http://127.0.0.1:48009/callback");
    for (grant, names, token, user) in [
        (
            Grant::client_credentials(robot),
            &[
                "oidc-client-credentials-1-discovery",
                "oidc-client-credentials-2-token",
                "oidc-client-credentials-3-unscoped",
                "oidc-client-credentials-4-rescope",
            ][..],
            "keystone-token-2",
            "client:robot",
        ),
        (
            Grant::password(cli(), "alice", "alice-pass"),
            &["oidc-password-1-token", "oidc-password-2-unscoped", "oidc-password-3-rescope"],
            "keystone-token-4",
            "alice",
        ),
        (
            Grant::access_token("access-token-5"),
            &["oidc-access-token-1-unscoped", "oidc-access-token-2-rescope"],
            "keystone-token-10",
            "alice",
        ),
        (
            code,
            &["oidc-auth-code-2-token", "oidc-auth-code-3-unscoped", "oidc-auth-code-4-rescope"],
            "keystone-token-13",
            "alice",
        ),
    ] {
        let access_info = log_in(grant, project(), names).await.unwrap();
        assert_eq!(access_info.auth_token(), Some(token));
        assert_eq!(access_info.username(), Some(user));
        assert_eq!(access_info.project_id(), Some(PROJECT));
    }
}

#[tokio::test]
async fn the_errors_of_a_real_provider_are_shown() {
    let cli = || client("cli").secret("cli-secret");
    for (grant, name, shown) in [
        (
            Grant::password(cli(), "alice", "no"),
            "oidc-password-wrong-1-token",
            "400 Bad Request: invalid_grant (grant request is invalid); check the user name and the password",
        ),
        (
            Grant::client_credentials(client("robot").secret("no")),
            "oidc-wrong-client-secret-1-token",
            "401 Unauthorized: invalid_client (client authentication failed); check the client id and its secret",
        ),
        (
            Grant::authorization_code(cli(), "code-1").redirect_uri("http://127.0.0.1:48009/callback"),
            "oidc-auth-code-used-1-token",
            "400 Bad Request: invalid_grant (grant request is invalid); the code was used before or has expired",
        ),
    ] {
        let error = log_in(grant, Scope::new(), &[name]).await.unwrap_err();
        let start = "federated login failed: the token endpoint at http://127.0.0.1:48003 returned ";
        assert!(error.to_string().starts_with(&format!("{start}{shown}")), "{error}");
        assert!(!error.is_transient(), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_is_not_sent_a_second_time() {
    let grant = Grant::authorization_code(client("cli").secret("cli-secret"), "code-1")
        .redirect_uri("http://127.0.0.1:48009/callback");
    let names = ["oidc-auth-code-2-token", "oidc-auth-code-3-unscoped"];
    let transport = replay(&names);
    let credentials = FederatedCredentials::new(keystone(), grant);
    credentials.get_auth_ref(transport.clone()).await.unwrap();
    advance(Duration::from_secs(24 * 3600)).await;
    let error = credentials.get_auth_ref(transport).await.unwrap_err();
    assert!(matches!(error, Error::LoginEnded), "{error}");
}

#[tokio::test]
async fn a_redirect_takes_no_secret_to_another_host() {
    for status in [301, 302, 303, 307, 308] {
        let location = [("location", "https://evil.example.com/token")];
        let (transport, requests) = transport(move |_| Ok(response(status, &location, "")));
        let credentials =
            FederatedCredentials::new(keystone(), Grant::password(client("cli"), "alice", "pw"));
        let error = credentials.get_auth_ref(transport).await.unwrap_err();
        assert!(error.to_string().contains("redirects are not followed"), "{error}");
        assert_eq!(requests.lines(), ["POST http://127.0.0.1:48003/token"]);
    }
}

#[tokio::test]
async fn nothing_is_sent_to_the_provider_if_keystone_cannot_get_the_bearer() {
    let (transport, requests) = transport(|_| Ok(response(500, &[], "")));
    let keystone = IdentityProvider::new("http://keystone.example.com/v3", "op", "openid");
    let credentials = FederatedCredentials::new(keystone, Grant::password(client("cli"), "alice", "pw"));
    let error = credentials.get_auth_ref(transport).await.unwrap_err();
    assert!(
        matches!(&error, Error::FederatedLoginFailed(failed) if failed.step == LoginStep::Federation),
        "{error}"
    );
    assert!(requests.lines().is_empty());
}

fn cloud() -> Cloud {
    let cloud = Cloud::new([("compute", "nova")]).project("demo").identity_provider("op", "openid");
    cloud.oidc_provider().add_user("alice", "wonder&land é");
    cloud.oidc_provider().add_client("robot", "a+b%c é");
    cloud
}

fn scoped(cloud: &Cloud, grant: Grant) -> FederatedCredentials {
    let keystone = IdentityProvider::new(cloud.keystone().auth_url(), "op", "openid");
    FederatedCredentials::new(keystone, grant)
        .scope(Scope::new().project_name("demo").project_domain_id("default"))
}

#[tokio::test]
async fn the_ways_to_authenticate_a_client() {
    let cloud = cloud();
    let robot = OidcClient::new("robot")
        .secret("a+b%c é")
        .discovery_endpoint(cloud.oidc_provider().discovery_endpoint());
    for (authentication, is_accepted) in [
        (ClientAuthentication::EncodedBasic, true),
        (ClientAuthentication::Form, true),
        // The provider of the fixture decodes what was not encoded.
        (ClientAuthentication::Basic, false),
    ] {
        let robot = robot.clone().authentication(authentication);
        for grant in [
            Grant::client_credentials(robot.clone()),
            Grant::password(robot.clone(), "alice", "wonder&land é"),
        ] {
            match scoped(&cloud, grant).get_auth_ref(cloud.transport()).await {
                Ok(access_info) => {
                    assert!(is_accepted, "{authentication:?}");
                    assert!(access_info.project_id().is_some());
                }
                Err(error) => {
                    assert!(!is_accepted, "{error}");
                    assert!(error.to_string().contains("use ClientAuthentication::EncodedBasic"), "{error}");
                }
            }
        }
    }
}

/// The id and the secret of a client in Latin-1, as the conformance data has them.
#[tokio::test]
async fn raw_basic_authentication_is_latin_1() {
    let (transport, requests) = transport(|_| Ok(wire::response(400, &[], "{}")));
    let grant = Grant::client_credentials(client("client-id").secret("é"));
    FederatedCredentials::new(keystone(), grant).get_auth_ref(transport).await.unwrap_err();
    assert_eq!(requests.header("authorization"), [Some("Basic Y2xpZW50LWlkOuk=".to_owned())]);
}
