use std::{fmt, time::Duration};

/// Where a person logs in: what [`CloudConfig::log_in`](super::CloudConfig::log_in) shows.
///
/// The texts are safe to print.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct LoginPage<'a> {
    /// The URL that the person opens.
    pub url: &'a str,
    /// The code that the person types there. `None` if the URL has to be opened in a browser of this machine.
    pub user_code: Option<&'a str>,
    /// A URL with the code in it, if the provider has one, for a link or a QR code.
    pub url_with_code: Option<&'a str>,
    /// How long the person can log in there.
    pub expires_in: Duration,
}

/// Shows neither the code nor the URL with it, because they are not for logs.
impl fmt::Debug for LoginPage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginPage").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}
