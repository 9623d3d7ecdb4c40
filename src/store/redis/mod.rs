//! A store of tokens in Redis or Valkey.

mod commands;
mod error;
mod link;
mod operations;
mod redis_store;
mod servers;

pub use redis_store::RedisStore;
