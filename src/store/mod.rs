//! Tokens that outlive a process, and that the processes of a fleet share. Requires the feature `store`.
//!
//! Without a store, each [`RenewingPlugin`](crate::RenewingPlugin) logs in for itself: each run of a command line
//! program, and each replica of a service. With a store, the plugins with the same credentials share their token. One
//! of them logs in, the others take the token from the store, in whichever process or on whichever machine they are.
//! When the token is due for renewal, or when a service has rejected it, again only one of them logs in.
//!
//! ```
//! use tower_keystone::{AuthMethod, RenewingPlugin, Scope, User, V3Credentials, store::SharedTokens};
//! # use tower_keystone::fixture::Cloud;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keystone::BoxError> {
//! # let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
//! # let auth_url = cloud.keystone().auth_url();
//! let tokens = SharedTokens::in_memory(); // or SharedTokens::new(store, key)
//! let plugin = || {
//!     let alice = User::new().username("alice").user_domain_name("Default");
//!     let credentials = V3Credentials::new(auth_url.clone(), AuthMethod::password(alice, "wonderland"))
//!         .scope(Scope::new().project_name("demo").project_domain_name("Default"));
//!     RenewingPlugin::new(credentials, cloud.transport()).store(tokens.clone())
//! };
//! # use tower_keystone::IdentityPlugin;
//! let (one, other) = (plugin(), plugin());
//! one.access().await?;
//! other.access().await?;
//! assert_eq!(cloud.keystone().logins(), 1);
//! # tokens.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Which store?
//!
//! | store | shared by | feature |
//! |---|---|---|
//! | [`SharedTokens::in_memory`], [`MemoryStore`] | the plugins of one process | `store` |
//! | `FileStore` | the processes of one user on one machine, such as runs of a command line program; Unix only | `store` |
//! | `RedisStore` | processes on several machines | `redis`; with `redis-tls`, `redis-cluster` and `redis-sentinel` in these forms |
//! | `MemcachedStore` | processes on several machines | `memcached` |
//! | your own [`TokenStore`] | | `store` |
//!
//! A lost entry costs one login, so a store needs neither a disk nor a replica.
//!
//! # If the store is away
//!
//! No request fails because of a store. If it does not answer within 50 ms
//! ([`answer_timeout`](SharedTokens::answer_timeout)), or answers with an error, the plugins go on as without it: each
//! logs in for itself. This is logged once, and again when the store is back. Meanwhile the store is asked after 20 ms,
//! and then less and less often, up to every 30 s. The first answer is awaited for up to 1 s, because a connection
//! takes longer. Requests with a current token never wait for a store.
//!
//! Mistakes are found when a store is created, and are errors ([`Error::InvalidStore`](crate::Error)): a malformed URL
//! or key, or a directory that others can use.
//!
//! # The end of the program
//!
//! When the requests of a program have ended, for example after SIGTERM, call [`SharedTokens::close`]. It ends the
//! renewals in the background and gives their leases back. Otherwise, others wait up to 4 s for the lease of a process
//! that has ended during a login.
//!
//! # Failed logins
//!
//! A failed login is stored, too. Until the delay after it is over, no process with the same credentials logs in: 30 s
//! after the first wrong password, then 5 min, then 30 min (see [`RenewalPolicy`](crate::RenewalPolicy)). Processes
//! that start meanwhile, such as the next run of a command line program, get `Error::SharedLoginFailed`. A new password
//! is tried at once, unless the store has no key.
//!
//! When the cause is fixed, for example because a disabled user is enabled again, call
//! [`RenewingPlugin::reset`](crate::RenewingPlugin::reset): the next request of that plugin logs in at once, and if that
//! succeeds, the delay is over for all. Without a plugin, call [`SharedTokens::forget_failures`]. In a `FileStore`, you
//! can also remove the files `*.failure*` in its directory.
//!
//! # What is stored, and who can read it
//!
//! Each record is sealed: encrypted and authenticated (XChaCha20-Poly1305). It is bound to the credentials, to the
//! [name](SharedTokens::name) of the store and to its purpose. A record that was changed or that was put in
//! the place of another is ignored, and is logged as a warning, at most once a minute for the same reason. The names of
//! the entries tell nothing without the key.
//!
//! A refresh token of a federated login is stored only with a key. It can be worth more than the tokens: it obtains new
//! ones until the provider ends it. The login of a person is stored by the client and the identity provider, and not by
//! the user, so that the next run finds it: everybody who has the store and the key can go on with it.
//!
//! Somebody who can read the store sees how many entries there are, how long they are, and when the tokens expire.
//! Somebody who can write to it can remove tokens, delay logins, or put old tokens back, which services then reject.
//! With the key, every token in the store can be used until it expires.
//!
//! # The key
//!
//! A [`StoreKey`] is 32 random bytes, for example from `openssl rand -base64 32`. All processes that share tokens need
//! it. With another key, all entries have other names: such a process finds nothing, and logs in for itself without a
//! warning. Compare the fingerprints of the keys, which are in the `Debug` output of [`SharedTokens`] and in a debug
//! event when it is created. Treat the key like the passwords of the credentials. To replace it:
//!
//! ```
//! use tower_keystone::store::{SharedTokens, StoreKey, TokenStore};
//!
//! fn tokens(store: impl TokenStore, new: StoreKey, old: StoreKey) -> SharedTokens {
//!     // Uses the tokens of processes that still have the old key, and writes with the new one.
//!     SharedTokens::new(store, new).also_read_with(old)
//! }
//! ```
//!
//! Remove the old key when all processes have the new one and the tokens of that time have expired. Meanwhile, the
//! processes with the old key and those with the new one log in separately.
//!
//! [`SharedTokens::without_sealing`] uses no key of yours. Everybody who can read the store can then use the tokens in
//! it.
//!
//! # A store of your own
//!
//! Implement [`TokenStore`]. It stores bytes under names, and needs one operation that many stores have: replace a
//! record only if the present one starts with certain bytes, its [`Version`]. Leases are entries of their own that end
//! by themselves. Answer at once or return an error: [`SharedTokens`] limits the wait, remembers that the store is
//! away, and logs it. A store for tests can wrap a [`MemoryStore`].

mod contact;
mod entry_name;
mod failure_entries;
#[cfg(unix)]
mod file;
mod identity_entries;
#[cfg(feature = "federation")]
mod login_entries;
#[cfg(feature = "memcached")]
#[cfg_attr(docsrs, doc(cfg(feature = "memcached")))]
pub mod memcached;
mod memory_store;
#[cfg(shuttle)]
pub mod memory_table;
#[cfg(not(shuttle))]
#[allow(unreachable_pub, reason = "the model checker uses it")]
mod memory_table;
mod record;
#[cfg(feature = "redis")]
mod redis;
mod sealed_entries;
mod sealer;
mod shared_tokens;
mod store_key;
mod token_store;
mod users;
#[cfg(feature = "validate")]
mod validation_entry;

pub use entry_name::EntryName;
#[cfg(unix)]
pub use file::FileStore;
#[cfg(feature = "memcached")]
#[cfg_attr(docsrs, doc(cfg(feature = "memcached")))]
#[doc(inline)]
pub use memcached::MemcachedStore;
pub use memory_store::MemoryStore;
#[cfg(feature = "redis")]
pub use redis::RedisStore;
pub use shared_tokens::SharedTokens;
pub use store_key::StoreKey;
pub use token_store::{LeaseOwner, MAX_RECORD, StoreFuture, TokenStore, Version};

pub(crate) use contact::StoreAway;
pub(crate) use failure_entries::{FailureCounts, SharedFailure};
pub(crate) use identity_entries::{IdentityEntries, StoredToken, TokenEntry};
#[cfg(feature = "federation")]
pub(crate) use login_entries::{REFRESH_TOKEN_LIFETIME, StoredUnscopedToken};
pub(crate) use users::StoreUser;
#[cfg(feature = "validate")]
pub(crate) use validation_entry::{StoredValidation, ValidationEntry};

#[cfg(test)]
mod tests;
