//! The reason of a rejection, as the log shows it.

use std::fmt;

use http::Request;

use super::{
    access_rules::Forbidden,
    decide::NotConfirmed,
    request::{has_bearer_token, sent_uri},
    settings::Settings,
};
use crate::error::escaped;

/// Writes why a token is not confirmed, with what an operator needs to know about the request and the settings.
pub(super) struct Reason<'a, B> {
    pub(super) not_confirmed: NotConfirmed,
    pub(super) request: &'a Request<B>,
    pub(super) settings: &'a Settings,
}

impl<B> fmt::Display for Reason<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { not_confirmed, request, settings } = self;
        not_confirmed.fmt(f)?;
        match not_confirmed {
            NotConfirmed::Absent if !settings.bearer_tokens && has_bearer_token(request.headers()) => {
                f.write_str("; Authorization is ignored without bearer_tokens")
            }
            NotConfirmed::AccessRules(Forbidden::NotInCatalog) => {
                write!(f, ": {}", settings.service_type.as_deref().unwrap_or_default())
            }
            NotConfirmed::AccessRules(Forbidden::NoRule) => {
                let path = sent_uri(request.extensions(), request.uri(), settings.sent_uri).path();
                write!(f, ": {} {}", escaped(request.method().as_str()), escaped(path))
            }
            _ => Ok(()),
        }
    }
}
