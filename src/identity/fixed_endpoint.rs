use std::{fmt, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderValue, Uri, header::AUTHORIZATION};
use zeroize::Zeroizing;

use crate::{
    AccessFuture, Error, IdentityPlugin, Secret, ServiceAccess, access::token_header, endpoint::Origin,
    plugin::X_AUTH_TOKEN,
};

/// A plugin for a single endpoint, without Keystone.
///
/// It sends no authentication, a fixed token, or HTTP basic authentication.
///
/// There is no service catalog: all requests are sent to the endpoint, and the service, region and version in their
/// filter are ignored. A request with an [`endpoint_override`](crate::EndpointFilter::endpoint_override) is sent to
/// that URL instead, with the token or password. A request with [`Interface::Auth`](crate::Interface::Auth) fails with
/// [`Error::NoAuthUrl`]. Nothing can be renewed, so a 401 is final.
///
/// See the [module docs](super) for an example.
#[derive(Clone)]
pub struct FixedEndpointPlugin(Arc<ServiceAccess>);

impl FixedEndpointPlugin {
    /// Makes a plugin that sends no authentication: keystoneauth's `noauth`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidEndpoint`] if the URL is not an absolute http or https URL, or contains a user name or a query.
    pub fn no_auth(endpoint: Uri) -> Result<Self, Error> {
        Self::no_auth_at(Some(endpoint))
    }

    /// Makes a plugin that sends no authentication. Without an endpoint, all requests need an endpoint override.
    pub(crate) fn no_auth_at(endpoint: Option<Uri>) -> Result<Self, Error> {
        access_at(endpoint).map(Self::new)
    }

    /// Makes a plugin that always sends the same token: keystoneauth's `admin_token`.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidEndpoint`] if the URL is not an absolute http or https URL, or contains a user name or a
    ///   query.
    /// - [`Error::InvalidToken`] if the token cannot be sent in a header.
    pub fn admin_token(endpoint: Uri, token: &Secret) -> Result<Self, Error> {
        let token = token_header(token.expose())?;
        Ok(Self::new(ServiceAccess::fixed(endpoint)?.header(X_AUTH_TOKEN, token)))
    }

    /// Makes a plugin for HTTP basic authentication (RFC 7617): keystoneauth's `http_basic`.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidEndpoint`] if the URL is not an absolute http or https URL, or contains a user name or a
    ///   query.
    /// - [`Error::AuthorizationFailure`] if the user name contains a colon, which separates it from the password.
    pub fn http_basic(endpoint: Uri, username: &str, password: &Secret) -> Result<Self, Error> {
        Self::http_basic_at(Some(endpoint), username, password)
    }

    /// Makes a plugin for HTTP basic authentication. Without an endpoint, all requests need an endpoint override.
    pub(crate) fn http_basic_at(
        endpoint: Option<Uri>,
        username: &str,
        password: &Secret,
    ) -> Result<Self, Error> {
        if username.contains(':') {
            let reason = "the username of HTTP basic authentication contains a colon; use one without it";
            return Err(Error::AuthorizationFailure { reason });
        }
        // With capacity for the whole text, because growing would leave copies behind that are not wiped.
        let mut pair = Zeroizing::new(String::with_capacity(username.len() + 1 + password.expose().len()));
        for part in [username, ":", password.expose()] {
            pair.push_str(part);
        }
        let encoded = base64::encoded_len(pair.len(), true).unwrap_or_default();
        let mut value = Zeroizing::new(String::with_capacity("Basic ".len() + encoded));
        value.push_str("Basic ");
        BASE64_STANDARD.encode_string(&*pair, &mut value);
        // Does not fail, because base64 is valid in a header.
        let value =
            HeaderValue::from_maybe_shared(bytes::Bytes::from_owner(ZeroizedText(value))).map_err(|_| {
                Error::AuthorizationFailure { reason: "the username and password cannot be sent in a header" }
            })?;
        let access = access_at(endpoint)?.header(AUTHORIZATION, value);
        Ok(Self::new(access.with_encoded_secret(password.clone())))
    }

    fn new(access: ServiceAccess) -> Self {
        Self(Arc::new(access))
    }
}

fn access_at(endpoint: Option<Uri>) -> Result<ServiceAccess, Error> {
    endpoint.map_or_else(|| Ok(ServiceAccess::empty()), ServiceAccess::fixed)
}

/// Owns the bytes of a header value and wipes them when dropped.
struct ZeroizedText(Zeroizing<String>);

impl AsRef<[u8]> for ZeroizedText {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl IdentityPlugin for FixedEndpointPlugin {
    /// Returns the access immediately.
    fn access(&self) -> AccessFuture {
        AccessFuture::ready(Ok(Arc::clone(&self.0)))
    }

    /// Always returns false, because nothing can be renewed.
    fn invalidate(&self, _access: &Arc<ServiceAccess>, _origin: &Origin) -> bool {
        false
    }
}

impl fmt::Debug for FixedEndpointPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FixedEndpointPlugin").field(&self.0).finish()
    }
}
