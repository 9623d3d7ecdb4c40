//! A login in the browser of any device (RFC 8628).

mod authorization;
mod polling;
mod schedule;

use std::{fmt, time::Duration};

use http::Uri;

use self::{
    authorization::DeviceAuthorization,
    polling::{Codes, Polling},
    schedule::Schedule,
};
use super::{
    CompletedLogin, IdentityProvider, OidcClient,
    oauth::{CODE_CHALLENGE_METHOD, code_challenge, code_verifier},
    person::{RetriedExchange, within_timeout},
};
use crate::{
    Error, Transport,
    error::{FederatedLoginFailed, LoginStep},
    task::runtime,
};

/// A login in the browser of any device (RFC 8628): keystoneauth's `v3oidcdeviceauthz`.
///
/// The program shows a URL and a short code, and waits. The person opens the URL, types the code and logs in there.
/// Both texts are safe to print: they are printable ASCII, and the URL is https, or http on a host that the
/// [`OidcClient`] allows or on loopback.
///
/// The login is bound to this value by a code challenge (RFC 7636, method `S256`), unless
/// [`OidcClient::without_code_challenge`] leaves it out.
pub struct DeviceLogin {
    user_code: Box<str>,
    verification_uri: Box<str>,
    verification_uri_complete: Option<Box<str>>,
    identity_provider: IdentityProvider,
    client: OidcClient,
    transport: Transport,
    stage: Stage,
}

/// How far the login is.
enum Stage {
    /// The person has not logged in yet.
    Polling(Polling),
    /// The provider has issued a bearer, for which Keystone has not issued a token yet.
    Exchange(RetriedExchange),
    /// The login has ended. This is the error of all further calls.
    Ended(Error),
}

impl DeviceLogin {
    /// Requests a code from the provider.
    ///
    /// # Errors
    ///
    /// [`Error::FederatedLoginFailed`] if the provider does not issue a code within 30 s, or if its response must not
    /// be shown to a person: it contains characters other than printable ASCII, or a URL that is not https.
    pub async fn start(
        identity_provider: IdentityProvider,
        client: OidcClient,
        transport: Transport,
    ) -> Result<Self, Error> {
        runtime()?;
        // A login that Keystone could not take is not begun.
        identity_provider.federated_url()?;
        let verifier = client.has_code_challenge().then(code_verifier).transpose()?;
        let challenge = verifier.as_ref().map(code_challenge);
        let mut fields = vec![("client_id", client.client_id()), ("scope", client.openid_scope())];
        if let Some(challenge) = &challenge {
            fields.extend([("code_challenge_method", CODE_CHALLENGE_METHOD), ("code_challenge", challenge)]);
        }
        let step = LoginStep::DeviceAuthorization;
        let request = client.request_device_authorization(&transport, &fields);
        let (document, url) = within_timeout(step, request).await?;
        let is_allowed = |url: &Uri| client.check_plain_http(step, url).is_ok();
        let authorization = DeviceAuthorization::read(document.expose(), is_allowed)
            .map_err(|hint| FederatedLoginFailed::at(step, &url, hint, false))?;

        // Otherwise the person would log in in vain.
        client.check_token_endpoint(&transport).await?;

        let codes = Codes { device_code: authorization.device_code, verifier };
        let schedule = Schedule::new(authorization.interval, authorization.lifetime);
        let polling = Polling::new(client.clone(), transport.clone(), codes, schedule, url);
        Ok(Self {
            user_code: authorization.user_code,
            verification_uri: authorization.verification_uri,
            verification_uri_complete: authorization.verification_uri_complete,
            identity_provider,
            client,
            transport,
            stage: Stage::Polling(polling),
        })
    }

    /// Returns the code that the person types, such as `WDJB-MJHT`.
    ///
    /// Do not write it to a log: another person could type it, and the program would go on as that person.
    pub fn user_code(&self) -> &str {
        &self.user_code
    }

    /// Returns the URL that the person opens.
    pub fn verification_uri(&self) -> &str {
        &self.verification_uri
    }

    /// Returns a URL with the code in it, if the provider has one, for a link or a QR code.
    ///
    /// Show the [`user_code`](Self::user_code) beside it, so that the person can compare the codes (RFC 8628, section
    /// 3.3.1).
    pub fn verification_uri_complete(&self) -> Option<&str> {
        self.verification_uri_complete.as_deref()
    }

    /// Returns how long the code is valid from now on. It is zero after the person has logged in.
    ///
    /// If the provider does not say how long, it is 10 minutes. The maximum is 24 hours.
    pub fn expires_in(&self) -> Duration {
        match &self.stage {
            Stage::Polling(polling) => polling.remaining(),
            Stage::Exchange(_) | Stage::Ended(_) => Duration::ZERO,
        }
    }

    /// Waits until the person has logged in, and obtains the unscoped token.
    ///
    /// The provider is asked at once, and then in the interval that it demands: 5 s unless it says otherwise, and 5 s
    /// more after each `slow_down`. While it cannot be reached, or responds with a status such as 503 or 429, the delay
    /// doubles each time, up to 60 s. `Retry-After` makes a delay longer, up to 5 minutes.
    ///
    /// If the returned future is dropped, nothing is lost: another call goes on with the same login, and with the
    /// request that was in flight. So a program can limit the time that it waits, or ask a person whether to wait
    /// longer.
    ///
    /// # Errors
    ///
    /// - [`Error::FederatedLoginFailed`] with the error code `access_denied` if the person refused the login,
    ///   `expired_token` if the code expired, also by the clock of this machine, and others that the provider returns.
    /// - A transient error ([`Error::is_transient`]) if the person has logged in and Keystone has not issued a token for
    ///   5 minutes, or until the bearer of the provider ended. Another call goes on, and the person is not asked again.
    ///   For that, it uses the refresh token if the bearer has ended.
    ///
    /// After any other error, and after the login was completed, each further call fails.
    pub async fn complete(&mut self) -> Result<CompletedLogin, Error> {
        loop {
            let error = match &mut self.stage {
                Stage::Polling(polling) => match polling.tokens().await {
                    Ok(tokens) => {
                        let exchange = RetriedExchange::new(
                            &self.identity_provider,
                            &self.client,
                            &self.transport,
                            &tokens,
                        );
                        self.stage = Stage::Exchange(exchange);
                        continue;
                    }
                    Err(error) => error,
                },
                Stage::Exchange(exchange) => match exchange.login().await {
                    Ok(login) => {
                        self.stage = Stage::Ended(already_completed());
                        return Ok(login);
                    }
                    Err(error) => error,
                },
                Stage::Ended(error) => return Err(error.clone()),
            };
            if !error.is_transient() {
                self.stage = Stage::Ended(error.clone());
            }
            return Err(error);
        }
    }
}

fn already_completed() -> Error {
    let hint = "an earlier call has completed the login; start another one";
    FederatedLoginFailed::new(LoginStep::Token, "".into(), hint, false).into()
}

/// Shows no code, because it is not for logs.
impl fmt::Debug for DeviceLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceLogin").field("expires_in", &self.expires_in()).finish_non_exhaustive()
    }
}
