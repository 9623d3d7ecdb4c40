use http::Uri;

use crate::Error;

/// The hosts to which secrets may be sent over plain http, besides loopback.
#[derive(Clone, Debug, Default)]
pub(super) struct PlainHttpHosts(Vec<Box<str>>);

impl PlainHttpHosts {
    pub(super) fn allow(&mut self, host: Box<str>) {
        self.0.push(host);
    }

    /// Returns an error if secrets must not be sent to this URL.
    pub(super) fn check(&self, url: &Uri) -> Result<(), Error> {
        todo!()
    }
}
