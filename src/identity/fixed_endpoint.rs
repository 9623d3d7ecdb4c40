use std::{fmt, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderValue, Uri, header::AUTHORIZATION};
use zeroize::Zeroizing;

use crate::{
    AccessFuture, Error, IdentityPlugin, Secret, ServiceAccess, access::token_header, endpoint::Origin,
    plugin::X_AUTH_TOKEN,
};

/// The plugin for one endpoint that is reached without Keystone: without authentication, with a
/// token that never changes, or with HTTP basic authentication.
///
/// There is no catalog: requests go to the endpoint, whichever service, region or version their filter names. One
/// with an [`endpoint_override`](crate::EndpointFilter::endpoint_override) goes to that URL instead, and the token or
/// password with it. [`Interface::Auth`](crate::Interface::Auth) is [`Error::NoAuthUrl`]. Nothing can be renewed, so
/// a 401 is final. See the [module docs](super) for an example.
#[derive(Clone)]
pub struct FixedEndpointPlugin(Arc<ServiceAccess>);

impl FixedEndpointPlugin {
    /// No authentication at all: keystoneauth's `noauth`, for services that run without Keystone.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidEndpoint`] if paths cannot be appended to the URL.
    pub fn no_auth(endpoint: Uri) -> Result<Self, Error> {
        ServiceAccess::fixed(endpoint).map(Self::new)
    }

    /// This token for ever: keystoneauth's `admin_token`.
    ///
    /// # Errors
    ///
    /// That of [`no_auth`](Self::no_auth), and [`Error::InvalidToken`].
    pub fn admin_token(endpoint: Uri, token: &Secret) -> Result<Self, Error> {
        let token = token_header(token.expose())?;
        Ok(Self::new(ServiceAccess::fixed(endpoint)?.header(X_AUTH_TOKEN, token)))
    }

    /// HTTP basic authentication (RFC 7617): keystoneauth's `http_basic`.
    ///
    /// # Errors
    ///
    /// That of [`no_auth`](Self::no_auth), and [`Error::AuthorizationFailure`].
    pub fn http_basic(endpoint: Uri, username: &str, password: &Secret) -> Result<Self, Error> {
        // Room for all of it at once: a text that grows leaves copies behind.
        let mut pair = Zeroizing::new(String::with_capacity(username.len() + 1 + password.expose().len()));
        for part in [username, ":", password.expose()] {
            pair.push_str(part);
        }
        let encoded = base64::encoded_len(pair.len(), true).unwrap_or_default();
        let mut value = Zeroizing::new(String::with_capacity("Basic ".len() + encoded));
        value.push_str("Basic ");
        BASE64_STANDARD.encode_string(&*pair, &mut value);
        let value = HeaderValue::from_maybe_shared(bytes::Bytes::from_owner(ZeroizedText(value)))
            .map_err(|_| Error::AuthorizationFailure { reason: "they cannot be sent in a header" })?;
        Ok(Self::new(
            ServiceAccess::fixed(endpoint)?
                .header(AUTHORIZATION, value)
                .with_encoded_secret(password.clone()),
        ))
    }

    fn new(access: ServiceAccess) -> Self {
        Self(Arc::new(access))
    }
}

/// The owner of a header value's bytes, which wipes them.
struct ZeroizedText(Zeroizing<String>);

impl AsRef<[u8]> for ZeroizedText {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl IdentityPlugin for FixedEndpointPlugin {
    /// The one access there is, at once.
    fn access(&self) -> AccessFuture {
        AccessFuture::ready(Ok(Arc::clone(&self.0)))
    }

    /// Always false: nothing here can be renewed.
    fn invalidate(&self, _used: &Arc<ServiceAccess>, _by: &Origin) -> bool {
        false
    }
}

impl fmt::Debug for FixedEndpointPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FixedEndpointPlugin").field(&self.0).finish()
    }
}
