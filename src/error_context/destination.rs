use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Uri;

use super::RequestFailed;
use crate::{BoxError, EndpointFilter, Error};

/// A request extension that records where the request goes. The layers inside update it, and all attempts share it.
#[derive(Clone)]
pub(crate) struct Destination(Arc<Mutex<Target>>);

struct Target {
    filter: Option<EndpointFilter>,
    url: Uri,
}

impl Destination {
    pub(super) fn new(url: &Uri) -> Self {
        Self(Arc::new(Mutex::new(Target { filter: None, url: url.clone() })))
    }

    /// Records the URL that the relative request URI was resolved to, and the filter of its endpoint.
    pub(crate) fn set_resolved(&self, filter: Option<&EndpointFilter>, url: &Uri) {
        let mut target = Target { filter: filter.cloned(), url: url.clone() };
        std::mem::swap(&mut *self.lock(), &mut target);
    }

    /// Records the URL that the request was redirected to.
    #[cfg(feature = "follow-redirect")]
    pub(crate) fn set_redirected(&self, url: &Uri) {
        let mut url = url.clone();
        std::mem::swap(&mut self.lock().url, &mut url);
    }

    /// Wraps the error in a [`RequestFailed`], unless it is an error of this crate that names its server already, or
    /// the URL is still relative.
    pub(super) fn add_to(&self, error: BoxError) -> BoxError {
        if Error::find(&*error).is_some_and(|ours| !matches!(ours, Error::Service(_))) {
            return error;
        }
        let (filter, url) = {
            let target = self.lock();
            (target.filter.clone(), target.url.clone())
        };
        if url.scheme().is_none() {
            return error;
        }
        let service_type = filter.as_ref().and_then(EndpointFilter::wanted_service_type);
        RequestFailed::new(service_type, &url, error).into()
    }

    fn lock(&self) -> MutexGuard<'_, Target> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
