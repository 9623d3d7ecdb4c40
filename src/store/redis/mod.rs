//! A store of tokens in Redis or Valkey.

mod commands;
mod error;
mod link;
mod servers;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{Cmd, RedisError, Value};

use self::{
    error::{ServerFailure, is_not_permitted},
    link::{Answer, Link},
    servers::Servers,
};
use super::{EntryName, LeaseOwner, MAX_RECORD, StoreFuture, TokenStore, Version};
use crate::{Error, Secret, task::runtime};

/// A store of tokens in Redis or Valkey.
///
/// It works with Redis from 6.0 and with every version of Valkey: with one server, with a cluster (feature
/// `redis-cluster`), or with a primary that sentinels name (feature `redis-sentinel`).
///
/// | setting | default |
/// |---|---|
/// | [`prefix`](Self::prefix) of the keys | `tower-keystone:` |
/// | [`connect_timeout`](Self::connect_timeout) | 250 ms |
/// | [`answer_timeout`](Self::answer_timeout) | 1 s |
///
/// Clones share the connection.
///
/// ```no_run
/// use tower_keystone::store::{RedisStore, SharedTokens, StoreKey};
///
/// # fn main() -> Result<(), tower_keystone::Error> {
/// let key = StoreKey::from_base64(std::env::var("STORE_KEY").unwrap_or_default())?;
/// let store = RedisStore::new("redis://valkey.example.com:6379")?
///     .username("fleet")
///     .password(std::env::var("VALKEY_PASSWORD").unwrap_or_default());
/// let tokens = SharedTokens::new(store, key);
/// # let _ = tokens;
/// # Ok(())
/// # }
/// ```
///
/// # Connections
///
/// A store can be built while its servers are away. It connects in the background when it is given to
/// [`SharedTokens`](super::SharedTokens), or else with the first command. All commands of a store and its clones share
/// one connection (one to each server of a cluster). A connection that owes an answer for longer
/// than the [`answer_timeout`](Self::answer_timeout) is closed. The next command opens another one.
///
/// # Permissions
///
/// Give the store a user of its own. These rules permit what it needs, for the default prefix:
///
/// ```text
/// ACL SETUSER fleet on >PASSWORD ~tower-keystone:* +eval +exists +get +getrange +set +pexpire +del
/// ```
///
/// Without `EVAL`, the store needs the option `IFEQ` of `SET` (Valkey from 8.1, Redis from 8.4), and only these
/// permissions:
///
/// ```text
/// ACL SETUSER fleet on >PASSWORD ~tower-keystone:* +exists +getrange +set
/// ```
///
/// A cluster also needs `+cluster|slots`, and sentinels are asked for the primary with the user and the password of
/// their own URLs.
///
/// # Security
///
/// Everyone on the network path of a `redis://` URL reads the password of the user. Records are sealed, but they can be
/// removed, and old ones can be put back. Use a `rediss://` URL (feature `redis-tls`). The client for it is rustls. If
/// the program has no process-wide `CryptoProvider` when it connects, that of ring is installed. To use another one,
/// call its `install_default` before this store is given to [`SharedTokens`](super::SharedTokens). Copies of the
/// password and of records in the memory of the libraries for Redis and TLS are not wiped.
#[derive(Clone)]
pub struct RedisStore {
    link: Arc<Link>,
    prefix: Box<str>,
    /// The user may not use `EVAL`, but `SET` with `IFEQ`.
    is_without_scripts: Arc<AtomicBool>,
}

const PREFIX: &str = "tower-keystone:";

const PERMISSIONS: &str = "the user of the store needs permission for EXISTS and GETRANGE; and for EVAL, GET, SET, \
                           PEXPIRE and DEL, or for SET with IFEQ, which Valkey has from 8.1 and Redis from 8.4";

impl RedisStore {
    /// Creates a store on a server, which need not run yet.
    ///
    /// The URL is `redis://USER:PASSWORD@HOST:PORT/DATABASE`, `rediss://` with TLS, or `unix:///PATH?db=DATABASE` for a
    /// Unix socket. `valkey://` means `redis://`, and `valkeys://` means `rediss://`. The default port is 6379 and the
    /// default database 0. Escape special characters in a password, or set it with [`password`](Self::password).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStore`] if the URL is malformed, or if it is one with TLS and the feature `redis-tls` is
    /// off. The error does not contain the URL.
    pub fn new(url: impl Into<Secret>) -> Result<Self, Error> {
        Servers::one(&url.into()).map(Self::on)
    }

    /// Creates a store on a cluster. Some of its servers are enough: they know the others.
    ///
    /// All URLs must have the same user and password. See [`new`](Self::new) for their form.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStore`] if a URL is malformed, or if there is none.
    #[cfg(feature = "redis-cluster")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis-cluster")))]
    pub fn cluster<U: Into<Secret>>(urls: impl IntoIterator<Item = U>) -> Result<Self, Error> {
        let urls: Vec<Secret> = urls.into_iter().map(Into::into).collect();
        Servers::cluster(&urls).map(Self::on)
    }

    /// Creates a store on the server that is the primary of this name, according to its sentinels.
    ///
    /// The URLs are those of the sentinels, and the user and password in them are for the sentinels. All URLs must have
    /// the same ones. Set those for the primary with [`username`](Self::username) and [`password`](Self::password). If
    /// the URLs begin with `rediss:`, the primary has TLS, too. Their database is that of the primary.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStore`] if a URL is malformed, or if there is none.
    #[cfg(feature = "redis-sentinel")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis-sentinel")))]
    pub fn sentinel<U: Into<Secret>>(
        urls: impl IntoIterator<Item = U>,
        primary_name: &str,
    ) -> Result<Self, Error> {
        let urls: Vec<Secret> = urls.into_iter().map(Into::into).collect();
        Servers::sentinel(&urls, primary_name).map(Self::on)
    }

    fn on(servers: Servers) -> Self {
        Self { link: Arc::new(Link::new(servers)), prefix: PREFIX.into(), is_without_scripts: Arc::default() }
    }

    /// Sets the beginning of the keys. The default is `tower-keystone:`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into().into();
        self
    }

    /// Sets the user of the server, instead of the one in the URL.
    #[must_use]
    pub fn username(self, username: impl Into<String>) -> Self {
        self.change(|servers| servers.username = Some(username.into().into()))
    }

    /// Sets the password of the user, instead of the one in the URL.
    ///
    /// It is used as it is. If it comes from a file, remove the line break at the end.
    #[must_use]
    pub fn password(self, password: impl Into<Secret>) -> Self {
        self.change(|servers| servers.password = Some(password.into()))
    }

    /// Sets how long a connection may take in all: TCP, TLS, and the authentication. The default is 250 ms.
    #[must_use]
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        self.change(|servers| servers.connect_timeout = timeout)
    }

    /// Sets after which time without an answer a connection is replaced. The default is 1 s.
    ///
    /// It must not be shorter than [`SharedTokens::answer_timeout`](super::SharedTokens::answer_timeout), which decides
    /// how long the plugins wait.
    #[must_use]
    pub fn answer_timeout(self, timeout: Duration) -> Self {
        self.change(|servers| servers.answer_timeout = timeout)
    }

    /// Trusts only these CA certificates, in PEM format. The default is those of the operating system.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStore`] if a URL is not one with TLS, or if there is no certificate in the text.
    #[cfg(feature = "redis-tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis-tls")))]
    pub fn root_certificates(self, pem: impl Into<Vec<u8>>) -> Result<Self, Error> {
        let pem = pem.into();
        self.link.servers().check_certificates("root_certificates", &pem)?;
        Ok(self.change(|servers| servers.root_certificates = Some(pem.into())))
    }

    /// Sets the client certificate and its key, both in PEM format.
    ///
    /// The certificate of the client must be the first one. The certificates of its issuers can follow.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStore`] if a URL is not one with TLS, or if there is no certificate in the text.
    #[cfg(feature = "redis-tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis-tls")))]
    pub fn client_certificate(self, pem: impl Into<Vec<u8>>, key: impl Into<Secret>) -> Result<Self, Error> {
        let pem = pem.into();
        self.link.servers().check_certificates("client_certificate", &pem)?;
        Ok(self.change(|servers| servers.client_certificate = Some((pem.into(), key.into()))))
    }

    fn change(self, change: impl FnOnce(&mut Servers)) -> Self {
        let mut servers = self.link.servers().clone();
        change(&mut servers);
        Self { prefix: self.prefix, ..Self::on(servers) }
    }

    /// Returns the key of an entry. Servers of a cluster are chosen by the part in braces.
    fn key(&self, name: &EntryName) -> String {
        let identity = name.identity();
        let entry = name.as_str().get(identity.len()..).unwrap_or_default();
        format!("{}{{{identity}}}{entry}", self.prefix)
    }

    fn lease_key(&self, name: &EntryName) -> String {
        format!("{}.lease", self.key(name))
    }

    /// Returns the first bytes of the value of a key.
    async fn read(&self, key: &str, max: usize) -> Result<Option<Vec<u8>>, ServerFailure> {
        let Value::BulkString(bytes) = self.ask(commands::get(key, max)).await?.0 else {
            return Err(unexpected("GETRANGE"));
        };
        if bytes.is_empty() && self.ask(commands::exists(key)).await?.0 == Value::Int(0) {
            return Ok(None);
        }
        Ok(Some(bytes))
    }

    async fn publish_record(
        &self,
        key: &str,
        seen: Option<&Version>,
        record: &[u8],
        time: Duration,
    ) -> Result<bool, ServerFailure> {
        if record.len() > MAX_RECORD {
            return Ok(false);
        }
        let (is_published, is_sent_twice) = match self.run(commands::publish(key, seen, record, time)).await?
        {
            Ran::Done(is_published, is_sent_twice) => (is_published, is_sent_twice),
            Ran::NotPermitted(error) => {
                let published = self.publish_by_set(key, seen, record, time).await;
                self.without_scripts(published, error.as_ref())?
            }
        };
        if is_published || !is_sent_twice {
            return Ok(is_published);
        }
        // The first of the two commands may have published it.
        let current = self.read(key, Version::MAX_LENGTH).await?;
        Ok(current.is_some_and(|current| current == Version::from_record(record).as_bytes()))
    }

    /// Returns whether the record is published, and whether the command was sent twice.
    async fn publish_by_set(
        &self,
        key: &str,
        seen: Option<&Version>,
        record: &[u8],
        time: Duration,
    ) -> Result<(bool, bool), ServerFailure> {
        let (answer, is_sent_twice) = match seen {
            None => self.ask(commands::set_if_absent(key, record, time)).await?,
            Some(version) => {
                let current = self.read(key, MAX_RECORD + 1).await?;
                let Some(old) = current.filter(|current| Version::from_record(current) == *version) else {
                    return Ok((false, false));
                };
                if old.len() > MAX_RECORD {
                    return Err(ServerFailure::new(format!("the value of {key} is too long; remove it")));
                }
                self.ask(commands::set_if_equal(key, record, &old, time)).await?
            }
        };
        Ok((is_set(&answer)?, is_sent_twice))
    }

    async fn take_lease(&self, key: &str, owner: &str, term: Duration) -> Result<bool, ServerFailure> {
        let (answer, is_sent_twice) = self.ask(commands::set_if_absent(key, owner.as_bytes(), term)).await?;
        if is_set(&answer)? || !is_sent_twice {
            return is_set(&answer);
        }
        // The first of the two commands may have taken it.
        self.extend_lease(key, owner, term).await
    }

    async fn extend_lease(&self, key: &str, owner: &str, term: Duration) -> Result<bool, ServerFailure> {
        match self.run(commands::extend(key, owner, term)).await? {
            Ran::Done(is_extended, _) => Ok(is_extended),
            Ran::NotPermitted(error) => {
                let owner = owner.as_bytes();
                let extended = self.ask(commands::set_if_equal(key, owner, owner, term)).await;
                is_set(&self.without_scripts(extended, error.as_ref())?.0)
            }
        }
    }

    async fn release_lease(&self, key: &str, owner: &str) -> Result<(), ServerFailure> {
        match self.run(commands::release(key, owner)).await? {
            Ran::Done(..) => Ok(()),
            Ran::NotPermitted(error) => {
                let released = self.ask(commands::remove_if_equal(key, owner.as_bytes())).await;
                self.without_scripts(released, error.as_ref()).map(|_| ())
            }
        }
    }

    /// Runs a script that returns 1 or 0.
    async fn run(&self, script: Cmd) -> Result<Ran, ServerFailure> {
        if self.is_without_scripts.load(Ordering::Relaxed) {
            return Ok(Ran::NotPermitted(None));
        }
        let Answer { result, sent_twice } = self.link.send(script).await?;
        match result {
            Ok(Value::Int(number)) => Ok(Ran::Done(number == 1, sent_twice)),
            Ok(_) => Err(unexpected("EVAL")),
            Err(error) if is_not_permitted(&error) => Ok(Ran::NotPermitted(Some(error))),
            Err(error) => Err((&error).into()),
        }
    }

    /// Sends a command. Returns its answer, and whether it was sent twice.
    async fn ask(&self, command: Cmd) -> Result<(Value, bool), ServerFailure> {
        let Answer { result, sent_twice } = self.link.send(command).await?;
        match result {
            Ok(value) => Ok((value, sent_twice)),
            Err(error) => {
                let failure = ServerFailure::from(&error);
                Err(if is_not_permitted(&error) {
                    self.is_without_scripts.store(false, Ordering::Relaxed);
                    failure.context(format_args!("{PERMISSIONS}, on keys that begin with `{}`", self.prefix))
                } else {
                    failure
                })
            }
        }
    }

    /// Remembers that the commands without scripts work, or adds the error of the script to theirs.
    fn without_scripts<T>(
        &self,
        result: Result<T, ServerFailure>,
        of_script: Option<&RedisError>,
    ) -> Result<T, ServerFailure> {
        match (result, of_script) {
            (Ok(value), _) => {
                self.is_without_scripts.store(true, Ordering::Relaxed);
                Ok(value)
            }
            (Err(failure), Some(of_script)) => {
                Err(ServerFailure::new(format!("{failure}; {}", ServerFailure::from(of_script))))
            }
            (Err(failure), None) => Err(failure),
        }
    }
}

/// How a script ended.
enum Ran {
    /// It returned 1, or not; and it was sent twice, or not.
    Done(bool, bool),
    /// The user may not run it. The error is missing if that is known from an earlier one.
    NotPermitted(Option<RedisError>),
}

/// Returns whether a conditional `SET` was done.
fn is_set(answer: &Value) -> Result<bool, ServerFailure> {
    match answer {
        Value::Okay => Ok(true),
        Value::Nil => Ok(false),
        _ => Err(unexpected("SET")),
    }
}

fn unexpected(command: &str) -> ServerFailure {
    ServerFailure::new(format!("unexpected answer to {command}"))
}

impl TokenStore for RedisStore {
    fn connect(&self) {
        if let Ok(runtime) = runtime() {
            self.link.start(&runtime);
        }
    }

    fn get<'a>(&'a self, name: &'a EntryName) -> StoreFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            // A longer value is no record. One byte more than a record can have is enough to see that.
            Ok(self.read(&self.key(name), MAX_RECORD + 1).await?)
        })
    }

    fn publish<'a>(
        &'a self,
        name: &'a EntryName,
        seen: Option<&'a Version>,
        record: &'a [u8],
        time_to_live: Duration,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move { Ok(self.publish_record(&self.key(name), seen, record, time_to_live).await?) })
    }

    fn lease<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move { Ok(self.take_lease(&self.lease_key(name), owner.as_str(), term).await?) })
    }

    fn extend<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move { Ok(self.extend_lease(&self.lease_key(name), owner.as_str(), term).await?) })
    }

    fn release<'a>(&'a self, name: &'a EntryName, owner: &'a LeaseOwner) -> StoreFuture<'a, ()> {
        Box::pin(async move { Ok(self.release_lease(&self.lease_key(name), owner.as_str()).await?) })
    }
}

/// Shows the addresses of the servers and the prefix.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("servers", self.link.servers())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
