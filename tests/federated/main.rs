//! Federated and OAuth logins on the wire, without servers: stub services, and the exchanges that were recorded in
//! `tests/federation/recorded`.

mod headers;
mod recorded;
mod wire;
