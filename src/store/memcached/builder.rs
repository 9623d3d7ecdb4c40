use super::{address::Address, password::Password, server::Server, store::MemcachedStore};
use crate::{Error, Secret};

/// Builds a [`MemcachedStore`].
///
/// See the [module docs](super) for an example.
#[derive(Clone, Debug)]
#[must_use]
pub struct MemcachedBuilder {
    servers: Vec<String>,
    prefix: String,
    login: Option<(String, Secret)>,
}

/// With a name of 60 characters and a suffix, a key stays below the 250 characters that memcached allows.
const MAX_PREFIX: usize = 128;

impl MemcachedStore {
    /// Returns a builder. At least one server has to be added to it.
    pub fn builder() -> MemcachedBuilder {
        MemcachedBuilder { servers: Vec::new(), prefix: "tower-keystone:".to_owned(), login: None }
    }
}

impl MemcachedBuilder {
    /// Adds a server: `host`, `host:port`, `[IPv6 address]:port`, or the absolute path of a Unix socket.
    ///
    /// The default port is 11211. Each identity is on one of the servers, see the [module docs](super).
    pub fn server(mut self, address: impl Into<String>) -> Self {
        self.servers.push(address.into());
        self
    }

    /// Sets the start of all keys: up to 128 visible ASCII characters. The default is `tower-keystone:`.
    ///
    /// Programs with different prefixes do not share tokens.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the username and password for servers that run with `-Y`.
    ///
    /// Both are sent unencrypted, and to all servers. Authentication by SASL (`-S`) is not supported.
    pub fn username_and_password(mut self, username: impl Into<String>, password: impl Into<Secret>) -> Self {
        self.login = Some((username.into(), password.into()));
        self
    }

    /// Builds the store. It connects when it is first used.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStore`] if there is no server, if an address is malformed or given twice, if the prefix has
    /// other characters, or if the username or the password cannot be sent.
    pub fn build(self) -> Result<MemcachedStore, Error> {
        let is_key =
            self.prefix.len() <= MAX_PREFIX && self.prefix.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_key {
            return Err(invalid(format!(
                "the prefix for memcached is not up to {MAX_PREFIX} visible ASCII characters"
            )));
        }
        let password = self.login.map(|(username, password)| Password::new(&username, &password)).transpose();
        let password = password.map_err(invalid)?;
        let mut addresses = Vec::new();
        for server in &self.servers {
            let address = Address::parse(server).map_err(invalid)?;
            if addresses.contains(&address) {
                return Err(invalid(format!("the memcached server {address} is listed twice")));
            }
            addresses.push(address);
        }
        if addresses.is_empty() {
            return Err(invalid("there is no memcached server; add one with MemcachedBuilder::server"));
        }
        let servers = addresses.into_iter().map(|address| Server::new(address, password.clone())).collect();
        Ok(MemcachedStore::new(servers, self.prefix.into()))
    }
}

fn invalid(reason: impl Into<Box<str>>) -> Error {
    Error::InvalidStore { reason: reason.into(), source: None }
}
