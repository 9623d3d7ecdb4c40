//! The exchange of a proof for an unscoped token at the federation URL of Keystone.

use bytes::Bytes;
use http::{
    Request, Response, Uri,
    header::{ACCEPT, AUTHORIZATION},
};

use crate::{
    AccessInfo, Error, Secret, Transport,
    access::{IdentityVersion, bearer_value},
    error::{FederatedLoginFailed, LoginStep},
    federation::IdentityProvider,
    identity::{send_within_origin, wipe},
};

impl IdentityProvider {
    /// Sends a bearer of the provider to Keystone, and returns the unscoped token that Keystone issues for it.
    ///
    /// # Errors
    ///
    /// [`Error::FederatedLoginFailed`] of [`LoginStep::Federation`] if Keystone, or the web server in front of it, does
    /// not accept the bearer.
    pub(in crate::federation) async fn exchange(
        &self,
        transport: &Transport,
        bearer: &Secret,
    ) -> Result<AccessInfo, Error> {
        let url = self.federated_url()?;
        let Ok(authorization) = bearer_value(bearer.expose()) else {
            let hint = "the token of the provider cannot be sent: it is empty, is longer than 128 KiB, or contains a byte \
                        that is not visible ASCII";
            return Err(FederatedLoginFailed::at(LoginStep::Federation, &url, hint, false).into());
        };
        let mut request =
            Request::post(url.clone()).body(Bytes::new()).map_err(|_| Error::InvalidRequestUri)?;
        request.headers_mut().insert(ACCEPT, http::HeaderValue::from_static("application/json"));
        request.headers_mut().insert(AUTHORIZATION, authorization);
        let response = match send_within_origin(transport, request).await {
            Err(Error::LoginRedirected { status, .. }) if matches!(status.as_u16(), 302 | 303) => {
                let hint = "this protocol takes no bearers: its web server sends a browser to the login page of the \
                            provider; use a protocol whose path takes OAuth 2.0 bearers, or a login with the browser";
                let failed = FederatedLoginFailed::at(LoginStep::Federation, &url, hint, false);
                return Err(failed.with_status(status).into());
            }
            response => response?,
        };
        unscoped_token(&url, response, [bearer.expose()])
    }
}

/// Reads the response of the federation URL, which has an unscoped token.
///
/// The texts of an error response are redacted if they contain one of the secrets.
///
/// # Errors
///
/// [`Error::FederatedLoginFailed`] of [`LoginStep::Federation`] for an error response, and the errors of
/// [`AccessInfo::from_response`].
pub(in crate::federation) fn unscoped_token<'a>(
    url: &Uri,
    response: Response<Bytes>,
    secrets: impl IntoIterator<Item = &'a str> + Clone,
) -> Result<AccessInfo, Error> {
    if !response.status().is_success() {
        return Err(FederatedLoginFailed::read(LoginStep::Federation, url, &response, secrets).into());
    }
    let (parts, body) = response.into_parts();
    let access_info = AccessInfo::from_response(&parts.headers, &body);
    wipe(body);
    let invalid = |error: Error| error.with_url(url);
    let access_info = access_info.map_err(invalid)?;
    if access_info.version() != IdentityVersion::V3 {
        return Err(invalid(Error::invalid_response("it is a token document of another API version", 0, 0)));
    }
    Ok(access_info)
}
