use std::{fmt, sync::Arc, time::Duration};

use tower::retry::budget::{Budget, TpsBudget};

/// A limit on the retries of all requests together. Clones share it.
///
/// See [`RetryPolicy::budget`](super::RetryPolicy::budget) for an example.
#[derive(Clone, Default)]
pub struct RetryBudget(Arc<TpsBudget>);

impl RetryBudget {
    /// Allows `min_per_second` retries in each second, and retries of `share` (0.1 is a tenth) of the requests that
    /// succeeded within the last `window`, which is from 1 s to 60 s. The default is 10 s, 10 and 0.2.
    ///
    /// # Panics
    ///
    /// If an argument is out of range: `window` as above, `share` from 0 to 1000.
    pub fn new(window: Duration, min_per_second: u32, share: f32) -> Self {
        Self(Arc::new(TpsBudget::new(window, min_per_second, share)))
    }

    /// Records a request that succeeded.
    pub(super) fn deposit(&self) {
        self.0.deposit();
    }

    /// Takes a retry out of the budget. Returns whether there was one.
    pub(super) fn withdraw(&self) -> bool {
        self.0.withdraw()
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RetryBudget")
    }
}
