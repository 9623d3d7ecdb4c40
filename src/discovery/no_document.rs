use http::Uri;

use crate::{
    Error,
    endpoint::Origin,
    error::{A_VERSION_DOCUMENT, DiscoveryAttempt, DiscoveryFailure},
};

/// Why there is no version document at a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoDocument {
    pub(super) attempt: DiscoveryAttempt,
    pub(super) unauthorized: Option<Box<Unauthorized>>,
}

/// Why a service responded with 401.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unauthorized {
    /// This URL requires a token.
    TokenRequired(Uri),
    /// This origin rejected the token.
    TokenRejected(Origin),
}

impl NoDocument {
    pub(super) fn new(url: &str, reason: impl Into<String>) -> Self {
        Self { attempt: DiscoveryAttempt::new(url, reason), unauthorized: None }
    }

    /// Marks the failure as transient.
    pub(super) fn transient(mut self) -> Self {
        self.attempt.transient = true;
        self
    }

    /// Returns the size in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        let uri = self.token_required_at().map_or(0, |uri| uri.path().len());
        let unauthorized = self.unauthorized.as_deref().map_or(0, size_of_val);
        self.attempt.url.len() + self.attempt.reason.len() + unauthorized + uri
    }

    /// Returns the URL that requires a token.
    pub(super) fn token_required_at(&self) -> Option<&Uri> {
        match self.unauthorized.as_deref()? {
            Unauthorized::TokenRequired(uri) => Some(uri),
            Unauthorized::TokenRejected(_) => None,
        }
    }

    /// Returns the origin that rejected the token.
    pub(super) fn rejected_by(&self) -> Option<&Origin> {
        match self.unauthorized.as_deref()? {
            Unauthorized::TokenRequired(_) => None,
            Unauthorized::TokenRejected(origin) => Some(origin),
        }
    }
}

impl From<NoDocument> for Error {
    fn from(no_document: NoDocument) -> Self {
        DiscoveryFailure::no_document(vec![no_document.attempt], A_VERSION_DOCUMENT).into()
    }
}
