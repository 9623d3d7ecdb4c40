//! The ids of logins. Logins with the same id share their unscoped token.

use crate::{
    federation::{IdentityProvider, OidcClient},
    identity::{auth_url_element, cache_id, public_id},
};

/// A part of a cache id: its name and its value.
pub(super) type IdElement<'a> = (&'a str, Option<&'a str>);

impl IdentityProvider {
    /// Returns keystoneauth's unscoped cache id of a login with these elements.
    pub(in crate::federation) fn cache_id<'a>(
        &'a self,
        elements: impl IntoIterator<Item = IdElement<'a>>,
    ) -> String {
        let auth_url = auth_url_element(self.auth_url().uri());
        cache_id(self.id_elements(&auth_url, elements.into_iter().collect()))
    }

    /// Returns the id by which a login with a refresh token is stored. `id` tells it from others of the same client.
    pub(in crate::federation) fn refresh_login_id<'a>(
        &'a self,
        client: &'a OidcClient,
        id: IdElement<'a>,
    ) -> String {
        self.cache_id(client_elements(client).into_iter().chain([id]))
    }

    /// Returns an id of a kind of login that is made of no secret. `None` if the `auth_url` is invalid, because it may
    /// contain a password.
    pub(super) fn public_id<'a>(
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
}

/// Returns the elements of the client that logs in.
pub(super) fn client_elements(client: &OidcClient) -> [IdElement<'_>; 2] {
    [("client_id", Some(client.client_id())), ("client_secret", client.secret_in_id())]
}
