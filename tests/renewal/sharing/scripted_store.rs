//! A store that is late, fails, loses what it has, or answers garbage.

use std::{
    fmt,
    future::{Future, pending},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::sleep;
use tower_keystone::{
    BoxError,
    store::{EntryName, LeaseOwner, MemoryStore, StoreFuture, TokenStore, Version},
};

/// A store that behaves as a test says. Clones share their state.
#[derive(Clone)]
pub(super) struct ScriptedStore(Arc<Mutex<State>>);

struct State {
    inner: MemoryStore,
    behaviour: Behaviour,
    /// The names of the methods that were called.
    calls: Vec<&'static str>,
}

/// How a store behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    Works,
    /// Each answer takes this long.
    Late(Duration),
    /// All calls fail.
    Fails,
    /// The calls of this method fail.
    FailsTo(&'static str),
    /// The calls of this method are done, but there is no answer.
    LosesAnswersTo(&'static str),
    /// No call is answered.
    Stuck,
    /// Each record is garbage.
    Garbage,
    /// Somebody else holds all leases for ever.
    LeasesTaken,
    /// Nothing is replaced.
    PublishesNothing,
}

impl ScriptedStore {
    pub(super) fn new() -> Self {
        let inner = MemoryStore::new();
        Self(Arc::new(Mutex::new(State { inner, behaviour: Behaviour::Works, calls: Vec::new() })))
    }

    pub(super) fn set(&self, behaviour: Behaviour) {
        self.0.lock().unwrap().behaviour = behaviour;
    }

    /// Loses all that was stored.
    pub(super) fn lose_all(&self) {
        self.0.lock().unwrap().inner = MemoryStore::new();
    }

    /// Returns and forgets the names of the methods that were called.
    pub(super) fn take_calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap().calls)
    }

    fn call<'a, T: Send + 'a, A: Future<Output = Result<T, BoxError>> + Send + 'a>(
        &self,
        method: &'static str,
        call: impl FnOnce(MemoryStore) -> A,
    ) -> StoreFuture<'a, T> {
        let (store, behaviour) = {
            let mut state = self.0.lock().unwrap();
            state.calls.push(method);
            (state.inner.clone(), state.behaviour)
        };
        let answer = call(store);
        Box::pin(async move {
            match behaviour {
                Behaviour::Late(time) => sleep(time).await,
                Behaviour::Fails => return Err("the store is away".into()),
                Behaviour::FailsTo(failing) if failing == method => return Err("the store is away".into()),
                Behaviour::LosesAnswersTo(lost) if lost == method => {
                    answer.await?;
                    return pending().await;
                }
                Behaviour::Stuck => return pending().await,
                _ => {}
            }
            answer.await
        })
    }
}

impl TokenStore for ScriptedStore {
    fn get<'a>(&'a self, name: &'a EntryName) -> StoreFuture<'a, Option<Vec<u8>>> {
        if self.0.lock().unwrap().behaviour == Behaviour::Garbage {
            return Box::pin(async { Ok(Some(b"not a record".to_vec())) });
        }
        self.call("get", move |store| async move { store.get(name).await })
    }

    fn publish<'a>(
        &'a self,
        name: &'a EntryName,
        seen: Option<&'a Version>,
        record: &'a [u8],
        time_to_live: Duration,
    ) -> StoreFuture<'a, bool> {
        if self.0.lock().unwrap().behaviour == Behaviour::PublishesNothing {
            self.0.lock().unwrap().calls.push("publish");
            return Box::pin(async { Ok(false) });
        }
        self.call(
            "publish",
            move |store| async move { store.publish(name, seen, record, time_to_live).await },
        )
    }

    fn lease<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        if self.0.lock().unwrap().behaviour == Behaviour::LeasesTaken {
            return Box::pin(async { Ok(false) });
        }
        self.call("lease", move |store| async move { store.lease(name, owner, term).await })
    }

    fn extend<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        self.call("extend", move |store| async move { store.extend(name, owner, term).await })
    }

    fn release<'a>(&'a self, name: &'a EntryName, owner: &'a LeaseOwner) -> StoreFuture<'a, ()> {
        self.call("release", move |store| async move { store.release(name, owner).await })
    }
}

impl fmt::Debug for ScriptedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScriptedStore")
    }
}
