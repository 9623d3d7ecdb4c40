use std::{fmt, sync::Arc, time::Duration};

use super::{
    super::{EntryName, LeaseOwner, MAX_RECORD, StoreFuture, TokenStore, Version},
    connection::{Connection, Failure},
    key::Key,
    protocol::{End, Item, Stored},
    rendezvous,
    server::Server,
};
use crate::{BoxError, task::runtime};

/// How often a value is compared and replaced if other writes come in between.
const MAX_ATTEMPTS: usize = 4;

/// A store of tokens in one or several memcached servers.
///
/// Clones share the connections. See the [module docs](super) for what it needs of a server, and for an example.
#[derive(Clone)]
pub struct MemcachedStore(Arc<Inner>);

struct Inner {
    servers: Box<[Server]>,
    prefix: Box<str>,
}

impl MemcachedStore {
    /// Creates a store on these servers, of which there is at least one. The prefix has been checked.
    pub(super) fn new(servers: Box<[Server]>, prefix: Box<str>) -> Self {
        Self(Arc::new(Inner { servers, prefix }))
    }

    async fn run<T>(
        &self,
        name: &EntryName,
        operation: impl AsyncFnOnce(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, BoxError> {
        let server = self.0.servers.get(self.server(name));
        server.ok_or("there is no memcached server")?.wait_for_turn().await?.run(operation).await
    }

    fn record_key(&self, name: &EntryName) -> Result<Key, BoxError> {
        Ok(Key::of_record(&self.0.prefix, name)?)
    }

    fn lease_key(&self, name: &EntryName) -> Result<Key, BoxError> {
        Ok(Key::of_lease(&self.0.prefix, name)?)
    }
}

impl fmt::Debug for MemcachedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<_> = self.0.servers.iter().map(Server::name).collect();
        f.debug_struct("MemcachedStore").field("servers", &servers).field("prefix", &self.0.prefix).finish()
    }
}

impl TokenStore for MemcachedStore {
    fn connect(&self) {
        // Without a runtime, the first operation connects.
        let Ok(runtime) = runtime() else { return };
        for index in 0..self.0.servers.len() {
            let inner = self.0.clone();
            runtime.spawn(async move {
                if let Some(server) = inner.servers.get(index)
                    && let Ok(turn) = server.wait_for_turn().await
                {
                    let _ = turn.run(async |_| Ok(())).await;
                }
            });
        }
    }

    fn server(&self, name: &EntryName) -> usize {
        rendezvous::select(&self.0.servers, Server::name, name.identity()).unwrap_or_default()
    }

    fn get<'a>(&'a self, name: &'a EntryName) -> StoreFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let key = self.record_key(name)?;
            self.run(name, async |connection| Ok(connection.gets(&key).await?.map(|item| item.value))).await
        })
    }

    fn publish<'a>(
        &'a self,
        name: &'a EntryName,
        seen: Option<&'a Version>,
        record: &'a [u8],
        time_to_live: Duration,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            // A server that refuses a long value removes the old one.
            if record.len() > MAX_RECORD {
                return Ok(false);
            }
            let key = self.record_key(name)?;
            let end = End::After(time_to_live);
            self.run(name, async |connection| {
                let Some(seen) = seen else {
                    return Ok(connection.add(&key, end, record).await? == Stored::Stored);
                };
                // Cas numbers start again with the server. So the version within the value is compared, and the number
                // is that of this connection.
                replace(connection, &key, |value| Version::from_record(value) == *seen, end, record).await
            })
            .await
        })
    }

    fn lease<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let key = self.lease_key(name)?;
            self.run(name, async |connection| {
                let stored = connection.add(&key, End::After(term), owner.as_str().as_bytes()).await?;
                Ok(stored == Stored::Stored)
            })
            .await
        })
    }

    fn extend<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let key = self.lease_key(name)?;
            let owner = owner.as_str().as_bytes();
            self.run(name, async |connection| {
                replace(connection, &key, |value| value == owner, End::After(term), owner).await
            })
            .await
        })
    }

    fn release<'a>(&'a self, name: &'a EntryName, owner: &'a LeaseOwner) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let key = self.lease_key(name)?;
            let owner = owner.as_str().as_bytes();
            self.run(name, async |connection| {
                replace(connection, &key, |value| value == owner, End::Now, b"").await
            })
            .await?;
            Ok(())
        })
    }
}

/// Replaces a value if it is the expected one, and returns whether it was.
async fn replace(
    connection: &mut Connection,
    key: &Key,
    is_expected: impl Fn(&[u8]) -> bool,
    end: End,
    value: &[u8],
) -> Result<bool, Failure> {
    for _ in 0..MAX_ATTEMPTS {
        let cas = match connection.gets(key).await? {
            Some(Item { value: found, cas }) if is_expected(&found) => cas,
            _ => return Ok(false),
        };
        if connection.cas(key, end, value, cas).await? == Stored::Stored {
            return Ok(true);
        }
        // Another write came in between. It can have left the expected value, such as an operation of this process that
        // was abandoned and reaches the server late.
    }
    Ok(false)
}
