//! Finding the version of an endpoint that was asked for. No I/O: it says which document it wants next.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Allow, Endpoint, VersionDocument, VersionRange,
    candidates::{Candidates, Hack},
    failure::{DiscoveryFailure, Miss},
};
use crate::{Error, endpoint::Origin};

/// What is asked of an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) range: VersionRange,
    pub(crate) allow: Allow,
    /// Whether a version may be taken that is not below the endpoint's own URL.
    pub(crate) allow_version_hack: bool,
    /// Whether the document is wanted even if the URL says enough.
    pub(crate) discover_versions: bool,
}

/// A search that takes at least one document.
pub(super) struct Search {
    endpoint: Endpoint,
    question: Question,
    urls: VecDeque<String>,
    /// The version in the endpoint's URL will do, if there is no document.
    matches: bool,
    missed: Vec<Miss>,
}

impl Search {
    /// A search for what is asked; the endpoint at once, if no document is needed for it.
    pub(super) fn new(
        endpoint: &Endpoint,
        mut question: Question,
        project_id: Option<&str>,
        hacks: &[Hack],
    ) -> Result<Endpoint, Box<Self>> {
        let mut endpoint = endpoint.clone();
        if question.range.is_any() {
            if !question.discover_versions {
                return Ok(endpoint);
            }
            // Whoever asks for no version in particular does not want to be sent elsewhere.
            question.allow_version_hack = false;
        }
        if let Some(document) = endpoint.document.clone()
            && let Some(found) = question.answered_by(&endpoint, document)
        {
            return Ok(found);
        }
        let hacks = question.allow_version_hack.then_some(hacks);
        let candidates = Candidates::of(&endpoint, project_id, question.range, hacks);
        if candidates.project_suffix.is_some() {
            endpoint.project_suffix = candidates.project_suffix;
        }
        if candidates.matches_exactly && !question.discover_versions {
            return Ok(endpoint);
        }
        let (urls, matches) = (candidates.urls.into(), candidates.matches);
        Err(Box::new(Self { endpoint, question, urls, matches, missed: Vec::new() }))
    }

    /// The URL of the document that is wanted next.
    pub(super) fn next_url(&mut self) -> Option<String> {
        self.urls.pop_front()
    }

    /// There is no document at a URL.
    pub(super) fn missed(&mut self, miss: Miss) {
        self.missed.push(miss);
    }

    /// Who refused the token that was asked for.
    pub(super) fn refused_by(&self) -> Option<Origin> {
        self.missed.iter().find_map(Miss::refused_by).cloned()
    }

    /// The answer that a document gives; the first one found decides.
    pub(super) fn found(self, document: Arc<VersionDocument>) -> Result<Endpoint, Error> {
        self.question
            .answered_by(&self.endpoint, Arc::clone(&document))
            .ok_or_else(|| DiscoveryFailure::not_listed(&self.endpoint, self.question, &document).into())
    }

    /// The answer if there is no document anywhere.
    pub(super) fn exhausted(self) -> Result<Endpoint, Error> {
        let mut endpoint = self.endpoint;
        if self.matches {
            endpoint.service_url = endpoint.catalog_url.clone().or(endpoint.service_url);
            return Ok(endpoint);
        }
        if self.question.allow_version_hack {
            return Ok(endpoint);
        }
        Err(DiscoveryFailure::no_document(&endpoint, self.question, self.missed).into())
    }
}

impl Question {
    fn answered_by(self, endpoint: &Endpoint, document: Arc<VersionDocument>) -> Option<Endpoint> {
        let at = self.range.is_any().then(|| endpoint.url());
        let version = document.versioned_data_for(self.range, at, self.allow)?.clone();
        let service_url = match &endpoint.project_suffix {
            None => version.url.clone(),
            Some(project_id) => format!("{}/{project_id}", version.url.trim_end_matches('/')).into(),
        };
        Some(Endpoint {
            service_url: Some(service_url),
            version: Some(version),
            document: Some(document),
            ..endpoint.clone()
        })
    }
}
