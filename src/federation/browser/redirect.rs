//! Where a login lets the browser come back to.

use super::{callback_url::CallbackUrl, loopback::Loopback};
use crate::{
    Error,
    error::{FederatedLoginFailed, LoginStep},
};

/// The settings of the URL that the browser comes back to.
#[derive(Debug)]
pub(super) struct Redirect {
    pub(super) host: Box<str>,
    /// The port. 0 stands for a free one.
    pub(super) port: u16,
    pub(super) path: Box<str>,
}

impl Redirect {
    /// Listens on the port, and returns the URL with it.
    ///
    /// # Errors
    ///
    /// [`Error::FederatedLoginFailed`] if the host or the path cannot be used, or if the port is not free on both
    /// addresses.
    pub(super) async fn listen(&self) -> Result<(Loopback, CallbackUrl), Error> {
        let invalid = |hint| {
            let origin = format!("http://{}:{}", self.host.escape_debug(), self.port);
            Error::from(FederatedLoginFailed::new(LoginStep::Browser, origin.into(), hint, false))
        };
        let host = match &*self.host {
            "127.0.0.1" => "127.0.0.1",
            "localhost" => "localhost",
            _ => {
                return Err(invalid("the browser cannot come back to this host; set 127.0.0.1 or localhost"));
            }
        };
        let is_part =
            |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\' | b'"' | b'<' | b'>');
        if !self.path.starts_with('/') || !self.path.bytes().all(is_part) {
            return Err(invalid("the path must start with a / and contain neither a query nor a fragment"));
        }
        let loopback = Loopback::bind(host, self.port).await?;
        let url = CallbackUrl { host, port: loopback.port(), path: self.path.clone() };
        Ok((loopback, url))
    }
}
