//! Requests the document of a token that was obtained without one.

use bytes::Bytes;
use http::{HeaderValue, Request, header::ACCEPT};

use super::{
    AuthUrl, login,
    login_context::{LoginContext, MethodKind},
    response,
    v3::tokens_url,
};
use crate::{
    AccessInfo, Error, Secret, Transport,
    access::{IdentityVersion, X_SUBJECT_TOKEN, token_header},
    plugin::X_AUTH_TOKEN,
};

/// Requests the document of a token with this token (`GET /v3/auth/tokens`). `description` names the token in errors.
///
/// # Errors
///
/// [`Error::InvalidEndpoint`] if the `auth_url` cannot be used, [`Error::InvalidToken`] if the token cannot be sent in a
/// header, and the errors of a login.
pub(crate) async fn token_document(
    transport: &Transport,
    auth_url: &AuthUrl,
    token: &Secret,
    description: &str,
) -> Result<AccessInfo, Error> {
    let auth_url = auth_url.valid_uri()?;
    let value = token_header(token.expose())?;
    let request = Request::get(tokens_url(auth_url))
        .header(ACCEPT, HeaderValue::from_static("application/json"))
        .header(X_AUTH_TOKEN, value.clone())
        .header(&X_SUBJECT_TOKEN, value.clone())
        .body(Bytes::new())
        .map_err(|_| Error::InvalidEndpoint { what: "the auth_url", reason: "it is too long for a URL" })?;
    let mut response = login::send(transport, request).await?;
    // Services get the token that was sent, whatever the response names.
    response.headers_mut().insert(&X_SUBJECT_TOKEN, value);
    let context = LoginContext::new(
        IdentityVersion::V3,
        auth_url,
        vec![token.clone()],
        MethodKind::Token,
        |_| description.to_owned(),
        |_| "the scope of the token".to_owned(),
    );
    response::access_info(response, &context)
}
