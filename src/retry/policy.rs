use std::{
    error::Error as StdError,
    fmt, io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{Request, Response, StatusCode};
use http_body::Body;
use tower::retry::Policy;

use super::{ReplayBody, RetryBudget, RetryDelay, backoff::Backoff, clone_request::CloneRequest};
use crate::{BoxError, Error, error::retry_after, task::runtime};

/// The longest that a server may ask to wait.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Sends a request again that no server has got, or that a server had no time for.
///
/// - After a failure to connect, 3 times ([`connect_retries`](Self::connect_retries)). Nothing was sent
///   then, so it is safe whatever the request does.
/// - After a 429 or a 503, 3 times ([`status_code_retries`](Self::status_code_retries)), whatever the
///   method, as keystoneauth does. The server says by these that it did not do what was asked.
///
/// The two are counted apart, with delays of their own: 0.5 s, doubled with each retry up to 60 s, of
/// which the last half is left to chance so that many clients do not come back at once
/// ([`without_jitter`](Self::without_jitter)). A `Retry-After`, be it seconds or a date, is waited for
/// instead, up to 300 s.
///
/// All requests of a service together may cause only so many retries: those of a
/// [`budget`](Self::budget), the default of which allows ten in a second and a fifth of the requests.
/// A body that cannot be sent again is never replaced: its request is sent once.
///
/// It is for services whose errors are [`BoxError`], which those with an [`AuthLayer`](crate::AuthLayer)
/// are; others become such by `map_err(Into::into)`. It waits by tokio's clock, and without a runtime of
/// tokio does not retry.
///
/// See the [module docs](super) for an example and for its order with [`ReauthPolicy`](crate::ReauthPolicy).
pub struct RetryPolicy<B> {
    again: CloneRequest<B>,
    connect: Backoff,
    status: Backoff,
    retriable_status_codes: Arc<[StatusCode]>,
    connect_failure: fn(&(dyn StdError + 'static)) -> bool,
    jitter: bool,
    budget: RetryBudget,
}

impl<B: Clone> RetryPolicy<B> {
    /// For bodies that can be cloned.
    pub fn new() -> Self {
        Self::of(CloneRequest::cloning())
    }
}

impl<B: Body> RetryPolicy<ReplayBody<B>> {
    /// For bodies that keep what was sent of them.
    pub fn replaying() -> Self {
        Self::of(CloneRequest::replaying())
    }
}

impl<B> RetryPolicy<B> {
    /// For bodies that know how to be sent again: `clone_body` is called before a request is sent, and
    /// gives the body for the next time. After `None` the request is not sent again.
    pub fn with_clone_body(clone_body: fn(&B) -> Option<B>) -> Self {
        Self::of(CloneRequest::with_clone_body(clone_body))
    }

    fn of(again: CloneRequest<B>) -> Self {
        Self {
            again,
            connect: Backoff::new(),
            status: Backoff::new(),
            retriable_status_codes: [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].into(),
            connect_failure: |_| false,
            jitter: true,
            budget: RetryBudget::default(),
        }
    }

    /// How often a request is sent again that could not be sent for want of a connection; 3.
    #[must_use]
    pub fn connect_retries(mut self, retries: u32) -> Self {
        self.connect.left = retries;
        self
    }

    /// How often a request is sent again because of its answer's status; 3.
    #[must_use]
    pub fn status_code_retries(mut self, retries: u32) -> Self {
        self.status.left = retries;
        self
    }

    /// The statuses for which a request is sent again, instead of 429 and 503.
    #[must_use]
    pub fn retriable_status_codes(mut self, codes: impl IntoIterator<Item = StatusCode>) -> Self {
        self.retriable_status_codes = codes.into_iter().collect();
        self
    }

    /// Always waits this long after a failure to connect, instead of longer and longer.
    #[must_use]
    pub fn connect_retry_delay(mut self, delay: Duration) -> Self {
        self.connect = self.connect.fixed(delay);
        self
    }

    /// Always waits this long after a retriable status that comes without `Retry-After`, instead of longer
    /// and longer.
    #[must_use]
    pub fn status_code_retry_delay(mut self, delay: Duration) -> Self {
        self.status = self.status.fixed(delay);
        self
    }

    /// What else is a failure to connect, after which it is certain that no server got the request.
    ///
    /// It is asked about each error in the chain of sources. Known without it is an [`io::Error`] of a kind
    /// that only connecting has (refused, no free address). Clients tell the others, such as hosts without a
    /// route, names that are not resolved and connects that take too long:
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http_body_util::Full;
    /// use hyper_util::client::legacy;
    /// use tower_keystone::RetryPolicy;
    ///
    /// let policy = RetryPolicy::<Full<Bytes>>::new()
    ///     .connect_failure(|error| error.downcast_ref().is_some_and(legacy::Error::is_connect));
    /// # let _ = policy;
    /// ```
    ///
    /// There, failures of TLS are among them, which keystoneauth does not try again.
    ///
    /// Errors of this crate ([`Error`]) are none, and it is not asked about them or what is under them: the
    /// plugin has tried to reach Keystone for as long as a request may wait
    /// ([`RenewalPolicy::wait_timeout`](crate::RenewalPolicy::wait_timeout)).
    #[must_use]
    pub fn connect_failure(mut self, predicate: fn(&(dyn StdError + 'static)) -> bool) -> Self {
        self.connect_failure = predicate;
        self
    }

    /// Waits for the delays as they are. Otherwise the jitter comes from the thread's `fastrand` generator.
    #[must_use]
    pub fn without_jitter(mut self) -> Self {
        self.jitter = false;
        self
    }

    /// What limits the retries of all requests together. Policies can share it, and have to where a stack is built
    /// for each request: a budget of its own would limit nothing.
    ///
    /// ```
    /// use std::time::Duration;
    /// use bytes::Bytes;
    /// use http_body_util::Full;
    /// use tower_keystone::{RetryPolicy, retry::RetryBudget};
    ///
    /// // Two in a second and a tenth of the requests, as they were in the last ten seconds.
    /// let budget = RetryBudget::new(Duration::from_secs(10), 2, 0.1);
    /// let policy = || RetryPolicy::<Full<Bytes>>::new().budget(budget.clone());
    /// # let _ = (policy(), policy());
    /// ```
    #[must_use]
    pub fn budget(mut self, budget: RetryBudget) -> Self {
        self.budget = budget;
        self
    }

    fn is_connect_failure(&self, error: &(dyn StdError + 'static)) -> bool {
        if Error::find(error).is_some() {
            return false;
        }
        let mut next = Some(error);
        while let Some(error) = next {
            let io = error.downcast_ref::<io::Error>();
            if io.is_some_and(|io| is_of_connecting(io.kind())) || (self.connect_failure)(error) {
                return true;
            }
            // The source of an I/O error around another one is the other one's source.
            let inner = io.and_then(io::Error::get_ref).map(|inner| inner as &(dyn StdError + 'static));
            next = inner.or_else(|| error.source());
        }
        false
    }
}

fn is_of_connecting(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused};
    // Not HostUnreachable and NetworkUnreachable: a connection on which things were sent fails by them too.
    matches!(kind, AddrNotAvailable | ConnectionRefused)
}

impl<B, ResBody> Policy<Request<B>, Response<ResBody>, BoxError> for RetryPolicy<B> {
    type Future = RetryDelay;

    fn retry(
        &mut self,
        request: &mut Request<B>,
        result: &mut Result<Response<ResBody>, BoxError>,
    ) -> Option<RetryDelay> {
        let (delays, asked) = match result {
            Ok(response) if self.retriable_status_codes.contains(&response.status()) => {
                (&mut self.status, retry_after(response.headers(), SystemTime::now()))
            }
            Ok(_) => {
                self.budget.deposit();
                return None;
            }
            Err(error) if self.is_connect_failure(&**error) => (&mut self.connect, None),
            Err(_) => return None,
        };
        let chance = self.jitter.then(fastrand::f64);
        let delay = match asked {
            Some(asked) => delays.after(asked.min(LONGEST_RETRY_AFTER), chance)?,
            None => delays.next(chance)?,
        };
        let possible = self.again.can_send(request) && runtime().is_ok();
        // Only now, since the attempt that loses its body may still have to bring the answer.
        (possible && self.budget.withdraw() && self.again.claim(request)).then(|| RetryDelay::new(delay))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        self.again.clone_request(request)
    }
}

impl<B: Clone> Default for RetryPolicy<B> {
    fn default() -> Self {
        Self::new()
    }
}

/// Clones share the budget.
impl<B> Clone for RetryPolicy<B> {
    fn clone(&self) -> Self {
        Self {
            again: self.again,
            connect: self.connect,
            status: self.status,
            retriable_status_codes: Arc::clone(&self.retriable_status_codes),
            connect_failure: self.connect_failure,
            jitter: self.jitter,
            budget: self.budget.clone(),
        }
    }
}

impl<B> fmt::Debug for RetryPolicy<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("connect_retries", &self.connect.left)
            .field("status_code_retries", &self.status.left)
            .field("retriable_status_codes", &self.retriable_status_codes)
            .finish_non_exhaustive()
    }
}
