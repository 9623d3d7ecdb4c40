//! Reading Keystone's responses to an authentication.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use serde_json::value::RawValue;
use zeroize::Zeroize;

use super::{
    error_document::{entries, is_error_document, member},
    login_attempt::Attempt,
};
use crate::{
    AccessInfo, Error, Secret,
    access::{IdentityVersion, parse_time, token_header},
    error::{HttpError, MissingAuthMethods, contains_secret},
    json,
    transport::MAX_ERROR_BODY,
};

/// The access info in a response to this login.
pub(super) fn access_info(answer: Response<Bytes>, attempt: &Attempt) -> Result<AccessInfo, Error> {
    let (parts, body) = answer.into_parts();
    if !parts.status.is_success() {
        return Err(refusal(parts.status, &parts.headers, &body, attempt));
    }
    let access_info = match attempt.version {
        IdentityVersion::V3 => AccessInfo::from_response(&parts.headers, &body),
        IdentityVersion::V2 => AccessInfo::from_v2_response(&parts.headers, &body),
    };
    wipe(body);
    let invalid = |error: Error| error.with_url(attempt.auth_url());
    let access_info = access_info.map_err(invalid)?;
    if access_info.version() != attempt.version {
        return Err(invalid(Error::invalid_response("it is of another version of the API", 0, 0)));
    }
    Ok(access_info)
}

/// Wipes a body, unless it is part of a buffer that others hold too.
fn wipe(body: Bytes) {
    if let Ok(mut body) = body.try_into_mut() {
        body.as_mut().zeroize();
    }
}

/// The error of a response that is no token.
///
/// What is Keystone's word has an error document or a receipt. All else comes from a proxy in front of it, which says
/// nothing of the credentials.
fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8], attempt: &Attempt) -> Error {
    // Other statuses may have longer bodies; what is an error is read as far as that of a service.
    let is_cut = body.len() >= MAX_ERROR_BODY;
    let body = body.get(..MAX_ERROR_BODY).unwrap_or(body);
    let document = str::from_utf8(json::without_bom(body)).unwrap_or_default();
    let receipt = headers.get("openstack-auth-receipt").filter(|_| status == StatusCode::UNAUTHORIZED);
    if let Some(receipt) = receipt.and_then(|receipt| receipt.to_str().ok())
        && let Some(missing) = missing_methods(receipt, document, &attempt.secrets)
    {
        return Error::MissingAuthMethods(Arc::new(missing));
    }
    let secrets = attempt.secrets.iter().map(Secret::expose);
    let mut error = HttpError::read(status, headers, body, is_cut, secrets);
    let is_keystone = receipt.is_some() || is_error_document(document);
    error.login = Some(Box::new(attempt.failed(status, is_keystone, body)));
    Error::Keystone(Arc::new(error))
}

/// The methods of Keystone's own, which a weak password may be the name of.
const METHODS: [&str; 8] =
    ["application_credential", "external", "mapped", "oauth1", "openid", "password", "token", "totp"];

/// Maximum length of the name of a method, in characters.
const MAX_NAME: usize = 64;

/// What goes with a receipt, if the response says all of it and the receipt can be sent.
fn missing_methods(receipt: &str, document: &str, secrets: &[Secret]) -> Option<MissingAuthMethods> {
    token_header(receipt).ok()?;
    let name = |name: &RawValue| {
        let name = json::text(name)?;
        let is_clean =
            METHODS.contains(&&*name) || !contains_secret(&name, false, secrets.iter().map(Secret::expose));
        is_clean.then(|| name.chars().take(MAX_NAME).collect::<String>())
    };
    let names = |list: &RawValue| entries(list)?.into_iter().map(name).collect::<Option<Vec<_>>>();
    let of_receipt = |name| member(member(document, "receipt")?.get(), name);
    let required = entries(member(document, "required_auth_methods")?)?;
    Some(MissingAuthMethods {
        receipt: Secret::new(receipt),
        methods: names(of_receipt("methods")?)?,
        required_auth_methods: required.into_iter().map(names).collect::<Option<_>>()?,
        expires: parse_time(&json::text(of_receipt("expires_at")?)?)?,
    })
}
