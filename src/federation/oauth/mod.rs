//! OAuth 2.0 and OpenID Connect: the client, its provider, and token requests.

use http::HeaderValue;

mod bearer_grant;
mod client;
mod client_authentication;
mod discovery;
mod endpoint;
pub(super) mod form;
mod one_time;
mod pkce;
mod provider_metadata;
mod provider_response;
mod shared_metadata;
#[cfg(test)]
mod tests;
mod token_request;
mod token_response;

pub(super) use bearer_grant::BearerGrant;
pub use client::{AccessTokenType, OidcClient};
pub use client_authentication::ClientAuthentication;
#[cfg(feature = "saml")]
pub(super) use client_authentication::basic;
pub(super) use endpoint::valid_url;
pub(super) use one_time::OneTime;
pub(super) use pkce::{CODE_CHALLENGE_METHOD, code_challenge, code_verifier};
pub(super) use provider_metadata::ProviderMetadata;
pub(super) use token_request::DEVICE_CODE;
pub(super) use token_response::{TokenResponse, seconds};

/// The `Accept` header of the requests to providers, as keystoneauth sends it.
const ANY_TYPE: HeaderValue = HeaderValue::from_static("*/*");
