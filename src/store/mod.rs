//! Tokens that outlive a process, and that the processes of a fleet share.

#![allow(dead_code, reason = "the parts are not assembled yet")]

mod contact;
mod entry_name;
#[cfg(unix)]
mod file;
mod identity_entries;
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

#[allow(unused_imports)]
pub(crate) use identity_entries::{
    FailureCounts, IdentityEntries, SharedFailure, StoreAway, StoredToken, TokenEntry,
};
#[allow(unused_imports)]
pub(crate) use users::StoreUser;
#[cfg(feature = "validate")]
#[allow(unused_imports)]
pub(crate) use validation_entry::{StoredValidation, ValidationEntry};
