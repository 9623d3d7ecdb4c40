//! The part of tokio that the crate uses, scheduled by the model checker.
//!
//! `shuttle-tokio` provides most of it. This crate adds the shutdown of a runtime, which drops its tasks, and tasks
//! that may panic without ending the scenario.

/// Not scheduled by the checker. The crate needs it to build, but no scenario uses it.
pub use real_tokio::task;
pub use shuttle_tokio::{sync, time};

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
