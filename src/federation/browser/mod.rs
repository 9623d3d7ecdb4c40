//! Logins in the browser of this machine, which come back to a loopback port.

mod browser_login;
mod callback_url;
mod code_callback;
mod fields;
mod loopback;
mod page;
mod request;
mod serve;
mod token_callback;
mod web_sso_login;

pub use browser_login::BrowserLogin;
pub use web_sso_login::WebSsoLogin;
