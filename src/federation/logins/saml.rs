use super::ids::IdElement;
use crate::{
    Transport,
    federation::{
        IdentityProvider, SamlIdentityProvider,
        unscoped::{UnscopedFuture, UnscopedLogin},
    },
    identity::auth_url_element,
};

/// A login with a password at a SAML identity provider.
pub(in crate::federation) struct SamlLogin {
    pub(in crate::federation) identity_provider: IdentityProvider,
    pub(in crate::federation) saml: SamlIdentityProvider,
}

impl UnscopedLogin for SamlLogin {
    fn log_in(&self, transport: Transport) -> UnscopedFuture {
        let (provider, saml) = (self.identity_provider.clone(), self.saml.clone());
        Box::pin(async move { Ok(provider.unscoped_token(saml.log_in(&transport, &provider).await?)) })
    }

    fn cache_id(&self) -> Option<String> {
        Some(self.identity_provider.cache_id([]))
    }

    fn stored_id(&self) -> Option<String> {
        let url = auth_url_element(self.saml.url());
        let password = [("password", Some(self.saml.password().expose()))];
        Some(self.identity_provider.cache_id(id_elements(&url, &self.saml).into_iter().chain(password)))
    }

    fn public_id(&self) -> Option<String> {
        let url = auth_url_element(&self.saml.valid_url().ok()?);
        self.identity_provider.public_id("federated saml", id_elements(&url, &self.saml))
    }

    fn can_lock_account(&self) -> bool {
        true
    }
}

fn id_elements<'a>(url: &'a str, saml: &'a SamlIdentityProvider) -> [IdElement<'a>; 2] {
    [("identity_provider_url", Some(url)), ("username", Some(saml.username()))]
}
