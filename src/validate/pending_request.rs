//! A request whose tokens are not validated yet.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Request;
use tower_service::Service;

use super::{
    Rejection,
    admit::{admit, reject},
    decide::{TokenResults, decide},
    shared::Shared,
    validating::Validating,
};
/// A request that waits for the validation of its tokens, and then for the inner service to be ready.
///
/// While it waits for the validation, it does not hold the readiness of the inner service.
pub(super) struct PendingRequest<S, F, B> {
    state: State,
    request: Request<B>,
    inner: S,
    respond: F,
    shared: Arc<Shared>,
}

enum State {
    Validating(Validating),
    /// Waits until the inner service is ready.
    NotReady(TokenResults),
}

impl<S, F, B> PendingRequest<S, F, B> {
    /// `inner` must not have been polled ready.
    pub(super) fn new(
        validating: Validating,
        request: Request<B>,
        inner: S,
        respond: F,
        shared: Arc<Shared>,
    ) -> Self {
        Self { state: State::Validating(validating), request, inner, respond, shared }
    }

    pub(super) fn respond(&self) -> &F {
        &self.respond
    }
}

impl<S, F, B> PendingRequest<S, F, B>
where
    S: Service<Request<B>>,
{
    /// Resolves when the request can be sent to the inner service, or is rejected.
    pub(super) fn poll_decided(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Result<(), Rejection>, S::Error>> {
        loop {
            match &mut self.state {
                State::Validating(validating) => {
                    let results = ready!(validating.poll(cx, &self.request, &self.shared));
                    let settings = &self.shared.settings;
                    let decided = decide(results.clone(), &self.shared.facts(&self.request), settings);
                    if let Some(reason) = decided.refusal(settings) {
                        return Poll::Ready(Ok(Err(reject(reason, &self.request, &self.shared))));
                    }
                    self.state = State::NotReady(results);
                }
                State::NotReady(results) => {
                    ready!(self.inner.poll_ready(cx))?;
                    // The token may have expired meanwhile.
                    return Poll::Ready(Ok(admit(&mut self.request, results.clone(), &self.shared)));
                }
            }
        }
    }

    /// Sends the request to the inner service, which must be ready.
    pub(super) fn send(mut self) -> (S::Future, Arc<Shared>) {
        (self.inner.call(self.request), self.shared)
    }
}
