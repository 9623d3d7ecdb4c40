//! A user who sends requests to Keystone with tokens that are renewed.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::time::sleep;
use tower::{ServiceBuilder, ServiceExt};
use tower_keystone::{
    AccessInfo, AuthLayer, BoxError, Credentials, EndpointFilter, Error, IdentityPlugin, ReauthPolicy,
    RenewalPolicy, RenewingPlugin, Scope,
    error::{FederatedLoginFailed, LoginStep},
};

use crate::support::{Client, Stack};

pub(crate) struct Session<C> {
    plugin: RenewingPlugin<C>,
    client: Client,
}

impl<C: Credentials> Session<C> {
    /// Starts a session whose logins and requests are sent by this client.
    pub(crate) fn new(credentials: C, client: &Client) -> Self {
        let mut policy = RenewalPolicy::default();
        policy.min_renewal_interval = Duration::ZERO;
        policy.max_rejections = usize::MAX;
        let plugin = RenewingPlugin::new(credentials, client.transport()).policy(policy);
        Self { plugin, client: client.clone() }
    }

    /// Returns the current token and its document.
    pub(crate) async fn access_info(&self) -> AccessInfo {
        let access = self.plugin.access().await.unwrap_or_else(|error| panic!("{error}"));
        access.auth_ref().expect("a token").clone()
    }

    /// Returns the text of the current token.
    pub(crate) async fn token(&self) -> String {
        self.access_info().await.auth_token().expect("a token").to_owned()
    }

    /// Sends a request to Keystone, and sends it again with a new token if Keystone rejects the first one.
    pub(crate) async fn ask(&self) -> Result<StatusCode, BoxError> {
        let keystone = ServiceBuilder::new()
            .retry(ReauthPolicy::new())
            .layer(AuthLayer::new(self.plugin.clone()).endpoint(EndpointFilter::new("identity")))
            .service(self.client.clone());
        let request = Request::get("/auth/projects").body(Full::<Bytes>::default())?;
        Ok(keystone.oneshot(request).await?.status())
    }

    async fn assert_works(&self) {
        assert_eq!(self.ask().await.unwrap_or_else(|error| panic!("{error}")), StatusCode::OK);
    }

    /// Fails if no new token takes the place of one that was revoked.
    pub(crate) async fn assert_renewed_after_a_revocation(&self, stack: &Stack) {
        self.assert_works().await;
        let revoked = self.token().await;
        stack.revoke(&revoked).await;
        self.assert_works().await;
        assert_ne!(self.token().await, revoked);
    }

    /// Waits until the token expires, and fails if no new one takes its place. The token must have a short life.
    pub(crate) async fn assert_renewed_at_its_end(&self) {
        self.assert_works().await;
        let first = self.access_info().await;
        let end = first.expires().expect("a time").expect("it expires");
        // By the system clock, which Keystone uses too.
        while let Ok(left) = end.duration_since(SystemTime::now()) {
            sleep(left + Duration::from_millis(1)).await;
        }
        self.assert_works().await;
        assert_ne!(self.access_info().await.auth_token(), first.auth_token());
    }

    /// Returns the error of a request after the token was revoked.
    pub(crate) async fn error_after_a_revocation(&self, stack: &Stack) -> Error {
        self.assert_works().await;
        stack.revoke(&self.token().await).await;
        let status = self.ask().await;
        assert!(!matches!(status, Ok(StatusCode::OK)), "{status:?}");
        self.plugin.access().await.expect_err("no token")
    }
}

/// Returns the error of a login, which must be definite.
pub(crate) async fn login_error(credentials: &impl Credentials, client: &Client) -> Error {
    let error = credentials.get_auth_ref(client.transport()).await.expect_err("no token");
    assert!(!error.is_transient(), "{error}");
    error
}

/// Returns the failed step of an error.
pub(crate) fn failed(error: &Error) -> &FederatedLoginFailed {
    match error {
        Error::FederatedLoginFailed(failed) => failed,
        other => panic!("{other}"),
    }
}

/// Fails if the error is of another step, or has another status or error code.
pub(crate) fn assert_failed(error: &Error, step: LoginStep, status: u16, code: Option<&str>) {
    let failed = failed(error);
    let found = (failed.step, failed.status.map(|status| status.as_u16()), failed.error.as_deref());
    assert_eq!(found, (step, Some(status), code), "{error}");
}

/// Fails if the error is not a response of Keystone with this status.
pub(crate) fn assert_keystone(error: &Error, status: StatusCode) {
    match error {
        Error::Keystone(error) if error.status == status => {}
        other => panic!("{other}"),
    }
}

/// Returns the scope of a project that does not exist.
pub(crate) fn unknown_project() -> Scope {
    Scope::new().project_id("0123456789abcdef0123456789abcdef")
}
