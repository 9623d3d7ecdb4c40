//! Sends forms to the endpoints of a provider.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderValue, Request, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use zeroize::Zeroizing;

use super::{
    ClientAuthentication, OidcClient, ProviderMetadata, TokenResponse, endpoint::Endpoint, form,
    provider_response::json_object,
};
use crate::{
    Error, Secret, Transport,
    access::basic_value,
    error::{FederatedLoginFailed, LoginStep},
};

/// The grant of device logins (RFC 8628, section 3.4).
pub(in crate::federation) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

const REFRESH_TOKEN: &str = "refresh_token";

/// The fields of forms that are not secret.
const PUBLIC_FIELDS: [&str; 7] = [
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "grant_type",
    "redirect_uri",
    "scope",
    "username",
];

/// An endpoint, and the discovery document of its provider.
struct Resolved {
    url: Uri,
    metadata: Option<Arc<ProviderMetadata>>,
    /// Whether the URL is that of the document.
    is_discovered: bool,
}

impl OidcClient {
    /// Sends a token request with these form fields, in this order, and `grant_type` after them.
    ///
    /// The client authenticates: in a header, or in fields at the end. A device login sends the `client_id` in any
    /// case.
    pub(in crate::federation) async fn request_token(
        &self,
        transport: &Transport,
        grant_type: &str,
        fields: &[(&str, &str)],
    ) -> Result<TokenResponse, Error> {
        let mut fields = fields.to_vec();
        fields.push(("grant_type", grant_type));
        if grant_type == DEVICE_CODE {
            fields.push(("client_id", self.client_id()));
        }
        let (document, url) = self.post(transport, Endpoint::Token, grant_type, &fields).await?;
        self.read_tokens(&document, LoginStep::Token, &url)
    }

    /// Requests a token with a refresh token. The response can have another one, which replaces it.
    pub(in crate::federation) async fn refresh(
        &self,
        transport: &Transport,
        refresh_token: &Secret,
    ) -> Result<TokenResponse, Error> {
        self.request_token(transport, REFRESH_TOKEN, &[("refresh_token", refresh_token.expose())]).await
    }

    /// Sends these form fields, in this order, to the OAuth 2.0 endpoint of Keystone at this URL.
    ///
    /// A client with a secret authenticates in a header. Otherwise `client_id` is one of the fields.
    pub(in crate::federation) async fn request_keystone_token(
        &self,
        transport: &Transport,
        url: Uri,
        fields: &[(&str, &str)],
    ) -> Result<TokenResponse, Error> {
        let step = LoginStep::OAuth2;
        let to = Resolved { url, metadata: None, is_discovered: false };
        let document = self.post_to(transport, step, &to, fields).await?;
        self.read_tokens(&document, step, &to.url)
    }

    fn read_tokens(&self, document: &Secret, step: LoginStep, url: &Uri) -> Result<TokenResponse, Error> {
        TokenResponse::read(document, self.access_token_type).map_err(|hint| {
            FederatedLoginFailed::at(step, url, hint, false).with_status(StatusCode::OK).into()
        })
    }

    /// Sends these form fields, in this order, to the endpoint for device logins. Returns its response, a JSON object,
    /// and its URL.
    ///
    /// `client_id` is one of the fields, because the client sends it in any case.
    pub(in crate::federation) async fn request_device_authorization(
        &self,
        transport: &Transport,
        fields: &[(&str, &str)],
    ) -> Result<(Secret, Uri), Error> {
        self.post(transport, Endpoint::DeviceAuthorization, DEVICE_CODE, fields).await
    }

    /// Returns an error if token requests of device logins cannot be sent, because their URL is unknown or not allowed.
    pub(in crate::federation) async fn check_token_endpoint(
        &self,
        transport: &Transport,
    ) -> Result<(), Error> {
        let Resolved { url, .. } = self.resolve(transport, Endpoint::Token, DEVICE_CODE).await?;
        self.check_plain_http(LoginStep::Token, &url)
    }

    /// Returns the URL that a browser is sent to.
    #[cfg(feature = "browser")]
    pub(in crate::federation) async fn authorization_url(&self, transport: &Transport) -> Result<Uri, Error> {
        let Resolved { url, .. } =
            self.resolve(transport, Endpoint::Authorization, "authorization_code").await?;
        self.check_plain_http(Endpoint::Authorization.step(), &url)?;
        Ok(url)
    }

    /// Sends a form, and returns the JSON object of the response and its URL.
    ///
    /// If the URL of the discovery document is gone (404 or 405), the document is fetched anew, and the form is sent
    /// once more if the URL has changed.
    async fn post(
        &self,
        transport: &Transport,
        endpoint: Endpoint,
        grant_type: &str,
        fields: &[(&str, &str)],
    ) -> Result<(Secret, Uri), Error> {
        let first = self.resolve(transport, endpoint, grant_type).await?;
        let failed = match self.post_to(transport, endpoint.step(), &first, fields).await {
            Ok(document) => return Ok((document, first.url)),
            Err(error) => error,
        };
        let Some(metadata) = first.metadata.filter(|_| first.is_discovered && is_gone(&failed)) else {
            return Err(failed);
        };
        self.metadata.discard(&metadata);
        match self.resolve(transport, endpoint, grant_type).await {
            Ok(moved) if moved.url != first.url => {
                let document = self.post_to(transport, endpoint.step(), &moved, fields).await?;
                Ok((document, moved.url))
            }
            _ => Err(failed),
        }
    }

    /// Returns the URL of an endpoint, after the discovery document was fetched and has the grant.
    async fn resolve(
        &self,
        transport: &Transport,
        endpoint: Endpoint,
        grant_type: &str,
    ) -> Result<Resolved, Error> {
        let discovered = self.discover(transport).await?;
        if let Some((metadata, document_url)) = &discovered
            // A refresh token shows that its provider has that grant.
            && grant_type != REFRESH_TOKEN
            && !metadata.supports_grant(grant_type)
        {
            let hint = "it does not list this grant (grant_types_supported), so nothing is sent; take \
                        another grant";
            return Err(FederatedLoginFailed::at(LoginStep::Discovery, document_url, hint, false).into());
        }
        if let Some(url) = self.configured_url(endpoint)? {
            let metadata = discovered.map(|(metadata, _)| metadata);
            return Ok(Resolved { url, metadata, is_discovered: false });
        }
        let (metadata, document_url) = discovered.ok_or_else(|| endpoint.not_set())?;
        let url = endpoint.url_from(&metadata, &document_url)?;
        Ok(Resolved { url, metadata: Some(metadata), is_discovered: true })
    }

    /// Sends a form with the authentication of the client, and returns the JSON object of the response.
    async fn post_to(
        &self,
        transport: &Transport,
        step: LoginStep,
        to: &Resolved,
        fields: &[(&str, &str)],
    ) -> Result<Secret, Error> {
        let Resolved { url, metadata, .. } = to;
        self.check_plain_http(step, url)?;
        let (mut fields, secret) = (fields.to_vec(), self.client_secret());
        let fail = |hint| FederatedLoginFailed::at(step, url, hint, false);
        let basic = match secret {
            Some(secret) => self.authentication.basic(self.client_id(), secret).map_err(fail)?,
            None => None,
        };
        if basic.is_none() && !fields.iter().any(|(name, _)| *name == "client_id") {
            fields.push(("client_id", self.client_id()));
        }
        if let (None, Some(secret)) = (&basic, secret) {
            fields.push(("client_secret", secret.expose()));
        }
        let request = request(url, basic.as_ref(), &fields).ok_or_else(|| {
            fail("the URL is not valid, or the client id and its secret are longer than 96 KiB")
        })?;
        let response =
            transport.send(request).await.map_err(|error| FederatedLoginFailed::unreachable(step, error))?;
        let secrets = sent_secrets(&fields, secret, basic.as_ref());
        json_object(step, url, response, secrets.iter().map(|secret| secret.as_str())).map_err(|failed| {
            let grant_type = fields.iter().find(|(name, _)| *name == "grant_type").map(|(_, value)| *value);
            match self.hint(failed.error.as_deref(), grant_type, metadata.as_deref()) {
                Some(hint) => failed.with_hint(hint).into(),
                None => failed.into(),
            }
        })
    }

    /// Returns what to do about an error code, if it depends on the grant or the authentication of the client.
    fn hint(
        &self,
        error: Option<&str>,
        grant_type: Option<&str>,
        metadata: Option<&ProviderMetadata>,
    ) -> Option<&'static str> {
        use ClientAuthentication::{Basic, EncodedBasic, Form};

        let supports =
            |authentication| metadata.is_none_or(|known| known.supports_authentication(authentication));
        match (error?, grant_type) {
            ("invalid_grant", Some("password")) => Some("check the user name and the password"),
            ("invalid_grant", Some("authorization_code")) => Some(
                "the code was used before or has expired, or the redirect_uri or the code verifier is another one; log \
                 in again",
            ),
            ("invalid_grant", Some(REFRESH_TOKEN)) => {
                Some("the refresh token has expired, was revoked or was used before; log in again")
            }
            // A provider that decodes what was not encoded can find it malformed.
            ("invalid_request", _) if self.authentication == Basic && self.is_changed_by_encoding() => Some(
                "the client id or its secret has characters that many providers expect encoded: use \
                 ClientAuthentication::EncodedBasic",
            ),
            ("invalid_client", _) if self.client_secret().is_none() => {
                Some("check the client id, and whether this client needs a secret")
            }
            ("invalid_client", _) => match self.authentication {
                Basic | EncodedBasic if !supports(Basic) && supports(Form) => Some(
                    "the provider takes the secret of a client in the form: use ClientAuthentication::Form",
                ),
                Form if !supports(Form) && supports(Basic) => Some(
                    "the provider takes the secret of a client in a header: use ClientAuthentication::EncodedBasic",
                ),
                Basic if self.is_changed_by_encoding() => Some(
                    "check the client id and its secret; they have characters that many providers expect encoded: use \
                     ClientAuthentication::EncodedBasic",
                ),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns whether [`ClientAuthentication::Basic`] and [`ClientAuthentication::EncodedBasic`] differ for this
    /// client.
    fn is_changed_by_encoding(&self) -> bool {
        let is_changed = |text: &str| *form::encode_text(text) != *text;
        self.client_secret().is_some_and(|secret| is_changed(self.client_id()) || is_changed(secret.expose()))
    }
}

/// Returns whether an error says that there is nothing at a URL.
fn is_gone(error: &Error) -> bool {
    let Error::FederatedLoginFailed(failed) = error else { return false };
    matches!(failed.status, Some(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED))
}

/// Returns a request with a form. `None` if the URL or the credentials are too long for one.
fn request(url: &Uri, basic: Option<&Secret>, fields: &[(&str, &str)]) -> Option<Request<Bytes>> {
    let mut request = Request::post(url).body(Bytes::from_owner(form::encode(fields))).ok()?;
    let headers = request.headers_mut();
    headers.insert(ACCEPT, super::ANY_TYPE);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    if let Some(basic) = basic {
        headers.insert(AUTHORIZATION, basic_value(basic.expose()).ok()?);
    }
    Some(request)
}

/// Returns the secrets of a request, as they are and as they were sent.
fn sent_secrets(
    fields: &[(&str, &str)],
    secret: Option<&Secret>,
    basic: Option<&Secret>,
) -> Vec<Zeroizing<String>> {
    let of_fields = fields.iter().filter(|(name, _)| !PUBLIC_FIELDS.contains(name)).map(|(_, value)| *value);
    let of_client = secret.into_iter().chain(basic).map(Secret::expose);
    let with_encoded = |text: &str| [Zeroizing::new(text.to_owned()), form::encode_text(text)];
    of_fields.chain(of_client).flat_map(with_encoded).collect()
}
