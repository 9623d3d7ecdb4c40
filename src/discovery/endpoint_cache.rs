//! The endpoints of versions that requests go to, kept ready for them.

use std::sync::Arc;

use quick_cache::Equivalent;
use tokio::time::Instant;

use super::{
    token::Whose,
    weighted_cache::{Bounded, Weight, bounded},
};
use crate::{
    EndpointFilter, ServiceAccess,
    endpoint::{BaseUrl, MicroversionHeaders},
};

/// How much is kept ready, in bytes: a hundred thousand answers of the usual size.
const MOST: usize = 96 * 1024 * 1024;

/// What an answer takes, by and large, in bytes.
const ORDINARY: usize = 900;

/// An endpoint that requests can be sent to.
pub(crate) struct Discovered {
    pub(crate) base: BaseUrl,
    /// The one that was found for the filter, if it asks for the newest of a range.
    pub(crate) microversion: Option<MicroversionHeaders>,
}

/// What was found for filters.
pub(super) struct EndpointCache(Bounded<Key, Answer>);

/// A filter, and the endpoint that it means before versions are looked at.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) filter: EndpointFilter,
    pub(super) undiscovered: Box<str>,
    pub(super) project_id: Option<Box<str>>,
    /// Whose token it took, if it took one.
    pub(super) whose: Option<Whose>,
}

/// The same, borrowed. The two have equal hashes, since they have the same members.
#[derive(Clone, Copy, Hash)]
struct Wanted<'a> {
    filter: &'a EndpointFilter,
    undiscovered: &'a str,
    project_id: Option<&'a str>,
    whose: Option<*const ServiceAccess>,
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
pub(super) struct Answer {
    pub(super) until: Instant,
    pub(super) found: Arc<Discovered>,
}

impl Default for EndpointCache {
    fn default() -> Self {
        Self(bounded(MOST, ORDINARY))
    }
}

impl EndpointCache {
    pub(super) fn insert(&self, key: Key, answer: Answer) {
        self.0.insert(key, answer);
    }

    /// What is good for all, or else for this access.
    pub(super) fn get(
        &self,
        filter: &EndpointFilter,
        undiscovered: &str,
        project_id: Option<&str>,
        access: Option<&ServiceAccess>,
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
            + self.whose.as_ref().map_or(0, |_| size_of::<ServiceAccess>())
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
    use crate::{AccessInfo, discovery::token::Token};

    const URL: &str = "https://compute.example.com:8774/v2.1";

    fn filter() -> EndpointFilter {
        EndpointFilter::new("compute").region("RegionOne").min_version(2, 1)
    }

    fn project(number: usize) -> String {
        format!("{number:032x}")
    }

    fn put(ready: &EndpointCache, number: usize) {
        let key = Key {
            filter: filter(),
            undiscovered: URL.into(),
            project_id: Some(project(number).into()),
            whose: None,
        };
        let found = Arc::new(Discovered { base: BaseUrl::parse(URL).unwrap(), microversion: None });
        ready.0.insert(key, Answer { until: Instant::now() + Duration::from_secs(3600), found });
    }

    fn is_known(ready: &EndpointCache, filter: &EndpointFilter, number: usize) -> bool {
        ready.get(filter, URL, Some(&project(number)), None).is_some()
    }

    #[test]
    fn the_answers_of_a_hundred_thousand_projects_are_at_hand() {
        let (ready, filter) = (EndpointCache::default(), filter());
        (0..100_000).for_each(|number| put(&ready, number));
        let known = (0..100_000).filter(|number| is_known(&ready, &filter, *number)).count();
        assert_eq!(known, 100_000);
        assert!(!is_known(&ready, &filter.clone().max_version(2, 9), 0));
        assert!(ready.get(&filter, "https://compute.example.com/", Some(&project(0)), None).is_none());
        assert!(ready.get(&filter, URL, None, None).is_none());
    }

    #[test]
    fn an_answer_for_a_token_is_for_that_access() {
        let (ready, filter) = (EndpointCache::default(), filter());
        let access = || {
            let access_info = AccessInfo::new("token", r#"{"token": {}}"#).unwrap();
            Arc::new(ServiceAccess::from_auth_ref(access_info).unwrap())
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
        let (ready, filter) = (EndpointCache(bounded(1024 * 1024, ORDINARY)), filter());
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
