//! Requests of a session or an adapter, sent through the equivalent stack of layers.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header};
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
    AccessFuture, AuthLayer, BoxError, EndpointFilter, Error, IdentityPlugin, RaiseForStatusLayer,
    ReauthPolicy, RedirectPolicy, RetryPolicy, ServiceAccess, Transport, Unauthenticated,
    discovery::Discovery, endpoint::Origin,
};

use crate::{
    Case, Difference, Incomplete,
    arguments::{Args, text},
    clock::FrozenClock,
    comparison,
    discovery::filter,
    operations::HOUR,
    plugins::{BACKOFF, Plugin},
    servers::{self, Body, Servers},
    versions::version_text,
};

/// Supported arguments of a session, an adapter and a call.
const SESSION: [&str; 3] = ["additional_headers", "connect_retries", "redirect"];
const ADAPTER: [&str; 20] = [
    "additional_headers",
    "allow",
    "allow_version_hack",
    "connect_retries",
    "connect_retry_delay",
    "default_microversion",
    "endpoint_override",
    "global_request_id",
    "interface",
    "max_version",
    "min_version",
    "raise_exc",
    "region_name",
    "retriable_status_codes",
    "service_name",
    "service_type",
    "status_code_retries",
    "status_code_retry_delay",
    "version",
    "allow_reauth",
];
const CALL: [&str; 19] = [
    "allow",
    "allow_reauth",
    "authenticated",
    "connect_retries",
    "connect_retry_delay",
    "data",
    "endpoint_filter",
    "endpoint_override",
    "global_request_id",
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
/// Arguments that change only the headers `User-Agent` and `Forwarded`, which the data does not contain.
const WITHOUT_EFFECT: [&str; 12] = [
    "additional_user_agent",
    "app_name",
    "app_version",
    "client_name",
    "client_version",
    "collect_timing",
    "log",
    "original_ip",
    "split_loggers",
    "timeout",
    "user_agent",
    "verify",
];
/// Arguments of a call that select its endpoint.
const ENDPOINT: [&str; 5] =
    ["allow", "endpoint_filter", "endpoint_override", "microversion", "microversion_service_type"];

/// Returns the servers of a case, and the transport of its session for logins and version documents.
pub(crate) fn client(case: &Case) -> Result<(Servers, Transport), Incomplete> {
    let session = Args::new(case.input("session"))?;
    check_names(session, &SESSION, "the session's")?;
    let headers = headers(session.object("additional_headers")?)?;
    let servers = Servers::new(&case.exchanges).with_headers(headers);
    let client = ServiceBuilder::new().retry(retry_policy(session)?).service(servers.clone());
    Ok((servers, Transport::new(client)))
}

/// Returns an error if there is an unsupported argument.
fn check_names(args: Args<'_>, known: &[&str], what: &str) -> Result<(), Incomplete> {
    let unknown = args.names().find(|name| !known.contains(name) && !WITHOUT_EFFECT.contains(name));
    unknown.map_or(Ok(()), |name| Err(Incomplete::NotExpressible(format!("{what} `{name}`"))))
}

pub(crate) fn replay(case: &Case, differences: &mut Vec<Difference>) -> Result<(), Incomplete> {
    servers::run(replay_calls(case, differences))
}

async fn replay_calls(case: &Case, differences: &mut Vec<Difference>) -> Result<(), Incomplete> {
    let (servers, transport) = client(case)?;
    let adapter = Args::new(case.input("adapter"))?;
    check_names(adapter, &ADAPTER, "the adapter's")?;
    let clock = FrozenClock::of(case)?;
    let plugin = match case.plugin.as_ref().map(|spec| Plugin::new(spec, &transport, clock)).transpose() {
        Ok(plugin) => plugin,
        Err(failed) => {
            let got = Err(failed.into_json()?);
            comparison::compare(differences, (0, "construct"), &case.expect["construct"], got);
            return Ok(());
        }
    };
    let session = Session {
        plugin,
        session: members(case.input("session")),
        adapter: case.input.get("adapter").map(members),
        // keystoneauth does not cache failures.
        discovery: Discovery::new(transport).cache_lifetimes(HOUR, Duration::ZERO),
        servers,
        redirects: case.exchanges.iter().any(servers::Exchange::is_redirect),
    };
    let expected = case.expect["calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (index, (call, expected)) in case.calls().iter().zip(expected).enumerate() {
        if call["op"] == "advance_time" {
            let seconds = Args::new(&call["args"])?.seconds("seconds")?.unwrap_or_default();
            tokio::time::advance(Duration::from_secs_f64(seconds)).await;
            continue;
        }
        check_names(Args::new(&call["args"])?, &CALL, "the argument")?;
        let before = Instant::now();
        let got = session.send(call).await;
        let sent = session.servers.take_sent(before);
        // keystoneauth has no back-off after a failure.
        tokio::time::advance(BACKOFF).await;
        let got = match got {
            Ok((status, text, history)) => {
                let url = sent.0.last().map(|request| request["url"].clone());
                Ok(json!({"status": status, "url": url, "text": text, "history": history}))
            }
            Err(error) => match error.downcast::<Incomplete>() {
                Ok(why) => return Err(*why),
                Err(error) => {
                    Err(match Error::find(&*error) {
                        // keystoneauth reports that there is no endpoint.
                        Some(Error::DiscoveryFailure(failure)) => {
                            json!({"error": "EndpointNotFound", "text": failure.to_string()})
                        }
                        Some(error) => comparison::error_to_json(error),
                        None => client_error(&*error),
                    })
                }
            },
        };
        comparison::compare(differences, (index, "call"), expected, got);
        // The form of a call is an object, whose members have no order here.
        let mut expected = expected.clone();
        requests(&mut expected["requests"]).for_each(sort_form);
        let (mut sent, delays) = sent;
        sent.iter_mut().for_each(sort_form);
        comparison::compare_requests(differences, (index, "call"), &expected, (sent, delays));
    }
    Ok(())
}

fn requests(requests: &mut Value) -> impl Iterator<Item = &mut Value> {
    requests.as_array_mut().into_iter().flatten()
}

fn sort_form(request: &mut Value) {
    if let Some(pairs) = request.pointer_mut("/body/form").and_then(Value::as_array_mut) {
        pairs.sort_by_key(Value::to_string);
    }
}

fn members(object: &Value) -> Map<String, Value> {
    object.as_object().cloned().unwrap_or_default()
}

/// The layers that correspond to a session and an adapter.
struct Session {
    plugin: Option<Plugin>,
    session: Map<String, Value>,
    adapter: Option<Map<String, Value>>,
    discovery: Discovery,
    servers: Servers,
    redirects: bool,
}

impl Session {
    /// Sends a request. Returns the status, the body, and the statuses of the redirects.
    async fn send(&self, call: &Value) -> Result<(u16, String, Vec<u16>), BoxError> {
        let mut given = Value::Object(self.session.clone());
        let all = |given: &mut Value, more: &Value| {
            given.as_object_mut().into_iter().for_each(|given| given.extend(members(more)));
        };
        let adapter = Value::Object(self.adapter.clone().unwrap_or_default());
        all(&mut given, &adapter);
        let plugin = self.plugin.as_ref().map_or_else(|| Arc::new(NoPlugin) as _, Plugin::shared);
        // The token of a session replaces a token of the caller.
        let mut auth = AuthLayer::new(plugin).discovery(self.discovery.clone()).overwrite_token();
        if self.adapter.is_some() {
            auth = auth.endpoint(endpoint(Args::new(&given)?)?);
        }
        let unsets = |(name, argument): (&String, &Value)| {
            let adapter_value = &adapter[name];
            (argument.is_null() || *argument == "") && !adapter_value.is_null() && *adapter_value != ""
        };
        let arguments =
            [&call["args"], &call["args"]["endpoint_filter"]].into_iter().filter_map(Value::as_object);
        if arguments.flatten().any(unsets) {
            return Err(
                Incomplete::NotExpressible("a call that unsets an argument of its adapter".into()).into()
            );
        }
        all(&mut given, &call["args"]);
        let args = Args::new(&given)?;
        let request = self.request(call, args, Args::new(&adapter)?)?;
        if self.redirects && request.uri().scheme().is_some() {
            // keystoneauth sends its token to any first URL. To test the redirects from there, its origin is allowed.
            auth = auth.allow_origin(request.uri())?;
        }

        let global_request_id =
            Args::new(&adapter)?.text("global_request_id")?.map(str::parse).transpose()?;
        let history = Arc::new(Mutex::new(Vec::new()));
        let (recorded, at_start) = (Arc::clone(&history), Arc::clone(&history));
        let record_redirect = redirect_fn(move |attempt: &Attempt<'_>| {
            recorded.lock().unwrap().push(attempt.status().as_u16());
            Ok(Action::Follow)
        });
        let stack = ServiceBuilder::new()
            .option_layer(args.flag("raise_exc")?.unwrap_or(true).then(RaiseForStatusLayer::new))
            .layer(SetRequestIdLayer::new(
                HeaderName::from_static("x-openstack-request-id"),
                GlobalRequestId(global_request_id),
            ))
            .option_layer(
                args.flag("allow_reauth")?.unwrap_or(true).then(|| RetryLayer::new(ReauthPolicy::new())),
            )
            .retry(retry_policy(args)?)
            .layer(auth)
            .map_request(move |request: Request<Body>| {
                // Only the redirects of the last attempt are part of the result.
                at_start.lock().unwrap().clear();
                request
            })
            .layer(FollowRedirectLayer::with_policy(
                redirect_policy(args)?.and::<_, Body, BoxError>(record_redirect),
            ))
            .service(self.servers.clone());

        let (parts, body) = stack.oneshot(request).await?.into_parts();
        let text = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
        // The byte order mark is not part of the text.
        let text = text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned);
        let history = history.lock().unwrap().clone();
        Ok((parts.status.as_u16(), text, history))
    }

    /// Builds the request that a caller of the layers would send.
    fn request(&self, call: &Value, args: Args<'_>, adapter: Args<'_>) -> Result<Request<Body>, BoxError> {
        let mut uri = text(&call["url"], "the url of a call")?.to_owned();
        let query = form(args.object("params")?)?;
        if !query.is_empty() {
            let (before, fragment) = uri.split_once('#').unwrap_or((&uri, ""));
            let separator = if before.contains('?') { '&' } else { '?' };
            uri =
                format!("{before}{separator}{query}{}{fragment}", if fragment.is_empty() { "" } else { "#" });
        }
        let uri = uri
            .parse::<Uri>()
            .map_err(|_| Incomplete::NotExpressible("a URI that `http::Uri` does not accept".into()))?;
        let request = Request::builder().method(text(&call["method"], "the method of a call")?).uri(uri);
        let mut body = Bytes::new();
        let mut content_type = None;
        if let Some(json) = args.get("json") {
            content_type = Some("application/json");
            body = json.to_string().into();
        } else if let Some(Value::Object(_)) = args.get("data") {
            content_type = Some("application/x-www-form-urlencoded");
            body = form(args.object("data")?)?.into();
        } else if let Some(data) = args.text("data")? {
            body = data.to_owned().into();
        }
        let mut request = request.body(Body::new(body))?;
        request.headers_mut().extend(headers(args.object("headers")?)?);
        for (name, value) in &headers(adapter.object("additional_headers")?)? {
            request.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
        if let Some(content_type) = content_type {
            let content_type = HeaderValue::from_static(content_type);
            request.headers_mut().entry(header::CONTENT_TYPE).or_insert(content_type);
        }
        if let Some(id) = Args::new(&call["args"])?.text("global_request_id")? {
            request.headers_mut().insert(REQUEST_ID, id.parse()?);
        }
        if ENDPOINT.iter().any(|name| call["args"].get(name).is_some()) {
            request.extensions_mut().insert(endpoint(args)?);
        }
        if !args.flag("authenticated")?.unwrap_or(self.plugin.is_some()) {
            request.extensions_mut().insert(Unauthenticated);
        }
        Ok(request)
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// Returns the endpoint filter of the arguments. Those in `endpoint_filter` take precedence.
fn endpoint(args: Args<'_>) -> Result<EndpointFilter, BoxError> {
    let names = args.names().filter_map(|name| Some((name.to_owned(), args.given(name)?.clone())));
    let mut wanted: Map<_, _> = names.collect();
    wanted.extend(args.get("endpoint_filter").map(members).unwrap_or_default());
    let filter = filter(Args::new(&Value::Object(wanted))?)?;
    // A null microversion of the call overrides the default one.
    let microversion = args.given("microversion").or(args.given("default_microversion"));
    let microversion = microversion.filter(|version| !version.is_null()).map(version_text).transpose()?;
    Ok(match (microversion, args.text("microversion_service_type")?) {
        (Some(microversion), Some(service_type)) => filter.microversion_for(service_type, microversion),
        (Some(microversion), None) => filter.microversion(microversion),
        (None, _) => filter,
    })
}

/// Returns the retry policy of the arguments, without default retries and without jitter.
fn retry_policy(args: Args<'_>) -> Result<RetryPolicy<Body>, Incomplete> {
    let mut policy = RetryPolicy::new()
        .without_jitter()
        .connect_retries(args.count("connect_retries")?.unwrap_or_default())
        .status_code_retries(args.count("status_code_retries")?.unwrap_or_default())
        .connect_failure(|error| {
            error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::TimedOut)
        });
    if let Some(delay) = args.seconds("connect_retry_delay")? {
        policy = policy.connect_retry_delay(Duration::from_secs_f64(delay));
    }
    if let Some(delay) = args.seconds("status_code_retry_delay")? {
        policy = policy.status_code_retry_delay(Duration::from_secs_f64(delay));
    }
    let status = |code: &Value| StatusCode::from_u16(code.as_u64()?.try_into().ok()?).ok();
    let codes = args.read("retriable_status_codes", "list of statuses", |codes| {
        codes.as_array()?.iter().map(status).collect::<Option<Vec<_>>>()
    })?;
    Ok(match codes {
        // An empty list means the default, as in keystoneauth.
        Some(codes) if !codes.is_empty() => policy.retriable_status_codes(codes),
        _ => policy,
    })
}

fn redirect_policy(args: Args<'_>) -> Result<RedirectPolicy<Body>, Incomplete> {
    Ok(match args.get("redirect") {
        None | Some(Value::Bool(true)) => RedirectPolicy::new(),
        Some(Value::Bool(false)) => RedirectPolicy::new().limit(0),
        Some(_) => RedirectPolicy::new().limit(args.count("redirect")?.unwrap_or_default() as usize),
    })
}

fn headers(given: Args<'_>) -> Result<HeaderMap, Incomplete> {
    let mut headers = HeaderMap::new();
    for name in given.names() {
        let value = given.text(name)?.unwrap_or_default();
        let (name, value) = (name.parse::<HeaderName>(), HeaderValue::from_str(value));
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Incomplete::NotExpressible(
                "a header that the `http` crate does not accept".to_owned(),
            ));
        };
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Encodes a query or a form.
fn form(given: Args<'_>) -> Result<String, Incomplete> {
    let mut pairs = Vec::new();
    for name in given.names() {
        let values = match given.get(name) {
            None => &[],
            Some(Value::Array(values)) => values.as_slice(),
            Some(value) => std::slice::from_ref(value),
        };
        for value in values {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => {
                    return Err(Incomplete::NotExpressible(format!(
                        "a value of `{name}` that is neither a text nor a number"
                    )));
                }
            };
            pairs.push((name, value));
        }
    }
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    Ok(form.extend_pairs(pairs).finish())
}

/// The request id of an adapter, for all its requests.
#[derive(Clone)]
struct GlobalRequestId(Option<HeaderValue>);

impl MakeRequestId for GlobalRequestId {
    fn make_request_id<B>(&mut self, _request: &Request<B>) -> Option<RequestId> {
        self.0.clone().map(RequestId::new)
    }
}

/// Returns an error of the HTTP client, with its keystoneauth class.
fn client_error(error: &(dyn std::error::Error + 'static)) -> Value {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    let class = match kind {
        Some(io::ErrorKind::TimedOut) => "ConnectTimeout",
        Some(_) => "ConnectFailure",
        None if error.to_string().contains("certificate") => "SSLError",
        None => "UnknownConnectionError",
    };
    json!({"error": class, "text": error.to_string()})
}

/// Stands for a session without a plugin, because a layer always has one. It has no token.
struct NoPlugin;

impl IdentityPlugin for NoPlugin {
    fn access(&self) -> AccessFuture {
        AccessFuture::ready(Err(Error::plugin(false, "there is no auth plugin")))
    }

    fn invalidate(&self, _used: &Arc<ServiceAccess>, _by: &Origin) -> bool {
        false
    }
}
