//! The logins of the grants: a proof for the identity provider, and the unscoped token that Keystone issues for it.

use std::{future::ready, sync::Arc};

use tracing::debug;

#[cfg(feature = "saml")]
use super::SamlIdentityProvider;
use super::{
    IdentityProvider, OidcClient,
    grant::Kind,
    refresh_token::CurrentRefreshToken,
    unscoped::{UnscopedFuture, UnscopedLogin, UnscopedToken},
};
use crate::{
    AccessInfo, Error, Secret, Transport,
    identity::{auth_url_element, cache_id, public_id},
    task::catch_panic,
};

/// A login with a grant that can be used again and again.
pub(super) struct GrantLogin {
    pub(super) identity_provider: IdentityProvider,
    pub(super) grant: Arc<Kind>,
}

/// A login with a refresh token.
pub(super) struct RefreshLogin {
    pub(super) identity_provider: IdentityProvider,
    pub(super) client: OidcClient,
    pub(super) token: Arc<CurrentRefreshToken>,
    /// What tells this login from others of the same client: the id of the user, or the first refresh token.
    pub(super) id: RefreshLoginId,
}

pub(super) enum RefreshLoginId {
    /// `None` if the token document does not name the user. Such a login is not shared.
    User(Option<Box<str>>),
    FirstToken(Secret),
}

/// A login of a person that cannot be repeated without them.
pub(super) struct EndedLogin {
    pub(super) identity_provider: IdentityProvider,
    pub(super) user_id: Option<Box<str>>,
}

/// A part of a cache id: its name and its value.
type IdElement<'a> = (&'a str, Option<&'a str>);

impl IdentityProvider {
    /// Returns keystoneauth's unscoped cache id of a login with these elements.
    fn cache_id<'a>(&'a self, elements: impl IntoIterator<Item = IdElement<'a>>) -> String {
        let auth_url = auth_url_element(self.auth_url().uri());
        cache_id(self.id_elements(&auth_url, elements.into_iter().collect()))
    }

    /// Returns an id of a kind of login that is made of no secret. `None` if the `auth_url` is invalid, because it may
    /// contain a password.
    fn public_id<'a>(
        &'a self,
        kind: &str,
        elements: impl IntoIterator<Item = IdElement<'a>>,
    ) -> Option<String> {
        let auth_url = auth_url_element(self.auth_url().valid_uri().ok()?);
        Some(public_id(kind, self.id_elements(&auth_url, elements.into_iter().collect())))
    }

    fn id_elements<'a>(
        &'a self,
        auth_url: &'a str,
        elements: Vec<IdElement<'a>>,
    ) -> Vec<(String, Option<&'a str>)> {
        let own = [("auth_url", auth_url), ("identity_provider", self.id()), ("protocol", self.protocol())];
        let own = own.into_iter().map(|(name, value)| (name, Some(value)));
        own.chain(elements).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    pub(super) fn unscoped_token(&self, access_info: AccessInfo) -> UnscopedToken {
        UnscopedToken { access_info, auth_url: self.auth_url().clone() }
    }
}

impl UnscopedLogin for GrantLogin {
    fn log_in(&self, transport: Transport) -> UnscopedFuture {
        let (provider, grant) = (self.identity_provider.clone(), Arc::clone(&self.grant));
        Box::pin(async move {
            // An unusable URL of Keystone is an error before anything is sent to the provider.
            provider.federated_url()?;
            let access_info = match &*grant {
                Kind::Header(header) => provider.log_in_with_header(&transport, header).await?,
                #[cfg(feature = "saml")]
                Kind::Saml(saml) => saml.log_in(&transport, &provider).await?,
                grant => {
                    let no_bearer = Error::AuthorizationFailure { reason: "the grant yields no bearer" };
                    let response = grant.request_bearer(&transport).await?.ok_or(no_bearer)?;
                    let exchanged = provider.exchange(&transport, &response.bearer).await;
                    let is_over = exchanged.as_ref().err().is_none_or(|error| !error.is_transient());
                    if let Some(code) = grant.one_time().filter(|_| is_over) {
                        code.forget_bearer();
                    }
                    exchanged?
                }
            };
            Ok(provider.unscoped_token(access_info))
        })
    }

    fn cache_id(&self) -> Option<String> {
        let provider = &self.identity_provider;
        Some(match &*self.grant {
            Kind::ClientCredentials(client)
            | Kind::AuthorizationCode { client, .. }
            | Kind::RefreshToken { client, .. } => provider.cache_id(client_elements(client)),
            Kind::Password { client, username, password, .. } => {
                let user = [("username", Some(&**username)), ("password", Some(password.expose()))];
                provider.cache_id(client_elements(client).into_iter().chain(user))
            }
            Kind::AccessToken(source) => {
                let token = ("access_token", Some(source.fixed()?.expose()));
                // keystoneauth's plugin has a client, with an empty id and an empty secret.
                provider.cache_id([("client_id", Some("")), ("client_secret", Some("")), token])
            }
            Kind::Header(_) => provider.cache_id([]),
            #[cfg(feature = "saml")]
            Kind::Saml(_) => provider.cache_id([]),
        })
    }

    fn stored_id(&self) -> Option<String> {
        match &*self.grant {
            Kind::AuthorizationCode { client, code, .. } => {
                let code = [("code", Some(code.expose()))];
                Some(self.identity_provider.cache_id(client_elements(client).into_iter().chain(code)))
            }
            // Without a name, the user is not known before the first login.
            Kind::Header(_) => self.public_id(),
            #[cfg(feature = "saml")]
            Kind::Saml(saml) => {
                let url = auth_url_element(saml.url());
                let password = [("password", Some(saml.password().expose()))];
                Some(self.identity_provider.cache_id(saml_elements(&url, saml).into_iter().chain(password)))
            }
            _ => self.cache_id(),
        }
    }

    fn public_id(&self) -> Option<String> {
        let provider = &self.identity_provider;
        match &*self.grant {
            Kind::ClientCredentials(client) => {
                provider.public_id("federated client", [("client_id", Some(client.client_id()))])
            }
            Kind::Password { client, username, .. } => {
                let client_id = ("client_id", Some(client.client_id()));
                provider.public_id("federated password", [client_id, ("username", Some(&**username))])
            }
            Kind::Header(header) => {
                provider.public_id("federated header", [("login_header", Some(header.name()?))])
            }
            #[cfg(feature = "saml")]
            Kind::Saml(saml) => {
                let url = auth_url_element(&saml.valid_url().ok()?);
                provider.public_id("federated saml", saml_elements(&url, saml))
            }
            _ => None,
        }
    }

    fn id_of_user(&self, user_id: &str) -> Option<String> {
        let kind = match &*self.grant {
            Kind::AccessToken(source) if source.fixed().is_none() => "federated token source",
            Kind::Header(header) if header.name().is_none() => "federated header",
            _ => return None,
        };
        self.identity_provider.public_id(kind, [("user_id", Some(user_id))])
    }

    fn can_lock_account(&self) -> bool {
        match &*self.grant {
            Kind::Password { .. } => true,
            #[cfg(feature = "saml")]
            Kind::Saml(_) => true,
            _ => false,
        }
    }

    fn can_log_in(&self) -> bool {
        self.grant.can_be_repeated()
    }

    fn must_end(&self) -> bool {
        self.grant.one_time().is_some()
    }
}

impl UnscopedLogin for RefreshLogin {
    fn log_in(&self, transport: Transport) -> UnscopedFuture {
        let (provider, client, token) =
            (self.identity_provider.clone(), self.client.clone(), Arc::clone(&self.token));
        Box::pin(async move {
            provider.federated_url()?;
            // The lease may end while the discovery document is fetched.
            client.discover(&transport).await?;
            let refresh_token = token.get_to_use()?;
            let response = client.refresh(&transport, &refresh_token).await.map_err(login_ended)?;
            token.set_used(response.refresh_token.as_ref()).await;
            Ok(provider.unscoped_token(provider.exchange(&transport, &response.bearer).await?))
        })
    }

    fn cache_id(&self) -> Option<String> {
        Some(self.identity_provider.cache_id(client_elements(&self.client)))
    }

    fn stored_id(&self) -> Option<String> {
        let id = match &self.id {
            RefreshLoginId::User(user_id) => ("user_id", Some(user_id.as_deref()?)),
            RefreshLoginId::FirstToken(token) => ("refresh_token", Some(token.expose())),
        };
        Some(self.identity_provider.cache_id(client_elements(&self.client).into_iter().chain([id])))
    }

    fn public_id(&self) -> Option<String> {
        let RefreshLoginId::User(user_id) = &self.id else { return None };
        let client_id = ("client_id", Some(self.client.client_id()));
        let user_id = ("user_id", Some(user_id.as_deref()?));
        self.identity_provider.public_id("federated refresh token", [client_id, user_id])
    }

    fn can_lock_account(&self) -> bool {
        false
    }

    fn refresh_token(&self) -> Option<&Arc<CurrentRefreshToken>> {
        Some(&self.token)
    }
}

impl UnscopedLogin for EndedLogin {
    fn log_in(&self, _: Transport) -> UnscopedFuture {
        Box::pin(ready(Err(Error::LoginEnded)))
    }

    fn cache_id(&self) -> Option<String> {
        Some(self.identity_provider.cache_id([("user_id", Some(self.user_id.as_deref()?))]))
    }

    fn public_id(&self) -> Option<String> {
        self.identity_provider.public_id("federated login", [("user_id", Some(self.user_id.as_deref()?))])
    }

    fn can_lock_account(&self) -> bool {
        false
    }

    fn can_log_in(&self) -> bool {
        false
    }
}

#[cfg(feature = "saml")]
fn saml_elements<'a>(url: &'a str, saml: &'a SamlIdentityProvider) -> [IdElement<'a>; 2] {
    [("identity_provider_url", Some(url)), ("username", Some(saml.username()))]
}

fn client_elements(client: &OidcClient) -> [IdElement<'_>; 2] {
    [("client_id", Some(client.client_id())), ("client_secret", client.secret_in_id())]
}

/// Replaces the error of a refresh token that the provider does not take any more.
fn login_ended(error: Error) -> Error {
    match &error {
        Error::FederatedLoginFailed(failed) if failed.error.as_deref() == Some("invalid_grant") => {
            // A log subscriber that panics must not change the outcome.
            let _ = catch_panic(|| debug!(%error, "the refresh token has ended"));
            Error::LoginEnded
        }
        _ => error,
    }
}
