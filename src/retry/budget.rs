use std::{fmt, sync::Arc, time::Duration};

use tower::retry::budget::{Budget, TpsBudget};

/// A limit on the retries of all requests together.
///
/// Clones share the limit.
///
/// See [`RetryPolicy::budget`](super::RetryPolicy::budget) for an example.
#[derive(Clone, Default)]
pub struct RetryBudget(Arc<TpsBudget>);

impl RetryBudget {
    /// Creates a budget that allows `min_per_second` retries per second, plus a share of the requests.
    ///
    /// The share is relative to the successful requests of the last `window`: with a `share` of 0.1, one retry is
    /// allowed for ten of them. A request counts as successful if it gets a response whose status is not retried.
    ///
    /// The default budget is `RetryBudget::new(Duration::from_secs(10), 10, 0.2)`.
    ///
    /// # Panics
    ///
    /// Panics if `window` is not from 1 s to 60 s, `share` is not from 0 to 1000, or `min_per_second` is not less than
    /// [`i32::MAX`].
    pub fn new(window: Duration, min_per_second: u32, share: f32) -> Self {
        Self(Arc::new(TpsBudget::new(window, min_per_second, share)))
    }

    /// Records a successful request.
    pub(super) fn deposit(&self) {
        self.0.deposit();
    }

    /// Takes one retry from the budget. Returns whether one was left.
    pub(super) fn withdraw(&self) -> bool {
        self.0.withdraw()
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RetryBudget")
    }
}
