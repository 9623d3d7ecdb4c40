//! The discovery document of a client and its clones.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::ProviderMetadata;
use crate::{
    Error,
    task::{SingleFlight, Waited, runtime},
};

/// The discovery document, which is fetched when it is needed first. Callers that need it at the same time share one
/// request.
#[derive(Default)]
pub(super) struct SharedMetadata(Mutex<State>);

#[derive(Default)]
struct State {
    metadata: Option<Arc<ProviderMetadata>>,
    /// The request in flight, and when it was sent.
    in_flight: Option<(InFlight, Instant)>,
}

type InFlight = SingleFlight<Fetched>;

type Fetched = Result<Arc<ProviderMetadata>, Error>;

/// How long callers wait for a shared request. `fetch` ends earlier: a request that has not ended by then runs on a
/// runtime that is not driven.
const MAX_WAIT: Duration = Duration::from_secs(11);

/// Maximum number of times that a caller starts over because of such a runtime.
const MAX_RESTARTS: usize = 3;

impl SharedMetadata {
    /// Returns the document. If it is not there yet, `fetch` gets it, or the request in flight of another caller. A
    /// failure is not kept.
    pub(super) async fn get_or_fetch<F>(self: &Arc<Self>, fetch: impl Fn() -> F) -> Fetched
    where
        F: Future<Output = Result<ProviderMetadata, Error>> + Send + 'static,
    {
        for _ in 0..=MAX_RESTARTS {
            let in_flight = match self.current_or_start(&fetch)? {
                Ok(metadata) => return Ok(metadata),
                Err(in_flight) => in_flight,
            };
            match in_flight.wait(MAX_WAIT).await {
                Waited::Done(fetched) => return fetched,
                Waited::Lost | Waited::TimedOut => self.remove(&in_flight),
                Waited::NoRuntime => return Err(Error::NoRuntime),
            }
        }
        Err(Error::Abandoned)
    }

    /// Forgets this document, unless another one has replaced it.
    pub(super) fn discard(&self, metadata: &Arc<ProviderMetadata>) {
        self.lock().metadata.take_if(|current| Arc::ptr_eq(current, metadata));
    }

    /// Returns the document, or the request in flight for it, which is started if there is none.
    fn current_or_start<F>(
        self: &Arc<Self>,
        fetch: impl Fn() -> F,
    ) -> Result<Result<Arc<ProviderMetadata>, InFlight>, Error>
    where
        F: Future<Output = Result<ProviderMetadata, Error>> + Send + 'static,
    {
        if let Some(metadata) = &self.lock().metadata {
            return Ok(Ok(Arc::clone(metadata)));
        }
        let runtime = runtime()?;
        let (new, start) = SingleFlight::new();
        let stuck = {
            let mut state = self.lock();
            if let Some(metadata) = &state.metadata {
                return Ok(Ok(Arc::clone(metadata)));
            }
            match &state.in_flight {
                Some((in_flight, sent_at)) if sent_at.elapsed() < MAX_WAIT => {
                    return Ok(Err(in_flight.clone()));
                }
                _ => state.in_flight.replace((new.clone(), Instant::now())),
            }
        };
        // Its result can contain an error from outside this crate, which is not dropped with the lock held.
        drop(stuck);
        let (shared, this, fetching) = (Arc::clone(self), new.clone(), fetch());
        let task = async move {
            let fetched = fetching.await.map(Arc::new);
            shared.settle(&this, &fetched);
            fetched
        };
        let (shared, this) = (Arc::clone(self), new.clone());
        start.run(&runtime, task, move || {
            shared.remove(&this);
            Err(Error::PluginPanicked)
        });
        Ok(Err(new))
    }

    /// Keeps the document that a request has fetched, unless another request has replaced it.
    fn settle(&self, in_flight: &InFlight, fetched: &Fetched) {
        let mut state = self.lock();
        let current = state.in_flight.take_if(|(current, _)| current.is_same(in_flight));
        if let (Some(_), Ok(metadata)) = (&current, fetched) {
            state.metadata = Some(Arc::clone(metadata));
        }
        drop(state);
        drop(current);
    }

    fn remove(&self, in_flight: &InFlight) {
        let removed = self.lock().in_flight.take_if(|(current, _)| current.is_same(in_flight));
        drop(removed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
