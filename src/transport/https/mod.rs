//! An HTTPS client for services and Keystone, with rustls (feature `rustls`).

mod body;
mod builder;
mod ca_file_verifier;
mod client;
mod connector;
mod no_verification;
mod pem_file;
mod proxies;
mod proxy_settings;
mod resolver;
mod route;
mod stream;
mod tls;

pub use body::HttpsBody;
pub use builder::HttpsClientBuilder;
pub use client::{HttpsClient, HttpsResponseFuture};
