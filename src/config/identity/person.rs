//! Logins that a person completes in a browser.

#[cfg(feature = "browser")]
use std::time::Duration;
use std::{future::ready, sync::Arc};

use http::Uri;
use tracing::warn;

#[cfg(feature = "browser")]
use crate::federation::WebSsoLogin;
use crate::{
    AuthUrl, Credentials, Error, Scope, Secret, Transport,
    config::LoginPage,
    federation::{CompletedLogin, DeviceLogin, FederatedCredentials, Grant, IdentityProvider, OidcClient},
    identity::AuthRefFuture,
};
#[cfg(feature = "store")]
use crate::{RenewalPolicy, SharedTokens};

/// A login that a person completes in a browser.
///
/// As credentials, it fails: a request never waits for a person.
#[derive(Clone)]
pub(crate) struct PersonalLogin {
    auth_url: Uri,
    identity_provider: IdentityProvider,
    scope: Scope,
    browser: Browser,
    kept: Option<KeptLogin>,
}

/// A login that lasts longer than the program.
#[derive(Clone)]
struct KeptLogin {
    /// The refresh token of an earlier run.
    refresh_token: Option<Secret>,
    /// Saves the refresh token for the next run.
    save: Arc<dyn Fn(&Secret) + Send + Sync>,
}

/// In which browser the person logs in.
#[derive(Clone)]
enum Browser {
    /// In that of any device.
    AnyDevice(Box<OidcClient>),
    /// In that of this machine.
    #[cfg(feature = "browser")]
    ThisMachine { host: Option<Box<str>>, port: Option<u16>, timeout: Duration },
}

/// How long a login in the browser of this machine may take: the default of keystoneauth.
#[cfg(feature = "browser")]
const WEB_SSO_TIMEOUT: Duration = Duration::from_secs(60);

impl PersonalLogin {
    pub(super) fn device(
        auth_url: AuthUrl,
        identity_provider: IdentityProvider,
        client: OidcClient,
        scope: Scope,
    ) -> Self {
        Self {
            auth_url: auth_url.into_uri(),
            identity_provider,
            scope,
            browser: Browser::AnyDevice(client.into()),
            kept: None,
        }
    }

    /// `host` and `port` are where the browser comes back to.
    #[cfg(feature = "browser")]
    pub(super) fn web_sso(
        auth_url: AuthUrl,
        identity_provider: IdentityProvider,
        (host, port, timeout): (Option<Box<str>>, Option<u16>, Option<Duration>),
        scope: Scope,
    ) -> Self {
        let timeout = timeout.unwrap_or(WEB_SSO_TIMEOUT);
        let browser = Browser::ThisMachine { host, port, timeout };
        Self { auth_url: auth_url.into_uri(), identity_provider, scope, browser, kept: None }
    }

    /// Goes on with the login of an earlier run by its refresh token, and saves each new one.
    pub(in crate::config) fn keep(
        self,
        refresh_token: Option<Secret>,
        save: Arc<dyn Fn(&Secret) + Send + Sync>,
    ) -> Self {
        Self { kept: Some(KeptLogin { refresh_token, save }), ..self }
    }

    /// Returns the credentials of the login of an earlier run, without and with the scope.
    pub(in crate::config) fn earlier_login(&self) -> Option<(FederatedCredentials, FederatedCredentials)> {
        let KeptLogin { refresh_token, save } = self.kept.clone()?;
        match &self.browser {
            Browser::AnyDevice(client) => {
                let grant = Grant::refresh_token((**client).clone(), refresh_token?);
                let credentials = FederatedCredentials::new(self.identity_provider.clone(), grant)
                    .on_refresh_token(move |token| save(token));
                Some((credentials.clone(), credentials.scope(self.scope.clone())))
            }
            #[cfg(feature = "browser")]
            Browser::ThisMachine { .. } => None,
        }
    }

    /// Returns the credentials of a completed login.
    pub(in crate::config) fn credentials(&self, login: CompletedLogin) -> FederatedCredentials {
        let credentials = match &self.kept {
            Some(kept) => kept.clone().credentials(login),
            None => login.into_credentials(),
        };
        credentials.scope(self.scope.clone())
    }

    /// Returns whether the program keeps the login itself.
    #[cfg(feature = "store")]
    pub(in crate::config) fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// Returns the login that an earlier run of the program has stored.
    ///
    /// # Errors
    ///
    /// [`Error::StoreUnavailable`] if the store cannot be used.
    #[cfg(feature = "store")]
    pub(in crate::config) async fn stored(
        &self,
        tokens: &SharedTokens,
    ) -> Result<Option<CompletedLogin>, Error> {
        let client = match &self.browser {
            Browser::AnyDevice(client) => Some(&**client),
            #[cfg(feature = "browser")]
            Browser::ThisMachine { .. } => None,
        };
        CompletedLogin::stored(&self.identity_provider, client, tokens).await
    }

    /// Returns the credentials of the stored login. `None` if there is none or a person has to log in anew.
    ///
    /// A token that is old is renewed first, because the provider or Keystone may not accept the login any more. If they
    /// cannot be reached, a stored token with the scope may still be valid.
    #[cfg(feature = "store")]
    pub(in crate::config) async fn stored_credentials(
        &self,
        tokens: &SharedTokens,
        transport: Transport,
    ) -> Option<FederatedCredentials> {
        let credentials = self.credentials(self.stored(tokens).await.ok()??);
        let timeout = RenewalPolicy::default().attempt_timeout;
        match tokio::time::timeout(timeout, credentials.obtain_unscoped(transport)).await {
            Ok(Err(error)) if !error.is_transient() => None,
            _ => Some(credentials),
        }
    }

    /// Shows a person where to log in, and waits until they have.
    pub(in crate::config) async fn log_in(
        self,
        transport: Transport,
        show: impl FnOnce(&LoginPage<'_>),
    ) -> Result<CompletedLogin, Error> {
        let Self { identity_provider, browser, .. } = self;
        match browser {
            Browser::AnyDevice(client) => {
                let mut login = DeviceLogin::start(identity_provider, *client, transport).await?;
                show(&LoginPage {
                    url: login.verification_uri(),
                    user_code: Some(login.user_code()),
                    url_with_code: login.verification_uri_complete(),
                    expires_in: login.expires_in(),
                });
                login.complete().await
            }
            #[cfg(feature = "browser")]
            Browser::ThisMachine { host, port, timeout } => {
                let mut login = WebSsoLogin::builder(identity_provider);
                if let Some(host) = host {
                    login = login.host(host);
                }
                if let Some(port) = port {
                    login = login.port(port);
                }
                let login = login.start(transport).await?;
                let url = login.url();
                show(&LoginPage { url, user_code: None, url_with_code: None, expires_in: timeout });
                login.complete(timeout).await
            }
        }
    }
}

impl KeptLogin {
    /// Saves the refresh token of a new login, and those that the provider issues later.
    fn credentials(self, completed: CompletedLogin) -> FederatedCredentials {
        let save = self.save;
        match completed.refresh_token() {
            Some(token) => save(token),
            None => warn!(
                "the login has no refresh token, so the next run of the program cannot use it; add offline_access to \
                 openid_scope, if the identity provider knows it"
            ),
        }
        completed.into_credentials().on_refresh_token(move |token| save(token))
    }
}

impl Credentials for PersonalLogin {
    fn get_auth_ref(&self, _: Transport) -> AuthRefFuture {
        let reason = "this auth type needs a person, whom a request does not wait for; call CloudConfig::log_in first, and use \
                      the configuration that it returns";
        Box::pin(ready(Err(Error::AuthorizationFailure { reason })))
    }

    fn auth_url(&self) -> &Uri {
        &self.auth_url
    }

    fn can_lock_account(&self) -> bool {
        false
    }
}
