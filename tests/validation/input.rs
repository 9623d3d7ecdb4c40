//! The input of a case: the options of the middleware, and the requests of clients.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, Request, Uri};
use serde::Deserialize;
use tower_keystone::{
    IdentityPlugin, Transport,
    validate::{PeerCertificate, SentUri, ValidateTokenLayer},
};

use crate::{
    Case, Incomplete,
    clock::FrozenClock,
    servers::{Body, Text},
};

/// One of the middlewares of keystonemiddleware.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum Middleware {
    #[default]
    #[serde(rename = "auth_token")]
    AuthToken,
    #[serde(rename = "oauth2_token")]
    OAuth2,
    #[serde(rename = "oauth2_mtls_token")]
    OAuth2Mtls,
}

/// The options of the middleware.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    pub(crate) www_authenticate_uri: Option<String>,
    pub(crate) delay_auth_decision: Option<bool>,
    pub(crate) include_service_catalog: Option<bool>,
    pub(crate) interface: Option<String>,
    pub(crate) region_name: Option<String>,
    pub(crate) service_type: Option<String>,
    pub(crate) service_token_roles: Option<Vec<String>>,
    pub(crate) service_token_roles_required: Option<bool>,
    pub(crate) token_cache_time: Option<i64>,
    pub(crate) http_request_max_retries: Option<u32>,
    /// Seconds for which unknown tokens are cached. keystonemiddleware does not cache them.
    #[serde(skip)]
    pub(crate) unknown_token_cache_time: u64,
}

/// A request of a client.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, Text)>,
    /// Seconds by which the clock advances before the request.
    #[serde(default)]
    pub(crate) advance: f64,
    /// The prefix that a router has removed from the path.
    #[serde(default)]
    pub(crate) mount: String,
    /// The certificate of the client, in base64.
    pub(crate) peer_cert: Option<String>,
    #[serde(default)]
    pub(crate) app: App,
}

/// What the application does.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct App {
    pub(crate) status: Option<u16>,
    #[serde(default)]
    pub(crate) headers: Vec<(String, Text)>,
    /// URLs of requests on behalf of the caller.
    #[serde(default)]
    pub(crate) calls: Vec<String>,
}

/// A lifetime that no case reaches.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Returns whether requests without a valid token reach the application. The middlewares for OAuth 2.0 ignore the option.
pub(crate) fn application_decides(case: &Case) -> bool {
    case.options.delay_auth_decision == Some(true) && case.middleware == Middleware::AuthToken
}

/// Returns the layer with the options of the case.
pub(crate) fn layer(
    case: &Case,
    plugin: Arc<dyn IdentityPlugin>,
    transport: Transport,
    clock: FrozenClock,
) -> Result<ValidateTokenLayer, Incomplete> {
    let options = &case.options;
    let mut layer = ValidateTokenLayer::new(plugin, transport)
        .clock(clock)
        .identity_headers()
        .unknown_token_cache_time(Duration::from_secs(options.unknown_token_cache_time));
    if let Some(uri) = options.www_authenticate_uri.as_deref().filter(|uri| !uri.is_empty()) {
        let unusable = |_| Incomplete::NotExpressible("a URI that `http::Uri` does not accept".to_owned());
        layer = layer.www_authenticate_uri(uri.parse::<Uri>().map_err(unusable)?);
    }
    if application_decides(case) {
        layer = layer.delay_auth_decision();
    }
    if options.include_service_catalog == Some(false) {
        layer = layer.without_catalog();
    }
    if let Some(interface) = &options.interface {
        layer = layer.interface(interface.as_str());
    }
    if let Some(region_name) = &options.region_name {
        layer = layer.region(region_name.as_str());
    }
    if let Some(service_type) = &options.service_type {
        layer = layer.service_type(service_type.as_str());
    }
    if let Some(roles) = &options.service_token_roles {
        layer = layer.service_token_roles(roles.iter().map(String::as_str));
    }
    if let Some(required) = options.service_token_roles_required {
        layer = layer.service_token_roles_required(required);
    }
    layer = match options.token_cache_time {
        Some(0) => layer.token_cache_time(FOREVER),
        Some(seconds) => layer.token_cache_time(Duration::from_secs(seconds.try_into().unwrap_or(0))),
        None => layer,
    };
    if let Some(retries) = options.http_request_max_retries {
        layer = layer.connect_retries(retries);
    }
    Ok(match case.middleware {
        Middleware::AuthToken => layer,
        Middleware::OAuth2 => layer.bearer_tokens(),
        Middleware::OAuth2Mtls => layer.bearer_tokens().require_certificate_bound_tokens(),
    })
}

/// Returns the request of a client.
pub(crate) fn request(step: &Step) -> Result<Request<Body>, Incomplete> {
    let unusable =
        |what: &str| Incomplete::NotExpressible(format!("{what} that the `http` crate does not accept"));
    let uri = |text: &str| text.parse::<Uri>().map_err(|_| unusable("a URI"));
    let request = Request::builder().method(&*step.method).uri(uri(&step.path)?);
    let mut request = request.body(Body::default()).map_err(|_| unusable("a method"))?;
    for (name, value) in &step.headers {
        let name = name.parse::<HeaderName>().map_err(|_| unusable("the name of a header"))?;
        let value = HeaderValue::from_bytes(&latin1_bytes(value));
        request.headers_mut().append(name, value.map_err(|_| unusable("the value of a header"))?);
    }
    if !step.mount.is_empty() {
        request.extensions_mut().insert(SentUri(uri(&format!("{}{}", step.mount, step.path))?));
    }
    if let Some(certificate) = &step.peer_cert {
        let malformed = |_| Incomplete::Malformed("a certificate that is not in base64".to_owned());
        let certificate = STANDARD.decode(certificate).map_err(malformed)?;
        request.extensions_mut().insert(PeerCertificate::from_der(certificate));
    }
    Ok(request)
}

/// Returns the bytes of a header: each character is one byte, or `?`.
pub(crate) fn latin1_bytes(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(character).unwrap_or(b'?')).collect()
}
