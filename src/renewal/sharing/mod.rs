//! Sharing of tokens with other processes by a store.

#[cfg(feature = "store")]
mod driver;
#[cfg(feature = "store")]
mod lease_guard;
#[cfg_attr(not(feature = "store"), allow(dead_code))]
#[allow(unreachable_pub, reason = "it is public for the model checker")]
pub mod protocol;

#[cfg(feature = "store")]
pub(super) use driver::SharedRenewal;
