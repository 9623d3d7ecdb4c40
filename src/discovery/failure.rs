use std::{fmt, sync::Arc, time::Duration};

use super::{Allow, Endpoint, VersionDocument, search::Question};
use crate::{Error, endpoint::Origin};

/// What was looked for at an endpoint, and what was there instead: keystoneauth's `DiscoveryFailure`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiscoveryFailure {
    /// What was looked for, in words.
    pub asked: String,
    /// The version document that was found, and the versions that it lists; all of them, whether or not
    /// their status is allowed.
    pub listed: Option<(Box<str>, Vec<String>)>,
    /// The URLs that have no version document.
    pub missed: Vec<Miss>,
}

/// A URL without a version document.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Miss {
    /// The URL.
    pub url: Box<str>,
    /// What is there instead.
    pub reason: String,
    /// Whether that can be otherwise later without anybody changing anything.
    pub transient: bool,
    /// Whether it refused the token that it had asked for.
    pub(super) refused: bool,
    /// How long its server asks to wait.
    pub(super) retry_after: Option<Duration>,
}

impl Miss {
    pub(super) fn new(url: impl Into<Box<str>>, reason: impl Into<String>) -> Self {
        Self { url: url.into(), reason: reason.into(), transient: false, refused: false, retry_after: None }
    }

    pub(super) fn transient(self) -> Self {
        Self { transient: true, ..self }
    }
}

impl DiscoveryFailure {
    pub(super) fn not_listed(endpoint: &Endpoint, question: Question, document: &VersionDocument) -> Self {
        Self::not_in(document, asked(endpoint, question))
    }

    /// What the document does not list, in words.
    pub(crate) fn not_in(document: &VersionDocument, asked: impl Into<String>) -> Self {
        let everything = Allow { experimental: true, deprecated: true, unknown: true };
        let listed = document
            .version_data(everything)
            .map(|data| match data.version {
                Some(version) => format!("{version} ({})", data.status),
                None => data.status.to_string(),
            })
            .collect();
        let listed = Some((document.url().into(), listed));
        Self { asked: asked.into(), listed, missed: Vec::new() }
    }

    pub(super) fn no_document(endpoint: &Endpoint, question: Question, missed: Vec<Miss>) -> Self {
        Self { asked: asked(endpoint, question), listed: None, missed }
    }

    /// Returns the origin that refused the token where one was asked for.
    pub(crate) fn refused_by(&self) -> Option<Origin> {
        let refused = self.missed.iter().find(|miss| miss.refused)?;
        Origin::of(&refused.url.parse().ok()?)
    }

    /// How long a server asks to wait, if one does.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.missed.iter().filter_map(|miss| miss.retry_after).max()
    }

    /// Whether the same can be found later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        self.missed.iter().any(|miss| miss.transient)
    }
}

fn asked(endpoint: &Endpoint, question: Question) -> String {
    let service = endpoint.service_type.as_deref().unwrap_or("the service");
    format!("{} of {service}", question.range)
}

impl From<Miss> for Error {
    fn from(miss: Miss) -> Self {
        DiscoveryFailure { asked: "a version document".into(), listed: None, missed: vec![miss] }.into()
    }
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
        write!(f, "{} was not found", self.asked)?;
        if let Some((url, versions)) = &self.listed {
            let named = versions.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
            let named = if named.is_empty() { "no version" } else { &named };
            write!(f, "; {url} lists {named}")?;
        }
        for (index, miss) in self.missed.iter().take(NAMED).enumerate() {
            let before = if index == 0 { "; no version document at " } else { ", " };
            write!(f, "{before}{} ({})", miss.url, miss.reason)?;
        }
        f.write_str(
            "; ask for another version, or name the URL of one by an endpoint override (Keystone's by the auth_url)",
        )
    }
}

impl std::error::Error for DiscoveryFailure {}
