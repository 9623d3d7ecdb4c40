use std::{fmt, sync::Arc, time::Duration};

use super::{Error, escaped};

/// A version of a service was not found: keystoneauth's `DiscoveryFailure`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiscoveryFailure {
    /// The requested versions and service, as text.
    pub requested: String,
    /// The URL of the version document that was found, and all versions that it lists, whatever their status.
    pub listed: Option<(Box<str>, Vec<String>)>,
    /// The URLs that have no version document.
    pub attempts: Vec<DiscoveryAttempt>,
}

/// A URL that was asked for a version document and has none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiscoveryAttempt {
    /// The URL without a user name and a query, truncated to 256 characters.
    pub url: Box<str>,
    /// What the URL returned instead, truncated to 256 characters.
    pub reason: String,
    /// Whether the same request can succeed later.
    pub transient: bool,
    /// How long the server asks to wait (`Retry-After`).
    pub(crate) retry_after: Option<Duration>,
    /// Whether the response can come from a proxy, if this is the URL of Keystone: Keystone shows its versions to
    /// everybody.
    pub(crate) is_transient_at_keystone: bool,
}

impl DiscoveryAttempt {
    /// A URL that fails in the same way if it is asked again.
    pub(crate) fn new(url: &str, reason: impl Into<String>) -> Self {
        Self {
            url: without_secrets(url).into(),
            reason: escaped(&reason.into()),
            transient: false,
            retry_after: None,
            is_transient_at_keystone: false,
        }
    }
}

impl DiscoveryFailure {
    /// A document at this URL does not list what was requested.
    pub(crate) fn not_listed(url: &str, versions: Vec<String>, requested: impl Into<String>) -> Self {
        let listed = Some((without_secrets(url).into(), versions));
        Self { requested: requested.into(), listed, attempts: Vec::new() }
    }

    /// There is no document at any of these URLs.
    pub(crate) fn no_document(attempts: Vec<DiscoveryAttempt>, requested: impl Into<String>) -> Self {
        Self { requested: requested.into(), listed: None, attempts }
    }

    /// Returns whether there is no document, or one that lists no version.
    pub(crate) fn lists_nothing(&self) -> bool {
        self.listed.as_ref().is_none_or(|(_, versions)| versions.is_empty())
    }

    /// Returns the longest time that a server asks to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.attempts.iter().filter_map(|attempt| attempt.retry_after).max()
    }

    /// Returns the same failure for the version document of Keystone itself.
    pub(crate) fn at_keystone(mut self) -> Self {
        for attempt in &mut self.attempts {
            attempt.transient |= attempt.is_transient_at_keystone;
        }
        self
    }

    /// Returns whether the same discovery can succeed later.
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

/// How many versions or URLs a message names.
const NAMED: usize = 8;

impl fmt::Display for DiscoveryFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was not found", self.requested)?;
        if let Some((url, versions)) = &self.listed {
            let named = versions.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
            let named = if named.is_empty() { "no version" } else { &named };
            write!(f, "; {url} lists {named}")?;
        }
        for (index, attempt) in self.attempts.iter().take(NAMED).enumerate() {
            let before = if index == 0 { "; no version document at " } else { ", " };
            write!(f, "{before}{} ({})", attempt.url, attempt.reason)?;
        }
        f.write_str(
            "; ask for another version, or name the URL of one by an endpoint override (Keystone's by the auth_url)",
        )
    }
}

impl std::error::Error for DiscoveryFailure {}
