//! Turns panics of code from outside this crate into errors.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

/// The code of others panicked, and the panic was caught.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panicked;

/// Runs code of others, whose panic is an error.
pub(crate) fn catch_panic<T>(others: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(others)).map_err(|_: Box<dyn Any + Send>| Panicked)
}

/// A future of others. Its panics are errors, whether it is polled or dropped.
pub(crate) struct CatchPanic<T>(Option<BoxFuture<T>>);

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<T> CatchPanic<T> {
    /// Catches the panics of `make` too.
    pub(crate) fn new(make: impl FnOnce() -> BoxFuture<T>) -> Self {
        Self(catch_panic(make).ok())
    }
}

impl<T> Future for CatchPanic<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.0 else { return Poll::Ready(Err(Panicked)) };
        let output = match catch_panic(|| future.as_mut().poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panicked) => Err(panicked),
        };
        let future = self.0.take();
        let dropped = catch_panic(|| drop(future));
        Poll::Ready(output.and_then(|output| dropped.map(|()| output)))
    }
}

impl<T> Drop for CatchPanic<T> {
    fn drop(&mut self) {
        let future = self.0.take();
        let _ = catch_panic(|| drop(future));
    }
}
