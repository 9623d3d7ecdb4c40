//! A Keystone in the same process, and the layer that asks it about tokens.

use std::{
    future::ready,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, Request, Response, StatusCode, Uri};
use tower::BoxError;
use tower_keystone::{
    AccessInfoPlugin, Transport, ValidateTokenLayer,
    fixture::{CatalogService, V3Token},
};

use crate::sample::{AUDIT_ID, Body, Clocks, TOKEN, document};

/// Returns a token of the usual length, which ends with this number.
pub fn token(number: usize) -> String {
    let number = format!("{number:08}");
    TOKEN[..TOKEN.len() - number.len()].to_owned() + &number
}

/// Returns the documents of tokens with the role `service`, with catalogs of this many services.
pub fn documents(services: usize) -> impl Fn(&str) -> Option<String> + Clone + Send + Sync + 'static {
    let template = document(services).replace("\"reader\"", "\"service\"");
    move |token| Some(with_audit_id(&template, number(token)?))
}

/// Returns the number of a token.
pub fn number(token: &str) -> Option<usize> {
    token.get(TOKEN.len() - 8..)?.parse().ok()
}

/// Returns a document with an audit id of its own.
pub fn with_audit_id(template: &str, number: usize) -> String {
    template.replace(AUDIT_ID, &format!("5Y7XGVAbRHiJW9{number:08}"))
}

/// Returns the token of the service's own account, whose catalog has the endpoint of Keystone.
pub fn own_plugin(keystone: &str) -> AccessInfoPlugin {
    let identity = CatalogService::new("identity").standard_endpoints("RegionOne", keystone);
    let own = V3Token::new("own", "service").project("service", "service").service(&identity);
    let own = own.expires(SystemTime::now() + Duration::from_secs(100 * 86_400));
    AccessInfoPlugin::new(own.access_info("own").expect("a document")).auth_url(keystone.to_owned())
}

/// Returns a layer that asks a Keystone with these documents, which knows no other token.
pub fn layer(
    document: impl Fn(&str) -> Option<String> + Clone + Send + Sync + 'static,
) -> ValidateTokenLayer {
    let respond = move |request: Request<Body>| {
        let document = subject(request.headers()).and_then(&document);
        ready(Ok::<_, BoxError>(response(document)))
    };
    layer_with(Transport::new(tower::service_fn(respond)))
}

/// Returns a layer that asks this Keystone.
pub fn layer_with(keystone: Transport) -> ValidateTokenLayer {
    ValidateTokenLayer::new(own_plugin("https://keystone.example.com/v3"), keystone)
        .www_authenticate_uri(Uri::from_static("https://keystone.example.com/v3"))
        .token_cache_time(Duration::from_secs(86_400))
        .unknown_token_cache_time(Duration::from_secs(86_400))
        .clock(Clocks)
}

/// Returns the token that Keystone is asked about.
pub fn subject(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-subject-token")?.to_str().ok()
}

/// Returns the answer of Keystone.
pub fn response(document: Option<String>) -> Response<Body> {
    const NOT_FOUND: &str =
        r#"{"error": {"code": 404, "message": "Could not find token.", "title": "Not Found"}}"#;
    let status = if document.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let mut response = Response::new(document.map_or_else(|| Body::from(NOT_FOUND), Body::from));
    *response.status_mut() = status;
    response
}
