use std::{fmt, sync::Arc, time::Duration};

use super::{Error, escaped, format::printable};

/// Version discovery did not find the requested version of a service: keystoneauth's `DiscoveryFailure`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiscoveryFailure {
    /// The requested version and the service, as text.
    pub requested: String,
    /// The URL of the version document, and all versions that it lists, deprecated and experimental ones too.
    ///
    /// `None` if no document was found.
    pub listed: Option<(Box<str>, Vec<String>)>,
    /// The URLs that returned no version document.
    pub attempts: Vec<DiscoveryAttempt>,
    /// Whether a login failed, and not a request for a version of a service.
    is_login: bool,
}

/// A URL that returned no version document.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiscoveryAttempt {
    /// The URL without its user name and query, truncated to 256 characters.
    pub url: Box<str>,
    /// What happened instead, truncated to 256 characters.
    pub reason: String,
    /// Whether the failure is transient: the same request can succeed later.
    pub transient: bool,
    /// Whether the URL is right, and the reason says what has to be changed instead.
    pub(crate) is_at_right_url: bool,
    /// The delay that the server requests (`Retry-After`).
    pub(crate) retry_after: Option<Duration>,
    /// Whether the failure is transient if this is the URL of Keystone. Keystone returns its versions to everyone, so
    /// an error there can come from a proxy.
    pub(crate) is_transient_at_keystone: bool,
}

impl DiscoveryAttempt {
    /// Creates a permanent failure.
    pub(crate) fn new(url: &str, reason: impl Into<String>) -> Self {
        Self {
            url: without_secrets(url).into(),
            reason: printable(&reason.into()),
            transient: false,
            is_at_right_url: false,
            retry_after: None,
            is_transient_at_keystone: false,
        }
    }
}

impl DiscoveryFailure {
    /// Creates the error for a version document that does not list the requested version.
    pub(crate) fn not_listed(url: &str, versions: Vec<String>, requested: impl Into<String>) -> Self {
        let listed = Some((without_secrets(url).into(), versions));
        Self { requested: requested.into(), listed, attempts: Vec::new(), is_login: false }
    }

    /// Creates the error for a service without a version document at any of these URLs.
    pub(crate) fn no_document(attempts: Vec<DiscoveryAttempt>, requested: impl Into<String>) -> Self {
        Self { requested: requested.into(), listed: None, attempts, is_login: false }
    }

    /// Returns whether no document was found, or the document lists no version.
    pub(crate) fn lists_nothing(&self) -> bool {
        self.listed.as_ref().is_none_or(|(_, versions)| versions.is_empty())
    }

    /// Returns the longest delay that a server requests.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.attempts.iter().filter_map(|attempt| attempt.retry_after).max()
    }

    /// Marks the failure as that of a login.
    ///
    /// An attempt with `is_transient_at_keystone` becomes transient, because its URL is that of Keystone.
    pub(crate) fn at_login(mut self) -> Self {
        self.is_login = true;
        for attempt in &mut self.attempts {
            attempt.transient |= attempt.is_transient_at_keystone;
        }
        self
    }

    /// Returns whether a login failed, and not a request for a version of a service.
    pub(crate) fn is_login(&self) -> bool {
        self.is_login
    }

    /// Returns whether the failure is transient: the same discovery can succeed later.
    pub fn is_transient(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.transient)
    }
}

/// Returns a URL without its user name, query and fragment.
fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return escaped(url) };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    escaped(&format!("{scheme}://{host}{path}"))
}

impl From<DiscoveryFailure> for Error {
    fn from(failure: DiscoveryFailure) -> Self {
        Self::DiscoveryFailure(Arc::new(failure))
    }
}

/// What is requested of a service if any version of it can be used.
pub(crate) const A_VERSION_DOCUMENT: &str = "a version document";

/// Maximum number of versions and of URLs in a message.
const MAX_SHOWN: usize = 8;

impl fmt::Display for DiscoveryFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requested = match self.is_login && self.requested == A_VERSION_DOCUMENT {
            true => "Keystone's version document",
            false => &*self.requested,
        };
        write!(f, "cannot find {requested}")?;
        if let Some((url, versions)) = &self.listed {
            let shown = versions.iter().take(MAX_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            let shown = if shown.is_empty() { "no version" } else { &shown };
            write!(f, "; {url} lists {shown}")?;
            write_hidden(f, versions.len())?;
        }
        for (index, attempt) in self.attempts.iter().take(MAX_SHOWN).enumerate() {
            let separator = if index == 0 { "; tried " } else { ", " };
            write!(f, "{separator}{} ({})", attempt.url, attempt.reason)?;
        }
        write_hidden(f, self.attempts.len())?;
        if self.listed.is_none()
            && !self.attempts.is_empty()
            && self.attempts.iter().all(|it| it.is_at_right_url)
        {
            return Ok(());
        }
        f.write_str(match (self.lists_nothing(), self.is_login) {
            (true, true) => {
                return f.write_str(
                    "; check the auth_url, which usually ends in :5000/v3, and that Keystone runs",
                );
            }
            (true, false) => "; check that the service runs",
            (false, false) => "; request another version",
            (false, true) => "; use credentials that one of these versions supports",
        })?;
        f.write_str(", or set the URL with an endpoint override (for Keystone, with the auth_url)")
    }
}

/// Writes how many items of a list are not shown.
fn write_hidden(f: &mut fmt::Formatter<'_>, items: usize) -> fmt::Result {
    match items.saturating_sub(MAX_SHOWN) {
        0 => Ok(()),
        hidden => write!(f, " and {hidden} more"),
    }
}

impl std::error::Error for DiscoveryFailure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_certificate_says_nothing_about_the_url() {
        let mut attempt = DiscoveryAttempt::new("https://h/", "its certificate is not for \"h\"; check it");
        let message = |attempt: &DiscoveryAttempt| {
            DiscoveryFailure::no_document(vec![attempt.clone()], "a version of Keystone").to_string()
        };
        assert!(message(&attempt).ends_with(
            "; check it); check that the service runs, or set the URL with an endpoint \
                                             override (for Keystone, with the auth_url)"
        ));
        attempt.is_at_right_url = true;
        assert_eq!(
            message(&attempt),
            "cannot find a version of Keystone; tried https://h/ (its certificate is not for \"h\"; check it)"
        );
    }

    #[test]
    fn a_login_without_a_document_names_the_auth_url() {
        let attempt = DiscoveryAttempt::new("https://h/", "it returned 404 Not Found");
        assert_eq!(
            DiscoveryFailure::no_document(vec![attempt], A_VERSION_DOCUMENT).at_login().to_string(),
            "cannot find Keystone's version document; tried https://h/ (it returned 404 Not Found); check the \
             auth_url, which usually ends in :5000/v3, and that Keystone runs"
        );
    }

    #[test]
    fn the_message_counts_the_versions_and_urls_that_it_does_not_show() {
        let versions = (1..=10).map(|minor| format!("2.{minor}")).collect();
        let message =
            DiscoveryFailure::not_listed("https://h/", versions, "version 3 of compute").to_string();
        assert!(message.contains("lists 2.1, ") && message.contains("2.8 and 2 more;"), "{message}");
        let attempts = (0..9).map(|n| DiscoveryAttempt::new(&format!("https://h/{n}"), "it returned 404"));
        let message = DiscoveryFailure::no_document(attempts.collect(), "version 3 of compute").to_string();
        assert!(message.contains("https://h/7 (it returned 404) and 1 more;"), "{message}");
    }
}
