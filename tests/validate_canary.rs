//! Validations with secrets of all kinds, by a Keystone that echoes them. No response, log, metric, URL or `Debug`
//! output contains a secret.

#[path = "canary/output.rs"]
mod output;

use std::{
    convert::Infallible,
    fmt::{Debug, Write as _},
    future::ready,
    io,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_http::trace::{DefaultMakeSpan, TraceLayer};
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, AuthMethod, Caller, PeerCertificate, Rejection, RenewingPlugin,
    RequireLayer, Transport, User, V3Credentials, ValidateTokenLayer, Validation,
};

use output::{CANARY, assert_clean, capture_output, debug};

fn secret(name: &str) -> String {
    format!("{CANARY}-{name}")
}

/// How Keystone echoes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Echo {
    /// The error of Keystone 30 for a token whose role was removed.
    Message,
    Details,
    Html,
    Headers,
    BrokenJson,
    Redirect,
    Versions,
    /// A token document whose values contain the request.
    Document,
    NoConnection,
    Panic,
}

const ECHOES: [Echo; 10] = [
    Echo::Message,
    Echo::Details,
    Echo::Html,
    Echo::Headers,
    Echo::BrokenJson,
    Echo::Redirect,
    Echo::Versions,
    Echo::Document,
    Echo::NoConnection,
    Echo::Panic,
];

fn echo_response(status: u16, echo: Echo, text: &str) -> Result<Response<Full<Bytes>>, BoxError> {
    let response = Response::builder().status(status).header("x-subject-token", secret("echoed"));
    let body = |response: http::response::Builder, body: String| Ok(response.body(Full::new(body.into()))?);
    match echo {
        Echo::Message => {
            let message = format!("Could not find token: {text}");
            body(response, json!({"error": {"code": status, "title": text, "message": message}}).to_string())
        }
        Echo::Details => body(response, json!({"error": {"message": "no", "details": text}}).to_string()),
        Echo::Html => body(response.header("content-type", "text/html"), text.to_owned()),
        Echo::Headers => {
            let response = response.header("www-authenticate", text).header("retry-after", text);
            body(response.header("x-openstack-request-id", text).header("warning", text), "{}".to_owned())
        }
        Echo::BrokenJson => body(response, format!("{{\"token\": {text}")),
        Echo::Redirect => {
            let evil = format!("https://{}@evil.example.org/{}", secret("a"), secret("b"));
            body(response.header("location", evil), text.to_owned())
        }
        Echo::Versions => {
            let link = json!([{"rel": "self", "href": text}]);
            body(response, json!({"versions": [{"id": text, "status": text, "links": link}]}).to_string())
        }
        Echo::Document => {
            let document = json!({"user": {"name": text}, "expires_at": text, "roles": [{"name": text}]});
            body(response, json!({ "token": document }).to_string())
        }
        Echo::NoConnection => Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()),
        Echo::Panic => panic!("this panic is part of a test"),
    }
}

/// Returns a Keystone that echoes requests of this method, and responds to others with tokens.
fn keystone(echoed: Method, status: u16, echo: Echo) -> Transport {
    Transport::new(service_fn(move |request: Request<Full<Bytes>>| {
        let echoed = echoed.clone();
        async move {
            let (parts, body) = request.into_parts();
            assert_clean(&parts.uri.to_string());
            tracing::trace!(headers = ?parts.headers, uri = %parts.uri, "Keystone received a request");
            let mut text = String::from_utf8(body.collect().await?.to_bytes().to_vec())?;
            for (name, value) in &parts.headers {
                if value.as_bytes().starts_with(CANARY.as_bytes()) {
                    assert!(value.is_sensitive(), "{name}");
                }
                write!(text, " {name}: {}", value.to_str()?)?;
            }
            if parts.method == echoed {
                return echo_response(status, echo, &text.replace(['\n', '\r'], " "));
            }
            let is_restricted = text.contains("blanks") || text.contains("storage");
            let status = if parts.method == Method::POST { 201 } else { 200 };
            let token = Response::builder().status(status).header("x-subject-token", secret("own"));
            Ok(token.body(Full::new(Bytes::from(document(is_restricted).to_string())))?)
        }
    }))
}

/// Returns the document of a token. If it is restricted, it is bound to a certificate and has access rules.
fn document(is_restricted: bool) -> Value {
    let mut document = json!({"token": {
        "user": {"id": "u", "name": "alice", "domain": {"id": "default", "name": "Default"}},
        "project": {"id": "p", "name": "demo", "domain": {"id": "default", "name": "Default"}},
        "roles": [{"id": "r", "name": "service"}],
        "expires_at": "2999-01-01T00:00:00Z",
        "catalog": [{"type": "identity", "endpoints": [
            {"interface": "internal", "url": "https://keystone.example.com/v3"},
        ]}],
    }});
    if is_restricted {
        let rules = json!([{"service": "compute", "method": "GET", "path": "/other"}]);
        document["token"]["application_credential"] = json!({"id": "c", "access_rules": rules});
        document["token"]["oauth2_credential"] = json!({"x5t#S256": secret("thumbprint")});
    }
    document
}

/// Sends requests with secrets through the layer, and returns the statuses of the responses.
async fn send(layer: ValidateTokenLayer) -> Vec<u16> {
    debug(&layer);
    let app = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http().make_span_with(DefaultMakeSpan::new().include_headers(true)))
        .layer(RequireLayer::any_role(["admin"]))
        .service(service_fn(|request: Request<Full<Bytes>>| {
            debug(&Validation::from_extensions(request.extensions()));
            ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::new()))))
        }));
    let app = ServiceBuilder::new()
        .map_request(|request: Request<Full<Bytes>>| {
            let validation = Validation::from_extensions(request.extensions()).unwrap();
            debug(validation);
            debug(&validation.caller());
            if let Ok(caller) = Caller::from_extensions(request.extensions()) {
                debug(caller);
                debug(&caller.identity());
            }
            debug(request.headers());
            request
        })
        .map_response(|response: Response<_>| response.map(|_| Full::<Bytes>::default()))
        .service(app);
    let mut statuses = Vec::new();
    for headers in [
        vec![("x-auth-token", secret("user"))],
        vec![("x-auth-token", format!(" {} ", secret("blanks")))],
        vec![("x-auth-token", secret("two words"))],
        vec![("x-auth-token", secret("one")), ("x-auth-token", secret("two"))],
        vec![("x-auth-token", secret(&"long".repeat(3_000)))],
        vec![("x-storage-token", secret("storage"))],
        vec![("authorization", format!("Bearer {}", secret("bearer")))],
        vec![("authorization", format!("bearer {}", secret("bearer")))],
        vec![("x-auth-token", secret("user")), ("x-service-token", secret("service"))],
        vec![
            ("x-service-token", secret("service")),
            ("x-roles", secret("forged")),
            ("x_user_id", secret("u")),
        ],
    ] {
        let mut request = Request::get("/servers");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let certificate = PeerCertificate::from_der(secret("certificate").into_bytes());
        debug(&certificate);
        let request = request.extension(certificate).body(Full::<Bytes>::default()).unwrap();
        let mut service = layer.layer(app.clone());
        debug(&format_args!("{:?}", layer.metrics().snapshot()));
        let future = service.ready().await.unwrap().call(request);
        debug(&future);
        let (parts, body) = future.await.unwrap().into_parts();
        debug(&parts);
        debug(&parts.extensions.get::<Rejection>());
        for value in parts.headers.values() {
            assert_clean(value.to_str().unwrap());
        }
        assert_clean(std::str::from_utf8(&body.collect().await.unwrap().to_bytes()).unwrap());
        statuses.push(parts.status.as_u16());
    }
    debug(&layer.metrics().snapshot());
    debug(&layer.metrics());
    statuses
}

fn variants(layer: impl Fn() -> ValidateTokenLayer) -> [ValidateTokenLayer; 5] {
    let with_password = format!("https://admin:{}@public.example.com/v3", secret("url")).parse().unwrap();
    [
        layer(),
        layer().delay_auth_decision().identity_headers().bearer_tokens().www_authenticate_uri(with_password),
        layer().bearer_tokens().require_certificate_bound_tokens().service_type("compute"),
        layer().service_token_roles_required(false).service_token_roles(["x"]).max_token_length(100),
        layer().token_cache_time(std::time::Duration::ZERO),
    ]
}

#[tokio::test(start_paused = true)]
async fn validations_do_not_show_secrets() {
    capture_output();
    let mut seen = Vec::new();
    for echoed in [Method::GET, Method::POST] {
        for status in [200, 302, 401, 404, 431, 503] {
            for echo in ECHOES {
                let transport = keystone(echoed.clone(), status, echo);
                let account = || {
                    let user = User::new().username("service").user_domain_name("Default");
                    let method = AuthMethod::password(user, secret("password"));
                    let credentials = V3Credentials::new("https://keystone.example.com/v3", method);
                    let plugin = RenewingPlugin::new(credentials, transport.clone());
                    ValidateTokenLayer::new(plugin, transport.clone())
                };
                let own = || {
                    let own = AccessInfo::new(secret("own"), document(false).to_string()).unwrap();
                    ValidateTokenLayer::new(AccessInfoPlugin::new(own), transport.clone())
                };
                let itself = || {
                    let auth_url = format!("https://admin:{CANARY}@keystone.example.com/v3");
                    ValidateTokenLayer::self_validating(auth_url.as_str(), transport.clone())
                };
                let mut layers = Vec::from(variants(account));
                // The others do not log in, so that Keystone echoes nothing if it echoes logins.
                if echoed == Method::GET || status == 200 {
                    layers.extend(variants(own).into_iter().chain(variants(itself)));
                }
                for layer in layers {
                    seen.extend(send(layer.connect_retries(0)).await);
                }
            }
        }
    }
    for status in [401, 403, 503] {
        assert!(seen.contains(&status), "{status}");
    }
    let output = output::output();
    for expected in [
        "Keystone received a request",
        "Sensitive",
        "rejected a request",
        "validated a token",
        "tokens cannot be validated",
        "let a request through without a confirmed user",
        "the caller may not send this request",
        "the token is bound to another client certificate",
    ] {
        assert!(output.contains(expected), "{expected}");
    }
    output.lines().for_each(assert_clean);
}
