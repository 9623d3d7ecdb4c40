//! A store whose behaviour is a function of what it is asked, and the processes that share tokens in it.

use std::{
    collections::BTreeSet,
    fmt,
    future::{Future, pending},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    task::{JoinHandle, JoinSet},
    time::sleep,
};
use tower_keystone::{
    BoxError, Error, IdentityPlugin,
    store::{EntryName, LeaseOwner, MemoryStore, SharedTokens, StoreFuture, StoreKey, TokenStore, Version},
};

use crate::support::*;

/// The operations of a store.
pub(crate) const OPERATIONS: [&str; 5] = ["get", "publish", "lease", "extend", "release"];

/// One question to a store.
pub(crate) struct Call {
    pub(crate) operation: &'static str,
    /// The number of earlier calls of any operation since the behaviour was set.
    pub(crate) number: usize,
}

/// What a store does when it is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    None,
    /// The answer takes this long.
    Late(Duration),
    Fails,
    /// It does what it is asked, but there is no answer.
    LosesAnswer,
    /// Nothing is done, and there is no answer.
    Stuck,
    PanicsAtOnce,
    PanicsLater,
    /// Nothing is done, there is no answer, and dropping the future panics.
    PanicsWhenDropped,
    /// It loses all records and leases first.
    LosesData,
    /// Nothing is done, and this is the answer. `get` returns nothing.
    Answers(bool),
}

/// A store that behaves as a function says. Clones share their state.
#[derive(Clone)]
pub(crate) struct FaultyStore(Arc<Mutex<State>>);

struct State {
    inner: MemoryStore,
    behaviour: Arc<dyn Fn(&Call) -> Fault + Send + Sync>,
    calls: usize,
    names: BTreeSet<EntryName>,
}

impl FaultyStore {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            inner: MemoryStore::new(),
            behaviour: Arc::new(|_| Fault::None),
            calls: 0,
            names: BTreeSet::new(),
        })))
    }

    /// Behaves like this from now on, and counts the calls from 0 again.
    pub(crate) fn set(&self, behaviour: impl Fn(&Call) -> Fault + Send + Sync + 'static) {
        let mut state = self.0.lock().unwrap();
        (state.behaviour, state.calls) = (Arc::new(behaviour), 0);
    }

    /// Has this fault in one operation from now on.
    pub(crate) fn set_in(&self, operation: &'static str, fault: Fault) {
        self.set(move |call| if call.operation == operation { fault } else { Fault::None });
    }

    pub(crate) fn works(&self) {
        self.set(|_| Fault::None);
    }

    /// Returns the number of calls since the behaviour was set.
    pub(crate) fn calls(&self) -> usize {
        self.0.lock().unwrap().calls
    }

    /// Returns the names of all entries that were asked for.
    pub(crate) fn names(&self) -> Vec<EntryName> {
        self.0.lock().unwrap().names.iter().cloned().collect()
    }

    pub(crate) fn lose_data(&self) {
        self.0.lock().unwrap().inner = MemoryStore::new();
    }

    /// Returns the record of a part of the only identity.
    pub(crate) async fn record(&self, part: &str) -> Option<Vec<u8>> {
        let (name, inner) = self.entry(part);
        inner.get(&name).await.unwrap()
    }

    /// Puts a record in a part of the only identity, whatever is there.
    pub(crate) async fn put(&self, part: &str, record: &[u8]) {
        let (name, inner) = self.entry(part);
        let seen = inner.get(&name).await.unwrap().map(|record| Version::from_record(&record));
        assert!(inner.publish(&name, seen.as_ref(), record, seconds(24 * HOUR)).await.unwrap());
    }

    fn entry(&self, part: &str) -> (EntryName, MemoryStore) {
        let names = self.names();
        let identity = names[0].identity();
        assert!(names.iter().all(|name| name.identity() == identity), "one identity");
        (EntryName::parse(&format!("{identity}.{part}")).unwrap(), self.0.lock().unwrap().inner.clone())
    }

    fn call<'a, T: Send + 'a, A: Future<Output = Result<T, BoxError>> + Send + 'a>(
        &self,
        operation: &'static str,
        name: &EntryName,
        answer: impl FnOnce(bool) -> T + Send + 'a,
        call: impl FnOnce(MemoryStore) -> A,
    ) -> StoreFuture<'a, T> {
        let (behaviour, number) = {
            let mut state = self.0.lock().unwrap();
            state.calls += 1;
            state.names.insert(name.clone());
            (Arc::clone(&state.behaviour), state.calls - 1)
        };
        let fault = behaviour(&Call { operation, number });
        match fault {
            Fault::PanicsAtOnce => std::panic::panic_any(EXPECTED_PANIC),
            Fault::PanicsWhenDropped => return Box::pin(PanicsWhenDropped(std::marker::PhantomData)),
            Fault::LosesData => self.lose_data(),
            _ => {}
        }
        let done = call(self.0.lock().unwrap().inner.clone());
        Box::pin(async move {
            match fault {
                Fault::Late(time) => sleep(time).await,
                Fault::Fails => return Err("the store is away".into()),
                Fault::LosesAnswer => {
                    done.await?;
                    return pending().await;
                }
                Fault::Stuck => return pending().await,
                Fault::PanicsLater => std::panic::panic_any(EXPECTED_PANIC),
                Fault::Answers(yes) => return Ok(answer(yes)),
                _ => {}
            }
            done.await
        })
    }
}

struct PanicsWhenDropped<T>(std::marker::PhantomData<fn() -> T>);

impl<T> Future for PanicsWhenDropped<T> {
    type Output = Result<T, BoxError>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

impl<T> Drop for PanicsWhenDropped<T> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            std::panic::panic_any(EXPECTED_PANIC);
        }
    }
}

impl TokenStore for FaultyStore {
    fn get<'a>(&'a self, name: &'a EntryName) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.call("get", name, |_| None, move |store| async move { store.get(name).await })
    }

    fn publish<'a>(
        &'a self,
        name: &'a EntryName,
        seen: Option<&'a Version>,
        record: &'a [u8],
        time_to_live: Duration,
    ) -> StoreFuture<'a, bool> {
        self.call(
            "publish",
            name,
            |yes| yes,
            move |store| async move { store.publish(name, seen, record, time_to_live).await },
        )
    }

    fn lease<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        let call = move |store: MemoryStore| async move { store.lease(name, owner, term).await };
        self.call("lease", name, |yes| yes, call)
    }

    fn extend<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        let call = move |store: MemoryStore| async move { store.extend(name, owner, term).await };
        self.call("extend", name, |yes| yes, call)
    }

    fn release<'a>(&'a self, name: &'a EntryName, owner: &'a LeaseOwner) -> StoreFuture<'a, ()> {
        self.call("release", name, |_| (), move |store| async move { store.release(name, owner).await })
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

/// Shares tokens like another process with the same store.
pub(crate) fn shared(store: &FaultyStore) -> SharedTokens {
    shared_with(store, 7)
}

pub(crate) fn shared_with(store: &FaultyStore, key: u8) -> SharedTokens {
    SharedTokens::new(store.clone(), StoreKey::new([key; 32]))
}

/// Creates the plugin of another process, with random numbers of its own.
pub(crate) fn process(keystone: &ScriptedKeystone, store: &FaultyStore, number: u64) -> Plugin {
    keystone.plugin().seed(number).store(shared(store))
}

/// Creates the plugins of many processes.
pub(crate) fn fleet(keystone: &ScriptedKeystone, store: &FaultyStore, processes: u64) -> Vec<Plugin> {
    (0..processes).map(|number| process(keystone, store, number)).collect()
}

/// Lets all plugins obtain a token at once. Returns what they got, and the time that it took.
pub(crate) async fn tokens(plugins: &[Plugin]) -> (Vec<Result<String, Error>>, Duration) {
    let started = tokio::time::Instant::now();
    let tasks: JoinSet<_> =
        plugins.iter().cloned().map(|plugin| async move { token(&plugin).await }).collect();
    (tasks.join_all().await, started.elapsed())
}

/// Lets all plugins obtain a token at once, and returns the only one that they get.
pub(crate) async fn one_token(plugins: &[Plugin]) -> String {
    let mut tokens: Vec<_> = tokens(plugins).await.0.into_iter().map(Result::unwrap).collect();
    tokens.dedup();
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    tokens.remove(0)
}

/// Rejects the current token of a plugin.
pub(crate) async fn reject(plugin: &Plugin) {
    let access = plugin.access().await.unwrap();
    plugin.invalidate(&access, &nova_origin());
}

/// A process with a runtime of its own. It is stopped unless a function runs in it.
pub(crate) struct Process(Option<Runtime>);

impl Process {
    pub(crate) fn new() -> Self {
        Self(Some(Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()))
    }

    pub(crate) fn run<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        std::thread::scope(|scope| scope.spawn(|| self.0.as_ref().unwrap().block_on(future)).join().unwrap())
    }

    /// Starts to obtain a token, and stops as soon as it waits for Keystone.
    pub(crate) fn start(&self, plugin: Plugin) -> JoinHandle<Result<String, Error>> {
        let token = self.0.as_ref().unwrap().spawn(async move { token(&plugin).await });
        self.run(settle());
        token
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
