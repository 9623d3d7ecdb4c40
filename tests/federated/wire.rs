//! A client whose responses are made by the test, and which keeps the requests.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::service_fn;
use tower_keystone::{BoxError, Transport};

/// The requests that were sent, in this order.
#[derive(Clone, Default)]
pub struct Requests(Arc<Mutex<Vec<Request<Bytes>>>>);

impl Requests {
    /// Returns `METHOD URL` of each request.
    pub fn lines(&self) -> Vec<String> {
        self.map(|request| format!("{} {}", request.method(), request.uri()))
    }

    /// Returns the values of a header of each request.
    pub fn header(&self, name: &str) -> Vec<Option<String>> {
        self.map(|request| Some(request.headers().get(name)?.to_str().unwrap().to_owned()))
    }

    pub fn push(&self, request: Request<Bytes>) {
        self.0.lock().unwrap().push(request);
    }

    pub fn map<T>(&self, read: impl FnMut(&Request<Bytes>) -> T) -> Vec<T> {
        self.0.lock().unwrap().iter().map(read).collect()
    }
}

/// Returns a transport whose responses are made by a function, and the requests that it sends.
pub fn transport(
    respond: impl Fn(&Request<Bytes>) -> Result<Response<Bytes>, BoxError> + Clone + Send + Sync + 'static,
) -> (Transport, Requests) {
    let requests = Requests::default();
    let sent = requests.clone();
    let transport = Transport::new(service_fn(move |request: Request<Full<Bytes>>| {
        let (sent, respond) = (sent.clone(), respond.clone());
        async move {
            let (parts, body) = request.into_parts();
            let request = Request::from_parts(parts, body.collect().await?.to_bytes());
            let response = respond(&request)?;
            sent.push(request);
            Ok::<_, BoxError>(response.map(Full::new))
        }
    }));
    (transport, requests)
}

/// Makes a response.
pub fn response(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}
