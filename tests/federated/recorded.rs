//! The exchanges in `tests/federation/recorded`.

use std::{fs, path::Path};

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;

use crate::wire;

/// One recorded exchange.
#[derive(Clone)]
pub struct Exchange {
    name: &'static str,
    /// The method and the path of the request.
    line: String,
    headers: Vec<(String, String)>,
    body: Value,
    response: Response<Bytes>,
}

impl Exchange {
    /// Reads an exchange by the name of its file, without `.json`.
    pub fn read(name: &'static str) -> Self {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/federation/recorded/{name}.json"));
        let exchange: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let [request, response] = [&exchange["request"], &exchange["response"]];
        let headers = |message: &Value| -> Vec<(String, String)> {
            let headers = message["headers"].as_object().unwrap().iter();
            headers.map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap().to_owned())).collect()
        };
        let text = |name: &str| request[name].as_str().unwrap();
        let body = match &response["body"] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            json => json.to_string(),
        };
        let response_headers = headers(response);
        let response_headers: Vec<_> =
            response_headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
        Self {
            name,
            line: format!("{} {}", text("method"), text("path")),
            headers: headers(request),
            body: request["body"].clone(),
            response: wire::response(status, &response_headers, body),
        }
    }

    /// Returns the recorded response.
    pub fn response(&self) -> Response<Bytes> {
        self.response.clone()
    }

    /// Checks that a request is the recorded one: its method and path, the recorded headers, and its body.
    ///
    /// `Accept: */*` was sent by the recorded client and may be missing.
    pub fn check(&self, request: &Request<Bytes>) {
        let name = self.name;
        assert_eq!(format!("{} {}", request.method(), request.uri().path()), self.line, "{name}");
        for (header, value) in self.headers.iter().filter(|(_, value)| value != "*/*") {
            let sent = request.headers().get(header).map(|sent| sent.to_str().unwrap());
            assert_eq!(sent, Some(&**value), "{header} of {name}");
        }
        match &self.body {
            Value::Null => assert!(request.body().is_empty(), "{name}"),
            Value::String(text) => assert_eq!(str::from_utf8(request.body()).unwrap(), text, "{name}"),
            json => assert_eq!(&serde_json::from_slice::<Value>(request.body()).unwrap(), json, "{name}"),
        }
    }
}
