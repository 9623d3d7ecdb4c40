//! The layers against a real Keystone, a real Placement and keystonemiddleware.
//!
//! `boot.py` installs them from PyPI into a virtual environment in `target/cloud`, and starts them on loopback ports
//! with SQLite databases. If the services cannot be started, the tests fail. `TOWER_KEYSTONE_NO_CLOUD=1` skips these tests,
//! for machines without Python 3 or without a package index.

mod config;
mod config_tls;
mod discovery;
mod methods;
mod outage;
mod renewal;
mod requests;
mod shared_tokens;
mod support;
mod tls;
mod validation;

#[allow(dead_code, reason = "tests/store uses the other items")]
#[path = "../store/memcached_process.rs"]
mod memcached_process;
#[allow(dead_code, reason = "tests/store uses the other items")]
#[path = "../store/memcached_server.rs"]
mod memcached_server;
#[allow(dead_code, reason = "tests/fleet uses the other items")]
#[path = "../fleet/place.rs"]
mod place;
#[allow(dead_code, reason = "tests/store uses the other items")]
#[path = "../store/valkey.rs"]
mod valkey;
