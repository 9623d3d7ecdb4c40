//! The logins of the grants: each proves who logs in, and gets an unscoped token of Keystone for the proof.

mod bearer;
mod ended;
mod header;
mod ids;
mod refresh;
#[cfg(feature = "saml")]
mod saml;

#[cfg(feature = "saml")]
pub(super) use self::saml::SamlLogin;
pub(super) use self::{bearer::BearerLogin, ended::EndedLogin, header::HeaderLogin, refresh::RefreshLogin};
