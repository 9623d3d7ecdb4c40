//! The stores of tokens.

mod contract;
#[cfg(unix)]
mod file;
#[cfg(unix)]
mod memcached;
#[cfg(unix)]
mod memcached_faults;
#[cfg(unix)]
mod memcached_process;
#[cfg(unix)]
mod memcached_server;
mod memory;
mod valkey;
mod valkey_cluster;
mod valkey_failures;
mod valkey_store;
mod valkey_tls;
