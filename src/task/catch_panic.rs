//! Turns panics of code outside this crate into errors.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

/// The error of code that panicked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panicked;

/// Calls a function and returns an error if it panics.
pub(crate) fn catch_panic<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_: Box<dyn Any + Send>| Panicked)
}

/// A future that resolves to an error if the inner future panics, while it is polled or dropped.
pub(crate) struct CatchPanic<'a, T>(Option<BoxFuture<'a, T>>);

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl<'a, T> CatchPanic<'a, T> {
    /// Wraps the future that a function returns. A panic of the function is caught too.
    pub(crate) fn new(make_future: impl FnOnce() -> BoxFuture<'a, T>) -> Self {
        Self(catch_panic(make_future).ok())
    }
}

impl<T> Future for CatchPanic<'_, T> {
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

impl<T> Drop for CatchPanic<'_, T> {
    fn drop(&mut self) {
        let future = self.0.take();
        let _ = catch_panic(|| drop(future));
    }
}
