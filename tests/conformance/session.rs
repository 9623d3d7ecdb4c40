use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneService};
use tower_keystone::{
    Access, AccessFuture, AuthLayer, BoxError, Error, IdentityPlugin, ReauthPolicy, Transport,
    Unauthenticated, discovery::Discovery,
};

use crate::{
    Case, Difference, Replayed, answers,
    discovery::filter,
    plugins::Plugin,
    servers::{self, Body, Servers},
};

/// The arguments that are built: of a call, and of an adapter.
const CALL: [&str; 8] = [
    "allow_reauth",
    "authenticated",
    "data",
    "endpoint_filter",
    "endpoint_override",
    "headers",
    "json",
    "raise_exc",
];
const ADAPTER: [&str; 8] = [
    "allow_version_hack",
    "endpoint_override",
    "interface",
    "max_version",
    "min_version",
    "raise_exc",
    "region_name",
    "service_type",
];

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
    first(given("session"), &[], "the session's")
        .or_else(|| first(given("adapter"), &ADAPTER, "the adapter's"))
        .or(of_calls)
        // Which a session follows unless it is told not to.
        .or_else(|| case.exchanges.iter().any(servers::Exchange::is_redirect).then(|| "redirects".to_owned()))
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
    let session = Session { plugin, adapter: case.input.get("adapter").cloned(), discovery, servers };
    for (call, expected) in calls(case).iter().zip(case.expect["calls"].as_array().into_iter().flatten()) {
        let before = Instant::now();
        let got = session.send(call).await;
        let sent = session.servers.take_sent(before);
        let got = match got {
            Ok((status, text)) => {
                let url = sent.0.last().map(|request| request["url"].clone());
                Ok(json!({"status": status, "url": url, "text": text, "history": []}))
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
    adapter: Option<Value>,
    discovery: Discovery,
    servers: Servers,
}

impl Session {
    async fn send(&self, call: &Value) -> Result<(u16, String), BoxError> {
        let args = &call["args"];
        let plugin = self.plugin.as_ref().map_or_else(|| Arc::new(NoPlugin) as _, Plugin::shared);
        let mut layer = AuthLayer::new(plugin).discovery(self.discovery.clone());
        if let Some(Value::Object(adapter)) = &self.adapter {
            layer = layer.endpoint(filter(adapter)?);
        }
        let service = ServiceBuilder::new().layer(layer).service(self.servers.clone());
        let service: BoxCloneService<Request<Body>, Response<Body>, BoxError> =
            match args["allow_reauth"].as_bool() {
                Some(false) => BoxCloneService::new(service),
                _ => BoxCloneService::new(ServiceBuilder::new().retry(ReauthPolicy::new()).service(service)),
            };
        let response = service.oneshot(self.request(call)?).await?;
        let (parts, body) = response.into_parts();
        let text = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
        Ok((parts.status.as_u16(), text))
    }

    /// The request as a caller makes it.
    fn request(&self, call: &Value) -> Result<Request<Body>, BoxError> {
        let args = &call["args"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut request = Request::builder().method(&*text(&call["method"])).uri(text(&call["url"]));
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
        for (name, value) in args["headers"].as_object().into_iter().flatten() {
            let name: HeaderName = name.parse()?;
            request.headers_mut().insert(name, HeaderValue::from_str(&text(value))?);
        }
        let mut wanted = args["endpoint_filter"].as_object().cloned().unwrap_or_default();
        wanted.extend(args.get("endpoint_override").map(|url| ("endpoint_override".to_owned(), url.clone())));
        if !wanted.is_empty() {
            request.extensions_mut().insert(filter(&wanted)?);
        }
        if !args["authenticated"].as_bool().unwrap_or(self.plugin.is_some()) {
            request.extensions_mut().insert(Unauthenticated);
        }
        Ok(request)
    }
}

/// An error of the HTTP client's, by the classes of the reference.
fn of_client(error: &(dyn std::error::Error + 'static)) -> Value {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    let class = match kind {
        Some(std::io::ErrorKind::TimedOut) => "ConnectTimeout",
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

    fn invalidate(&self, _used: &Arc<Access>) -> bool {
        false
    }
}
