//! Finds the requested version of an endpoint. It does no I/O: it names the document to fetch next.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Allow, Endpoint, VersionDocument, VersionRange,
    candidate_urls::{Candidates, VersionHack},
    no_document::NoDocument,
};
use crate::{
    EndpointFilter, Error,
    endpoint::Origin,
    error::{DiscoveryFailure, escaped},
};

/// The versions that a filter requests, and how to search for them.
#[derive(Clone, Copy, Debug)]
pub(super) struct VersionQuery {
    pub(super) range: VersionRange,
    pub(super) allow: Allow,
    /// Whether to search the unversioned URL of the service too, and to use the endpoint as it is if there is no
    /// document.
    pub(super) allow_version_hack: bool,
    /// Whether requests for a version are sent to the endpoint. If the service type only implies the version, they can
    /// go to the URL in the catalog.
    pub(super) is_for_requests: bool,
    /// Whether a document is required even if the endpoint's URL names a matching version.
    pub(super) discover_versions: bool,
}

/// A search that needs at least one document.
pub(super) struct Search {
    endpoint: Endpoint,
    query: VersionQuery,
    /// The URLs that have not been tried.
    urls: VecDeque<String>,
    /// Whether the endpoint's URL names a version in the range, so that the URL is used if there is no document.
    url_matches: bool,
    failures: Vec<NoDocument>,
}

impl Search {
    /// Starts a search, or returns the endpoint if no document is needed.
    pub(super) fn new(
        endpoint: &Endpoint,
        mut query: VersionQuery,
        project_id: Option<&str>,
        hacks: &[VersionHack],
    ) -> Result<Endpoint, Box<Self>> {
        let mut endpoint = endpoint.clone();
        if query.range.is_any() {
            if !query.discover_versions {
                return Ok(endpoint);
            }
            // Without a requested version, the endpoint stays at its URL.
            query.allow_version_hack = false;
        }
        if let Some(document) = endpoint.document.clone()
            && let Some(found) = query.find_in(document, &endpoint)
        {
            return Ok(found);
        }
        let hacks = query.allow_version_hack.then_some(hacks);
        let candidates = Candidates::new(&endpoint, project_id, query.range, hacks);
        if candidates.project_suffix.is_some() {
            endpoint.project_suffix = candidates.project_suffix;
        }
        if candidates.url_matches_exactly && !query.discover_versions {
            return Ok(endpoint);
        }
        let (urls, url_matches) = (candidates.urls.into(), candidates.url_matches);
        Err(Box::new(Self { endpoint, query, urls, url_matches, failures: Vec::new() }))
    }

    /// Returns the URL of the document to fetch next.
    pub(super) fn next_url(&mut self) -> Option<String> {
        self.urls.pop_front()
    }

    /// Records that a URL has no document.
    pub(super) fn add_failure(&mut self, no_document: NoDocument) {
        self.failures.push(no_document);
    }

    /// Returns the first origin that rejected the token.
    pub(super) fn rejected_by(&self) -> Option<Origin> {
        self.failures.iter().find_map(NoDocument::rejected_by).cloned()
    }

    /// Ends the search with the first document found, which decides the result.
    pub(super) fn finish(self, document: Arc<VersionDocument>) -> Result<Endpoint, Error> {
        self.query
            .find_in(Arc::clone(&document), &self.endpoint)
            .ok_or_else(|| document.not_listed(self.query.requested(&self.endpoint)).into())
    }

    /// Ends the search if no URL has a document.
    ///
    /// The URL in the catalog is then used as it is, but requests for a version are not sent there if the document only
    /// cannot be fetched for now: the service may have that version at another URL.
    pub(super) fn finish_without_document(self) -> Result<Endpoint, Error> {
        let mut endpoint = self.endpoint;
        if self.url_matches {
            endpoint.service_url = endpoint.catalog_url.clone().or(endpoint.service_url);
            return Ok(endpoint);
        }
        let is_transient = self.failures.iter().any(|no_document| no_document.attempt.transient);
        if self.query.allow_version_hack && !(self.query.is_for_requests && is_transient) {
            return Ok(endpoint);
        }
        let attempts = self.failures.into_iter().map(|no_document| no_document.attempt).collect();
        Err(DiscoveryFailure::no_document(attempts, self.query.requested(&endpoint)).into())
    }
}

impl VersionQuery {
    /// Returns the versions that a filter requests, and how to search for them.
    pub(super) fn new(filter: &EndpointFilter, discover_versions: bool) -> Result<Self, Error> {
        Ok(Self {
            range: filter.version_range()?,
            allow: filter.allowed_statuses(),
            allow_version_hack: filter.allows_version_hack(),
            is_for_requests: false,
            discover_versions,
        })
    }

    /// Searches for the endpoint that the requests of this filter are sent to.
    pub(super) fn for_requests(self, filter: &EndpointFilter) -> Self {
        Self { is_for_requests: filter.has_version_limits(), ..self }
    }

    /// Returns what is requested, as text for errors.
    fn requested(self, endpoint: &Endpoint) -> String {
        let service = endpoint.service_type.as_deref().map_or("the service".to_owned(), escaped);
        if self.range.is_any() {
            format!("a version of {service}")
        } else {
            format!("{} of {service}", self.range)
        }
    }

    /// Returns the endpoint at the requested version, if the document lists one.
    ///
    /// The project id of the endpoint's URL is appended to the URL of the version.
    fn find_in(self, document: Arc<VersionDocument>, endpoint: &Endpoint) -> Option<Endpoint> {
        let endpoint_url = self.range.is_any().then(|| endpoint.url());
        let version = document.versioned_data_for(self.range, endpoint_url, self.allow)?.clone();
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
