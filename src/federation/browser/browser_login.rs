use std::{fmt, time::Duration};

use zeroize::Zeroizing;

use super::{
    authorization_request::authorization_url,
    code_callback::{AuthorizationResponse, CodeCallback},
    loopback::Loopback,
    redirect::Redirect,
    request::Request,
    wait::wait_for_browser,
};
use crate::{
    Error, Secret, Transport,
    error::{FederatedLoginFailed, LoginStep, contains_secret},
    federation::{
        CompletedLogin, IdentityProvider, OidcClient,
        oauth::{CODE_CHALLENGE_METHOD, code_challenge, code_verifier},
        person::{RetriedExchange, within_timeout},
        random::random_text,
    },
};

/// The length of the state, in random bytes.
const STATE_LEN: usize = 32;

/// Maximum length of an error code and of a description, in characters.
const MAX_ERROR: usize = 64;
const MAX_DESCRIPTION: usize = 1024;

/// A login in the browser of this machine, by authorization code with PKCE (RFC 7636, RFC 8252).
///
/// This value listens on a loopback port. The program prints the [`url`](Self::url), or opens it in a browser, for
/// example with the crate `webbrowser`, and waits. The person logs in at the provider, which sends the browser back to
/// the port with a code. The code is worth nothing without the code verifier (S256), which only this value has.
/// Requests to the port without the random `state` of this login are refused, and the login goes on waiting.
///
/// The client must be registered at the provider with the URL that the browser comes back to:
/// `http://127.0.0.1:PORT/callback`. Many providers ignore the port of such a URL, as RFC 8252 (section 7.3) demands;
/// with others, set the [`port`](BrowserLoginBuilder::port) too. keystoneauth has no such login: its `v3oidcauthcode`
/// takes a code that was obtained elsewhere
/// ([`Grant::authorization_code`](crate::federation::Grant::authorization_code)).
///
/// To get a refresh token, add `offline_access` to the [`scope`](OidcClient::scope) of the client. Many providers then
/// also expect `builder.parameter("prompt", "consent")`.
///
/// If this is dropped, the port is closed. On Windows, another program can share the port, because it is not bound for
/// exclusive use.
///
/// ```no_run
/// use std::time::Duration;
///
/// use tower_keystone::{
///     Error, RenewingPlugin, Scope, Transport,
///     federation::{BrowserLogin, IdentityProvider, OidcClient},
/// };
///
/// # async fn log_in(transport: Transport) -> Result<(), Error> {
/// let keystone = IdentityProvider::new("https://keystone.example.com/v3", "my-idp", "openid");
/// let client = OidcClient::new("my-cli")
///     .discovery_endpoint("https://login.example.com/.well-known/openid-configuration");
///
/// let login = BrowserLogin::start(keystone, client, transport.clone()).await?;
/// println!("Open this URL in your browser: {}", login.url());
/// let login = login.complete(Duration::from_secs(5 * 60)).await?;
/// println!("Logged in as {}", login.access_info().username().unwrap_or("an unnamed user"));
///
/// let scope = Scope::new().project_name("demo").project_domain_name("Default");
/// let plugin = RenewingPlugin::new(login.into_credentials().scope(scope), transport);
/// # let _ = plugin;
/// # Ok(())
/// # }
/// ```
pub struct BrowserLogin {
    url: Box<str>,
    loopback: Loopback,
    callback: CodeCallback,
    code_verifier: Secret,
    identity_provider: IdentityProvider,
    client: OidcClient,
    transport: Transport,
}

impl BrowserLogin {
    /// Listens on a free port of `127.0.0.1` and `[::1]`, and makes the URL for the browser.
    ///
    /// # Errors
    ///
    /// Those of [`BrowserLoginBuilder::start`].
    pub async fn start(
        identity_provider: IdentityProvider,
        client: OidcClient,
        transport: Transport,
    ) -> Result<Self, Error> {
        Self::builder(identity_provider, client).start(transport).await
    }

    /// Returns a builder, which sets the URL that the browser comes back to, and parameters for the provider.
    pub fn builder(identity_provider: IdentityProvider, client: OidcClient) -> BrowserLoginBuilder {
        let redirect = Redirect { host: "127.0.0.1".into(), port: 0, path: "/callback".into() };
        BrowserLoginBuilder { identity_provider, client, redirect, parameters: Vec::new() }
    }

    /// Returns the URL to open in the browser. It is printable ASCII.
    ///
    /// It contains no secret that is of use to others once the login has ended. Do not send it to anybody: who opens it
    /// logs in for this program.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits until the browser comes back, and obtains the unscoped token.
    ///
    /// The browser has this `timeout`. A person who logs in with a second factor takes some minutes. Afterwards, the
    /// provider has 30 s to respond. A Keystone that cannot be reached is asked for 5 minutes, so that the person does
    /// not have to log in again.
    ///
    /// # Errors
    ///
    /// - [`Error::FederatedLoginFailed`] of [`LoginStep::Browser`]: the time is over, the provider refused the login (for
    ///   example with the error code `access_denied`), or the response is from another provider.
    /// - The errors of the token endpoint and of the federation URL, as those of
    ///   [`FederatedCredentials`](crate::federation::FederatedCredentials).
    pub async fn complete(self, timeout: Duration) -> Result<CompletedLogin, Error> {
        let Self { loopback, callback, code_verifier, identity_provider, client, transport, .. } = self;
        let redirect_uri = callback.url.to_text();
        let read = |request: &Request<'_>| callback.read(request);
        let code = match wait_for_browser(loopback, callback.url.to_origin(), timeout, read).await? {
            AuthorizationResponse::Code(code) => code,
            AuthorizationResponse::Error(error, description) => {
                return Err(refused(
                    callback.url.to_origin(),
                    &error,
                    description.as_deref(),
                    &callback.state,
                ));
            }
            AuthorizationResponse::WrongIssuer => {
                let hint = "the response is from another provider than the one that the browser was sent to (its `iss`); \
                            check the discovery_endpoint";
                let failed =
                    FederatedLoginFailed::new(LoginStep::Browser, callback.url.to_origin(), hint, false);
                return Err(failed.into());
            }
        };
        let fields =
            [("redirect_uri", &*redirect_uri), ("code", &code), ("code_verifier", code_verifier.expose())];
        let tokens =
            within_timeout(LoginStep::Token, client.request_token(&transport, "authorization_code", &fields))
                .await?;
        RetriedExchange::new(&identity_provider, &client, &transport, &tokens).login().await
    }
}

impl fmt::Debug for BrowserLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrowserLogin").finish_non_exhaustive()
    }
}

/// Sets the URL that the browser comes back to in a [`BrowserLogin`], and parameters for the provider.
pub struct BrowserLoginBuilder {
    identity_provider: IdentityProvider,
    client: OidcClient,
    redirect: Redirect,
    parameters: Vec<(Box<str>, Box<str>)>,
}

impl BrowserLoginBuilder {
    /// Sets the port that the browser comes back to. The default is 0: a free port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.redirect.port = port;
        self
    }

    /// Sets the path that the browser comes back to. The default is `/callback`.
    #[must_use]
    pub fn path(mut self, path: impl Into<Box<str>>) -> Self {
        self.redirect.path = path.into();
        self
    }

    /// Sets the host that the browser comes back to: `127.0.0.1`, which is the default, or `localhost`.
    ///
    /// Some providers know loopback as `http://localhost` only, Entra ID for example. The program listens on
    /// `127.0.0.1` and `[::1]` with both.
    #[must_use]
    pub fn host(mut self, host: impl Into<Box<str>>) -> Self {
        self.redirect.host = host.into();
        self
    }

    /// Adds a parameter to the URL for the browser, such as `prompt`, `login_hint`, `acr_values` or `audience`.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// Listens on the port, and makes the URL for the browser.
    ///
    /// Fetches the discovery document of the client, if it has one. The port is open when this returns.
    ///
    /// # Errors
    ///
    /// [`Error::FederatedLoginFailed`]:
    ///
    /// - if the port is not free on `127.0.0.1` and on `[::1]`. A machine without `[::1]` does without it.
    /// - if the client has no authorization endpoint, or if the discovery document cannot be fetched.
    /// - if a parameter is given twice, or is one that the login sets itself.
    /// - if the authorization endpoint or Keystone is reached by plain http, and its host is not allowed.
    pub async fn start(self, transport: Transport) -> Result<BrowserLogin, Error> {
        let Self { identity_provider, client, redirect, parameters } = self;
        // An unusable URL of Keystone is an error before a person logs in.
        identity_provider.federated_url()?;
        let endpoint = client.authorization_url(&transport).await?;
        let provider = client.discover(&transport).await?;
        let (loopback, callback_url) = redirect.listen().await?;

        let (state, code_verifier) = (random_text(STATE_LEN)?, code_verifier()?);
        let (redirect_uri, challenge) = (callback_url.to_text(), code_challenge(&code_verifier));
        let mut fields = vec![
            ("client_id", client.client_id()),
            ("response_type", "code"),
            ("scope", client.openid_scope()),
            ("redirect_uri", &redirect_uri),
            ("state", state.expose()),
            ("code_challenge", &challenge),
            ("code_challenge_method", CODE_CHALLENGE_METHOD),
        ];
        fields.extend(parameters.iter().map(|(name, value)| (&**name, &**value)));
        let url = authorization_url(&endpoint, &fields)
            .map_err(|hint| FederatedLoginFailed::at(LoginStep::Browser, &endpoint, hint, false))?;
        let is_from_provider = move |iss: Option<&str>| {
            // Without a discovery document there is nothing to compare it with.
            provider.as_ref().is_none_or(|(metadata, url)| metadata.sends(iss, url))
        };
        let callback = CodeCallback {
            url: callback_url,
            state: Zeroizing::new(state.expose().to_owned()),
            is_from_provider: Box::new(is_from_provider),
        };
        let url = url.into();
        Ok(BrowserLogin { url, loopback, callback, code_verifier, identity_provider, client, transport })
    }
}

impl fmt::Debug for BrowserLoginBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrowserLoginBuilder").finish_non_exhaustive()
    }
}

/// Returns the error of a provider that sends the browser back without a code.
fn refused(origin: Box<str>, error: &str, description: Option<&str>, state: &str) -> Error {
    let hint = match error {
        "access_denied" => "the login was denied",
        "login_required" | "consent_required" | "interaction_required" | "account_selection_required" => {
            "the provider must not ask the person anything; remove the parameter prompt=none"
        }
        "unauthorized_client" => "allow the client to use authorization codes at the provider",
        "invalid_scope" => "check the scope of the OidcClient",
        _ => "",
    };
    let is_transient = matches!(error, "temporarily_unavailable" | "server_error");
    let text = |text: &str, max| match contains_secret(text, false, [state]) {
        true => "(redacted: it contains a secret)".into(),
        false => text.chars().take(max).collect::<String>().into(),
    };
    let mut failed = FederatedLoginFailed::new(LoginStep::Browser, origin, hint, is_transient);
    failed.error = Some(text(error, MAX_ERROR));
    failed.error_description = description.map(|description| text(description, MAX_DESCRIPTION));
    failed.into()
}
