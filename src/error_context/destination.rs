use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Uri;

use super::RequestFailed;
use crate::{BoxError, EndpointFilter, Error};

/// A request extension: where the request goes. It is filled in on the way, and all attempts share it.
#[derive(Clone)]
pub(crate) struct Destination(Arc<Mutex<Place>>);

struct Place {
    filter: Option<EndpointFilter>,
    url: Uri,
}

impl Destination {
    pub(super) fn of(url: &Uri) -> Self {
        Self(Arc::new(Mutex::new(Place { filter: None, url: url.clone() })))
    }

    /// The relative URI of the request was joined to the endpoint of this filter.
    pub(crate) fn resolved(&self, filter: Option<&EndpointFilter>, url: &Uri) {
        let mut place = Place { filter: filter.cloned(), url: url.clone() };
        std::mem::swap(&mut *self.lock(), &mut place);
    }

    /// The request was redirected.
    #[cfg(feature = "follow-redirect")]
    pub(crate) fn redirected(&self, url: &Uri) {
        let mut url = url.clone();
        std::mem::swap(&mut self.lock().url, &mut url);
    }

    /// Puts the destination around an error, unless the error says where already or the destination is not known.
    pub(super) fn around(&self, error: BoxError) -> BoxError {
        if Error::find(&*error).is_some_and(|ours| !matches!(ours, Error::Service(_))) {
            return error;
        }
        let (filter, url) = {
            let place = self.lock();
            (place.filter.clone(), place.url.clone())
        };
        if url.scheme().is_none() {
            return error;
        }
        let service_type = filter.as_ref().and_then(EndpointFilter::wanted_service_type);
        RequestFailed::new(service_type, &url, error).into()
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
