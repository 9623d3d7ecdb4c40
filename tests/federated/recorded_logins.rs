//! Logins against the exchanges that were recorded with real servers, in their order.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tower_keystone::{
    AccessInfo, Credentials, Error, Scope, Transport,
    error::{FederatedLoginFailed, LoginStep},
    federation::{AccessTokenSource, DeviceLogin, FederatedCredentials, Grant, IdentityProvider, OidcClient},
};

use crate::{
    recorded::Exchange,
    wire::{self, Requests},
};

const PROJECT: &str = "8096c87a0b384a8e9afc72fc03835eea";
const PROJECT_WITHOUT_ROLE: &str = "7ff3a159097546108ac96240a4da69da";
const DOMAIN: &str = "c57f555e38d44e9da6cdaf52bcac8edd";

/// Servers that respond with these exchanges, in this order, to the requests that were recorded.
struct Servers {
    exchanges: Vec<Exchange>,
    transport: Transport,
    requests: Requests,
}

impl Servers {
    fn new(exchanges: impl IntoIterator<Item = Exchange>) -> Self {
        let exchanges: Vec<_> = exchanges.into_iter().collect();
        let (expected, count) = (exchanges.clone(), Arc::new(AtomicUsize::new(0)));
        let (transport, requests) = wire::transport(move |request| {
            let next = expected.get(count.fetch_add(1, Ordering::Relaxed));
            let exchange = next.unwrap_or_else(|| panic!("{} {}", request.method(), request.uri()));
            exchange.check_server(request);
            exchange.check(request);
            Ok(exchange.response())
        });
        Self { exchanges, transport, requests }
    }

    fn read<const N: usize>(names: [&'static str; N]) -> Self {
        Self::new(names.map(Exchange::read))
    }

    async fn log_in(&self, credentials: &impl Credentials) -> Result<AccessInfo, Error> {
        credentials.get_auth_ref(self.transport.clone()).await
    }

    /// Logs in. Checks that no request is left, and the new token.
    async fn log_in_with_all(&self, credentials: &impl Credentials, token: &str) -> AccessInfo {
        let access_info = self.log_in(credentials).await.unwrap();
        self.check_all_received();
        assert_eq!(access_info.auth_token(), Some(token));
        access_info
    }

    /// Logs in without success.
    async fn fail(&self, credentials: &impl Credentials) -> Error {
        let error = self.log_in(credentials).await.unwrap_err();
        self.check_all_received();
        error
    }

    fn check_all_received(&self) {
        assert_eq!(self.requests.lines().len(), self.exchanges.len());
    }
}

fn keystone() -> IdentityProvider {
    IdentityProvider::new("http://127.0.0.1:48000/v3", "op", "openid")
}

fn client(id: &str) -> OidcClient {
    OidcClient::new(id).access_token_endpoint("http://127.0.0.1:48003/token")
}

fn cli() -> OidcClient {
    client("cli").secret("cli-secret")
}

fn project(id: &str) -> Scope {
    Scope::new().project_id(id)
}

fn credentials(grant: Grant) -> FederatedCredentials {
    FederatedCredentials::new(keystone(), grant).scope(project(PROJECT))
}

fn password() -> Grant {
    Grant::password(cli(), "alice", "alice-pass")
}

/// Returns the failed step of a permanent error.
fn failed(error: &Error) -> &FederatedLoginFailed {
    assert!(!error.is_transient(), "{error}");
    match error {
        Error::FederatedLoginFailed(failed) => failed,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn client_credentials() {
    let servers = Servers::read([
        "oidc-client-credentials-1-discovery",
        "oidc-client-credentials-2-token",
        "oidc-client-credentials-3-unscoped",
        "oidc-client-credentials-4-rescope",
    ]);
    let client = OidcClient::new("robot")
        .secret("robot-secret")
        .discovery_endpoint("http://127.0.0.1:48003/.well-known/openid-configuration");
    let access_info =
        servers.log_in_with_all(&credentials(Grant::client_credentials(client)), "keystone-token-2").await;
    assert_eq!(access_info.username(), Some("client:robot"));
    assert_eq!(access_info.project_name(), Some("fed-project"));
    assert_eq!(access_info.role_names().collect::<Vec<_>>(), ["reader", "member"]);
    assert!(access_info.is_federated());
}

#[tokio::test]
async fn password_for_a_project() {
    let servers =
        Servers::read(["oidc-password-1-token", "oidc-password-2-unscoped", "oidc-password-3-rescope"]);
    let access_info = servers.log_in_with_all(&credentials(password()), "keystone-token-4").await;
    assert_eq!(access_info.username(), Some("alice"));
}

#[tokio::test]
async fn password_for_a_domain() {
    let servers = Servers::new([
        Exchange::read("oidc-password-1-token"),
        Exchange::read("oidc-password-2-unscoped"),
        Exchange::with("oidc-password-domain-1-rescope", &[("keystone-token-5", "keystone-token-3")]),
    ]);
    let credentials = FederatedCredentials::new(keystone(), password());
    let access_info =
        servers.log_in_with_all(&credentials.scope(Scope::new().domain_id(DOMAIN)), "keystone-token-6").await;
    assert_eq!(access_info.domain_name(), Some("feddom"));
}

#[tokio::test]
async fn a_login_without_a_scope_yields_the_unscoped_token() {
    let servers = Servers::read(["oidc-password-1-token", "oidc-password-2-unscoped"]);
    let credentials = FederatedCredentials::new(keystone(), password());
    let access_info = servers.log_in_with_all(&credentials, "keystone-token-3").await;
    assert_eq!((access_info.project_id(), access_info.role_names().count()), (None, 0));
}

#[tokio::test]
async fn access_token() {
    let servers = Servers::read(["oidc-access-token-1-unscoped", "oidc-access-token-2-rescope"]);
    servers.log_in_with_all(&credentials(Grant::access_token("access-token-5")), "keystone-token-10").await;

    let servers = Servers::read(["oidc-access-token-1-unscoped", "oidc-access-token-2-rescope"]);
    let source = AccessTokenSource::function(async || Ok("access-token-5".into()));
    servers.log_in_with_all(&credentials(Grant::access_token(source)), "keystone-token-10").await;
}

#[tokio::test]
async fn authorization_code_which_cannot_be_used_again() {
    let servers = Servers::read([
        "oidc-auth-code-2-token",
        "oidc-auth-code-3-unscoped",
        "oidc-auth-code-4-rescope",
        "oidc-auth-code-used-1-token",
    ]);
    let code = || Grant::authorization_code(cli(), "code-1").redirect_uri("http://127.0.0.1:48009/callback");
    servers.log_in(&credentials(code())).await.unwrap();
    let error = servers.fail(&credentials(code())).await;
    assert_eq!(failed(&error).error.as_deref(), Some("invalid_grant"));
}

#[tokio::test]
async fn authorization_code_with_its_verifier() {
    let code = |code: &str| {
        Grant::authorization_code(client("public-cli"), code).redirect_uri("http://127.0.0.1:48009/callback")
    };
    let servers = Servers::new([Exchange::read("oidc-auth-code-pkce-1-token").any_order()]);
    let error = servers.fail(&credentials(code("code-2"))).await;
    assert_eq!((failed(&error).step, failed(&error).status.unwrap().as_u16()), (LoginStep::Token, 400));

    let bearer = ("access-token-7", "access-token-8");
    let servers = Servers::new([
        Exchange::read("oidc-auth-code-pkce-2-token").any_order(),
        Exchange::with("oidc-auth-code-3-unscoped", &[bearer]),
        Exchange::read("oidc-auth-code-4-rescope"),
    ]);
    let grant = code("code-3").code_verifier("code-verifier-1");
    servers.log_in_with_all(&credentials(grant), "keystone-token-13").await;
}

#[tokio::test(start_paused = true)]
async fn a_device_login_and_the_token_with_a_scope() {
    let servers = Servers::read([
        "oidc-device-1-device",
        "oidc-device-2-token",
        "oidc-device-3-token",
        "oidc-device-4-token",
        "oidc-device-5-unscoped",
        "oidc-device-6-rescope",
    ]);
    let client =
        cli().device_authorization_endpoint("http://127.0.0.1:48003/device/auth").without_code_challenge();
    let mut login = DeviceLogin::start(keystone(), client, servers.transport.clone()).await.unwrap();
    let credentials = login.complete().await.unwrap().into_credentials().scope(project(PROJECT));
    servers.log_in_with_all(&credentials, "keystone-token-15").await;
}

#[tokio::test]
async fn errors_of_the_provider_are_permanent_and_say_what_is_wrong() {
    let robot = Grant::client_credentials(client("robot").secret("no"));
    for (name, grant, status, error, description) in [
        ("oidc-wrong-client-secret-1-token", robot, 401, "invalid_client", "client authentication failed"),
        (
            "oidc-password-wrong-1-token",
            Grant::password(cli(), "alice", "no"),
            400,
            "invalid_grant",
            "grant request is invalid",
        ),
    ] {
        let servers = Servers::read([name]);
        let failure = servers.fail(&credentials(grant)).await;
        let failed = failed(&failure);
        assert_eq!(failed.step, LoginStep::Token);
        assert_eq!(&*failed.origin, "http://127.0.0.1:48003");
        assert_eq!(failed.status.unwrap().as_u16(), status);
        assert_eq!(
            (failed.error.as_deref(), failed.error_description.as_deref()),
            (Some(error), Some(description))
        );
        assert!(failure.to_string().contains(error), "{failure}");
    }
}

#[tokio::test]
async fn errors_of_the_exchange_name_keystone_and_the_cause() {
    let op = ("op", "openid");
    for (name, (id, protocol), bearer, status, text) in [
        (
            "oidc-access-token-bad-1-unscoped",
            op,
            "access-token-6",
            401,
            "Reference token could not be introspected",
        ),
        ("oidc-id-token-1-unscoped", op, "access-token-4", 401, "invalid_token"),
        ("oidc-access-token-revoked-1-unscoped", op, "access-token-5", 401, "invalid_token"),
        (
            "oidc-unknown-idp-1-unscoped",
            ("nobody", "openid"),
            "access-token-5",
            404,
            "Could not find Identity Provider: nobody.",
        ),
        ("oidc-unknown-protocol-1-unscoped", ("op", "nothing"), "access-token-5", 401, "unsupported method"),
    ] {
        let servers = Servers::read([name]);
        let keystone = IdentityProvider::new("http://127.0.0.1:48000", id, protocol);
        let credentials = FederatedCredentials::new(keystone, Grant::access_token(bearer));
        let failure = servers.fail(&credentials).await;
        assert_eq!(failed(&failure).step, LoginStep::Federation, "{name}");
        assert_eq!(failed(&failure).status.unwrap().as_u16(), status, "{name}");
        assert_eq!(&*failed(&failure).origin, "http://127.0.0.1:48000");
        let shown = format!("{failure:#}");
        assert!(shown.contains(text) && !shown.contains(bearer), "{name}: {shown}");
    }
}

#[tokio::test]
async fn a_project_without_a_role_is_a_permanent_error_of_keystone() {
    let servers = Servers::new([
        Exchange::read("oidc-password-1-token"),
        Exchange::read("oidc-password-2-unscoped"),
        Exchange::with("oidc-no-role-1-rescope", &[("keystone-token-7", "keystone-token-3")]),
    ]);
    let credentials = FederatedCredentials::new(keystone(), password()).scope(project(PROJECT_WITHOUT_ROLE));
    let error = servers.fail(&credentials).await;
    assert!(matches!(&error, Error::Keystone(error) if error.status == 401), "{error:?}");
    assert!(!error.is_transient());
    assert!(error.to_string().contains("has no access to project"), "{error}");
}

#[tokio::test]
async fn a_shared_unscoped_token_that_is_refused_causes_one_new_login() {
    let servers = Servers::new([
        Exchange::read("oidc-password-1-token"),
        Exchange::read("oidc-password-2-unscoped"),
        Exchange::read("oidc-password-3-rescope"),
        // Another scope of the same login.
        Exchange::with("oidc-no-role-1-rescope", &[("keystone-token-7", "keystone-token-3")]),
        Exchange::with("oidc-password-1-token", &[("access-token-2", "access-token-3")]),
        Exchange::with(
            "oidc-password-2-unscoped",
            &[("access-token-2", "access-token-3"), ("keystone-token-3", "keystone-token-7")],
        ),
        Exchange::read("oidc-no-role-1-rescope"),
    ]);
    let for_project = credentials(password());
    servers.log_in(&for_project).await.unwrap();
    let error = servers.fail(&for_project.clone().scope(project(PROJECT_WITHOUT_ROLE))).await;
    assert!(matches!(&error, Error::Keystone(error) if error.status == 401), "{error:?}");
}

#[tokio::test]
async fn a_revoked_unscoped_token_is_replaced_by_a_new_login() {
    let other = ("8096c87a0b384a8e9afc72fc03835eea", "other-project");
    let servers = Servers::new([
        Exchange::read("oidc-password-1-token"),
        Exchange::read("oidc-password-2-unscoped"),
        Exchange::read("oidc-password-3-rescope"),
        // Another scope of the same login.
        Exchange::with(
            "federated-rescope-revoked-1-rescope",
            &[("keystone-token-17", "keystone-token-3"), other],
        ),
        Exchange::with("oidc-password-1-token", &[("access-token-2", "access-token-3")]),
        Exchange::with(
            "oidc-password-2-unscoped",
            &[("access-token-2", "access-token-3"), ("keystone-token-3", "keystone-token-5")],
        ),
        Exchange::with("oidc-password-3-rescope", &[("keystone-token-3", "keystone-token-5"), other]),
    ]);
    let for_project = credentials(password());
    servers.log_in(&for_project).await.unwrap();
    let for_other = for_project.clone().scope(project("other-project"));
    servers.log_in_with_all(&for_other, "keystone-token-4").await;
}
