//! What to do about an error response.

use http::StatusCode;

use super::LoginStep;

/// Returns what to do about an error response; empty if waiting is all that can be done.
///
/// `is_keystone` says whether the response is an error document of Keystone. Otherwise it comes from a web server in
/// front of it, or from another server.
pub(super) fn hint(
    step: LoginStep,
    status: StatusCode,
    error: Option<&str>,
    is_keystone: bool,
) -> &'static str {
    match (step, error) {
        (LoginStep::Federation, _) => federation_hint(status, is_keystone),
        (_, Some(error)) => error_hint(error),
        (LoginStep::Token, None) if status == StatusCode::NOT_FOUND => "check the URL of the token endpoint",
        (LoginStep::Discovery, None) if status.is_client_error() => "check the URL of the discovery document",
        (LoginStep::DeviceAuthorization, None) if status == StatusCode::NOT_FOUND => {
            "check the URL of the device authorization endpoint"
        }
        _ => "",
    }
}

/// Returns what to do about an error code of OAuth 2.0.
fn error_hint(error: &str) -> &'static str {
    match error {
        "invalid_client" => {
            "check the client id and its secret, and how the provider expects them (OidcClient::authentication)"
        }
        "unauthorized_client" => "allow the client to use this grant at the provider",
        "unsupported_grant_type" => "the provider does not have this grant; take another one",
        "invalid_scope" => "check the scope of the OidcClient",
        "access_denied" => "the login was denied",
        "expired_token" => "the code has expired; start a new login",
        _ => "",
    }
}

/// Returns what to do if Keystone, or the web server in front of it, does not issue an unscoped token.
fn federation_hint(status: StatusCode, is_keystone: bool) -> &'static str {
    match status.as_u16() {
        401 if is_keystone => {
            "check the protocol: Keystone must have it, and its id must be in `[auth] methods` of keystone.conf"
        }
        401 => {
            "check that the token has not expired or been revoked, and that it is the kind of token that Keystone's web \
             server expects (OidcClient::access_token_type)"
        }
        403 => {
            "check that the identity provider is enabled in Keystone, and that its remote ids contain the issuer of the \
             token"
        }
        404 => "check the auth_url, and that Keystone has this identity provider",
        400..=499 => "check the auth_url, the identity provider and the protocol",
        _ => "",
    }
}
