//! Sending requests again: after a refused token, and when no server had time for them.

mod policy;
mod reauth;
mod replay;
mod support;
