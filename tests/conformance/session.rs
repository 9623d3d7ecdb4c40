use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tower::{ServiceBuilder, ServiceExt, retry::RetryLayer};
use tower_http::{
    follow_redirect::{
        FollowRedirectLayer,
        policy::{Action, Attempt, PolicyExt, redirect_fn},
    },
    request_id::{MakeRequestId, RequestId, SetRequestIdLayer},
};
use tower_keystone::{
    Access, AccessFuture, AuthLayer, BoxError, EndpointFilter, Error, IdentityPlugin, RaiseForStatusLayer,
    ReauthPolicy, RedirectPolicy, RetryPolicy, Transport, Unauthenticated, discovery::Discovery,
    endpoint::Origin,
};

use crate::{
    Case, Difference, Replayed, answers,
    discovery::filter,
    plugins::Plugin,
    servers::{self, Body, Servers},
    versions::written,
};

/// The arguments that are built: of a session, of an adapter, and of a call.
const SESSION: [&str; 2] = ["connect_retries", "redirect"];
const ADAPTER: [&str; 12] = [
    "additional_headers",
    "allow_version_hack",
    "default_microversion",
    "endpoint_override",
    "global_request_id",
    "interface",
    "max_version",
    "min_version",
    "raise_exc",
    "region_name",
    "service_type",
    "status_code_retries",
];
const CALL: [&str; 17] = [
    "allow_reauth",
    "authenticated",
    "connect_retries",
    "connect_retry_delay",
    "data",
    "endpoint_filter",
    "endpoint_override",
    "headers",
    "json",
    "microversion",
    "microversion_service_type",
    "params",
    "raise_exc",
    "redirect",
    "retriable_status_codes",
    "status_code_retries",
    "status_code_retry_delay",
];
/// Those of a call that are about its endpoint.
const ENDPOINT: [&str; 4] =
    ["endpoint_filter", "endpoint_override", "microversion", "microversion_service_type"];

pub(crate) fn replay(case: &Case) -> Replayed {
    if let Some(needed) = needed(case) {
        return Err(needed);
    }
    Ok(servers::run(replay_calls(case)))
}

/// The first thing that a case needs and that is not built.
fn needed(case: &Case) -> Option<String> {
    let first = |object: &Value, built: &[&str], what: &str| {
        let names = object.as_object().into_iter().flat_map(Map::keys);
        names.into_iter().find(|name| !built.contains(&&***name)).map(|name| format!("{what} {name}"))
    };
    if let Some(described) = case.plugin().filter(|described| described.is_not_built()) {
        return Some(format!("the plugin {}", described.kind));
    }
    let given = |name: &str| case.input.get(name).unwrap_or(&Value::Null);
    let of_calls = calls(case).iter().find_map(|call| first(&call["args"], &CALL, "the argument"));
    first(given("session"), &SESSION, "the session's")
        .or_else(|| first(given("adapter"), &ADAPTER, "the adapter's"))
        .or(of_calls)
}

fn calls(case: &Case) -> &[Value] {
    case.input["calls"].as_array().map(Vec::as_slice).unwrap_or_default()
}

async fn replay_calls(case: &Case) -> Vec<Difference> {
    let mut differences = Vec::new();
    let servers = Servers::new(&case.exchanges);
    let described = case.plugin();
    let plugin = match described.as_ref().map(|described| Plugin::new(described, &servers)).transpose() {
        Ok(plugin) => plugin,
        Err(error) => {
            let (expected, got) = (case.expect["construct"].clone(), answers::described(&error));
            differences.push(Difference { question: "construct".to_owned(), expected, got });
            return differences;
        }
    };
    let discovery = Discovery::new(Transport::new(servers.clone()));
    let arguments = |of: &str| case.input.get(of).and_then(Value::as_object).cloned();
    let (session, adapter) = (arguments("session").unwrap_or_default(), arguments("adapter"));
    let redirects = case.exchanges.iter().any(servers::Exchange::is_redirect);
    let session = Session { plugin, session, adapter, discovery, servers, redirects };
    for (call, expected) in calls(case).iter().zip(case.expect["calls"].as_array().into_iter().flatten()) {
        let before = Instant::now();
        let got = session.send(call).await;
        let sent = session.servers.take_sent(before);
        let got = match got {
            Ok((status, text, history)) => {
                let url = sent.0.last().map(|request| request["url"].clone());
                Ok(json!({"status": status, "url": url, "text": text, "history": history}))
            }
            Err(error) => Err(Error::find(&*error).map_or_else(|| of_client(&*error), answers::described)),
        };
        answers::compare(&mut differences, "call", expected, got);
        answers::compare_sent(&mut differences, "call", expected, sent);
    }
    differences
}

/// The stack that does what a session and an adapter do.
struct Session {
    plugin: Option<Plugin>,
    session: Map<String, Value>,
    adapter: Option<Map<String, Value>>,
    discovery: Discovery,
    servers: Servers,
    redirects: bool,
}

impl Session {
    /// The status, the text and the statuses of the redirects before it.
    async fn send(&self, call: &Value) -> Result<(u16, String, Vec<u16>), BoxError> {
        let mut args = self.session.clone();
        args.extend(self.adapter.clone().unwrap_or_default());
        let plugin = self.plugin.as_ref().map_or_else(|| Arc::new(NoPlugin) as _, Plugin::shared);
        let mut auth = AuthLayer::new(plugin).discovery(self.discovery.clone());
        if self.adapter.is_some() {
            auth = auth.endpoint(endpoint(&args)?);
        }
        args.extend(call["args"].as_object().cloned().unwrap_or_default());
        let request = self.request(call, &args)?;
        if self.redirects && request.uri().scheme().is_some() {
            // The reference sends its token wherever the first URL is: to see what becomes of it afterwards,
            // that has to be known here.
            auth = auth.allow_origin(request.uri())?;
        }

        let said = |name: &str, default: bool| args.get(name).and_then(Value::as_bool).unwrap_or(default);
        let global_request_id = args.get("global_request_id").and_then(Value::as_str).map(str::parse);
        let additional = headers(args.get("additional_headers"))?;
        let history = Arc::new(Mutex::new(Vec::new()));
        let (noted, begun) = (Arc::clone(&history), Arc::clone(&history));
        let note = redirect_fn(move |attempt: &Attempt<'_>| {
            noted.lock().unwrap().push(attempt.status().as_u16());
            Ok(Action::Follow)
        });
        let stack = ServiceBuilder::new()
            .option_layer(said("raise_exc", true).then(RaiseForStatusLayer::new))
            .layer(SetRequestIdLayer::new(
                HeaderName::from_static("x-openstack-request-id"),
                GlobalRequestId(global_request_id.transpose()?),
            ))
            .option_layer(said("allow_reauth", true).then(|| RetryLayer::new(ReauthPolicy::new())))
            .retry(retry_policy(&args)?)
            .layer(auth)
            .map_request(move |request: Request<Body>| {
                // The redirects that count are those of the last attempt.
                begun.lock().unwrap().clear();
                request
            })
            .layer(FollowRedirectLayer::with_policy(redirect_policy(&args).and::<_, Body, BoxError>(note)))
            .map_request(move |mut request: Request<Body>| {
                for (name, value) in &additional {
                    request.headers_mut().entry(name).or_insert_with(|| value.clone());
                }
                request
            })
            .service(self.servers.clone());

        let (parts, body) = stack.oneshot(request).await?.into_parts();
        let text = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
        let history = history.lock().unwrap().clone();
        Ok((parts.status.as_u16(), text, history))
    }

    /// The request as a caller makes it, who knows what the session and the adapter were given.
    fn request(&self, call: &Value, args: &Map<String, Value>) -> Result<Request<Body>, BoxError> {
        let mut uri = text(&call["url"]);
        for (name, value) in args.get("params").and_then(Value::as_object).into_iter().flatten() {
            let separator = if uri.contains('?') { '&' } else { '?' };
            uri = format!("{uri}{separator}{name}={}", text(value));
        }
        let mut request = Request::builder().method(&*text(&call["method"])).uri(uri);
        let mut body = Bytes::new();
        if let Some(json) = args.get("json") {
            request = request.header(header::CONTENT_TYPE, "application/json");
            body = json.to_string().into();
        }
        match args.get("data") {
            Some(Value::Object(form)) => {
                request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
                let pairs: Vec<_> =
                    form.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
                body = pairs.join("&").into();
            }
            Some(data) => body = text(data).into(),
            None => {}
        }
        let mut request = request.body(Body::new(body))?;
        request.headers_mut().extend(headers(args.get("headers"))?);
        if ENDPOINT.iter().any(|name| call["args"].get(name).is_some()) {
            request.extensions_mut().insert(endpoint(args)?);
        }
        let authenticated = args.get("authenticated").and_then(Value::as_bool);
        if !authenticated.unwrap_or(self.plugin.is_some()) {
            request.extensions_mut().insert(Unauthenticated);
        }
        Ok(request)
    }
}

/// The endpoint filter of these arguments, of which those in `endpoint_filter` come first.
fn endpoint(args: &Map<String, Value>) -> Result<EndpointFilter, Error> {
    let mut wanted = args.clone();
    wanted.extend(args.get("endpoint_filter").and_then(Value::as_object).cloned().unwrap_or_default());
    let filter = filter(&wanted)?;
    let microversion = args.get("microversion").or(args.get("default_microversion")).map(written);
    Ok(match (microversion, args.get("microversion_service_type").map(text)) {
        (Some(microversion), Some(service_type)) => filter.microversion_for(service_type, microversion),
        (Some(microversion), None) => filter.microversion(microversion),
        (None, _) => filter,
    })
}

/// The retries of these arguments: none by itself, and none by chance.
fn retry_policy(args: &Map<String, Value>) -> Result<RetryPolicy<Body>, BoxError> {
    let count = |name: &str| args.get(name).and_then(Value::as_u64).unwrap_or_default() as u32;
    let delay = |name: &str| args.get(name).and_then(Value::as_f64).map(Duration::from_secs_f64);
    let mut policy = RetryPolicy::new()
        .without_jitter()
        .connect_retries(count("connect_retries"))
        .status_code_retries(count("status_code_retries"))
        .connect_failure(|error| {
            error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::TimedOut)
        });
    if let Some(delay) = delay("connect_retry_delay") {
        policy = policy.connect_retry_delay(delay);
    }
    if let Some(delay) = delay("status_code_retry_delay") {
        policy = policy.status_code_retry_delay(delay);
    }
    if let Some(Value::Array(codes)) = args.get("retriable_status_codes") {
        let codes = codes.iter().map(|code| StatusCode::from_u16(code.as_u64().unwrap_or_default() as u16));
        policy = policy.retriable_status_codes(codes.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(policy)
}

fn redirect_policy(args: &Map<String, Value>) -> RedirectPolicy<Body> {
    match args.get("redirect") {
        Some(Value::Bool(false)) => RedirectPolicy::new().limit(0),
        Some(Value::Number(limit)) => {
            RedirectPolicy::new().limit(limit.as_u64().unwrap_or_default() as usize)
        }
        _ => RedirectPolicy::new(),
    }
}

fn headers(given: Option<&Value>) -> Result<HeaderMap, BoxError> {
    let given = given.and_then(Value::as_object).into_iter().flatten();
    given.map(|(name, value)| Ok((name.parse()?, HeaderValue::from_str(&text(value))?))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The id that an adapter was given for all its requests.
#[derive(Clone)]
struct GlobalRequestId(Option<HeaderValue>);

impl MakeRequestId for GlobalRequestId {
    fn make_request_id<B>(&mut self, _request: &Request<B>) -> Option<RequestId> {
        self.0.clone().map(RequestId::new)
    }
}

/// An error of the HTTP client's, by the classes of the reference.
fn of_client(error: &(dyn std::error::Error + 'static)) -> Value {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    let class = match kind {
        Some(io::ErrorKind::TimedOut) => "ConnectTimeout",
        Some(_) => "ConnectFailure",
        None if error.to_string().contains("certificate") => "SSLError",
        None => "UnknownConnectionError",
    };
    json!({"error": class, "text": error.to_string()})
}

/// What stands for a session without a plugin: a layer has one, and this one has nothing to give.
struct NoPlugin;

impl IdentityPlugin for NoPlugin {
    fn access(&self) -> AccessFuture {
        AccessFuture::ready(Err(Error::plugin(false, "there is no auth plugin")))
    }

    fn invalidate(&self, _used: &Arc<Access>, _by: &Origin) -> bool {
        false
    }
}
