//! The stores of tokens.

mod contract;
#[cfg(unix)]
mod file;
mod memory;
