//! The layer against a real Keystone and a real Placement.
//!
//! `boot.py` starts them on loopback, from PyPI and on SQLite, in a virtual environment that it keeps
//! under `target/cloud`. A test that cannot have them fails. `TOWER_KEYSTONE_NO_CLOUD=1` leaves these
//! tests out, for machines without Python 3 or without a package index.

mod discovery;
mod methods;
mod outage;
mod renewal;
mod requests;
mod support;
