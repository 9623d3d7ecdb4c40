use std::{error::Error as StdError, fmt};

use http::Uri;

use super::format_origin;
use crate::BoxError;

/// There is no connection to the server, because the proxy cannot be reached or did not connect to the server.
#[derive(Debug)]
pub(crate) struct ProxyFailure {
    /// Scheme, host and port of the proxy.
    proxy: Box<str>,
    /// The variable of the environment that sets the proxy.
    variable: Option<&'static str>,
    source: BoxError,
}

impl ProxyFailure {
    pub(crate) fn new(proxy: &Uri, variable: Option<&'static str>, source: BoxError) -> Self {
        Self { proxy: format_origin(proxy), variable, source }
    }
}

impl fmt::Display for ProxyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot connect through the proxy {}", self.proxy)?;
        match self.variable {
            Some(variable) => write!(f, ", set by {variable}"),
            None => Ok(()),
        }
    }
}

impl StdError for ProxyFailure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}
