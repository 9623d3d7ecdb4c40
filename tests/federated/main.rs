//! Federated and OAuth logins on the wire, without servers: stub services, the fixture, and the exchanges that were
//! recorded in `tests/federation/recorded`.

mod access_token_sources;
mod browser;
mod cloud;
mod configuration;
mod credentials;
mod device_login;
mod fixture;
mod headers;
mod keystone_to_keystone;
mod oauth;
mod oauth2;
mod over_time;
mod plain_http;
mod recorded;
mod recorded_logins;
mod refresh_tokens;
mod rescoping;
mod saml;
mod sharing;
mod simulation;
mod stored_logins;
mod stores;
mod tokenless;
mod wire;
