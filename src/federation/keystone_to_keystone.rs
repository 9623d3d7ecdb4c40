use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, StatusCode, Uri,
    header::{ACCEPT, CONTENT_TYPE},
};

use super::{
    identity_provider::path_segment,
    plain_http::PlainHttpHosts,
    service_provider::{MAX_ENVELOPE, PAOS, ServiceProvider, wiped_body},
    unscoped::{Rescoped, UnscopedFuture, UnscopedLogin, UnscopedToken},
};
use crate::{
    AuthUrl, Credentials, Error, IdentityPlugin, Scope, ServiceAccess, Transport,
    endpoint::Origin,
    error::{FederatedLoginFailed, LoginStep, format_url},
    identity::{AuthRefFuture, Json, PrepareFuture, login_request, send_within_origin, v3_url, wipe},
};

/// Credentials for another cloud, whose Keystone trusts the one at home: keystoneauth's `Keystone2Keystone`.
///
/// The plugin `home` logs in to the Keystone at home, whose token lists the service providers: the clouds that the user
/// can log in to. The home Keystone makes an assertion about the user, and the other cloud issues an unscoped token for
/// it, and then one for the [scope](Self::scope). A token is renewed by a new assertion.
///
/// ```
/// use tower_keystone::{
///     IdentityPlugin, RenewingPlugin, Scope, Transport, federation::Keystone2KeystoneCredentials,
/// };
///
/// /// `home` is the plugin of this cloud, such as a `RenewingPlugin` with a password.
/// fn other_cloud(
///     home: impl IdentityPlugin,
///     transport: Transport,
/// ) -> RenewingPlugin<Keystone2KeystoneCredentials> {
///     let demo = Scope::new().project_name("demo").project_domain_name("Default");
///     let credentials = Keystone2KeystoneCredentials::new(home, "other-cloud").scope(demo);
///     RenewingPlugin::new(credentials, transport)
/// }
/// ```
///
/// # The URL of the other Keystone
///
/// It is in the token of `home`, so that [`auth_url`](Credentials::auth_url) is known only when `home` has logged in.
/// Before that, it is a path that names the service provider, and no request is sent there. A program that gets its
/// token from a store has not logged in; requests for [`Interface::Auth`](crate::Interface::Auth) then fail with
/// [`Error::InvalidEndpoint`]. If the home Keystone names another URL later, logins fail: make new credentials then.
///
/// The credentials have no cache id, because an [`IdentityPlugin`] has none. To share the token, name it with
/// `RenewingPlugin::stored_as`.
#[derive(Clone)]
pub struct Keystone2KeystoneCredentials {
    login: Keystone2KeystoneLogin,
    scope: Scope,
    rescoped: Rescoped,
    /// The `auth_url` before the first login.
    unknown_auth_url: Uri,
}

#[derive(Clone)]
struct Keystone2KeystoneLogin {
    home: Arc<dyn IdentityPlugin>,
    service_provider: Box<str>,
    plain_http: PlainHttpHosts,
    auth_url: Arc<OnceLock<Uri>>,
}

impl Keystone2KeystoneCredentials {
    /// Makes credentials of the token of `home` for the service provider with this id.
    ///
    /// `openstack service provider list` shows the id. `home` is the plugin of this cloud. It needs an
    /// [`auth_url`](IdentityPlugin::auth_url) and a token of version 3.
    pub fn new(home: impl IdentityPlugin, service_provider: impl Into<Box<str>>) -> Self {
        let login = Keystone2KeystoneLogin {
            home: Arc::new(home),
            service_provider: service_provider.into(),
            plain_http: PlainHttpHosts::default(),
            auth_url: Arc::default(),
        };
        Self::from_parts(login, Scope::new())
    }

    fn from_parts(login: Keystone2KeystoneLogin, scope: Scope) -> Self {
        let rescoped = Rescoped::new(Box::new(login.clone())).scope(scope.clone());
        let unknown_auth_url = login.unknown_auth_url();
        Self { login, scope, rescoped, unknown_auth_url }
    }

    /// Sets the scope of the token. Without one, the token is unscoped.
    #[must_use]
    pub fn scope(self, scope: Scope) -> Self {
        Self { rescoped: self.rescoped.scope(scope.clone()), scope, ..self }
    }

    /// Allows plain http to this host of a Keystone or of the service provider.
    ///
    /// Anybody on the network path can then read the assertion and the token.
    #[must_use]
    pub fn allow_http(mut self, host: impl Into<Box<str>>) -> Self {
        self.login.plain_http.allow(&host.into());
        Self::from_parts(self.login, self.scope)
    }
}

/// The URLs of a service provider.
struct Urls {
    /// Receives the assertion: keystoneauth's `get_sp_url`.
    consumer: Uri,
    /// Yields the unscoped token: keystoneauth's `get_sp_auth_url`.
    federated: Uri,
    /// The `auth_url` of its Keystone.
    auth: AuthUrl,
}

impl Keystone2KeystoneLogin {
    async fn obtain(&self, transport: &Transport) -> Result<UnscopedToken, Error> {
        let home_url = self.home_url()?;
        let access = self.home.access().await?;
        let (urls, assertion) = match self.request_assertion(transport, &home_url, &access).await {
            Err(error) if is_token_rejected(&error) => {
                // The token at home may have been revoked.
                let origin = Origin::from_uri(&home_url);
                if !origin.is_some_and(|origin| self.home.invalidate(&access, &origin)) {
                    return Err(error);
                }
                let renewed = self.home.access().await?;
                if Arc::ptr_eq(&access, &renewed) {
                    return Err(error);
                }
                self.request_assertion(transport, &home_url, &renewed).await?
            }
            result => result?,
        };
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("*/*")), (CONTENT_TYPE, PAOS)]);
        let service_provider = ServiceProvider {
            transport,
            consumer_url: &urls.consumer,
            federated_url: &urls.federated,
            headers,
        };
        let access_info = service_provider.log_in(assertion).await?;
        Ok(UnscopedToken { access_info, auth_url: urls.auth })
    }

    /// Returns the URL of the home Keystone that makes assertions.
    fn home_url(&self) -> Result<Uri, Error> {
        let auth_url = AuthUrl::from(self.home.auth_url().ok_or(Error::NoAuthUrl)?);
        let url = v3_url(auth_url.valid_uri()?, "auth/OS-FEDERATION/saml2/ecp");
        let too_long = Error::InvalidEndpoint { what: "the auth_url", reason: "it is too long for a URL" };
        let url = url.parse().map_err(|_| too_long)?;
        self.plain_http.check(LoginStep::Assertion, &url)?;
        Ok(url)
    }

    /// Requests an assertion of the home Keystone. It is opaque, and sent on byte for byte.
    async fn request_assertion(
        &self,
        transport: &Transport,
        home_url: &Uri,
        access: &ServiceAccess,
    ) -> Result<(Urls, Bytes), Error> {
        let urls = self.urls(access)?;
        let token = access.auth_ref().and_then(|info| info.auth_token()).ok_or(Error::NoToken)?;
        let object = |name, member| Json::Object(vec![(name, member)]);
        let auth = vec![
            (
                "identity",
                Json::Object(vec![
                    ("methods", Json::List(vec![Json::Text("token")])),
                    ("token", object("id", Json::Text(token))),
                ]),
            ),
            ("scope", object("service_provider", object("id", Json::Text(&self.service_provider)))),
        ];
        let request = login_request(home_url.to_string(), [], auth)?;
        let response = send_within_origin(transport, request).await;
        let response =
            response.map_err(|error| FederatedLoginFailed::unreachable(LoginStep::Assertion, error))?;
        let status = response.status();
        if !status.is_success() {
            let failed = FederatedLoginFailed::read(LoginStep::Assertion, home_url, &response, [token]);
            return Err(match status {
                StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND => {
                    failed.with_hint(
                        "the home Keystone has rejected the token of the plugin `home`; check how it logs in, and that its \
                         token was not revoked",
                    )
                }
                StatusCode::FORBIDDEN => failed.with_hint(
                    "check that the service provider is enabled in the home Keystone, and that the token at home has a \
                     project",
                ),
                _ => failed,
            }
            .into());
        }
        let failed = |hint| {
            let failed = FederatedLoginFailed::at(LoginStep::Assertion, home_url, hint, false);
            Err(failed.with_status(status).into())
        };
        let body = response.into_body();
        if body.is_empty() {
            return failed("the response contains no assertion; see the log of the home Keystone");
        }
        if body.len() > MAX_ENVELOPE {
            return failed("the assertion is longer than 1 MiB, so it is not sent on");
        }
        let assertion = wiped_body(&body);
        wipe(body);
        Ok((urls, assertion))
    }

    /// Returns the URLs of the service provider that the token at home names, and keeps its `auth_url`.
    fn urls(&self, access: &ServiceAccess) -> Result<Urls, Error> {
        let known = || access.auth_ref().and_then(|info| info.service_providers()).into_iter().flatten();
        let Some(found) = known().find(|provider| provider.id == &*self.service_provider) else {
            return Err(Error::unknown_service_provider(
                &self.service_provider,
                known().map(|known| known.id),
            ));
        };
        let home = self.home.auth_url().cloned().unwrap_or_default();
        let failed = |hint| FederatedLoginFailed::at(LoginStep::Assertion, &home, hint, false).into();
        let unusable = || {
            failed(
                "its token lists a service provider without a usable auth_url and sp_url; correct them in the home \
                 Keystone",
            )
        };
        let federated_text = found.auth_url.ok_or_else(unusable)?;
        let url = |text: &str| text.parse::<Uri>().map_err(|_| unusable());
        let (consumer, federated) = (url(found.sp_url.ok_or_else(unusable)?)?, url(federated_text)?);
        for url in [&consumer, &federated] {
            self.plain_http.check(LoginStep::ServiceProvider, url)?;
        }
        let auth = AuthUrl::from(federated_text.split("/OS-FEDERATION/").next().unwrap_or(federated_text));
        let uri = auth.valid_uri().map_err(|_| unusable())?;
        if self.auth_url.get_or_init(|| uri.clone()) != uri {
            return Err(failed(
                "its token lists another auth_url of the service provider than before; make new credentials",
            ));
        }
        Ok(Urls { consumer, federated, auth })
    }

    /// Returns a URL that is no URL of a server, but tells these credentials from others: shared tokens can be named
    /// after it.
    fn unknown_auth_url(&self) -> Uri {
        let home = self.home.auth_url().map(format_url).unwrap_or_default();
        let (provider, home) = (path_segment(&self.service_provider), path_segment(&home));
        format!("/service_providers/{provider}/of/{home}").parse().unwrap_or_default()
    }
}

/// Returns whether the home Keystone has rejected its token. It returns 404 for a token that was revoked.
fn is_token_rejected(error: &Error) -> bool {
    let Error::FederatedLoginFailed(failed) = error else { return false };
    matches!(failed.status, Some(StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND))
}

impl UnscopedLogin for Keystone2KeystoneLogin {
    fn log_in(&self, transport: Transport) -> UnscopedFuture {
        let this = self.clone();
        Box::pin(async move { this.obtain(&transport).await })
    }

    fn cache_id(&self) -> Option<String> {
        None
    }

    fn public_id(&self) -> Option<String> {
        None
    }
}

impl Credentials for Keystone2KeystoneCredentials {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        self.rescoped.get_auth_ref(transport)
    }

    /// Returns the URL of the other Keystone, once `home` has logged in.
    fn auth_url(&self) -> &Uri {
        self.login.auth_url.get().unwrap_or(&self.unknown_auth_url)
    }

    /// Obtains the token at home.
    fn prepare(&self, _: Transport) -> PrepareFuture {
        let login = self.login.clone();
        Box::pin(async move {
            let access = login.home.access().await?;
            login.urls(&access).map(drop)
        })
    }

    /// Returns false, because a token logs in.
    fn can_lock_account(&self) -> bool {
        false
    }
}

/// Shows the service provider and the scope.
impl fmt::Debug for Keystone2KeystoneCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keystone2KeystoneCredentials")
            .field("service_provider", &self.login.service_provider)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}
