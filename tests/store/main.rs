//! The stores of tokens.

mod contract;
#[cfg(unix)]
mod file;
mod memory;
mod valkey;
mod valkey_cluster;
mod valkey_failures;
mod valkey_store;
mod valkey_tls;
