//! The stores of tokens.

mod contract;
mod memory;
