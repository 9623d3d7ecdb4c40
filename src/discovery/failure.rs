use std::{fmt, sync::Arc, time::Duration};

use http::Uri;

use super::{Allow, Endpoint, VersionDocument, search::Question};
use crate::{Error, endpoint::Origin, error::escaped};

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
    /// The URL, as it is shown: cut, and without a user name and a query.
    pub url: Box<str>,
    /// What is there instead, as it is shown.
    pub reason: String,
    /// Whether that can be otherwise later without anybody changing anything.
    pub transient: bool,
    pub(super) unauthorized: Option<Box<Unauthorized>>,
    /// How long its server asks to wait.
    pub(super) retry_after: Option<Duration>,
    /// Whether it is an error of a proxy, if this is where Keystone is: Keystone shows its versions to everybody.
    pub(super) passes_at_keystone: bool,
}

/// What a 401 means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unauthorized {
    /// A token is wanted at this URL.
    TokenWanted(Uri),
    /// The token was refused by this origin.
    TokenRefused(Origin),
}

impl Miss {
    pub(super) fn new(url: &str, reason: impl Into<String>) -> Self {
        Self {
            url: place(url).into(),
            reason: escaped(&reason.into()),
            transient: false,
            unauthorized: None,
            retry_after: None,
            passes_at_keystone: false,
        }
    }

    pub(super) fn transient(self) -> Self {
        Self { transient: true, ..self }
    }

    /// What its texts take, in bytes.
    pub(super) fn weight(&self) -> usize {
        let place = self.token_wanted_at().map_or(0, |place| place.path().len());
        let unauthorized = self.unauthorized.as_deref().map_or(0, size_of_val);
        self.url.len() + self.reason.len() + unauthorized + place
    }

    /// Where it wants a token.
    pub(super) fn token_wanted_at(&self) -> Option<&Uri> {
        match self.unauthorized.as_deref()? {
            Unauthorized::TokenWanted(place) => Some(place),
            Unauthorized::TokenRefused(_) => None,
        }
    }

    /// Who refused the token that was sent for it.
    pub(super) fn refused_by(&self) -> Option<&Origin> {
        match self.unauthorized.as_deref()? {
            Unauthorized::TokenWanted(_) => None,
            Unauthorized::TokenRefused(by) => Some(by),
        }
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
        let listed = Some((place(document.url()).into(), listed));
        Self { asked: asked.into(), listed, missed: Vec::new() }
    }

    pub(super) fn no_document(endpoint: &Endpoint, question: Question, missed: Vec<Miss>) -> Self {
        Self { asked: asked(endpoint, question), listed: None, missed }
    }

    /// Whether there is no document, or one without any version.
    pub(super) fn lists_nothing(&self) -> bool {
        self.listed.as_ref().is_none_or(|(_, versions)| versions.is_empty())
    }

    /// How long a server asks to wait, if one does.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.missed.iter().filter_map(|miss| miss.retry_after).max()
    }

    /// The same failure, where it was the version document of Keystone that was looked for.
    pub(crate) fn at_keystone(mut self) -> Self {
        for miss in &mut self.missed {
            miss.transient |= miss.passes_at_keystone;
        }
        self
    }

    /// Whether the same can be found later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        self.missed.iter().any(|miss| miss.transient)
    }
}

fn asked(endpoint: &Endpoint, question: Question) -> String {
    let service = endpoint.service_type.as_deref().map_or("the service".to_owned(), escaped);
    format!("{} of {service}", question.range)
}

/// A URL as it is shown: without a user name, a query and a fragment.
fn place(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return escaped(url) };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    escaped(&format!("{scheme}://{host}{path}"))
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
