//! Tests with settings that are written by hand.

mod auth_types;
mod errors;
#[cfg(feature = "federation")]
mod federated;
mod members;
mod plugins;

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value as Json;
use tower::service_fn;

use super::{ConfiguredIdentity, Identity, Prompt};
use crate::{
    Secret, Transport,
    config::{
        settings::Settings,
        value::{Data, Value},
    },
    error::{ConfigError, ConfigLocation},
    log::Log,
};

/// The settings of a cloud.
#[derive(Clone, Default)]
struct Cloud {
    settings: Settings,
    lines: usize,
}

impl Cloud {
    fn new() -> Self {
        Self::default()
    }

    /// A cloud with an `auth_url` of the v3 API.
    fn v3() -> Self {
        Self::new().auth("auth_url", "https://keystone.example.com/v3")
    }

    /// A cloud with an `auth_url`, a user and a password.
    fn alice() -> Self {
        Self::v3().auth("username", "alice").auth("user_domain_id", "default").auth("password", "wonderland")
    }

    fn auth(self, name: &str, text: &str) -> Self {
        self.insert(true, name, scalar(text), None)
    }

    fn top(self, name: &str, text: &str) -> Self {
        self.insert(false, name, scalar(text), None)
    }

    fn auth_argument(self, name: &str, text: &str) -> Self {
        self.insert(true, name, scalar(text), Some(ConfigLocation::Argument(name.into())))
    }

    fn argument(self, name: &str, text: &str) -> Self {
        self.insert(false, name, scalar(text), Some(ConfigLocation::Argument(name.into())))
    }

    fn variable(self, name: &str, text: &str) -> Self {
        let variable = format!("OS_{}", name.to_uppercase());
        self.insert(false, name, scalar(text), Some(ConfigLocation::Variable(variable.into())))
    }

    fn insert(mut self, in_auth: bool, name: &str, data: Data, location: Option<ConfigLocation>) -> Self {
        self.lines += 1;
        let value = Value { data, location: location.unwrap_or_else(|| line(self.lines)) };
        let mapping = if in_auth { &mut self.settings.auth } else { &mut self.settings.top };
        mapping.insert(name, value);
        self
    }

    fn build(&self) -> Result<ConfiguredIdentity, ConfigError> {
        ConfiguredIdentity::new(&self.settings, None, &[])
    }

    fn auth_type(&self) -> &'static str {
        self.build().unwrap().auth_type
    }

    fn error(&self) -> ConfigError {
        self.build().map(|identity| identity.auth_type).unwrap_err()
    }

    /// Returns the member `auth` of the body of the login request, and the path of its URL.
    async fn login(&self) -> (String, Json) {
        login(&self.build().unwrap()).await
    }

    /// Returns the `scope` of the login request.
    async fn scope(&self) -> Json {
        self.login().await.1["scope"].clone()
    }

    /// Returns the user of the login request.
    async fn user(&self) -> Json {
        self.login().await.1["identity"]["password"]["user"].clone()
    }
}

fn scalar(text: &str) -> Data {
    Data::Scalar(Secret::new(text))
}

fn list(items: &[&str]) -> Data {
    let items = items.iter().map(|item| Value { data: scalar(item), location: line(1) });
    Data::Sequence(items.collect())
}

fn line(line: usize) -> ConfigLocation {
    ConfigLocation::File { path: Arc::from(Path::new("clouds.yaml")), line, column: 7 }
}

/// Logs in, and returns the path and the body of the request. There is no version document.
async fn login(identity: &ConfiguredIdentity) -> (String, Json) {
    let Ok(credentials) = identity.identity.credentials() else { panic!("no credentials") };
    let sent = Arc::new(Mutex::new(None));
    let recorded = Arc::clone(&sent);
    let keystone = service_fn(move |request: Request<Full<Bytes>>| {
        let sent = Arc::clone(&sent);
        async move {
            if request.method() == http::Method::POST {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let body: Json = serde_json::from_slice(&body).unwrap();
                *sent.lock().unwrap() = Some((path, body["auth"].clone()));
            }
            let response = Response::builder().status(StatusCode::NOT_FOUND).body(Full::<Bytes>::default());
            Ok::<_, crate::BoxError>(response.unwrap())
        }
    });
    let result = credentials.get_auth_ref(Transport::new(keystone)).await;
    let sent = recorded.lock().unwrap().take();
    sent.unwrap_or_else(|| panic!("no login: {result:?}"))
}

/// Answers each prompt with `secret`, and records the prompts.
fn prompt() -> (Prompt, Arc<Mutex<Vec<String>>>) {
    let prompts = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&prompts);
    let prompt = move |text: &str| {
        prompts.lock().unwrap().push(text.to_owned());
        Ok(Secret::new("secret"))
    };
    (Arc::new(prompt), recorded)
}

/// Returns what is logged meanwhile, as text.
fn logged<T>(run: impl FnOnce() -> T) -> (T, String) {
    let (log, _guard) = Log::new();
    let result = run();
    (result, log.take())
}
