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

/// Maximum delay that a server can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// A retry policy for failures to connect, and for responses with status 429 or 503.
///
/// - After a failure to connect, a request is retried up to 3 times ([`connect_retries`](Self::connect_retries)). No
///   server has received it, so this is safe for every method. The same applies if the version document that it needs
///   cannot be fetched for now.
/// - After a 429 or a 503, a request is retried up to 3 times ([`status_code_retries`](Self::status_code_retries)).
///   This applies to every method, as in keystoneauth, because with these statuses the server says that it has not
///   processed the request.
///
/// The two kinds are counted separately and have separate delays. The first delay is 0.5 s, and it doubles with each
/// retry, up to 60 s. Each delay is shortened by a random share of up to half, so that many clients do not retry at
/// the same time ([`without_jitter`](Self::without_jitter)).
///
/// If the response has a `Retry-After` header, in seconds or as a date, the policy waits for that time instead, up to
/// 300 s. For jitter, it adds a random time of up to half of the delay that it would have used without the header.
///
/// A [`budget`](Self::budget) limits the retries of all requests together. The default budget allows ten retries per
/// second, plus one for every five successful requests.
///
/// A request is not retried if its body cannot be sent again, or if there is no tokio runtime with time enabled to
/// wait in.
///
/// The policy works for services whose error type is [`BoxError`], such as those with an
/// [`AuthLayer`](crate::AuthLayer). Convert other errors with `map_err(Into::into)`.
///
/// See the [module docs](super) for an example, and for the order with [`ReauthPolicy`](crate::ReauthPolicy).
pub struct RetryPolicy<B> {
    clone_request: CloneRequest<B>,
    connect: Backoff,
    status: Backoff,
    retriable_status_codes: Arc<[StatusCode]>,
    connect_failure: fn(&(dyn StdError + 'static)) -> bool,
    has_jitter: bool,
    budget: RetryBudget,
}

impl<B: Clone> RetryPolicy<B> {
    /// Creates a policy for request bodies that are `Clone`.
    pub fn new() -> Self {
        Self::from_clone_request(CloneRequest::for_clone_body())
    }
}

impl<B: Body> RetryPolicy<ReplayBody<B>> {
    /// Creates a policy for request bodies of type [`ReplayBody`].
    pub fn replaying() -> Self {
        Self::from_clone_request(CloneRequest::for_replay_body())
    }
}

impl<B> RetryPolicy<B> {
    /// Creates a policy that clones request bodies with `clone_body`.
    ///
    /// The function is called before each attempt with the body of that attempt, and returns the body for a retry. If
    /// it returns `None`, the attempt is not retried.
    pub fn with_clone_body(clone_body: fn(&B) -> Option<B>) -> Self {
        Self::from_clone_request(CloneRequest::with_clone_body(clone_body))
    }

    fn from_clone_request(clone_request: CloneRequest<B>) -> Self {
        Self {
            clone_request,
            connect: Backoff::new(),
            status: Backoff::new(),
            retriable_status_codes: [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].into(),
            connect_failure: |_| false,
            has_jitter: true,
            budget: RetryBudget::default(),
        }
    }

    /// Sets how often a request is retried after failures to connect. Default: 3.
    #[must_use]
    pub fn connect_retries(mut self, retries: u32) -> Self {
        self.connect.retries_left = retries;
        self
    }

    /// Sets how often a request is retried because of the status of its response. Default: 3.
    #[must_use]
    pub fn status_code_retries(mut self, retries: u32) -> Self {
        self.status.retries_left = retries;
        self
    }

    /// Sets the statuses after which a request is retried. Default: 429 and 503.
    #[must_use]
    pub fn retriable_status_codes(mut self, codes: impl IntoIterator<Item = StatusCode>) -> Self {
        self.retriable_status_codes = codes.into_iter().collect();
        self
    }

    /// Sets a fixed delay after failures to connect, which does not double.
    #[must_use]
    pub fn connect_retry_delay(mut self, delay: Duration) -> Self {
        self.connect = self.connect.with_fixed_delay(delay);
        self
    }

    /// Sets a fixed delay after retriable statuses, which does not double.
    ///
    /// It is not used if the response has a `Retry-After` header.
    #[must_use]
    pub fn status_code_retry_delay(mut self, delay: Duration) -> Self {
        self.status = self.status.with_fixed_delay(delay);
        self
    }

    /// Sets a function that recognizes further errors as failures to connect.
    ///
    /// It must return true only if it is certain that no server has received the request. It is called for each error
    /// in the chain of sources.
    ///
    /// The policy itself only recognizes an [`io::Error`] of a kind that cannot come from an established connection
    /// ([`ConnectionRefused`](io::ErrorKind::ConnectionRefused),
    /// [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable)). Your HTTP client recognizes others, such as an
    /// unreachable host, a name that cannot be resolved or a timeout:
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
    /// In this example, TLS failures are failures to connect too. keystoneauth does not retry them.
    ///
    /// The function is not called for an error of this crate ([`Error`]), wrapped or not. Such an error is a failure to
    /// connect only if it is a transient [`DiscoveryFailure`](crate::error::DiscoveryFailure) of a service. If it says
    /// that Keystone cannot be reached, the plugin has already retried for as long as a request may wait
    /// ([`RenewalPolicy::wait_timeout`](crate::RenewalPolicy::wait_timeout)).
    #[must_use]
    pub fn connect_failure(mut self, predicate: fn(&(dyn StdError + 'static)) -> bool) -> Self {
        self.connect_failure = predicate;
        self
    }

    /// Disables the jitter of the delays.
    ///
    /// By default, the random numbers come from the `fastrand` generator of the thread.
    #[must_use]
    pub fn without_jitter(mut self) -> Self {
        self.has_jitter = false;
        self
    }

    /// Sets the budget that limits the retries of all requests together.
    ///
    /// Several policies can share a budget. They have to if you build a new stack for each request, because a budget
    /// for a single request would limit nothing.
    ///
    /// ```
    /// use std::time::Duration;
    /// use bytes::Bytes;
    /// use http_body_util::Full;
    /// use tower_keystone::{RetryPolicy, retry::RetryBudget};
    ///
    /// // Two retries per second, plus one for every ten successful requests in the last ten seconds.
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
        match Error::find(error) {
            Some(Error::DiscoveryFailure(failure)) => return failure.is_transient() && !failure.is_login(),
            Some(_) => return false,
            None => {}
        }
        let mut next = Some(error);
        while let Some(error) = next {
            let io = error.downcast_ref::<io::Error>();
            if io.is_some_and(|io| is_connect_failure_kind(io.kind())) || (self.connect_failure)(error) {
                return true;
            }
            // `source` of an I/O error skips the error that it wraps.
            let inner = io.and_then(io::Error::get_ref).map(|inner| inner as &(dyn StdError + 'static));
            next = inner.or_else(|| error.source());
        }
        false
    }
}

fn is_connect_failure_kind(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused};
    // Not HostUnreachable and NetworkUnreachable: an established connection, on which data was sent, can fail with
    // them.
    matches!(kind, AddrNotAvailable | ConnectionRefused)
}

impl<B, ResBody> Policy<Request<B>, Response<ResBody>, BoxError> for RetryPolicy<B> {
    type Future = RetryDelay;

    fn retry(
        &mut self,
        request: &mut Request<B>,
        result: &mut Result<Response<ResBody>, BoxError>,
    ) -> Option<RetryDelay> {
        let (backoff, requested_delay) = match result {
            Ok(response) if self.retriable_status_codes.contains(&response.status()) => {
                (&mut self.status, retry_after(response.headers(), SystemTime::now()))
            }
            Ok(_) => {
                self.budget.deposit();
                return None;
            }
            Err(error) if self.is_connect_failure(&**error) => {
                let requested_delay = Error::find(&**error).and_then(Error::retry_after);
                (&mut self.connect, requested_delay)
            }
            Err(_) => return None,
        };
        let random = self.has_jitter.then(fastrand::f64);
        let delay = match requested_delay {
            Some(requested) => backoff.requested_delay(requested.min(MAX_RETRY_AFTER), random)?,
            None => backoff.next_delay(random)?,
        };
        let is_possible = self.clone_request.can_send(request) && runtime().is_ok();
        // The body is taken over last: if there is no retry, the current attempt may still have to read it.
        let retries = is_possible && self.budget.withdraw() && self.clone_request.take_over_body(request);
        retries.then(|| RetryDelay::new(delay))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        self.clone_request.try_clone(request)
    }
}

impl<B: Clone> Default for RetryPolicy<B> {
    fn default() -> Self {
        Self::new()
    }
}

/// Clones share the [budget](RetryPolicy::budget).
impl<B> Clone for RetryPolicy<B> {
    fn clone(&self) -> Self {
        Self {
            clone_request: self.clone_request,
            connect: self.connect,
            status: self.status,
            retriable_status_codes: Arc::clone(&self.retriable_status_codes),
            connect_failure: self.connect_failure,
            has_jitter: self.has_jitter,
            budget: self.budget.clone(),
        }
    }
}

impl<B> fmt::Debug for RetryPolicy<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("connect_retries", &self.connect.retries_left)
            .field("status_code_retries", &self.status.retries_left)
            .field("retriable_status_codes", &self.retriable_status_codes)
            .finish_non_exhaustive()
    }
}
