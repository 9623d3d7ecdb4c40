//! A store of tokens in memcached.
//!
//! ```no_run
//! use tower_keystone::{SharedTokens, StoreKey, store::MemcachedStore};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemcachedStore::builder()
//!     .server("cache1.example.org:11211")
//!     .server("cache2.example.org:11211")
//!     .build()?;
//! let key = StoreKey::from_base64(std::env::var("TOKEN_STORE_KEY")?)?;
//! let tokens = SharedTokens::new(store, key);
//! # let _ = tokens;
//! # Ok(())
//! # }
//! ```
//!
//! # Server
//!
//! Any memcached since 1.4 works. The store uses three commands of its text protocol: `gets`, `add` and `cas`. Cas
//! numbers must not be turned off (`-C`).
//!
//! A record has the size of the token document with its service catalog, usually 5 to 100 KB, and is kept until the
//! token expires, but for 30 days at most. If the server runs out of memory (`-m`, 64 MB by default), it evicts
//! records. A record that was evicted or lost by a restart costs a login, and nothing else. If a lease is lost, two
//! processes can log in at the same time.
//!
//! The store connects to the server directly. A proxy that moves the commands of one connection to several servers, or
//! to a server that has restarted, breaks the comparison of records.
//!
//! memcached counts in whole seconds and may end an entry up to a second early. Therefore the store rounds all times up
//! and adds a second.
//!
//! # Several servers
//!
//! All entries of an identity are on one server. The identity and the addresses select it, whichever order the
//! addresses are in. All programs that share tokens must therefore list the same addresses, in the same spelling. If a
//! server is lost, its identities have no store until it is back: they do not move to another server, because processes
//! that see the loss at different times would then log in separately. If a server is added to or removed from the list,
//! only the identities of that server move.
//!
//! # Connections
//!
//! The store opens one connection to each server when it is first needed, and uses it for one operation at a time. A
//! connection is closed if an operation is abandoned or fails, or if a response is not exactly what the protocol
//! allows, so no operation can get the response to another one. After a failure, operations fail at once for 20 ms. The
//! delay doubles with each further failure, up to 1.28 s.
//!
//! # Security
//!
//! Everyone who can connect to a memcached can read, replace and remove all that is in it. [`SharedTokens::new`] seals
//! the records, so that readers learn no tokens and writers cannot forge any. What is left to them: they see the sizes,
//! the times and the number of entries, and they can remove entries and put old ones back. Let the server listen on a
//! private network or a Unix socket only.
//!
//! [`username_and_password`](MemcachedBuilder::username_and_password) sends the password unencrypted, and the store
//! does not support TLS. If the network is not trusted, use a tunnel such as stunnel or WireGuard. The sealing of
//! records depends on neither.
//!
//! [`SharedTokens::new`]: crate::SharedTokens::new

mod address;
mod builder;
mod connection;
mod key;
mod password;
mod protocol;
mod rendezvous;
mod server;
mod store;

pub use builder::MemcachedBuilder;
pub use store::MemcachedStore;
