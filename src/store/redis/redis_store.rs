use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use super::{link::Link, servers::Servers};
use crate::{Error, Secret};

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
/// [`SharedTokens`](crate::store::SharedTokens), or else with the first command. All commands of a store and its
/// clones share one connection (one to each server of a cluster). A connection that owes an answer for longer than the
/// [`answer_timeout`](Self::answer_timeout) is closed. The next command opens another one.
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
/// call its `install_default` before this store is given to [`SharedTokens`](crate::store::SharedTokens). Copies of the
/// password and of records in the memory of the libraries for Redis and TLS are not wiped.
#[derive(Clone)]
pub struct RedisStore {
    pub(super) link: Arc<Link>,
    pub(super) prefix: Box<str>,
    /// The user may not use `EVAL`, but `SET` with `IFEQ`.
    pub(super) is_without_scripts: Arc<AtomicBool>,
}

const PREFIX: &str = "tower-keystone:";

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
    /// It must not be shorter than [`SharedTokens::answer_timeout`](crate::store::SharedTokens::answer_timeout), which
    /// decides how long the plugins wait.
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
