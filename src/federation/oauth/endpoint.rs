//! The URLs of a provider.

use http::Uri;

use super::ProviderMetadata;
use crate::{
    AuthUrl, Error,
    endpoint::{HAS_QUERY, Origin},
    error::{FederatedLoginFailed, LoginStep},
};

/// An endpoint of a provider.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Token,
    DeviceAuthorization,
    #[cfg_attr(not(feature = "browser"), allow(dead_code, reason = "only a browser is sent there"))]
    Authorization,
}

impl Endpoint {
    pub(super) fn step(self) -> LoginStep {
        match self {
            Self::Token => LoginStep::Token,
            Self::DeviceAuthorization => LoginStep::DeviceAuthorization,
            Self::Authorization => LoginStep::Browser,
        }
    }

    /// Returns the name of its setting.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Token => "the access_token_endpoint",
            Self::DeviceAuthorization => "the device_authorization_endpoint",
            Self::Authorization => "the authorization_endpoint",
        }
    }

    /// Returns the error if neither the client nor a discovery document has the URL.
    pub(super) fn not_set(self) -> FederatedLoginFailed {
        let hint = match self {
            Self::Token => "its URL is not known; set the discovery_endpoint or the access_token_endpoint",
            Self::DeviceAuthorization => {
                "its URL is not known; set the discovery_endpoint or the device_authorization_endpoint"
            }
            Self::Authorization => {
                "its URL is not known; set the discovery_endpoint or the authorization_endpoint"
            }
        };
        FederatedLoginFailed::new(self.step(), "".into(), hint, false)
    }

    /// Returns the URL in the discovery document that was fetched from `document_url`.
    pub(super) fn url_from(self, metadata: &ProviderMetadata, document_url: &Uri) -> Result<Uri, Error> {
        let (url, missing, invalid) = match self {
            Self::Token => (
                &metadata.token_endpoint,
                "it has no token_endpoint; set the access_token_endpoint",
                "its token_endpoint is not an http or https URL; set the access_token_endpoint",
            ),
            Self::DeviceAuthorization => (
                &metadata.device_authorization_endpoint,
                "it has no device_authorization_endpoint; if the provider has device logins, set it",
                "its device_authorization_endpoint is not an http or https URL; set it",
            ),
            Self::Authorization => (
                &metadata.authorization_endpoint,
                "it has no authorization_endpoint; if the provider has browser logins, set it",
                "its authorization_endpoint is not an http or https URL; set it",
            ),
        };
        let fail = |hint| FederatedLoginFailed::at(LoginStep::Discovery, document_url, hint, false);
        let url: Uri = url.as_deref().ok_or_else(|| fail(missing))?.parse().map_err(|_| fail(invalid))?;
        let origin = Origin::from_uri(&url).ok_or_else(|| fail(invalid))?;
        if document_url.scheme_str() == Some("https") && !origin.is_https() {
            return Err(fail(
                "it came over https, but leads to plain http, which is not followed; correct the provider, or set \
                 the endpoint",
            )
            .into());
        }
        Ok(url)
    }
}

/// Returns a URL that was set. Unlike an `auth_url`, it may have a query.
pub(in crate::federation) fn valid_url(url: &AuthUrl, what: &'static str) -> Result<Uri, Error> {
    match url.invalid_reason() {
        None | Some(HAS_QUERY) => Ok(url.clone().into_uri()),
        Some(reason) => Err(Error::InvalidEndpoint { what, reason }),
    }
}
