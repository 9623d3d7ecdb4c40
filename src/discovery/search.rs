//! Finding the version of an endpoint that was asked for. No I/O: it says which document it wants next.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Allow, Endpoint, VersionDocument, VersionRange,
    candidate_urls::{Candidates, Hack},
    no_document::NoDocument,
};
use crate::{
    EndpointFilter, Error,
    endpoint::Origin,
    error::{DiscoveryFailure, escaped},
};

/// What is asked of an endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) range: VersionRange,
    pub(super) allow: Allow,
    /// Whether a version may be taken that is not below the endpoint's own URL.
    pub(super) allow_version_hack: bool,
    /// Whether the document is wanted even if the URL says enough.
    pub(super) discover_versions: bool,
}

/// A search that takes at least one document.
pub(super) struct Search {
    endpoint: Endpoint,
    question: Question,
    urls: VecDeque<String>,
    /// The version in the endpoint's URL will do, if there is no document.
    matches: bool,
    missed: Vec<NoDocument>,
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
    pub(super) fn missed(&mut self, miss: NoDocument) {
        self.missed.push(miss);
    }

    /// Who refused the token that was asked for.
    pub(super) fn refused_by(&self) -> Option<Origin> {
        self.missed.iter().find_map(NoDocument::rejected_by).cloned()
    }

    /// The answer that a document gives; the first one found decides.
    pub(super) fn found(self, document: Arc<VersionDocument>) -> Result<Endpoint, Error> {
        self.question
            .answered_by(&self.endpoint, Arc::clone(&document))
            .ok_or_else(|| document.not_listed(self.question.requested(&self.endpoint)).into())
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
        let attempts = self.missed.into_iter().map(|missed| missed.attempt).collect();
        Err(DiscoveryFailure::no_document(attempts, self.question.requested(&endpoint)).into())
    }
}

impl Question {
    /// Returns what a filter asks about the versions of its endpoint.
    pub(super) fn new(filter: &EndpointFilter, discover_versions: bool) -> Result<Self, Error> {
        Ok(Self {
            range: filter.version_range()?,
            allow: filter.allowed_statuses(),
            allow_version_hack: filter.allows_version_hack(),
            discover_versions,
        })
    }

    /// Returns what is requested, as text for errors.
    fn requested(self, endpoint: &Endpoint) -> String {
        let service = endpoint.service_type.as_deref().map_or("the service".to_owned(), escaped);
        format!("{} of {service}", self.range)
    }

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
