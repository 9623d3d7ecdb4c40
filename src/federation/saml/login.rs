use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};

use super::{
    SamlIdentityProvider,
    envelope::{Assertion, AssertionRequest, fault},
};
use crate::{
    AccessInfo, Error, Secret, Transport,
    endpoint::Origin,
    error::{FederatedLoginFailed, LoginStep},
    federation::{
        IdentityProvider,
        service_provider::{PAOS, ServiceProvider, has_media_type, send},
    },
    identity::wipe,
};

/// The header that says that the client knows the profile for enhanced clients, and its value.
const PAOS_HEADER: (HeaderName, HeaderValue) = (
    HeaderName::from_static("paos"),
    HeaderValue::from_static(
        "ver=\"urn:liberty:paos:2003-08\";\"urn:oasis:names:tc:SAML:2.0:profiles:SSO:ecp\"",
    ),
);

impl SamlIdentityProvider {
    /// Logs in with the password at the identity provider, and returns the unscoped token of Keystone.
    pub(in crate::federation) async fn log_in(
        &self,
        transport: &Transport,
        keystone: &IdentityProvider,
    ) -> Result<AccessInfo, Error> {
        let federated_url = keystone.federated_url()?;
        // An unusable URL of the identity provider is an error before anything is sent.
        let url = &self.valid_url()?;
        self.plain_http.check(LoginStep::SamlIdentityProvider, url)?;
        let (authorization, encoded) = self.authorization().ok_or(Error::AuthorizationFailure {
            reason: "the username of the SAML identity provider contains a colon, or the password is too long for a header",
        })?;

        let headers = HeaderMap::from_iter([
            (ACCEPT, HeaderValue::from_static("*/*,application/vnd.paos+xml")),
            PAOS_HEADER,
        ]);
        let request = request_login(transport, &federated_url, headers.clone()).await?;
        let envelope =
            self.request_assertion(transport, url, request.envelope.clone(), authorization, &encoded).await?;
        let answer = request.answer(&envelope);
        wipe(envelope);
        let failed = |hint| {
            let failed = FederatedLoginFailed::at(LoginStep::SamlIdentityProvider, url, hint, false);
            Error::from(failed.with_status(StatusCode::OK))
        };
        match answer.map_err(failed)? {
            Assertion::For(assertion) => {
                let consumer_url = &request.consumer_url;
                let service_provider =
                    ServiceProvider { transport, consumer_url, federated_url: &federated_url, headers };
                service_provider.log_in(assertion).await
            }
            Assertion::ForAnotherUrl => {
                send_fault(transport, &request.consumer_url).await;
                Err(failed(
                    "its assertion is for another URL than that of the service provider, so it was not sent; check the \
                     metadata of the service provider at the identity provider",
                ))
            }
        }
    }

    /// Sends the request of the service provider to the identity provider, with the password. Returns its envelope.
    async fn request_assertion(
        &self,
        transport: &Transport,
        url: &Uri,
        envelope: Bytes,
        authorization: HeaderValue,
        encoded: &Secret,
    ) -> Result<Bytes, Error> {
        const STEP: LoginStep = LoginStep::SamlIdentityProvider;
        let request =
            Request::post(url).header(CONTENT_TYPE, "text/xml").header(AUTHORIZATION, authorization);
        let request = request.body(envelope).map_err(|_| Error::InvalidRequestUri)?;
        let response = send(transport, STEP, request).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let secrets = [self.password().expose(), encoded.expose()];
        let failed = FederatedLoginFailed::read(STEP, url, &response, secrets);
        Err(match status {
            StatusCode::UNAUTHORIZED => failed.with_hint("check the user name and the password"),
            StatusCode::NOT_FOUND => {
                failed.with_hint("check the URL of the identity provider: its ECP endpoint")
            }
            status if status.is_redirection() => failed.with_hint(
                "the password is not sent on to another URL; set the final URL of the ECP endpoint",
            ),
            _ => failed,
        }
        .into())
    }
}

/// Asks the service provider, which returns its request for an assertion.
async fn request_login(
    transport: &Transport,
    federated_url: &Uri,
    headers: HeaderMap,
) -> Result<AssertionRequest, Error> {
    let mut request = Request::get(federated_url).body(Bytes::new()).map_err(|_| Error::InvalidRequestUri)?;
    *request.headers_mut() = headers;
    let response = send(transport, LoginStep::Federation, request).await?;
    let status = response.status();
    let failed = |hint| {
        let failed = FederatedLoginFailed::at(LoginStep::Federation, federated_url, hint, false);
        Error::from(failed.with_status(status))
    };
    if status.is_client_error() || status.is_server_error() {
        return Err(FederatedLoginFailed::read(LoginStep::Federation, federated_url, &response, []).into());
    }
    if status != StatusCode::OK || !has_media_type(response.headers(), &PAOS) {
        return Err(failed(
            "the path of this protocol takes no logins of enhanced clients (ECP): the response is not \
             application/vnd.paos+xml; check the protocol and its web server",
        ));
    }
    let request = AssertionRequest::read(response.body()).map_err(failed)?;
    if !is_same_host(federated_url, &request.consumer_url) {
        return Err(failed(
            "the assertion would go to another host than that of Keystone, or over plain http; correct the \
             responseConsumerURL of the service provider",
        ));
    }
    Ok(request)
}

/// Tells the service provider that no assertion comes. Its response does not matter.
async fn send_fault(transport: &Transport, consumer_url: &Uri) {
    let request = Request::post(consumer_url).header(CONTENT_TYPE, PAOS).body(fault());
    if let Ok(request) = request {
        let _ = transport.send(request).await;
    }
}

/// Returns whether `other` has the host of `url`, and is https if `url` is.
fn is_same_host(url: &Uri, other: &Uri) -> bool {
    let (Some(origin), Some(other_origin)) = (Origin::from_uri(url), Origin::from_uri(other)) else {
        return false;
    };
    let host = |url: &Uri| url.host().map(str::to_ascii_lowercase);
    host(url) == host(other) && (other_origin.is_https() || !origin.is_https())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_port_is_the_same_host() {
        for (other, expected) in [
            ("https://sp.example.com/acs", true),
            ("https://SP.example.com:5000/acs", true),
            ("http://sp.example.com/acs", false),
            ("https://sp.example.com.evil.org/acs", false),
            ("https://alice@sp.example.com/acs", false),
            ("/acs", false),
        ] {
            let url = Uri::from_static("https://sp.example.com:5000/v3");
            assert_eq!(is_same_host(&url, &other.parse().unwrap()), expected, "{other}");
        }
        let url = Uri::from_static("http://127.0.0.1:5000/v3");
        assert!(is_same_host(&url, &Uri::from_static("http://127.0.0.1/acs")));
    }
}
