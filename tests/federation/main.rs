//! Federated logins at a real Keystone, with a real OpenID provider, SAML and client certificates.
//!
//! `stack/boot.py` starts the servers below `target/federation`. The tests need `TOWER_KEYSTONE_FEDERATION=real`, and
//! do nothing without it: `tests/federated` tests the same logins without these servers. With
//! `TOWER_KEYSTONE_FEDERATION=kerberos`, Kerberos is tested too.

mod browser;
mod expiry;
mod grants;
mod interactive;
mod kerberos;
mod oauth2;
mod saml;
mod session;
mod support;
