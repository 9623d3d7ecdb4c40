//! Reads Keystone's responses to login requests.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use serde_json::value::RawValue;
use zeroize::Zeroize;

use super::{
    error_document::{entries, is_error_document},
    login_context::LoginContext,
};
use crate::{
    AccessInfo, Error, Secret,
    access::{IdentityVersion, parse_time, token_header},
    error::{HttpError, MissingAuthMethods, contains_secret},
    json::{self, member},
    transport::MAX_ERROR_BODY,
};

/// Returns the access info of a login response.
///
/// # Errors
///
/// The error that Keystone or a proxy returned, or [`Error::InvalidResponse`] if the response is not a token document.
pub(super) fn access_info(response: Response<Bytes>, login: &LoginContext) -> Result<AccessInfo, Error> {
    let (parts, body) = response.into_parts();
    if !parts.status.is_success() {
        return Err(login_error(parts.status, &parts.headers, &body, login));
    }
    let access_info = match login.version {
        IdentityVersion::V3 => AccessInfo::from_response(&parts.headers, &body),
        IdentityVersion::V2 => AccessInfo::from_v2_response(&parts.headers, &body),
    };
    wipe(body);
    let invalid = |error: Error| error.with_url(login.auth_url());
    let access_info = access_info.map_err(invalid)?;
    if access_info.version() != login.version {
        return Err(invalid(Error::invalid_response("it is a token document of another API version", 0, 0)));
    }
    Ok(access_info)
}

/// Wipes a body, unless its buffer is shared.
pub(crate) fn wipe(body: Bytes) {
    if let Ok(mut body) = body.try_into_mut() {
        body.as_mut().zeroize();
    }
}

/// Returns the error for a response that is not successful.
///
/// A response from Keystone has an error document or a receipt. Any other response comes from a proxy in front of
/// Keystone, and says nothing about the credentials.
fn login_error(status: StatusCode, headers: &HeaderMap, body: &[u8], login: &LoginContext) -> Error {
    // A transport reads a longer body if the status is below 400, such as an unexpected 304.
    let is_truncated = body.len() >= MAX_ERROR_BODY;
    let body = body.get(..MAX_ERROR_BODY).unwrap_or(body);
    let document = str::from_utf8(json::without_bom(body)).unwrap_or_default();
    let receipt = headers.get("openstack-auth-receipt").filter(|_| status == StatusCode::UNAUTHORIZED);
    if let Some(receipt) = receipt.and_then(|receipt| receipt.to_str().ok())
        && let Some(missing) = missing_methods(receipt, document, &login.secrets)
    {
        return Error::MissingAuthMethods(Arc::new(missing));
    }
    let secrets = login.secrets.iter().map(Secret::expose);
    let mut error = HttpError::read(status, headers, body, is_truncated, secrets);
    let is_keystone = receipt.is_some() || is_error_document(document);
    #[cfg(feature = "federation")]
    let is_keystone = is_keystone || login.is_ticket_rejected(status, headers);
    error.login = Some(Box::new(login.failed_login(status, is_keystone, body)));
    Error::Keystone(Arc::new(error))
}

/// The names of Keystone's authentication methods. They are shown even if a weak password equals one of them.
const KEYSTONE_METHODS: [&str; 8] =
    ["application_credential", "external", "mapped", "oauth1", "openid", "password", "token", "totp"];

/// Maximum length of the name of an authentication method, in characters. A longer one is truncated.
const MAX_METHOD_NAME: usize = 64;

/// Returns the receipt, the completed methods, and the combinations of methods that Keystone requires.
///
/// `None` if the response is incomplete, if the receipt cannot be sent in a header, or if a name contains a secret.
fn missing_methods(receipt: &str, document: &str, secrets: &[Secret]) -> Option<MissingAuthMethods> {
    token_header(receipt).ok()?;
    let safe_name = |name: &RawValue| {
        let name = json::text(name)?;
        let is_safe = KEYSTONE_METHODS.contains(&&*name)
            || !contains_secret(&name, false, secrets.iter().map(Secret::expose));
        is_safe.then(|| name.chars().take(MAX_METHOD_NAME).collect::<String>())
    };
    let names = |list: &RawValue| entries(list)?.into_iter().map(safe_name).collect::<Option<Vec<_>>>();
    let receipt_member = |name| member(member(document, "receipt")?.get(), name);
    let required = entries(member(document, "required_auth_methods")?)?;
    Some(MissingAuthMethods {
        receipt: Secret::new(receipt),
        methods: names(receipt_member("methods")?)?,
        required_auth_methods: required.into_iter().map(names).collect::<Option<_>>()?,
        expires: parse_time(&json::text(receipt_member("expires_at")?)?)?,
    })
}
