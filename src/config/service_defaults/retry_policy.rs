use std::fmt;

use http::{Request, Response};
use tower::retry::Policy;

use super::completed::ServiceRetries;
use crate::{BoxError, RetryPolicy, retry::RetryDelay};

/// A [`RetryPolicy`] with the retries that the configuration sets for the service of the request.
///
/// It needs a [`ServiceDefaults`](super::ServiceDefaults) outside of it, which passes these settings in an extension of
/// the request. See the [module docs](super) for an example.
pub struct ServiceRetryPolicy<B> {
    policy: RetryPolicy<B>,
    /// Whether the settings of the service were applied. Each request has its own clone of the policy.
    is_applied: bool,
}

impl<B> ServiceRetryPolicy<B> {
    /// Creates a policy that keeps the settings of `policy` which the configuration does not set.
    pub fn new(policy: RetryPolicy<B>) -> Self {
        Self { policy, is_applied: false }
    }
}

impl<B, ResBody> Policy<Request<B>, Response<ResBody>, BoxError> for ServiceRetryPolicy<B> {
    type Future = RetryDelay;

    fn retry(
        &mut self,
        request: &mut Request<B>,
        result: &mut Result<Response<ResBody>, BoxError>,
    ) -> Option<RetryDelay> {
        if !self.is_applied {
            self.is_applied = true;
            if let Some(ServiceRetries(service)) = request.extensions().get() {
                self.policy = service.set_retries(self.policy.clone());
            }
        }
        self.policy.retry(request, result)
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        Policy::<_, Response<ResBody>, _>::clone_request(&mut self.policy, request)
    }
}

impl<B> Clone for ServiceRetryPolicy<B> {
    fn clone(&self) -> Self {
        Self { policy: self.policy.clone(), is_applied: self.is_applied }
    }
}

impl<B> fmt::Debug for ServiceRetryPolicy<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceRetryPolicy").finish_non_exhaustive()
    }
}
