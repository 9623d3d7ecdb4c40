use std::{
    future::{Future, poll_fn},
    mem,
    pin::pin,
    sync::Arc,
    task::Poll,
};

use super::{AccessFuture, ServiceAccess};
use crate::Error;

type Accesses = (Arc<ServiceAccess>, Arc<ServiceAccess>);

/// Returns the accesses if both are ready. Otherwise returns the futures of those that are not ready.
#[inline]
pub(crate) fn both_ready(
    (first, second): (AccessFuture, AccessFuture),
) -> Result<Accesses, (Option<AccessFuture>, Option<AccessFuture>)> {
    match (first.into_ready(), second.into_ready()) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (first, second) => Err((first.err(), second.err())),
    }
}

/// Waits for both accesses concurrently, and fails as soon as one of them does.
///
/// Then it calls `accesses` and returns the accesses that are current then, because one may expire or be invalidated
/// while the other is obtained.
pub(crate) async fn both(
    pending: (Option<AccessFuture>, Option<AccessFuture>),
    accesses: impl Fn() -> (AccessFuture, AccessFuture),
) -> Result<Accesses, Error> {
    join(wait(pending.0), wait(pending.1)).await?;
    let (first, second) = accesses();
    join(first, second).await
}

async fn join<T>(
    first: impl Future<Output = Result<T, Error>>,
    second: impl Future<Output = Result<T, Error>>,
) -> Result<(T, T), Error> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let mut results = (None, None);
    poll_fn(|cx| {
        if results.0.is_none()
            && let Poll::Ready(access) = first.as_mut().poll(cx)
        {
            results.0 = Some(access?);
        }
        if results.1.is_none()
            && let Poll::Ready(access) = second.as_mut().poll(cx)
        {
            results.1 = Some(access?);
        }
        match mem::take(&mut results) {
            (Some(first), Some(second)) => Poll::Ready(Ok((first, second))),
            incomplete => {
                results = incomplete;
                Poll::Pending
            }
        }
    })
    .await
}

/// Waits for an access that is not ready yet, and drops it.
async fn wait(pending: Option<AccessFuture>) -> Result<(), Error> {
    match pending {
        Some(access) => access.await.map(drop),
        None => Ok(()),
    }
}
