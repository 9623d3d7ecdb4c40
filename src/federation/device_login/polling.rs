use std::{sync::Arc, time::Duration};

use http::Uri;

use super::schedule::Schedule;
use crate::{
    Error, Secret, Transport,
    error::{FederatedLoginFailed, LoginStep},
    federation::{
        oauth::{DEVICE_CODE, OidcClient, TokenResponse},
        person::BackgroundRequest,
    },
};

/// Asks the token endpoint until the person has logged in.
pub(super) struct Polling {
    client: OidcClient,
    transport: Transport,
    codes: Arc<Codes>,
    schedule: Schedule,
    request: BackgroundRequest<Arc<TokenResponse>>,
    /// The URL of the device authorization endpoint.
    url: Uri,
}

/// The secrets of a token request.
pub(super) struct Codes {
    pub(super) device_code: Secret,
    /// The code verifier, if the login has a code challenge.
    pub(super) verifier: Option<Secret>,
}

impl Polling {
    pub(super) fn new(
        client: OidcClient,
        transport: Transport,
        codes: Codes,
        schedule: Schedule,
        url: Uri,
    ) -> Self {
        let request = BackgroundRequest::new();
        Self { client, transport, codes: Arc::new(codes), schedule, request, url }
    }

    /// Returns how long the code is valid from now on.
    pub(super) fn remaining(&self) -> Duration {
        self.schedule.remaining()
    }

    /// Returns the tokens of the provider as soon as the person has logged in.
    ///
    /// # Errors
    ///
    /// [`Error::NoRuntime`], or a permanent error: the login was denied, the code has expired, or the provider does not
    /// take the request.
    pub(super) async fn tokens(&mut self) -> Result<Arc<TokenResponse>, Error> {
        loop {
            if !self.request.is_in_flight() && !self.schedule.wait().await? {
                return Err(self.expired());
            }
            let error = match self.request_tokens().await {
                Ok(tokens) => return Ok(tokens),
                Err(error) => error,
            };
            let retry_after = error.retry_after();
            match error_code(&error) {
                Some("authorization_pending") => self.schedule.pending(),
                Some("slow_down") => self.schedule.slow_down(retry_after),
                _ if error.is_transient() => self.schedule.failed(retry_after),
                _ => return Err(error),
            }
        }
    }

    async fn request_tokens(&mut self) -> Result<Arc<TokenResponse>, Error> {
        let (client, transport, codes) = (&self.client, &self.transport, &self.codes);
        let send = || {
            let (client, transport, codes) = (client.clone(), transport.clone(), Arc::clone(codes));
            async move { codes.request_tokens(&client, &transport).await.map(Arc::new) }
        };
        self.request.response(LoginStep::Token, send).await
    }

    fn expired(&self) -> Error {
        let hint = "the code expired before the person logged in; start another login";
        let failed = FederatedLoginFailed::at(LoginStep::DeviceAuthorization, &self.url, hint, false);
        failed.with_error("expired_token").into()
    }
}

impl Codes {
    async fn request_tokens(
        &self,
        client: &OidcClient,
        transport: &Transport,
    ) -> Result<TokenResponse, Error> {
        let mut fields = vec![("device_code", self.device_code.expose())];
        if let Some(verifier) = &self.verifier {
            fields.push(("code_verifier", verifier.expose()));
        }
        client.request_token(transport, DEVICE_CODE, &fields).await
    }
}

/// Returns the error code of the provider.
fn error_code(error: &Error) -> Option<&str> {
    match error {
        Error::FederatedLoginFailed(failed) => failed.error.as_deref(),
        _ => None,
    }
}
