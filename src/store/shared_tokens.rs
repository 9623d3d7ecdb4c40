use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tracing::debug;

use super::{
    EntryName, MemoryStore, StoreFuture, StoreKey, StoreUser, TokenStore,
    contact::{Contact, StoreAway},
    sealer::{Purpose, Sealer},
    store_key::KEY_LENGTH,
    users::Users,
};
use crate::{
    Credentials, Secret,
    task::{Timer, catch_panic},
    transport::LogThrottle,
};

/// Tokens that plugins, processes and machines share: a [`TokenStore`] and the key of what is in it.
///
/// Clones share the connection to the store, and whether it can be used now. See the [module docs](super).
#[derive(Clone)]
pub struct SharedTokens(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    store: Arc<dyn TokenStore>,
    is_sealed: bool,
    /// The keys by purpose. The first one is used to write.
    ///
    /// They are shared, because a vector that grows leaves copies of its elements in freed memory.
    tokens: Vec<Arc<Sealer>>,
    validations: Vec<Arc<Sealer>>,
    name: Box<str>,
    answer_timeout: Duration,
    common: Arc<Common>,
}

/// What clones have in common, also if their settings differ.
struct Common {
    /// By the number of the server.
    contacts: [Contact; MAX_SERVERS],
    log_throttle: LogThrottle,
    users: Users,
}

/// Number of servers that are told apart.
const MAX_SERVERS: usize = 16;

/// The default of [`SharedTokens::answer_timeout`].
const ANSWER_TIMEOUT: Duration = Duration::from_millis(50);

/// The key of records that are not sealed. Everybody knows it.
const PUBLIC_KEY: [u8; KEY_LENGTH] = *b"tower-keystone: a key for no one";

/// How long [`SharedTokens::close`] waits for renewals that do not end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

impl SharedTokens {
    /// Shares tokens in a store. They are sealed with this key.
    ///
    /// For the validations of a `ValidateTokenLayer`, make another one, with another key and another [name](Self::name)
    /// than for the tokens of the program, because who has that key can make up callers. This is not checked.
    pub fn new(store: impl TokenStore, key: StoreKey) -> Self {
        Self::with_key(Arc::new(store), &key, true)
    }

    /// Shares tokens in a store without a key.
    ///
    /// Everybody who can read the store can use the tokens in it, and everybody who can write to it can replace them.
    ///
    /// Entries are named after [`Credentials::public_id`], which contains no secret. So a process with the right user
    /// name and a wrong password gets the token, too. If there is no token and its login fails, the processes with the
    /// right password do not log in during the delay after that failure.
    pub fn without_sealing(store: impl TokenStore) -> Self {
        Self::with_key(Arc::new(store), &StoreKey::new(PUBLIC_KEY), false)
    }

    /// Shares tokens between the plugins of this process.
    ///
    /// # Panics
    ///
    /// Panics if the operating system has no random bytes for the key.
    pub fn in_memory() -> Self {
        Self::new(MemoryStore::new(), StoreKey::random())
    }

    fn with_key(store: Arc<dyn TokenStore>, key: &StoreKey, is_sealed: bool) -> Self {
        let common = Common {
            contacts: Default::default(),
            log_throttle: LogThrottle::default(),
            users: Users::new(),
        };
        let mut inner = Inner {
            store,
            is_sealed,
            tokens: Vec::new(),
            validations: Vec::new(),
            name: "tokens".into(),
            answer_timeout: ANSWER_TIMEOUT,
            common: Arc::new(common),
        };
        inner.add_key(key);
        let _ = catch_panic(|| inner.store.connect());
        let tokens = Self(Arc::new(inner));
        // A log subscriber that panics must not change the outcome.
        let _ = catch_panic(|| debug!(?tokens, "tokens are shared by a store"));
        tokens
    }

    /// Sets the name of the store. The default is `tokens`.
    ///
    /// Programs with different names do not share tokens, even if they use the same server and the same key. The name
    /// of other clones is not changed.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.0).name = name.into().into();
        self
    }

    /// Adds a key that was used before. The tokens that it has sealed are read, but nothing is written with it.
    ///
    /// It has no effect on shared validations. Leave out a key that is known to others.
    #[must_use]
    pub fn also_read_with(mut self, key: StoreKey) -> Self {
        Arc::make_mut(&mut self.0).add_key(&key);
        self
    }

    /// Sets how long an answer of the store is awaited after the first contact. The default is 50 ms.
    ///
    /// Until the store has answered once, each answer is awaited for at least 1 s, because a connection takes longer. A
    /// store that does not answer in time is not used for a while: 20 ms at first, up to 30 s.
    #[must_use]
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        Arc::make_mut(&mut self.0).answer_timeout = timeout;
        self
    }

    /// Ends the renewals that use this store, and gives their leases back. Applies to all clones.
    ///
    /// Call it at the end of the program, when its requests have ended (a server has drained). It waits 5 s at most. If
    /// the program sends requests nevertheless, its plugins go on without the store, also those that are created
    /// afterwards: each logs in for itself.
    ///
    /// The validations of a `ValidateTokenLayer` need no lease. They go on with the store.
    pub async fn close(&self) {
        let mut closing = pin!(self.0.common.users.close());
        let mut timer = Timer::new(CLOSE_TIMEOUT);
        poll_fn(|cx| match closing.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => Pin::new(&mut timer).poll(cx).map(drop),
        })
        .await;
    }

    /// Returns the id by which the tokens of these credentials are stored. `None` means that they are not stored.
    pub(crate) fn identity_of(&self, credentials: &(impl Credentials + ?Sized)) -> Option<Secret> {
        let identity = if self.0.is_sealed { credentials.cache_id() } else { credentials.public_id() };
        identity.map(Secret::new)
    }

    /// Returns whether records are sealed with a key.
    pub(crate) fn is_sealed(&self) -> bool {
        self.0.is_sealed
    }

    /// Returns how long an answer of the store is awaited after the first contact.
    #[cfg(feature = "validate")]
    pub(crate) fn timeout(&self) -> Duration {
        self.0.answer_timeout
    }

    /// Returns a guard for a renewal that uses the store, or `None` if the store is closed.
    pub(super) fn add_user(&self) -> Option<StoreUser> {
        self.0.common.users.add()
    }

    /// Returns the derived keys for a purpose, the one to write with first.
    pub(super) fn sealers(&self, purpose: Purpose) -> impl Iterator<Item = &Sealer> {
        let sealers = match purpose {
            Purpose::Tokens => &self.0.tokens,
            Purpose::Validations => &self.0.validations,
        };
        sealers.iter().map(|sealer| &**sealer)
    }

    pub(super) fn store_name(&self) -> &str {
        &self.0.name
    }

    /// Returns the contact to the server that has the entries of this name.
    pub(super) fn contact(&self, name: &EntryName) -> &Contact {
        // A store that panics here panics when it is asked, too.
        let server = catch_panic(|| self.0.store.server(name)).unwrap_or_default();
        let [first, ..] = &self.0.common.contacts;
        self.0.common.contacts.get(server % MAX_SERVERS).unwrap_or(first)
    }

    pub(super) fn log_throttle(&self) -> &LogThrottle {
        &self.0.common.log_throttle
    }

    /// Asks the store about a name, unless its server is known to be away.
    pub(super) async fn ask<'a, T>(
        &'a self,
        name: &EntryName,
        ask: impl FnOnce(&'a dyn TokenStore) -> StoreFuture<'a, T>,
    ) -> Result<T, StoreAway> {
        self.contact(name).ask(&*self.0.store, self.0.answer_timeout, ask).await
    }
}

impl Inner {
    fn add_key(&mut self, key: &StoreKey) {
        self.tokens.push(Arc::new(Sealer::new(key, Purpose::Tokens)));
        self.validations.push(Arc::new(Sealer::new(key, Purpose::Validations)));
    }
}

/// Shows the store and the fingerprints of the keys, but no key.
impl fmt::Debug for SharedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTokens")
            .field("store", &self.0.store)
            .field("name", &self.0.name)
            .field("is_sealed", &self.0.is_sealed)
            .field("keys", &self.sealers(Purpose::Tokens).map(Sealer::fingerprint).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
