//! The servers of a case: they respond from its table of exchanges, and record the requests.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    ops::Deref,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json, value::RawValue};
use tokio::time::Instant;
use tower::Service;
use tower_keystone::BoxError;

use crate::json;

pub(crate) type Body = Full<Bytes>;

/// A response of a server, and the request that it is for.
#[derive(Clone, Deserialize)]
pub(crate) struct Exchange {
    pub(crate) method: String,
    pub(crate) url: String,
    when_token: Option<WhenToken>,
    /// The value of `X-Subject-Token`.
    pub(crate) when_subject: Option<Text>,
    pub(crate) status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "compact_json")]
    pub(crate) json: Option<Box<RawValue>>,
    body: Option<Text>,
    pub(crate) error: Option<String>,
}

/// A text of the data, which can be written as `{"repeat": TEXT, "times": NUMBER}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "WrittenText")]
pub(crate) struct Text(String);

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenText {
    Plain(String),
    Repeated { repeat: String, times: usize },
}

impl From<WrittenText> for Text {
    fn from(written: WrittenText) -> Self {
        match written {
            WrittenText::Plain(text) => Self(text),
            WrittenText::Repeated { repeat, times } => Self(repeat.repeat(times)),
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum WhenToken {
    Any(bool),
    This(String),
}

/// Deserializes a body, including null, as compact JSON.
fn compact_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    let written: Box<RawValue> = Deserialize::deserialize(deserializer)?;
    Ok(Some(json::compact(&written).unwrap_or(written)))
}

impl Exchange {
    pub(crate) fn headers(&self) -> impl Iterator<Item = &str> {
        self.headers.values().map(String::as_str)
    }

    /// Returns a header, or `""` if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn is_redirect(&self) -> bool {
        matches!(self.status, 301 | 302 | 303 | 305 | 307 | 308) && !self.header("location").is_empty()
    }

    /// Returns whether the response redirects from https to http, or with the deprecated status 305.
    pub(crate) fn is_never_followed(&self) -> bool {
        let downgrade = self.url.starts_with("https:") && self.header("location").starts_with("http:");
        self.is_redirect() && (self.status == 305 || downgrade)
    }

    /// Returns whether the response redirects to another origin.
    pub(crate) fn redirects_to_other_origin(&self) -> bool {
        let location = self.header("location");
        self.is_redirect() && location.contains("://") && origin(location) != origin(&self.url)
    }

    /// Returns whether the response redirects from http to https on the same host.
    pub(crate) fn is_https_upgrade(&self) -> bool {
        let host = |url: &str| url.split(['/', ':']).nth(3).unwrap_or_default().to_owned();
        let location = self.header("location");
        self.url.starts_with("http:") && location.starts_with("https:") && host(location) == host(&self.url)
    }

    /// Returns whether the response redirects to a relative URL.
    pub(crate) fn redirects_to_relative_url(&self) -> bool {
        self.is_redirect() && !self.header("location").contains("://")
    }

    /// Replaces a relative URL in `Location` by the absolute one.
    pub(crate) fn with_absolute_location(&self) -> Self {
        let url = url::Url::parse(&self.url).and_then(|url| url.join(self.header("location")));
        let mut changed = self.clone();
        changed.headers.retain(|name, _| !name.eq_ignore_ascii_case("location"));
        changed.headers.extend(url.ok().map(|url| ("Location".to_owned(), url.into())));
        changed
    }

    /// Returns the same response for another URL.
    pub(crate) fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// Returns an empty 404 to a request for this URL.
    pub(crate) fn not_found(url: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            url: url.to_owned(),
            when_token: None,
            when_subject: None,
            status: 404,
            headers: BTreeMap::new(),
            json: None,
            body: None,
            error: None,
        }
    }

    /// Returns whether this is a response to a GET request for this URL.
    pub(crate) fn is_get(&self, url: &str) -> bool {
        self.method == "GET" && normalized(&self.url) == normalized(url)
    }

    /// Returns whether the same request can succeed later.
    pub(crate) fn is_transient_failure(&self) -> bool {
        self.error.is_some() || matches!(self.status, 429 | 500 | 502..=504)
    }

    /// Replaces the response by an empty 404.
    pub(crate) fn as_not_found(&self) -> Self {
        Self { status: 404, headers: BTreeMap::new(), json: None, body: None, error: None, ..self.clone() }
    }

    /// Replaces the document by the result of `change`, if there is one.
    pub(crate) fn with_document(
        &self,
        change: impl FnOnce(&RawValue) -> Option<Box<RawValue>>,
    ) -> Option<Self> {
        let written = self.body.clone().and_then(|body| RawValue::from_string(body.0).ok());
        let changed = change(self.json.as_deref().or(written.as_deref())?)?;
        Some(Self { json: Some(changed), body: None, ..self.clone() })
    }

    /// Returns the document, or null if the body is not JSON.
    pub(crate) fn document(&self) -> Value {
        serde_json::from_str(self.text()).unwrap_or_default()
    }

    /// Returns the body.
    pub(crate) fn text(&self) -> &str {
        self.json.as_ref().map(|json| json.get()).or(self.body.as_deref()).unwrap_or_default()
    }

    /// Returns whether the body or a text in its document contains this text.
    pub(crate) fn contains(&self, text: &str) -> bool {
        fn any(value: &Value, text: &str) -> bool {
            match value {
                Value::String(member) => member.contains(text),
                Value::Array(elements) => elements.iter().any(|element| any(element, text)),
                Value::Object(members) => members.values().any(|member| any(member, text)),
                _ => false,
            }
        }
        self.text().contains(text) || any(&self.document(), text)
    }

    fn is_match(&self, method: &str, url: &str, token: Option<&str>, subject: Option<&str>) -> bool {
        let when_token = match &self.when_token {
            None => true,
            Some(WhenToken::Any(wanted)) => token.is_some() == *wanted,
            Some(WhenToken::This(wanted)) => token == Some(wanted),
        };
        let when_subject = self.when_subject.as_deref().is_none_or(|wanted| subject == Some(wanted));
        when_token && when_subject && self.method == method && normalized(&self.url) == url
    }

    fn respond(&self) -> Result<Response<Body>, BoxError> {
        match self.error.as_deref() {
            None => {}
            Some("timeout") => return Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            Some("ssl") => return Err("the certificate is invalid".into()),
            Some(_) => return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()),
        }
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        Ok(response.body(self.text().to_owned().into())?)
    }
}

pub(crate) fn origin(url: &str) -> String {
    url.split('/').take(3).collect::<Vec<_>>().join("/")
}

/// Normalizes a URL for the table: an empty path becomes `/`, and the fragment is removed.
fn normalized(url: &str) -> String {
    url.split('#')
        .next()
        .and_then(|url| url.parse::<Uri>().ok())
        .map_or(url.to_owned(), |url| url.to_string())
}

/// All servers of a case. Clones share their state.
#[derive(Clone)]
pub(crate) struct Servers {
    table: Arc<Mutex<Table>>,
    /// Headers that the client adds to every request that does not have them.
    headers: HeaderMap,
}

struct Table {
    exchanges: Vec<(Exchange, bool)>,
    sent: Vec<(Instant, Value)>,
}

impl Servers {
    pub(crate) fn new(exchanges: &[Exchange]) -> Self {
        let exchanges = exchanges.iter().map(|exchange| (exchange.clone(), false)).collect();
        let table = Arc::new(Mutex::new(Table { exchanges, sent: Vec::new() }));
        Self { table, headers: HeaderMap::new() }
    }

    /// Sets the headers that the client adds to its requests.
    pub(crate) fn with_headers(self, headers: HeaderMap) -> Self {
        Self { headers, ..self }
    }

    /// Returns the requests since the last call of this function, in order, and the delays before them, in seconds.
    pub(crate) fn take_sent(&self, since: Instant) -> (Vec<Value>, Vec<f64>) {
        let sent = std::mem::take(&mut self.table.lock().unwrap().sent);
        let mut before = since;
        let mut delays = Vec::new();
        for (at, _) in &sent {
            let delay = at.duration_since(std::mem::replace(&mut before, *at));
            delays.extend(Some(delay.as_secs_f64()).filter(|delay| *delay > 0.0));
        }
        (sent.into_iter().map(|(_, request)| request).collect(), delays)
    }
}

impl Table {
    fn respond(&mut self, request: &Request<Bytes>) -> Result<Response<Body>, BoxError> {
        let token = request.headers().get("x-auth-token").and_then(|token| token.to_str().ok());
        let subject = request.headers().get("x-subject-token").map(|token| latin1_text(token.as_bytes()));
        let (method, url) = (request.method().as_str(), uri_text(request.uri()));
        self.sent.push((Instant::now(), request_to_json(request)));
        let is_match = |(exchange, _): &&mut (Exchange, bool)| {
            exchange.is_match(method, &url, token, subject.as_deref())
        };
        let unused = self.exchanges.iter_mut().filter(is_match).find(|(_, used)| !used);
        if let Some((exchange, used)) = unused {
            *used = true;
            return exchange.respond();
        }
        match self.exchanges.iter_mut().rfind(is_match) {
            Some((exchange, _)) => exchange.respond(),
            None => Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()),
        }
    }
}

impl Service<Request<Body>> for Servers {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let table = Arc::clone(&self.table);
        for (name, value) in &self.headers {
            request.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let request = Request::from_parts(parts, body.collect().await?.to_bytes());
            table.lock().unwrap().respond(&request)
        })
    }
}

/// Returns a URL with its host in lower case, as the HTTP library of keystoneauth sends it.
fn uri_text(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default();
    uri.to_string().replacen(host, &host.to_ascii_lowercase(), 1)
}

/// Returns a request in the format of the data.
fn request_to_json(request: &Request<Bytes>) -> Value {
    json!({
        "method": request.method().as_str(),
        "url": uri_text(request.uri()),
        "headers": headers(request.headers()),
        "body": body(request.headers(), request.body()),
    })
}

pub(crate) fn headers(headers: &HeaderMap) -> Value {
    let text = |value: &http::HeaderValue| Value::from(latin1_text(value.as_bytes()));
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

/// Returns bytes of a header as text: each byte is one character.
pub(crate) fn latin1_text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn body(headers: &HeaderMap, body: &Bytes) -> Value {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let text = String::from_utf8_lossy(body);
    match content_type.and_then(|content_type| content_type.split(';').next()) {
        _ if body.is_empty() => Value::Null,
        Some("application/json") => json!({"json": serde_json::from_str::<Value>(&text).ok()}),
        Some("application/x-www-form-urlencoded") => {
            let pairs: Vec<_> = url::form_urlencoded::parse(body).map(|pair| json!(pair)).collect();
            json!({"form": pairs})
        }
        _ => json!({"text": text}),
    }
}

/// Runs a case on a runtime with a paused clock.
pub(crate) fn run<T>(case: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(case)
}
