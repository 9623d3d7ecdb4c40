//! The settings of connections: TLS, timeouts, IPv4 and proxies.

pub(crate) mod force_ipv4;
#[cfg(feature = "rustls")]
pub(crate) mod proxy_variables;
pub(crate) mod timeout;
pub(crate) mod tls;
