//! The endpoints of versions that requests go to, kept ready for them.

use std::sync::Arc;

use http::Uri;
use quick_cache::Equivalent;
use tokio::time::Instant;

use super::{
    Discovery, Endpoint,
    bounded::{Bounded, Weight, bounded},
    client::{Sought, project_id, question},
    token::{Asked, Token, Whose},
};
use crate::{
    Access, EndpointFilter, Error,
    endpoint::{BaseUrl, Microversion},
};

/// How much is kept ready, in bytes: a hundred thousand answers of the usual size.
const MOST: usize = 96 * 1024 * 1024;

/// What an answer takes, by and large, in bytes.
const ORDINARY: usize = 900;

/// An endpoint that requests can be sent to.
pub(crate) struct Discovered {
    pub(crate) base: BaseUrl,
    /// The one that was found for the filter, if it asks for the newest of a range.
    pub(crate) microversion: Option<Microversion>,
}

/// What was found for filters.
pub(super) struct Ready(Bounded<Key, Answer>);

/// A filter, and the endpoint that it means before versions are looked at.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    filter: EndpointFilter,
    undiscovered: Box<str>,
    project_id: Option<Box<str>>,
    /// Whose token it took, if it took one.
    whose: Option<Whose>,
}

/// The same, borrowed. The two have equal hashes, since they have the same members.
#[derive(Clone, Copy, Hash)]
struct Wanted<'a> {
    filter: &'a EndpointFilter,
    undiscovered: &'a str,
    project_id: Option<&'a str>,
    whose: Option<*const Access>,
}

impl Equivalent<Key> for Wanted<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.undiscovered == *key.undiscovered
            && self.project_id == key.project_id.as_deref()
            && self.whose == key.whose.as_ref().map(Whose::as_ptr)
            && self.filter == &key.filter
    }
}

#[derive(Clone)]
struct Answer {
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
        let in_catalog = !filter.is_auth() && !filter.is_overridden();
        match access.and_then(Access::auth_ref).filter(|_| in_catalog) {
            // An endpoint of the catalog is looked at where it stands: most are, and nothing is allocated.
            Some(auth_ref) => {
                let listed = auth_ref.service_catalog().usable_endpoint_for(filter).ok()?;
                self.ready.get(filter, listed.url(), project_id, access)
            }
            None => {
                let undiscovered = Endpoint::undiscovered(filter, access, auth_url).ok()?;
                self.ready.get(filter, undiscovered.url(), project_id, access)
            }
        }
    }

    /// Finds the endpoint, and keeps it ready for the requests that follow.
    ///
    /// Its documents are asked for with the token of the access, if that may be sent there. An override without a
    /// document is used as it is, and a 401 there says nothing of the token, since it may be no service of the cloud.
    pub(crate) async fn discover(
        &self,
        filter: &EndpointFilter,
        access: Option<&Arc<Access>>,
        auth_url: Option<&Uri>,
        https_only: bool,
    ) -> Asked<Arc<Discovered>> {
        let of_access = access.map(|access| &**access);
        let prepared = Endpoint::undiscovered(filter, of_access, auth_url).and_then(|undiscovered| {
            let discover_versions = filter.wanted_microversion_range().is_some();
            Ok((undiscovered, question(filter, discover_versions, of_access)?))
        });
        let (undiscovered, question) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Asked::failed(error),
        };
        let project_id = project_id(filter, of_access);
        let token = access.map(|access| Token { access, https_only });
        let Sought { endpoint, until, whose, refused_by } =
            self.search(&undiscovered, question, project_id, token).await;
        let overridden = filter.is_overridden();
        let endpoint = match endpoint {
            Err(Error::DiscoveryFailure(failure))
                if overridden && !question.discover_versions && failure.lists_nothing() =>
            {
                Ok(undiscovered.clone())
            }
            endpoint => endpoint,
        };
        let found = endpoint.and_then(|endpoint| {
            // Whoever asks for no version in particular does not want to be sent elsewhere.
            let url = if question.range.is_any() { undiscovered.url() } else { endpoint.url() };
            let offered = (endpoint.min_microversion(), endpoint.max_microversion());
            let wanted = filter.wanted_microversion_range();
            let microversion = wanted.map(|wanted| wanted.newest_of(offered)).transpose()?;
            Ok(Arc::new(Discovered { base: BaseUrl::parse(url)?, microversion }))
        });
        if let Ok(found) = &found {
            let key = Key {
                filter: filter.clone(),
                undiscovered: undiscovered.url().into(),
                project_id: project_id.map(Into::into),
                whose,
            };
            self.ready.0.insert(key, Answer { until, found: Arc::clone(found) });
        }
        let refused_by = refused_by.into_iter().filter(|_| !overridden).collect();
        Asked { found, refused_by }
    }
}

impl Default for Ready {
    fn default() -> Self {
        Self(bounded(MOST, ORDINARY))
    }
}

impl Ready {
    /// What is good for all, or else for this access.
    fn get(
        &self,
        filter: &EndpointFilter,
        undiscovered: &str,
        project_id: Option<&str>,
        access: Option<&Access>,
    ) -> Option<Arc<Discovered>> {
        let wanted = Wanted { filter, undiscovered, project_id, whose: None };
        self.answer(&wanted).or_else(|| {
            let whose = Some(std::ptr::from_ref(access?));
            self.answer(&Wanted { whose, ..wanted })
        })
    }

    fn answer(&self, wanted: &Wanted<'_>) -> Option<Arc<Discovered>> {
        let Answer { until, found } = self.0.get(wanted)?;
        (Instant::now() < until).then_some(found)
    }
}

impl Weight for Key {
    fn weight(&self) -> usize {
        size_of::<Self>()
            + self.filter.weight()
            + self.undiscovered.len()
            + self.project_id.as_ref().map_or(0, |id| id.len())
            + self.whose.as_ref().map_or(0, |_| size_of::<Access>())
    }
}

impl Weight for Answer {
    fn weight(&self) -> usize {
        let headers = self.found.microversion.as_ref().map_or(0, |_| HEADERS);
        size_of::<Self>() + size_of::<Discovered>() + self.found.base.url().path().len() + headers
    }
}

/// What the headers of a microversion take, in bytes.
const HEADERS: usize = 256;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::AccessInfo;

    const URL: &str = "https://compute.example.com:8774/v2.1";

    fn filter() -> EndpointFilter {
        EndpointFilter::new("compute").region("RegionOne").min_version(2, 1)
    }

    fn project(number: usize) -> String {
        format!("{number:032x}")
    }

    fn put(ready: &Ready, number: usize) {
        let key = Key {
            filter: filter(),
            undiscovered: URL.into(),
            project_id: Some(project(number).into()),
            whose: None,
        };
        let found = Arc::new(Discovered { base: BaseUrl::parse(URL).unwrap(), microversion: None });
        ready.0.insert(key, Answer { until: Instant::now() + Duration::from_secs(3600), found });
    }

    fn is_known(ready: &Ready, filter: &EndpointFilter, number: usize) -> bool {
        ready.get(filter, URL, Some(&project(number)), None).is_some()
    }

    #[test]
    fn the_answers_of_a_hundred_thousand_projects_are_at_hand() {
        let (ready, filter) = (Ready::default(), filter());
        (0..100_000).for_each(|number| put(&ready, number));
        let known = (0..100_000).filter(|number| is_known(&ready, &filter, *number)).count();
        assert_eq!(known, 100_000);
        assert!(!is_known(&ready, &filter.clone().max_version(2, 9), 0));
        assert!(ready.get(&filter, "https://compute.example.com/", Some(&project(0)), None).is_none());
        assert!(ready.get(&filter, URL, None, None).is_none());
    }

    #[test]
    fn an_answer_for_a_token_is_for_that_access() {
        let (ready, filter) = (Ready::default(), filter());
        let access = || {
            let access_info = AccessInfo::new("token", r#"{"token": {}}"#).unwrap();
            Arc::new(Access::from_auth_ref(access_info).unwrap())
        };
        let (hers, his) = (access(), access());
        let whose = Some(Token { access: &hers, https_only: false }.whose());
        let key = Key { filter: filter.clone(), undiscovered: URL.into(), project_id: None, whose };
        let found = Arc::new(Discovered { base: BaseUrl::parse(URL).unwrap(), microversion: None });
        ready.0.insert(key, Answer { until: Instant::now() + Duration::from_secs(3600), found });
        assert!(ready.get(&filter, URL, None, Some(&hers)).is_some());
        assert!(ready.get(&filter, URL, None, Some(&his)).is_none());
        assert!(ready.get(&filter, URL, None, None).is_none());
    }

    #[test]
    fn an_answer_in_steady_use_stays_however_many_others_come() {
        let (ready, filter) = (Ready(bounded(1024 * 1024, ORDINARY)), filter());
        for number in 0..20_000 {
            put(&ready, 1_000_000 + number);
            let steady = number % 100;
            if number < 100 {
                put(&ready, steady);
            }
            assert!(is_known(&ready, &filter, steady), "{steady} is gone after {number} others");
        }
        assert!(ready.0.weight() <= 1024 * 1024);
    }
}
