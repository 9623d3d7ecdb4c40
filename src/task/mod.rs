//! Background tasks and timers on tokio.

use std::time::Duration;

use tokio::{runtime::Handle, time::sleep};

use crate::Error;

mod catch_panic;
#[cfg(any(feature = "federation", feature = "store"))]
mod either;
mod single_flight;
mod timer;

pub(crate) use catch_panic::{CatchPanic, Panicked, catch_panic};
#[cfg(any(feature = "federation", feature = "store"))]
pub(crate) use either::{Either, either};
pub(crate) use single_flight::{SingleFlight, Start, Waited};
pub(crate) use timer::Timer;

/// Returns the tokio runtime of the caller.
///
/// # Errors
///
/// [`Error::NoRuntime`] outside of a runtime, and in a runtime that was built without `enable_time`.
pub(crate) fn runtime() -> Result<Handle, Error> {
    let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
    // Tokio has no way to ask whether time is enabled, but a timer panics if it is not.
    catch_panic(|| drop(sleep(Duration::ZERO))).map_err(|_| Error::NoRuntime)?;
    Ok(runtime)
}
