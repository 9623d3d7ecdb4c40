//! A layer that lets through only callers with certain roles or a certain scope.

mod layer;
mod service;

pub use layer::RequireLayer;
pub use service::Require;
