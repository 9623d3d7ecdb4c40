use std::fmt;

use http::Uri;

use crate::{
    Error,
    endpoint::{BaseUrl, InvalidBaseUrl},
};

/// Why a URL is invalid if its scheme is missing, or is neither `http` nor `https`.
const MISSING_SCHEME: &str = "it must start with https:// or http://";

/// The URL of Keystone, made from a string or a [`Uri`].
///
/// If the URL is invalid, logins and requests to it fail with [`Error::InvalidEndpoint`]. Whitespace around the string
/// is ignored.
///
/// ```
/// use tower_keystone::{AuthMethod, V3Credentials};
///
/// let credentials = V3Credentials::new("https://keystone.example.com/v3", AuthMethod::token("gAAAA"));
/// assert!(credentials.request().is_ok());
///
/// let error = V3Credentials::new("keystone.example.com", AuthMethod::token("gAAAA")).request().unwrap_err();
/// assert_eq!(error.to_string(), "the auth_url cannot be used: it must start with https:// or http://");
/// ```
#[derive(Clone)]
pub struct AuthUrl {
    /// The URL. If it could not be parsed, it is `/`.
    url: Uri,
    /// Why requests cannot be sent to the URL.
    invalid_reason: Option<&'static str>,
}

impl AuthUrl {
    /// Returns the URL, which may be invalid.
    pub(crate) fn uri(&self) -> &Uri {
        &self.url
    }

    /// Returns why requests cannot be sent to the URL.
    #[cfg(any(feature = "config", feature = "federation"))]
    pub(crate) fn invalid_reason(&self) -> Option<&'static str> {
        self.invalid_reason
    }

    /// Converts into the URL, which may be invalid.
    pub(crate) fn into_uri(self) -> Uri {
        self.url
    }

    /// Returns the URL if it is valid, or [`Error::InvalidEndpoint`].
    pub(crate) fn valid_uri(&self) -> Result<&Uri, Error> {
        match self.invalid_reason {
            None => Ok(&self.url),
            Some(reason) => Err(Error::InvalidEndpoint { what: "the auth_url", reason }),
        }
    }
}

impl From<Uri> for AuthUrl {
    fn from(url: Uri) -> Self {
        let invalid_reason = match url.scheme_str() {
            Some("http" | "https") => BaseUrl::check(&url).err().map(|InvalidBaseUrl(reason)| reason),
            _ => Some(MISSING_SCHEME),
        };
        Self { url, invalid_reason }
    }
}

impl From<&Uri> for AuthUrl {
    fn from(url: &Uri) -> Self {
        url.clone().into()
    }
}

impl From<&str> for AuthUrl {
    fn from(text: &str) -> Self {
        let starts_with = |scheme: &str| {
            text.trim().get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        match BaseUrl::parse(text) {
            Ok(url) => Self { url: url.url().clone(), invalid_reason: None },
            Err(InvalidBaseUrl(reason)) => {
                let has_scheme = starts_with("http://") || starts_with("https://");
                let reason = if has_scheme { reason } else { MISSING_SCHEME };
                Self { url: text.trim().parse().unwrap_or_default(), invalid_reason: Some(reason) }
            }
        }
    }
}

impl From<String> for AuthUrl {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&String> for AuthUrl {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

/// Shows whether the URL is valid, but not the URL, which may contain a password by mistake.
impl fmt::Debug for AuthUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthUrl").field("invalid_reason", &self.invalid_reason).finish_non_exhaustive()
    }
}
