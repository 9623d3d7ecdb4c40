//! What Keystone's response to the question about a token means.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};

use crate::{
    AccessInfo, BoxError, Error, ServiceAccess,
    access::{IdentityVersion, SharedCatalogs},
    error::retry_after,
    identity::is_error_document,
    json,
};

/// What Keystone has said about a token.
pub(super) enum Answer {
    Valid(Box<ValidAnswer>),
    /// Keystone does not know the token.
    Unknown,
    /// Keystone has said nothing about the token.
    Unavailable(Failure),
}

/// The document of a token.
pub(super) struct ValidAnswer {
    pub(super) access_info: AccessInfo,
    pub(super) access: ServiceAccess,
    pub(super) expires: Option<SystemTime>,
}

/// Why Keystone has said nothing about a token.
#[derive(Debug)]
pub(super) struct Failure {
    /// The cause for the log. It contains neither a token nor a response body.
    pub(super) reason: String,
    /// When Keystone asks to be asked again.
    pub(super) retry_after: Option<Duration>,
    /// Whether Keystone refuses the account of this service, or its token.
    pub(super) is_refusal: bool,
}

impl Failure {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retry_after: None, is_refusal: false }
    }
}

impl Answer {
    /// Reads Keystone's response to the question about `token`.
    ///
    /// `by_itself` says whether the token itself was sent with the question: a 401 is then about that token. The catalog
    /// of a valid token is shared with equal ones in `catalogs`.
    pub(super) fn read(
        token: &HeaderValue,
        by_itself: bool,
        catalogs: &SharedCatalogs,
        response: Result<Response<Bytes>, BoxError>,
    ) -> Self {
        let response = match response {
            Ok(response) => response,
            Err(error) => return Self::Unavailable(failure(&error)),
        };
        match response.status().as_u16() {
            200 | 201 | 203 => match ValidAnswer::read(token, response.body(), catalogs) {
                Ok(valid) => Self::Valid(Box::new(valid)),
                Err(error) => Self::Unavailable(Failure::new(error.to_string())),
            },
            404 if is_by_keystone(&response) => Self::Unknown,
            401 if by_itself && is_by_keystone(&response) => Self::Unknown,
            // The header with the token is too large for Keystone, or for a proxy in front of it.
            431 => Self::Unknown,
            _ => Self::Unavailable(failure_status(&response)),
        }
    }
}

impl ValidAnswer {
    /// Reads the document of `token`, whatever token the response names: the answer is about the one that was asked about.
    pub(super) fn read(token: &HeaderValue, body: &[u8], catalogs: &SharedCatalogs) -> Result<Self, Error> {
        let token = token.to_str().unwrap_or_default();
        let access_info = AccessInfo::new_sharing(token, body, catalogs)?;
        if access_info.version() != IdentityVersion::V3 {
            return Err(Error::invalid_response("it is a token document of another API version", 0, 0));
        }
        if access_info.user_id().is_none() {
            return Err(Error::invalid_response("it is a token document without a user", 0, 0));
        }
        let expires = access_info.expires()?;
        let access = ServiceAccess::from_auth_ref(access_info.clone())?;
        // Collected now, rather than by the first request on behalf of the user.
        access_info.service_catalog().origins();
        Ok(Self { access_info, access, expires })
    }
}

/// Returns whether the error comes from Keystone and not from a proxy in front of it, which says nothing about the token.
fn is_by_keystone(response: &Response<Bytes>) -> bool {
    str::from_utf8(json::without_bom(response.body())).is_ok_and(is_error_document)
}

fn failure(error: &BoxError) -> Failure {
    let retry_after = Error::find(&**error).and_then(Error::retry_after);
    let reason = match error.downcast_ref::<Unreachable>() {
        Some(Unreachable(error)) => error.to_string(),
        None => error.to_string(),
    };
    Failure { reason, retry_after, is_refusal: false }
}

fn failure_status(response: &Response<Bytes>) -> Failure {
    let status = response.status();
    let hint = match status {
        StatusCode::NOT_FOUND if !is_by_keystone(response) => {
            " without an error document; check the URL of Keystone, and the proxy in front of it"
        }
        StatusCode::UNAUTHORIZED => "; check the account of this service",
        StatusCode::FORBIDDEN => "; the account of this service needs the role `service`",
        _ => "",
    };
    let retry_after = retry_after(response.headers(), SystemTime::now());
    let is_refusal = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    Failure { reason: format!("Keystone returned {status}{hint}"), retry_after, is_refusal }
}

/// Keystone could not be reached, which may be over in a moment.
///
/// It has no source, so that this error is not taken for that of a login, which is not repeated here.
#[derive(Debug)]
pub(super) struct Unreachable(pub(super) Error);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Unreachable {}
