use std::{fmt, time::Duration};

use zeroize::Zeroizing;

use super::{
    ascii::ascii, loopback::Loopback, redirect::Redirect, request::Request, token_callback::TokenCallback,
    validate, wait::wait_for_browser,
};
use crate::{
    Error, Transport,
    federation::{CompletedLogin, IdentityProvider, oauth::form},
};

/// A login in the browser of this machine by Keystone's web single sign-on: keystoneauth's `v3websso`.
///
/// This value listens on a loopback port. The program prints the [`url`](Self::url), or opens it in a browser, for
/// example with the crate `webbrowser`, and waits. The person logs in at the provider, and a page of Keystone sends the
/// unscoped token to the port.
///
/// The URL that the browser comes back to must be in `[federation] trusted_dashboard` of keystone.conf, to the letter.
/// It is `http://localhost:9990/auth/websso/` unless the [`builder`](Self::builder) sets another one, as in
/// keystoneauth. Otherwise Keystone shows a page with the status 401.
///
/// Nothing in the form says which login it belongs to. While the program waits, a page that the person visits could
/// send a token of another user, and the program would go on as that user. So show the person who logged in:
/// [`CompletedLogin::access_info`] has the [`username`](crate::AccessInfo::username). If the provider takes clients of
/// its own, [`BrowserLogin`](super::BrowserLogin) has no such gap.
///
/// If this is dropped, the port is closed. On Windows, another program can share the port, because it is not bound for
/// exclusive use.
pub struct WebSsoLogin {
    url: Box<str>,
    loopback: Loopback,
    callback: TokenCallback,
    identity_provider: IdentityProvider,
    transport: Transport,
}

impl WebSsoLogin {
    /// Listens on port 9990 of `127.0.0.1` and `[::1]`, and makes the URL for the browser.
    ///
    /// # Errors
    ///
    /// Those of [`WebSsoLoginBuilder::start`].
    pub async fn start(identity_provider: IdentityProvider, transport: Transport) -> Result<Self, Error> {
        Self::builder(identity_provider).start(transport).await
    }

    /// Returns a builder, which sets the URL that the browser comes back to.
    pub fn builder(identity_provider: IdentityProvider) -> WebSsoLoginBuilder {
        let redirect = Redirect { host: "localhost".into(), port: 9990, path: "/auth/websso/".into() };
        WebSsoLoginBuilder { identity_provider, redirect, names_identity_provider: true }
    }

    /// Returns the URL to open in the browser. It is printable ASCII.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits until the browser comes back, and asks Keystone for the document of the token.
    ///
    /// The browser has this `timeout`, which is 60 s in keystoneauth. A person who logs in with a second factor takes
    /// some minutes. Afterwards, a Keystone that cannot be reached is asked for 5 minutes, so that the person does not
    /// have to log in again.
    ///
    /// # Errors
    ///
    /// - [`Error::FederatedLoginFailed`] of [`LoginStep::Browser`](crate::error::LoginStep::Browser) if the time is over.
    /// - [`Error::FederatedLoginFailed`] of [`LoginStep::Federation`](crate::error::LoginStep::Federation) if the token is
    ///   not valid, or is that of another identity provider or protocol.
    pub async fn complete(self, timeout: Duration) -> Result<CompletedLogin, Error> {
        let Self { loopback, callback, identity_provider, transport, .. } = self;
        let read = |request: &Request<'_>| callback.read(request);
        let token: Zeroizing<String> =
            wait_for_browser(loopback, callback.url.to_origin(), timeout, read).await?;
        let access_info = validate::access_info(&identity_provider, &transport, &token).await?;
        Ok(CompletedLogin::new(identity_provider, None, access_info, None))
    }
}

impl fmt::Debug for WebSsoLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSsoLogin").finish_non_exhaustive()
    }
}

/// Sets the URL that the browser comes back to in a [`WebSsoLogin`].
#[derive(Debug)]
pub struct WebSsoLoginBuilder {
    identity_provider: IdentityProvider,
    redirect: Redirect,
    names_identity_provider: bool,
}

impl WebSsoLoginBuilder {
    /// Sets the port that the browser comes back to. The default is 9990; 0 stands for a free port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.redirect.port = port;
        self
    }

    /// Sets the path that the browser comes back to. The default is `/auth/websso/`.
    #[must_use]
    pub fn path(mut self, path: impl Into<Box<str>>) -> Self {
        self.redirect.path = path.into();
        self
    }

    /// Sets the host that the browser comes back to: `localhost`, which is the default, or `127.0.0.1`.
    #[must_use]
    pub fn host(mut self, host: impl Into<Box<str>>) -> Self {
        self.redirect.host = host.into();
        self
    }

    /// Leaves the identity provider out of the URL for the browser (`/v3/auth/OS-FEDERATION/websso/{protocol}`).
    ///
    /// Keystone's web server then decides which provider it is. The token must still be that of the identity provider
    /// that was set.
    #[must_use]
    pub fn any_identity_provider(mut self) -> Self {
        self.names_identity_provider = false;
        self
    }

    /// Listens on the port, and makes the URL for the browser. The port is open when this returns.
    ///
    /// # Errors
    ///
    /// - [`Error::FederatedLoginFailed`] if the port is not free on `127.0.0.1` and on `[::1]`. A machine without `[::1]`
    ///   does without it.
    /// - [`Error::InvalidEndpoint`] if the `auth_url`, the identity provider or the protocol is invalid, and
    ///   [`Error::FederatedLoginFailed`] if the `auth_url` is plain http to a host that is not allowed.
    pub async fn start(self, transport: Transport) -> Result<WebSsoLogin, Error> {
        let Self { identity_provider, redirect, names_identity_provider } = self;
        let protocol = identity_provider.protocol_segment()?;
        let path = match names_identity_provider {
            true => {
                let id = identity_provider.id_segment()?;
                format!("auth/OS-FEDERATION/identity_providers/{id}/protocols/{protocol}/websso")
            }
            false => format!("auth/OS-FEDERATION/websso/{protocol}"),
        };
        let web_sso = identity_provider.url(&path)?;
        let (loopback, url) = redirect.listen().await?;
        let origin = form::encode(&[("origin", &url.to_text())]);
        Ok(WebSsoLogin {
            url: format!("{}?{}", ascii(&web_sso), *origin).into(),
            callback: TokenCallback { url, keystone: browser_origin(&web_sso) },
            loopback,
            identity_provider,
            transport,
        })
    }
}

/// Returns the origin of a URL as browsers write it: in lower case, and without the port of the scheme.
fn browser_origin(url: &http::Uri) -> Box<str> {
    let scheme = url.scheme_str().unwrap_or_default().to_ascii_lowercase();
    let host = url.host().unwrap_or_default().to_ascii_lowercase();
    match (&*scheme, url.port_u16()) {
        (_, None) | ("http", Some(80)) | ("https", Some(443)) => format!("{scheme}://{host}").into(),
        (_, Some(port)) => format!("{scheme}://{host}:{port}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_do() {
        for (url, origin) in [
            ("https://Keystone.example.com/v3", "https://keystone.example.com"),
            ("https://keystone.example.com:443", "https://keystone.example.com"),
            ("http://keystone.example.com:80/", "http://keystone.example.com"),
            ("HTTPS://keystone.example.com:5000/v3", "https://keystone.example.com:5000"),
            ("http://[::1]:5000/v3", "http://[::1]:5000"),
        ] {
            assert_eq!(&*browser_origin(&url.parse().unwrap()), origin);
        }
    }
}
