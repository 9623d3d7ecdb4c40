//! What the crate needs of tokio, scheduled by the model checker.
//!
//! `shuttle-tokio` has all of it but the end of a runtime, which drops the tasks that run in it, and the
//! end of a task that panics, which is nobody else's.

/// Not scheduled by the checker: what of the crate asks for it is built, but is in no scenario.
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

    /// Ends the runtime, as if it had been dropped: its tasks go no further. The next task is in a new one.
    pub fn shut_down() {
        TASKS.lock().unwrap().drain(..).for_each(|task| task.abort());
    }

    /// The runtime, of which there always is one.
    pub struct Handle(());

    impl Handle {
        pub fn try_current() -> Result<Self, TryCurrentError> {
            Ok(Self(()))
        }

        /// Runs a task, and gives a handle to end it.
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
