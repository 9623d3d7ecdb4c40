use std::fmt;

use http::Uri;

use crate::{
    Error,
    endpoint::{BaseUrl, InvalidBaseUrl},
};

/// The URL of Keystone, from a text or a [`Uri`].
///
/// What is wrong with it is reported by the login ([`Error::InvalidEndpoint`]). Blanks and newlines around a text are
/// not part of the URL.
///
/// ```
/// use tower_keystone::{AuthMethod, V3Credentials};
///
/// let credentials = V3Credentials::new("https://keystone.example.com/v3", AuthMethod::token("gAAAA"));
/// assert!(credentials.request().is_ok());
///
/// let error = V3Credentials::new("keystone.example.com", AuthMethod::token("gAAAA")).request().unwrap_err();
/// assert_eq!(error.to_string(), "the auth_url cannot be used: it needs https:// or http:// in front");
/// ```
#[derive(Clone)]
pub struct AuthUrl {
    /// What there is of it, if it cannot be used.
    url: Uri,
    unusable: Option<&'static str>,
}

impl AuthUrl {
    /// The URL, which may be one that cannot be used.
    pub(super) fn uri(&self) -> &Uri {
        &self.url
    }

    /// The same.
    pub(super) fn into_uri(self) -> Uri {
        self.url
    }

    /// The URL, if requests can be sent below it.
    pub(super) fn usable(&self) -> Result<&Uri, Error> {
        match self.unusable {
            None => Ok(&self.url),
            Some(reason) => Err(Error::InvalidEndpoint { what: "the auth_url", reason }),
        }
    }
}

impl From<Uri> for AuthUrl {
    fn from(url: Uri) -> Self {
        let unusable = match url.scheme_str() {
            Some("http" | "https") => BaseUrl::check(&url).err().map(|InvalidBaseUrl(reason)| reason),
            _ => Some("it needs https:// or http:// in front"),
        };
        Self { url, unusable }
    }
}

impl From<&Uri> for AuthUrl {
    fn from(url: &Uri) -> Self {
        url.clone().into()
    }
}

impl From<&str> for AuthUrl {
    fn from(text: &str) -> Self {
        let begins = |scheme: &str| {
            text.trim().get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
        };
        match BaseUrl::parse(text) {
            Ok(url) => Self { url: url.url().clone(), unusable: None },
            Err(InvalidBaseUrl(reason)) => {
                let has_scheme = begins("http://") || begins("https://");
                let reason = if has_scheme { reason } else { "it needs https:// or http:// in front" };
                Self { url: text.trim().parse().unwrap_or_default(), unusable: Some(reason) }
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

/// Whether it can be used; not the URL, which may have been given a password by mistake.
impl fmt::Debug for AuthUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthUrl").field("unusable", &self.unusable).finish_non_exhaustive()
    }
}
