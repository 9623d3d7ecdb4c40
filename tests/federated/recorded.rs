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
    origin: &'static str,
    /// The method and the path of the request.
    line: String,
    headers: Vec<(String, String)>,
    body: Value,
    is_ordered: bool,
    response: Response<Bytes>,
}

impl Exchange {
    /// Reads an exchange by the name of its file, without `.json`.
    pub fn read(name: &'static str) -> Self {
        Self::with(name, &[])
    }

    /// Reads an exchange and replaces texts in it, such as a token of another recorded login.
    pub fn with(name: &'static str, replacements: &[(&str, &str)]) -> Self {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/federation/recorded/{name}.json"));
        let mut text = fs::read_to_string(&path).unwrap();
        for (from, to) in replacements {
            assert!(text.contains(from), "{from} is not in {name}");
            text = text.replace(from, to);
        }
        let exchange: Value = serde_json::from_str(&text).unwrap();
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
        let origin = match exchange["server"].as_str() {
            Some("keystone") => "http://127.0.0.1:48000",
            Some("keystone-tls") => "https://127.0.0.1:48001",
            Some("keystone-idp") => "http://127.0.0.1:48004",
            Some("oidc") => "http://127.0.0.1:48003",
            Some("saml-idp") => "http://127.0.0.1:48005",
            other => panic!("{other:?}"),
        };
        Self {
            name,
            origin,
            line: format!("{} {}", text("method"), text("path")),
            headers: headers(request),
            body: request["body"].clone(),
            is_ordered: true,
            response: wire::response(status, &response_headers, body),
        }
    }

    /// Lets the fields of the form of a request have any order.
    pub fn any_order(self) -> Self {
        Self { is_ordered: false, ..self }
    }

    /// Returns the recorded response.
    pub fn response(&self) -> Response<Bytes> {
        self.response.clone()
    }

    /// Returns the body of the recorded request, which is a text.
    pub fn body_text(&self) -> &str {
        self.body.as_str().unwrap()
    }

    /// Checks that a request goes to the server that the recorded one went to.
    pub fn check_server(&self, request: &Request<Bytes>) {
        let url = request.uri().to_string();
        assert!(url.starts_with(self.origin), "{url} is not at the server of {}", self.name);
    }

    /// Checks that a request is the recorded one: its method and path, the recorded headers, and its body.
    ///
    /// It must have no other secrets in headers. `Accept: */*` was sent by the recorded client and may be missing.
    pub fn check(&self, request: &Request<Bytes>) {
        self.check_without(request, &[]);
    }

    /// Checks that a request is the recorded one, apart from these headers.
    pub fn check_without(&self, request: &Request<Bytes>, ignored: &[&str]) {
        let name = self.name;
        for secret in ["authorization", "cookie", "x-auth-token", "x-subject-token"] {
            let is_recorded = self.headers.iter().any(|(header, _)| header == secret);
            assert!(is_recorded || !request.headers().contains_key(secret), "{secret} of {name}");
        }
        assert_eq!(format!("{} {}", request.method(), request.uri().path()), self.line, "{name}");
        let is_checked = |(name, value): &&(String, String)| value != "*/*" && !ignored.contains(&&**name);
        for (header, value) in self.headers.iter().filter(is_checked) {
            let sent = request.headers().get(header).map(|sent| sent.to_str().unwrap());
            assert_eq!(sent, Some(&**value), "{header} of {name}");
        }
        match &self.body {
            Value::Null => assert!(request.body().is_empty(), "{name}"),
            Value::String(text) => {
                let sent = str::from_utf8(request.body()).unwrap();
                match self.is_ordered {
                    true => assert_eq!(sent, text, "{name}"),
                    false => assert_eq!(sorted_fields(sent), sorted_fields(text), "{name}"),
                }
            }
            json => assert_eq!(&serde_json::from_slice::<Value>(request.body()).unwrap(), json, "{name}"),
        }
    }
}

fn sorted_fields(form: &str) -> Vec<&str> {
    let mut fields: Vec<_> = form.split('&').collect();
    fields.sort_unstable();
    fields
}
