//! The application behind the layer: it records what it sees, and sends requests on behalf of the caller.

use std::sync::{Arc, Mutex};

use http::{HeaderName, HeaderValue, Request, Response};
use serde_json::{Map, Value, json};
use tower::{Layer, ServiceExt};
use tower_keystone::{
    AuthLayer, BoxError, IdentityPlugin,
    validate::{IdentityStatus, Validation},
};

use crate::{
    identity, input,
    servers::{Body, Servers},
};

/// The application of one step. Clones share what it has seen.
#[derive(Clone)]
pub(crate) struct Application {
    step: input::App,
    client: AuthLayer<Arc<dyn IdentityPlugin>>,
    servers: Servers,
    seen: Arc<Mutex<Option<Seen>>>,
}

/// What the application has seen.
pub(crate) struct Seen {
    /// In the form of the data.
    pub(crate) application: Value,
    pub(crate) app_calls: Vec<Value>,
    /// The identity headers as they follow from the typed values.
    pub(crate) typed_identity: Value,
}

impl Application {
    pub(crate) fn new(step: &input::App, plugin: Arc<dyn IdentityPlugin>, servers: Servers) -> Self {
        let client = AuthLayer::new(plugin).send_service_token();
        Self { step: step.clone(), client, servers, seen: Arc::default() }
    }

    /// Returns what it has seen, if it ran.
    pub(crate) fn take_seen(&self) -> Option<Seen> {
        self.seen.lock().unwrap().take()
    }

    pub(crate) async fn respond(self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let validation = Validation::from_extensions(request.extensions()).map_err(|_| "no validation")?;
        let mut app_calls = Vec::new();
        for url in &self.step.calls {
            app_calls.push(self.call(url, validation).await);
        }
        let seen = Seen {
            application: seen(&request, validation),
            app_calls,
            typed_identity: identity::of_validation(validation),
        };
        *self.seen.lock().unwrap() = Some(seen);
        let mut response = Response::builder().status(self.step.status.unwrap_or(200));
        for (name, value) in &self.step.headers {
            let value = HeaderValue::from_bytes(&input::latin1_bytes(value))?;
            response = response.header(name.parse::<HeaderName>()?, value);
        }
        Ok(response.body(Body::default())?)
    }

    /// Sends a GET request on behalf of the caller. keystoneauth fails if its plugin has no token.
    async fn call(&self, url: &str, validation: &Validation) -> Value {
        let Ok(caller) = validation.caller() else { return json!({"error": "AssertionError"}) };
        let request = Request::get(url).extension(caller.identity()).body(Body::default());
        // keystoneauth sends its token to any URL.
        let client = self.client.clone().allow_origin(&url.parse().expect("a URL")).expect("an origin");
        let client = client.layer(self.servers.clone());
        match client.oneshot(request.expect("a request")).await {
            Ok(response) => json!({"status": response.status().as_u16()}),
            Err(error) => json!({"error": error.to_string()}),
        }
    }
}

fn seen(request: &Request<Body>, validation: &Validation) -> Value {
    let catalog = request.headers().get("x-service-catalog");
    let catalog = catalog.and_then(|catalog| serde_json::from_slice(catalog.as_bytes()).ok());
    let is_confirmed = |status| status == IdentityStatus::Confirmed;
    // The data has the names of the members of the document.
    let document = validation.caller().ok().and_then(|caller| {
        let state = caller.access_info().auth_state();
        let state: Value = serde_json::from_str(state.expose()).ok()?;
        let members: Option<Map<_, _>> = state["body"].as_object().cloned();
        Some(members?.keys().cloned().collect::<Value>())
    });
    json!({
        "identity": identity::of_headers(request.headers()),
        "service_catalog": catalog.unwrap_or(Value::Null),
        "token_info": document,
        "token_auth": {
            "user": is_confirmed(validation.status()),
            "service": is_confirmed(validation.service_status()),
        },
    })
}
