//! The fuzz targets: each is a function over bytes that panics if something does not hold.
//!
//! Inputs are texts that can be written by hand: an HTTP answer, a document, or a few lines.

pub mod auth_response;
pub mod auth_state;
pub mod catalog;
pub mod discovery;
mod input;
pub mod join;
pub mod origin_guard;
mod requests;
pub mod retry_after;
pub mod timestamp;
pub mod token_header;
