//! Logins in the browser of this machine, which come back to a loopback port.
//!
//! The pure parts are `fields`, `request`, `page`, `callback_url`, `code_callback` and `token_callback`: they read the
//! bytes that anybody on this machine, and any web page, can send to the port.

mod ascii;
mod authorization_request;
mod browser_login;
mod callback_url;
mod code_callback;
mod fields;
mod loopback;
mod page;
mod redirect;
mod request;
mod serve;
mod token_callback;
mod validate;
mod wait;
mod web_sso_login;

pub use browser_login::{BrowserLogin, BrowserLoginBuilder};
pub use web_sso_login::{WebSsoLogin, WebSsoLoginBuilder};
