use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// The upper ends of the buckets of latencies, in milliseconds.
const BUCKETS: [u64; 10] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000];

/// A handle to the metrics of a [`ValidateTokenLayer`](super::ValidateTokenLayer).
///
/// Clones share the metrics. [`snapshot`](Self::snapshot) reads them.
#[derive(Clone)]
pub struct ValidationMetrics(Arc<Metrics>);

struct Metrics {
    hits: AtomicU64,
    misses: AtomicU64,
    unknown_hits: AtomicU64,
    coalesced: AtomicU64,
    valid: AtomicU64,
    unknown: AtomicU64,
    unavailable: AtomicU64,
    background: AtomicU64,
    store_hits: AtomicU64,
    refused: AtomicU64,
    in_flight: AtomicUsize,
    waiting: AtomicUsize,
    latency_sum: AtomicU64,
    latency_max: AtomicU64,
    latency_buckets: [AtomicU64; BUCKETS.len() + 1],
    rejections: [AtomicU64; RejectionCause::COUNT],
    cache_size: Mutex<CacheSize>,
}

/// Returns the number of cached tokens and their memory.
type CacheSize = Arc<dyn Fn() -> (usize, u64) + Send + Sync>;

/// The metrics of a [`ValidateTokenLayer`](super::ValidateTokenLayer) at one moment.
///
/// All counts are since the layer was created.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetricsSnapshot {
    /// Tokens that were found in the cache of valid tokens.
    pub hits: u64,
    /// Tokens about which nothing usable was cached, so that Keystone had to be asked.
    pub misses: u64,
    /// Tokens that were found in the cache and are not valid: unknown, or expired since.
    pub unknown_hits: u64,
    /// Misses that waited for a validation that was in flight already.
    pub coalesced: u64,
    /// Validations that Keystone has confirmed.
    pub valid: u64,
    /// Validations of tokens that Keystone does not know, or that have expired.
    pub unknown: u64,
    /// Validations that failed because Keystone was unavailable.
    pub unavailable: u64,
    /// Validations that were made in the background, before the cached token was too old. Their outcome is counted too.
    pub background: u64,
    /// Validations that were taken from the shared store, so that Keystone was not asked. They are not counted as
    /// `valid` or `unknown`.
    pub store_hits: u64,
    /// Misses that got no validation because too many were in flight or waited.
    pub refused: u64,
    /// Validations in flight now. They may still wait for their turn.
    pub in_flight: usize,
    /// Requests that wait for a validation now.
    pub waiting: usize,
    /// How long Keystone took to answer.
    pub latency: LatencySnapshot,
    /// Valid tokens that are cached now.
    pub cached_tokens: usize,
    /// Estimated memory of these tokens, in bytes.
    pub cached_bytes: u64,
    /// Requests that were rejected, by cause.
    pub rejections: RejectionCounts,
}

/// How long Keystone took to answer: from the question to the end of the response, repeats and logins included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LatencySnapshot {
    /// The number of questions.
    pub count: u64,
    /// The sum of all times.
    pub sum: Duration,
    /// The longest time.
    pub max: Duration,
    /// The number of questions that took at most this long, in ascending order. Each includes the ones before it.
    pub buckets: Vec<(Duration, u64)>,
}

/// The number of requests that [`ValidateToken`](super::ValidateToken) has rejected, by cause.
///
/// Requests that [`delay_auth_decision`](super::ValidateTokenLayer::delay_auth_decision) lets through are not counted,
/// and neither is a 403 of [`RequireLayer`](super::RequireLayer) or a rejection by an extractor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RejectionCounts {
    /// The request had no token.
    pub no_token: u64,
    /// The token was malformed or too long, or there were several.
    pub malformed_token: u64,
    /// Keystone does not know the token.
    pub unknown_token: u64,
    /// The token has expired.
    pub expired_token: u64,
    /// The service token was invalid, or lacked the role.
    pub service_token: u64,
    /// The access rules of the token do not allow the request.
    pub access_rules: u64,
    /// The token is bound to another certificate, or to none.
    pub certificate: u64,
    /// Keystone was unavailable, or too many validations were in flight or waiting.
    pub unavailable: u64,
}

/// Why a request was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RejectionCause {
    NoToken,
    MalformedToken,
    UnknownToken,
    ExpiredToken,
    ServiceToken,
    AccessRules,
    Certificate,
    Unavailable,
}

impl RejectionCause {
    const COUNT: usize = 8;
}

/// How a validation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValidationResult {
    Valid,
    Unknown,
    Unavailable,
}

impl ValidationMetrics {
    /// Creates metrics of a cache that is empty until [`set_cache_size`](Self::set_cache_size) is called.
    pub(super) fn new() -> Self {
        Self(Arc::new(Metrics {
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            unknown_hits: AtomicU64::new(0),
            coalesced: AtomicU64::new(0),
            valid: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            unavailable: AtomicU64::new(0),
            background: AtomicU64::new(0),
            store_hits: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            latency_sum: AtomicU64::new(0),
            latency_max: AtomicU64::new(0),
            latency_buckets: Default::default(),
            rejections: Default::default(),
            cache_size: Mutex::new(Arc::new(|| (0, 0))),
        }))
    }

    /// Sets the function that returns the size of the cache.
    pub(super) fn set_cache_size(&self, cache_size: impl Fn() -> (usize, u64) + Send + Sync + 'static) {
        *self.0.cache_size.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(cache_size);
    }

    /// Returns the metrics at this moment.
    ///
    /// It takes time in proportion to the number of cached tokens, so call it a few times a minute at most.
    pub fn snapshot(&self) -> MetricsSnapshot {
        let metrics = &*self.0;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [no_token, malformed, unknown, expired, service, rules, certificate, unavailable] =
            metrics.rejections.each_ref().map(get);
        let cache_size = Arc::clone(&metrics.cache_size.lock().unwrap_or_else(PoisonError::into_inner));
        let (cached_tokens, cached_bytes) = cache_size();
        MetricsSnapshot {
            hits: get(&metrics.hits),
            misses: get(&metrics.misses),
            unknown_hits: get(&metrics.unknown_hits),
            coalesced: get(&metrics.coalesced),
            valid: get(&metrics.valid),
            unknown: get(&metrics.unknown),
            unavailable: get(&metrics.unavailable),
            background: get(&metrics.background),
            store_hits: get(&metrics.store_hits),
            refused: get(&metrics.refused),
            in_flight: metrics.in_flight.load(Ordering::Relaxed),
            waiting: metrics.waiting.load(Ordering::Relaxed),
            latency: metrics.latency(),
            cached_tokens,
            cached_bytes,
            rejections: RejectionCounts {
                no_token,
                malformed_token: malformed,
                unknown_token: unknown,
                expired_token: expired,
                service_token: service,
                access_rules: rules,
                certificate,
                unavailable,
            },
        }
    }

    #[inline]
    pub(super) fn record_hit(&self) {
        increment(&self.0.hits);
    }

    pub(super) fn record_unknown_hit(&self) {
        increment(&self.0.unknown_hits);
    }

    pub(super) fn record_miss(&self) {
        increment(&self.0.misses);
    }

    pub(super) fn record_coalesced(&self) {
        increment(&self.0.coalesced);
    }

    pub(super) fn record_refused(&self) {
        increment(&self.0.refused);
    }

    pub(super) fn record_background(&self) {
        increment(&self.0.background);
    }

    #[cfg(feature = "store")]
    pub(super) fn record_store_hit(&self) {
        increment(&self.0.store_hits);
    }

    pub(super) fn record_result(&self, result: ValidationResult) {
        increment(match result {
            ValidationResult::Valid => &self.0.valid,
            ValidationResult::Unknown => &self.0.unknown,
            ValidationResult::Unavailable => &self.0.unavailable,
        });
    }

    pub(super) fn record_latency(&self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.0.latency_sum.fetch_add(nanos, Ordering::Relaxed);
        self.0.latency_max.fetch_max(nanos, Ordering::Relaxed);
        let bucket = BUCKETS.iter().position(|&end| latency <= Duration::from_millis(end));
        if let Some(bucket) = self.0.latency_buckets.get(bucket.unwrap_or(BUCKETS.len())) {
            increment(bucket);
        }
    }

    /// Counts a request that was rejected.
    pub(super) fn record_rejection(&self, cause: RejectionCause) {
        if let Some(counter) = self.0.rejections.get(cause as usize) {
            increment(counter);
        }
    }

    /// Counts a validation in flight until the result is dropped.
    pub(super) fn enter_flight(&self) -> Entered {
        Entered::new(self, |metrics| &metrics.in_flight)
    }

    /// Counts a request that waits until the result is dropped.
    pub(super) fn enter_wait(&self) -> Entered {
        Entered::new(self, |metrics| &metrics.waiting)
    }
}

impl Metrics {
    fn latency(&self) -> LatencySnapshot {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(BUCKETS.len());
        for (index, bucket) in self.latency_buckets.iter().enumerate() {
            count += bucket.load(Ordering::Relaxed);
            if let Some(&end) = BUCKETS.get(index) {
                buckets.push((Duration::from_millis(end), count));
            }
        }
        LatencySnapshot {
            count,
            sum: Duration::from_nanos(self.latency_sum.load(Ordering::Relaxed)),
            max: Duration::from_nanos(self.latency_max.load(Ordering::Relaxed)),
            buckets,
        }
    }
}

#[inline]
fn increment(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Something that is counted until this is dropped.
pub(super) struct Entered {
    metrics: ValidationMetrics,
    gauge: fn(&Metrics) -> &AtomicUsize,
}

impl Entered {
    fn new(metrics: &ValidationMetrics, gauge: fn(&Metrics) -> &AtomicUsize) -> Self {
        gauge(&metrics.0).fetch_add(1, Ordering::Relaxed);
        Self { metrics: metrics.clone(), gauge }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        (self.gauge)(&self.metrics.0).fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for ValidationMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ValidationMetrics").field(&self.snapshot()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_counted_in_buckets() {
        let metrics = ValidationMetrics::new();
        metrics.set_cache_size(|| (3, 4_096));
        for millis in [1, 5, 6, 2_500, 9_000] {
            metrics.record_latency(Duration::from_millis(millis));
        }
        let snapshot = metrics.snapshot();
        assert_eq!((snapshot.cached_tokens, snapshot.cached_bytes), (3, 4_096));
        let LatencySnapshot { count, sum, max, buckets } = snapshot.latency;
        assert_eq!((count, sum, max), (5, Duration::from_millis(11_512), Duration::from_millis(9_000)));
        let counts: Vec<_> = buckets.into_iter().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 3, 3, 3, 3, 3, 3, 3, 4, 4]);
    }

    #[test]
    fn each_cause_of_a_rejection_has_its_counter() {
        use RejectionCause::*;
        let metrics = ValidationMetrics::new();
        let causes = [
            NoToken,
            MalformedToken,
            UnknownToken,
            ExpiredToken,
            ServiceToken,
            AccessRules,
            Certificate,
            Unavailable,
        ];
        for (times, cause) in (1..).zip(causes) {
            (0..times).for_each(|_| metrics.record_rejection(cause));
        }
        let expected = RejectionCounts {
            no_token: 1,
            malformed_token: 2,
            unknown_token: 3,
            expired_token: 4,
            service_token: 5,
            access_rules: 6,
            certificate: 7,
            unavailable: 8,
        };
        assert_eq!(metrics.snapshot().rejections, expected);
    }

    #[test]
    fn gauges_go_down_again() {
        let metrics = ValidationMetrics::new();
        let entered = (metrics.enter_flight(), metrics.enter_wait(), metrics.enter_wait());
        assert_eq!((metrics.snapshot().in_flight, metrics.snapshot().waiting), (1, 2));
        drop(entered);
        assert_eq!((metrics.snapshot().in_flight, metrics.snapshot().waiting), (0, 0));
    }
}
