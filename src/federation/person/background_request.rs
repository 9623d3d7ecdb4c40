use std::{future::Future, time::Duration};

use tokio::time::timeout;

use crate::{
    Error,
    error::{FederatedLoginFailed, LoginStep},
    task::{SingleFlight, Waited, runtime},
};

/// Maximum time for one request.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum time to wait for the task of a request. It ends earlier, unless nothing drives its runtime.
const MAX_WAIT: Duration = Duration::from_secs(40);

/// A request in the background, whose response is kept if the future that waits for it is dropped.
///
/// The response may contain a token that the server issues only once.
pub(in crate::federation) struct BackgroundRequest<T>(Option<SingleFlight<Result<T, Error>>>);

impl<T: Clone + Send + Sync + 'static> BackgroundRequest<T> {
    pub(in crate::federation) fn new() -> Self {
        Self(None)
    }

    /// Returns whether a request was sent whose response nobody has received.
    pub(in crate::federation) fn is_in_flight(&self) -> bool {
        self.0.is_some()
    }

    /// Waits for the request in flight, or sends one if there is none.
    pub(in crate::federation) async fn response<F>(
        &mut self,
        step: LoginStep,
        send: impl FnOnce() -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let runtime = runtime()?;
        let in_flight = self.0.get_or_insert_with(|| {
            let (in_flight, start) = SingleFlight::new();
            start.run(&runtime, within_timeout(step, send()), || Err(Error::PluginPanicked));
            in_flight
        });
        let waited = in_flight.wait(MAX_WAIT).await;
        if matches!(waited, Waited::NoRuntime) {
            return Err(Error::NoRuntime);
        }
        self.0 = None;
        match waited {
            Waited::Done(result) => result,
            _ => Err(Error::Abandoned),
        }
    }
}

/// Returns an error if there is no response within [`TIMEOUT`].
pub(in crate::federation) async fn within_timeout<T>(
    step: LoginStep,
    request: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(TIMEOUT, request).await.unwrap_or_else(|_| {
        let hint = "there was no response within 30 s; check the network, or try again later";
        Err(FederatedLoginFailed::new(step, "".into(), hint, true).into())
    })
}
