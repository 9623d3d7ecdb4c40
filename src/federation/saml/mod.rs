//! SAML 2.0 with the profile for enhanced clients (ECP): a password at the identity provider, without a browser.

mod envelope;
mod identity_provider;
mod login;

pub use identity_provider::SamlIdentityProvider;
