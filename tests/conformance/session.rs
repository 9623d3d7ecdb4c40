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
    Case, Difference, Unanswered,
    arguments::{Args, text},
    comparison,
    discovery::filter,
    operations::HOUR,
    plugins::{PAUSE, Plugin},
    servers::{self, Body, FrozenClock, Servers},
    versions::written,
};

/// What a session, an adapter and a call can be given.
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
/// What changes no request but its `User-Agent` and `Forwarded`, which the data leaves out.
const UNSEEN: [&str; 12] = [
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
/// Those of a call that are about its endpoint.
const ENDPOINT: [&str; 5] =
    ["allow", "endpoint_filter", "endpoint_override", "microversion", "microversion_service_type"];

/// The servers of a case, and the way to them that its session has for logins and documents.
pub(crate) fn client(case: &Case) -> Result<(Servers, Transport), Unanswered> {
    let session = Args::new(case.input("session"))?;
    only(session, &SESSION, "the session's")?;
    let headers = headers(session.object("additional_headers")?)?;
    let servers = Servers::new(&case.exchanges).with_headers(headers);
    let client = ServiceBuilder::new().retry(retry_policy(session)?).service(servers.clone());
    Ok((servers, Transport::new(client)))
}

/// Refuses arguments that nothing here stands for.
fn only(args: Args<'_>, known: &[&str], what: &str) -> Result<(), Unanswered> {
    let unknown = args.names().find(|name| !known.contains(name) && !UNSEEN.contains(name));
    unknown.map_or(Ok(()), |name| Err(Unanswered::NotExpressible(format!("{what} `{name}`"))))
}

pub(crate) fn replay(case: &Case, differences: &mut Vec<Difference>) -> Result<(), Unanswered> {
    servers::run(replay_calls(case, differences))
}

async fn replay_calls(case: &Case, differences: &mut Vec<Difference>) -> Result<(), Unanswered> {
    let (servers, transport) = client(case)?;
    let adapter = Args::new(case.input("adapter"))?;
    only(adapter, &ADAPTER, "the adapter's")?;
    let clock = FrozenClock::of(case)?;
    let plugin =
        match case.plugin.as_ref().map(|described| Plugin::new(described, &transport, clock)).transpose() {
            Ok(plugin) => plugin,
            Err(failed) => {
                let got = Err(failed.described()?);
                comparison::compare(differences, (0, "construct"), &case.expect["construct"], got);
                return Ok(());
            }
        };
    let session = Session {
        plugin,
        session: members(case.input("session")),
        adapter: case.input.get("adapter").map(members),
        // The reference does not remember failures.
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
        only(Args::new(&call["args"])?, &CALL, "the argument")?;
        let before = Instant::now();
        let got = session.send(call).await;
        let sent = session.servers.take_sent(before);
        // The reference asks again at once where it failed.
        tokio::time::advance(PAUSE).await;
        let got = match got {
            Ok((status, text, history)) => {
                let url = sent.0.last().map(|request| request["url"].clone());
                Ok(json!({"status": status, "url": url, "text": text, "history": history}))
            }
            Err(error) => match error.downcast::<Unanswered>() {
                Ok(why) => return Err(*why),
                Err(error) => {
                    Err(match Error::find(&*error) {
                        // The reference has no endpoint then, and does not say why.
                        Some(Error::DiscoveryFailure(failure)) => {
                            json!({"error": "EndpointNotFound", "text": failure.to_string()})
                        }
                        Some(error) => comparison::described(error),
                        None => of_client(&*error),
                    })
                }
            },
        };
        comparison::compare(differences, (index, "call"), expected, got);
        comparison::compare_sent(differences, (index, "call"), expected, sent);
    }
    Ok(())
}

fn members(object: &Value) -> Map<String, Value> {
    object.as_object().cloned().unwrap_or_default()
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
        let mut given = Value::Object(self.session.clone());
        let all = |given: &mut Value, more: &Value| {
            given.as_object_mut().into_iter().for_each(|given| given.extend(members(more)));
        };
        let adapter = Value::Object(self.adapter.clone().unwrap_or_default());
        all(&mut given, &adapter);
        let plugin = self.plugin.as_ref().map_or_else(|| Arc::new(NoPlugin) as _, Plugin::shared);
        // A session's token replaces that of the caller.
        let mut auth = AuthLayer::new(plugin).discovery(self.discovery.clone()).overwrite_token();
        if self.adapter.is_some() {
            auth = auth.endpoint(endpoint(Args::new(&given)?)?);
        }
        let takes_back = |(name, said): (&String, &Value)| {
            let of_adapter = &adapter[name];
            (said.is_null() || *said == "") && !of_adapter.is_null() && *of_adapter != ""
        };
        let said = [&call["args"], &call["args"]["endpoint_filter"]].into_iter().filter_map(Value::as_object);
        if said.flatten().any(takes_back) {
            return Err(
                Unanswered::NotExpressible("a call that takes back what its adapter says".into()).into()
            );
        }
        all(&mut given, &call["args"]);
        let args = Args::new(&given)?;
        let request = self.request(call, args, Args::new(&adapter)?)?;
        if self.redirects && request.uri().scheme().is_some() {
            // The reference sends its token wherever the first URL is: to see what becomes of it afterwards,
            // that has to be known here.
            auth = auth.allow_origin(request.uri())?;
        }

        let global_request_id =
            Args::new(&adapter)?.text("global_request_id")?.map(str::parse).transpose()?;
        let history = Arc::new(Mutex::new(Vec::new()));
        let (noted, begun) = (Arc::clone(&history), Arc::clone(&history));
        let note = redirect_fn(move |attempt: &Attempt<'_>| {
            noted.lock().unwrap().push(attempt.status().as_u16());
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
                // The redirects that count are those of the last attempt.
                begun.lock().unwrap().clear();
                request
            })
            .layer(FollowRedirectLayer::with_policy(redirect_policy(args)?.and::<_, Body, BoxError>(note)))
            .service(self.servers.clone());

        let (parts, body) = stack.oneshot(request).await?.into_parts();
        let text = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
        // The text without the mark that tells its encoding.
        let text = text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned);
        let history = history.lock().unwrap().clone();
        Ok((parts.status.as_u16(), text, history))
    }

    /// The request as a caller makes it, who knows what the session and the adapter were given.
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
            .map_err(|_| Unanswered::NotExpressible("a URI that `http::Uri` has not".into()))?;
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

/// The endpoint filter of these arguments, of which those in `endpoint_filter` come first.
fn endpoint(args: Args<'_>) -> Result<EndpointFilter, BoxError> {
    let names = args.names().filter_map(|name| Some((name.to_owned(), args.given(name)?.clone())));
    let mut wanted: Map<_, _> = names.collect();
    wanted.extend(args.get("endpoint_filter").map(members).unwrap_or_default());
    let filter = filter(Args::new(&Value::Object(wanted))?)?;
    // A microversion of the call that is null is none.
    let microversion = args.given("microversion").or(args.given("default_microversion"));
    let microversion = microversion.filter(|said| !said.is_null()).map(written).transpose()?;
    Ok(match (microversion, args.text("microversion_service_type")?) {
        (Some(microversion), Some(service_type)) => filter.microversion_for(service_type, microversion),
        (Some(microversion), None) => filter.microversion(microversion),
        (None, _) => filter,
    })
}

/// The retries of these arguments: none by itself, and none by chance.
fn retry_policy(args: Args<'_>) -> Result<RetryPolicy<Body>, Unanswered> {
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
        // An empty list is the default, as it is there.
        Some(codes) if !codes.is_empty() => policy.retriable_status_codes(codes),
        _ => policy,
    })
}

fn redirect_policy(args: Args<'_>) -> Result<RedirectPolicy<Body>, Unanswered> {
    Ok(match args.get("redirect") {
        None | Some(Value::Bool(true)) => RedirectPolicy::new(),
        Some(Value::Bool(false)) => RedirectPolicy::new().limit(0),
        Some(_) => RedirectPolicy::new().limit(args.count("redirect")?.unwrap_or_default() as usize),
    })
}

fn headers(given: Args<'_>) -> Result<HeaderMap, Unanswered> {
    let mut headers = HeaderMap::new();
    for name in given.names() {
        let value = given.text(name)?.unwrap_or_default();
        let (name, value) = (name.parse::<HeaderName>(), HeaderValue::from_str(value));
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Unanswered::NotExpressible("a header that the http crate does not have".to_owned()));
        };
        headers.insert(name, value);
    }
    Ok(headers)
}

/// The pairs of a query or a form.
fn form(given: Args<'_>) -> Result<String, Unanswered> {
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
                    return Err(Unanswered::NotExpressible(format!(
                        "`{name}` that is neither text nor number"
                    )));
                }
            };
            pairs.push((name, value));
        }
    }
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    Ok(form.extend_pairs(pairs).finish())
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

    fn invalidate(&self, _used: &Arc<ServiceAccess>, _by: &Origin) -> bool {
        false
    }
}
