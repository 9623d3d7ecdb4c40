use std::{fmt, iter, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    aio::MultiplexedConnection,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
#[cfg(feature = "redis-tls")]
use rustls::{
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, pem::PemObject},
};

use super::error::ServerFailure;
use crate::{Error, Secret};

/// The servers, and how to connect to them.
#[derive(Clone)]
pub(super) struct Servers {
    kind: Kind,
    first_address: ConnectionInfo,
    other_addresses: Vec<ConnectionInfo>,
    pub(super) username: Option<Box<str>>,
    pub(super) password: Option<Secret>,
    #[cfg(feature = "redis-tls")]
    pub(super) root_certificates: Option<Box<[u8]>>,
    #[cfg(feature = "redis-tls")]
    pub(super) client_certificate: Option<(Box<[u8]>, Secret)>,
    pub(super) connect_timeout: Duration,
    pub(super) answer_timeout: Duration,
}

#[derive(Clone)]
enum Kind {
    One,
    #[cfg(feature = "redis-cluster")]
    Cluster,
    /// The addresses are those of the sentinels.
    #[cfg(feature = "redis-sentinel")]
    Sentinel {
        master_name: Box<str>,
    },
}

/// A connection that can be cloned. Clones send their commands over the same connection.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    #[cfg(feature = "redis-cluster")]
    Cluster(redis::cluster_async::ClusterConnection),
}

const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Keeps a connection that is used once in an hour, and finds out that the other end has gone.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

impl Servers {
    pub(super) fn one(url: &Secret) -> Result<Self, Error> {
        Self::new(Kind::One, [url])
    }

    #[cfg(feature = "redis-cluster")]
    pub(super) fn cluster(urls: &[Secret]) -> Result<Self, Error> {
        Self::new(Kind::Cluster, urls)
    }

    #[cfg(feature = "redis-sentinel")]
    pub(super) fn sentinel(urls: &[Secret], master_name: &str) -> Result<Self, Error> {
        Self::new(Kind::Sentinel { master_name: master_name.into() }, urls)
    }

    fn new<'a>(kind: Kind, urls: impl IntoIterator<Item = &'a Secret>) -> Result<Self, Error> {
        let mut addresses = urls.into_iter().map(read_url);
        let first_address = addresses.next().ok_or_else(|| invalid("no URL of a server"))??;
        let servers = Self {
            kind,
            first_address,
            other_addresses: addresses.collect::<Result<_, _>>()?,
            username: None,
            password: None,
            #[cfg(feature = "redis-tls")]
            root_certificates: None,
            #[cfg(feature = "redis-tls")]
            client_certificate: None,
            connect_timeout: CONNECT_TIMEOUT,
            answer_timeout: ANSWER_TIMEOUT,
        };
        let is_unix = |address: &ConnectionInfo| matches!(address.addr(), ConnectionAddr::Unix(_));
        if !matches!(servers.kind, Kind::One) && servers.addresses().any(is_unix) {
            return Err(invalid("a cluster and sentinels have no Unix sockets; use URLs with a host"));
        }
        Ok(servers)
    }

    fn addresses(&self) -> impl Iterator<Item = &ConnectionInfo> {
        iter::once(&self.first_address).chain(&self.other_addresses)
    }

    /// Checks that certificates will be used, and that there is one in the text. `setting` is what they are set by.
    #[cfg(feature = "redis-tls")]
    pub(super) fn check_certificates(&self, setting: &str, pem: &[u8]) -> Result<(), Error> {
        if !self.addresses().all(has_tls) {
            return Err(invalid(format_args!("{setting} needs TLS; begin the URL with `rediss://`")));
        }
        match CertificateDer::pem_slice_iter(pem).next() {
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) | None => Err(invalid(format_args!("{setting} has no certificate in PEM format"))),
        }
    }

    /// Connects and authenticates.
    pub(super) async fn connect(&self) -> Result<Connection, ServerFailure> {
        #[cfg(feature = "redis-tls")]
        if self.addresses().any(has_tls) && CryptoProvider::get_default().is_none() {
            // The client panics without one. It fails only if there is one by now.
            let _ = ring::default_provider().install_default();
        }
        let connecting = async {
            match &self.kind {
                Kind::One => self.connect_to_one().await,
                #[cfg(feature = "redis-cluster")]
                Kind::Cluster => self.connect_to_cluster().await,
                #[cfg(feature = "redis-sentinel")]
                Kind::Sentinel { master_name } => self.connect_by_sentinels(master_name).await,
            }
        };
        match tokio::time::timeout(self.connect_timeout, connecting).await {
            Ok(connected) => connected.map_err(|error| ServerFailure::from(&error)),
            Err(_) => Err(ServerFailure::new("cannot connect in time")),
        }
        .map_err(|failure| failure.context(format_args!("cannot connect to {self:?}")))
    }

    async fn connect_to_one(&self) -> redis::RedisResult<Connection> {
        let mut settings = self.first_address.redis_settings().clone();
        if let Some(username) = &self.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password.expose());
        }
        let address = self.first_address.clone().set_redis_settings(settings);
        let client = self.client(address)?;
        client.get_multiplexed_async_connection_with_config(&self.config()).await.map(Connection::One)
    }

    #[cfg(feature = "redis-cluster")]
    async fn connect_to_cluster(&self) -> redis::RedisResult<Connection> {
        // A command that meets a server which has just given the slot away is sent once more, to the right server.
        let mut builder = redis::cluster::ClusterClientBuilder::new(self.addresses().cloned())
            .retries(1)
            .connection_timeout(self.connect_timeout)
            .response_timeout(self.answer_timeout)
            .overall_response_timeout(Some(self.answer_timeout))
            .tcp_settings(tcp_settings());
        if let Some(username) = &self.username {
            builder = builder.username(username);
        }
        if let Some(password) = &self.password {
            builder = builder.password(password.expose());
        }
        #[cfg(feature = "redis-tls")]
        if let Some(certificates) = self.certificates() {
            builder = builder.certs(certificates);
        }
        builder.build()?.get_async_connection().await.map(Connection::Cluster)
    }

    #[cfg(feature = "redis-sentinel")]
    async fn connect_by_sentinels(&self, master_name: &str) -> redis::RedisResult<Connection> {
        use redis::{
            TlsMode,
            sentinel::{SentinelClientBuilder, SentinelServerType},
        };

        let first = &self.first_address;
        // The sentinels are asked one after another. Begin with any of them, because the first one can be away.
        let mut addresses: Vec<_> = self.addresses().map(|address| address.addr().clone()).collect();
        fastrand::shuffle(&mut addresses);
        let mut builder = SentinelClientBuilder::new(addresses, master_name, SentinelServerType::Master)?
            .set_client_to_redis_tcp_settings(tcp_settings())
            .set_client_to_sentinel_tcp_settings(tcp_settings())
            .set_client_to_redis_db(first.redis_settings().db());
        if let ConnectionAddr::TcpTls { .. } = first.addr() {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
            #[cfg(feature = "redis-tls")]
            if let Some(certificates) = self.certificates() {
                builder = builder
                    .set_client_to_redis_certificates(certificates.clone())
                    .set_client_to_sentinel_certificates(certificates);
            }
        }
        if let Some(username) = first.redis_settings().username() {
            builder = builder.set_client_to_sentinel_username(username);
        }
        if let Some(password) = first.redis_settings().password() {
            builder = builder.set_client_to_sentinel_password(password);
        }
        if let Some(username) = &self.username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = &self.password {
            builder = builder.set_client_to_redis_password(password.expose());
        }
        builder.build()?.get_async_connection_with_config(&self.config()).await.map(Connection::One)
    }

    fn config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.answer_timeout))
    }

    fn client(&self, address: ConnectionInfo) -> redis::RedisResult<Client> {
        #[cfg(feature = "redis-tls")]
        if let (ConnectionAddr::TcpTls { .. }, Some(certificates)) = (address.addr(), self.certificates()) {
            return Client::build_with_tls(address, certificates);
        }
        Client::open(address)
    }

    #[cfg(feature = "redis-tls")]
    fn certificates(&self) -> Option<redis::TlsCertificates> {
        if self.root_certificates.is_none() && self.client_certificate.is_none() {
            return None;
        }
        Some(redis::TlsCertificates {
            client_tls: self.client_certificate.as_ref().map(|(certificate, key)| redis::ClientTlsConfig {
                client_cert: certificate.to_vec(),
                client_key: key.expose().into(),
            }),
            root_cert: self.root_certificates.as_ref().map(|certificates| certificates.to_vec()),
        })
    }
}

#[cfg(feature = "redis-tls")]
fn has_tls(address: &ConnectionInfo) -> bool {
    matches!(address.addr(), ConnectionAddr::TcpTls { .. })
}

fn tcp_settings() -> TcpSettings {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
    TcpSettings::default().set_nodelay(true).set_keepalive(keepalive)
}

fn read_url(url: &Secret) -> Result<ConnectionInfo, Error> {
    let address = url.expose().into_connection_info().map_err(|error| {
        // The text of the client does not contain the URL, but can contain a part of its query.
        let reason = error.to_string();
        let reason = reason.split_once(" - ").map_or(&*reason, |(reason, _)| reason);
        invalid(format_args!("the URL of a Redis or Valkey server is malformed: {reason}"))
    })?;
    if let ConnectionAddr::TcpTls { insecure: true, .. } = address.addr() {
        return Err(invalid("certificates of servers are always verified; remove `#insecure` from the URL"));
    }
    Ok(address.set_tcp_settings(tcp_settings()))
}

fn invalid(reason: impl fmt::Display) -> Error {
    Error::InvalidStore { reason: reason.to_string().into(), source: None }
}

/// Shows the addresses without the users and passwords of the URLs.
impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, address) in self.addresses().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{}", address.addr())?;
        }
        Ok(())
    }
}
