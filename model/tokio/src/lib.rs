//! The part of tokio that the crate uses, scheduled by the model checker.
//!
//! `shuttle-tokio` provides most of it. This crate adds the shutdown of a runtime, which drops its tasks, tasks that may
//! panic without ending the scenario, and a clock that stands still.

/// Not scheduled by the checker. The crate needs it to build, but no scenario uses it.
pub use real_tokio::task;
pub use shuttle_tokio::sync;

pub mod time {
    use std::{
        ops::Add,
        time::{Duration, Instant as RealInstant},
    };

    pub use shuttle_tokio::time::{clear_triggers, sleep, timeout, trigger_timeouts};

    /// A moment of a clock that stands still, so that a run can be repeated.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Instant(RealInstant);

    impl Instant {
        pub fn now() -> Self {
            static NOW: std::sync::LazyLock<RealInstant> = std::sync::LazyLock::new(RealInstant::now);
            Self(*NOW)
        }

        pub fn elapsed(&self) -> Duration {
            Self::now().0.saturating_duration_since(self.0)
        }

        pub fn duration_since(&self, earlier: Self) -> Duration {
            self.0.saturating_duration_since(earlier.0)
        }

        pub fn saturating_duration_since(&self, earlier: Self) -> Duration {
            self.0.saturating_duration_since(earlier.0)
        }

        pub fn checked_add(&self, duration: Duration) -> Option<Self> {
            self.0.checked_add(duration).map(Self)
        }

        pub fn into_std(self) -> RealInstant {
            self.0
        }
    }

    impl Add<Duration> for Instant {
        type Output = Self;

        fn add(self, duration: Duration) -> Self {
            Self(self.0 + duration)
        }
    }
}

pub mod runtime {
    use std::{
        future::{Future, poll_fn},
        panic::{AssertUnwindSafe, catch_unwind},
        pin::pin,
        task::Poll,
    };

    use shuttle::{
        future::{self, AbortHandle},
        sync::Mutex,
    };
    pub use shuttle_tokio::runtime::TryCurrentError;

    shuttle::lazy_static! {
        static ref TASKS: Mutex<Vec<AbortHandle>> = Mutex::new(Vec::new());
    }

    /// Aborts all tasks, as if their runtime had been dropped. Later tasks run in a new one.
    pub fn shut_down() {
        TASKS.lock().unwrap().drain(..).for_each(|task| task.abort());
    }

    /// A handle to the current runtime. There always is one.
    pub struct Handle(());

    impl Handle {
        pub fn try_current() -> Result<Self, TryCurrentError> {
            Ok(Self(()))
        }

        /// Not scheduled by the checker. The crate needs it to build, but no scenario uses it.
        pub fn spawn_blocking<T: Send + 'static>(
            &self,
            call: impl FnOnce() -> T + Send + 'static,
        ) -> real_tokio::task::JoinHandle<T> {
            real_tokio::task::spawn_blocking(call)
        }

        /// Spawns a task, and returns a handle to abort it.
        pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
            let task = future::spawn(async {
                let mut task = pin!(task);
                poll_fn(|cx| {
                    let poll = || task.as_mut().poll(cx);
                    catch_unwind(AssertUnwindSafe(poll)).unwrap_or(Poll::Ready(()))
                })
                .await;
            });
            let handle = task.abort_handle();
            TASKS.lock().unwrap().push(handle.clone());
            handle
        }
    }
}
