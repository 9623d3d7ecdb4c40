//! Sharing of tokens with other processes by a store.

mod driver;
mod finish;
mod lease_guard;
mod logins;
#[allow(unreachable_pub, reason = "it is public for the model checker")]
pub mod protocol;

pub(super) use driver::SharedRenewal;
#[cfg(feature = "federation")]
pub(crate) use lease_guard::LeaseGuard;
