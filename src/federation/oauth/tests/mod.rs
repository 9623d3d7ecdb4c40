//! Requests to providers, on the wire of a stub.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, header::AUTHORIZATION};
use http_body_util::Full;
use tower::service_fn;

use super::*;
use crate::Transport;

mod canary;
mod discovery;
mod errors;
mod grants;
mod requests;

/// A provider with prepared responses, which are returned in their order.
#[derive(Clone, Default)]
struct Provider(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    responses: VecDeque<Response<Full<Bytes>>>,
    requests: Vec<String>,
}

impl Provider {
    fn new<'a>(responses: impl IntoIterator<Item = (u16, &'a str)>) -> Self {
        let provider = Self::default();
        for (status, body) in responses {
            provider.respond(response(status, &[], body));
        }
        provider
    }

    fn respond(&self, response: Response<Full<Bytes>>) {
        self.0.lock().unwrap().responses.push_back(response);
    }

    fn transport(&self) -> Transport {
        let provider = self.clone();
        Transport::with_body(
            service_fn(move |request: Request<Bytes>| {
                let mut state = provider.0.lock().unwrap();
                state.requests.push(describe(&request));
                let response = state.responses.pop_front().expect("a prepared response");
                ready(Ok::<_, Infallible>(response))
            }),
            |body| body,
        )
    }

    /// Returns the requests since the last call: method, URL, `Authorization` and body.
    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().requests)
    }
}

fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::new(body.to_owned().into())).unwrap()
}

fn describe(request: &Request<Bytes>) -> String {
    let headers = request.headers();
    assert_eq!(headers["accept"], "*/*");
    assert_eq!(headers.contains_key("content-type"), request.method() == "POST");
    let authorization = headers.get(AUTHORIZATION);
    assert!(authorization.is_none_or(|value| value.is_sensitive()));
    let authorization = authorization.map_or("", |value| value.to_str().unwrap());
    let body = str::from_utf8(request.body()).unwrap();
    format!("{} {} {authorization} {body}", request.method(), request.uri())
}

const TOKEN: (u16, &str) = (200, r#"{"access_token": "at", "id_token": "it", "expires_in": 3600}"#);

fn client() -> OidcClient {
    OidcClient::new("cli").secret("s").access_token_endpoint("https://op.test/token")
}
