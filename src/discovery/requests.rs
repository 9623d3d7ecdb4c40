//! The endpoints of versions that requests go to, kept ready for them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use http::Uri;
use tokio::time::Instant;

use super::{
    Discovery, Endpoint,
    client::{project_id, question},
};
use crate::{
    Access, EndpointFilter, Error,
    endpoint::{BaseUrl, Microversion},
};

/// How many answers are kept ready.
const MOST: usize = 1024;

/// An endpoint that requests can be sent to.
pub(crate) struct Discovered {
    pub(crate) base: BaseUrl,
    /// The one that was found for the filter, if it asks for the newest of a range.
    pub(crate) microversion: Option<Microversion>,
}

/// What was found for filters.
#[derive(Default)]
pub(super) struct Ready(Mutex<HashMap<EndpointFilter, Vec<Answer>>>);

/// What was found for a filter, at an endpoint of the catalog.
struct Answer {
    undiscovered: Box<str>,
    project_id: Option<Box<str>>,
    until: Instant,
    found: Arc<Discovered>,
}

impl Discovery {
    /// The endpoint that requests with this filter go to, if it was found before.
    pub(crate) fn ready_for(
        &self,
        filter: &EndpointFilter,
        access: Option<&Access>,
        auth_url: Option<&Uri>,
    ) -> Option<Arc<Discovered>> {
        let project_id = project_id(filter, access);
        let in_catalog = !filter.is_auth() && filter.wanted_override().is_none();
        match access.and_then(Access::auth_ref).filter(|_| in_catalog) {
            // An endpoint of the catalog is looked at where it stands: most are, and nothing is allocated.
            Some(auth_ref) => {
                let listed = auth_ref.service_catalog().usable_endpoint_for(filter).ok()?;
                self.ready.get(filter, listed.url(), project_id)
            }
            None => {
                let undiscovered = Endpoint::undiscovered(filter, access, auth_url).ok()?;
                self.ready.get(filter, undiscovered.url(), project_id)
            }
        }
    }

    /// Finds the endpoint, and keeps it ready for the requests that follow.
    ///
    /// Its documents are asked for with the token of the access, if that may be sent there.
    pub(crate) async fn discover(
        &self,
        filter: &EndpointFilter,
        access: Option<&Arc<Access>>,
        auth_url: Option<&Uri>,
        https_required: bool,
    ) -> Result<Arc<Discovered>, Error> {
        let of_access = access.map(|access| &**access);
        let undiscovered = Endpoint::undiscovered(filter, of_access, auth_url)?;
        let question = question(filter, filter.wanted_microversion_range().is_some(), of_access)?;
        let project_id = project_id(filter, of_access);
        let may_send_token = !https_required || undiscovered.url().starts_with("https://");
        let token_of = access.filter(|_| may_send_token);
        let (endpoint, until) = self.search(&undiscovered, question, project_id, token_of).await?;
        // Whoever asks for no version in particular does not want to be sent elsewhere.
        let url = if question.range.is_any() { undiscovered.url() } else { endpoint.url() };
        let base = BaseUrl::parse(url)?;
        let offered = (endpoint.min_microversion(), endpoint.max_microversion());
        let microversions = filter.wanted_microversion_range();
        let microversion = microversions.map(|wanted| wanted.newest_of(offered)).transpose()?;
        let found = Arc::new(Discovered { base, microversion });
        let answer = Answer {
            undiscovered: undiscovered.url().into(),
            project_id: project_id.map(Into::into),
            until,
            found: Arc::clone(&found),
        };
        self.ready.put(filter.clone(), answer);
        Ok(found)
    }
}

impl Ready {
    fn get(
        &self,
        filter: &EndpointFilter,
        undiscovered: &str,
        project_id: Option<&str>,
    ) -> Option<Arc<Discovered>> {
        let by_filter = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = by_filter.get(filter)?.iter().find(|answer| answer.is_of(undiscovered, project_id))?;
        (Instant::now() < answer.until).then(|| Arc::clone(&answer.found))
    }

    fn put(&self, filter: EndpointFilter, answer: Answer) {
        let mut by_filter = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if by_filter.len() >= MOST {
            by_filter.clear();
        }
        let answers = by_filter.entry(filter).or_default();
        let now = Instant::now();
        answers.retain(|known| {
            now < known.until && !known.is_of(&answer.undiscovered, answer.project_id.as_deref())
        });
        if answers.len() >= MOST {
            answers.clear();
        }
        answers.push(answer);
    }
}

impl Answer {
    fn is_of(&self, undiscovered: &str, project_id: Option<&str>) -> bool {
        *self.undiscovered == *undiscovered && self.project_id.as_deref() == project_id
    }
}
