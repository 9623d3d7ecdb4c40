//! OAuth 2.0 and OpenID Connect: the client, its provider, and token requests.

mod client;
mod client_authentication;
mod token_response;

pub use client::{AccessTokenType, OidcClient};
pub use client_authentication::ClientAuthentication;
pub(super) use token_response::TokenResponse;
