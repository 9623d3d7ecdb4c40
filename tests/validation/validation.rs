//! Replays the requests of a case.

use std::time::Duration;

use http::{Method, Response, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};
use tower_keystone::{BoxError, Transport};

use crate::{
    Case, Difference, Incomplete,
    application::Application,
    clock::FrozenClock,
    expected, input,
    plugins::{BACKOFF, Plugin},
    servers::{self, Body, Servers},
};

pub(crate) fn replay(case: &Case, differences: &mut Vec<Difference>) -> Result<(), Incomplete> {
    servers::run(replay_steps(case, differences))
}

async fn replay_steps(case: &Case, differences: &mut Vec<Difference>) -> Result<(), Incomplete> {
    if case.expect.len() != case.steps.len() {
        return Err(Incomplete::Malformed("not one expectation per step".to_owned()));
    }
    let servers = Servers::new(&case.exchanges);
    let transport = Transport::new(servers.clone());
    let clock = FrozenClock::new();
    let plugin = Plugin::new(&case.plugin, &transport, clock)
        .map_err(|error| Incomplete::Malformed(BoxError::from(error).to_string()))?
        .shared();
    let layer = input::layer(case, plugin.clone(), transport, clock)?;
    for (index, (step, expected)) in case.steps.iter().zip(&case.expect).enumerate() {
        tokio::time::advance(Duration::from_secs_f64(step.advance)).await;
        let request = input::request(step)?;
        let is_head = request.method() == Method::HEAD;
        let application = Application::new(&step.app, plugin.clone(), servers.clone());
        let inner = application.clone();
        let service = layer.layer(service_fn(move |request| inner.clone().respond(request)));
        let before = Instant::now();
        let response =
            service.oneshot(request).await.map_err(|error| Incomplete::Malformed(error.to_string()))?;
        // Lets background validations end.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let (requests, sleeps) = servers.take_sent(before);
        if requests.iter().any(|request| request["method"] == "POST") {
            // keystoneauth has no back-off after a failed login.
            tokio::time::advance(BACKOFF).await;
        }
        let seen = application.take_seen();
        let response = response_to_json(response, seen.is_some(), is_head).await;
        let compared = Step { index, expected };
        compared.compare(differences, "response", response);
        compared.compare(differences, "requests", requests.iter().map(requested).collect());
        compared.compare_sleeps(differences, &sleeps);
        match seen {
            Some(seen) => {
                compared.compare_application(differences, &seen.application);
                compared.compare(differences, "app_calls", seen.app_calls.into());
                if seen.typed_identity != seen.application["identity"] {
                    let (expected, got) = (seen.typed_identity, seen.application["identity"].clone());
                    let subject = "typed identity".to_owned();
                    differences.push(Difference { call: index, subject, expected, got });
                }
            }
            None => compared.compare(differences, "application", Value::Null),
        }
    }
    Ok(())
}

struct Step<'a> {
    index: usize,
    expected: &'a Value,
}

impl Step<'_> {
    fn compare(&self, differences: &mut Vec<Difference>, subject: &str, got: Value) {
        self.compare_with(differences, subject, &self.expected[subject], got);
    }

    fn compare_with(&self, differences: &mut Vec<Difference>, subject: &str, expected: &Value, got: Value) {
        if *expected != got {
            let (subject, expected) = (subject.to_owned(), expected.clone());
            differences.push(Difference { call: self.index, subject, expected, got });
        }
    }

    /// Compares what the application saw, member by member if it ran behind both.
    fn compare_application(&self, differences: &mut Vec<Difference>, got: &Value) {
        let expected = &self.expected["application"];
        if expected.is_null() {
            return self.compare(differences, "application", got.clone());
        }
        for name in expected::APPLICATION {
            let subject = format!("application: {name}");
            self.compare_with(differences, &subject, &expected[name], got[name].clone());
        }
    }

    fn compare_sleeps(&self, differences: &mut Vec<Difference>, got: &[f64]) {
        let recorded = self.expected["sleeps"].as_array().into_iter().flatten().filter_map(Value::as_f64);
        let recorded: Vec<_> = recorded.filter(|seconds| *seconds != 0.0).collect();
        // The timer has a resolution of one millisecond.
        let is_close = |(expected, got): (&f64, &f64)| (expected - got).abs() <= 0.001;
        if recorded.len() != got.len() || !recorded.iter().zip(got).all(is_close) {
            self.compare(differences, "sleeps", json!(got));
        }
    }
}

/// Returns the response to the client. The content is only compared if the layer made the response.
async fn response_to_json(response: Response<Body>, app_called: bool, is_head: bool) -> Value {
    let (parts, body) = response.into_parts();
    let texts = |name| {
        let values = parts.headers.get_all(name).iter();
        values.map(|value| servers::latin1_text(value.as_bytes())).collect::<Vec<_>>()
    };
    let mut json = json!({
        "status": parts.status.as_u16(),
        "www_authenticate": texts(header::WWW_AUTHENTICATE),
    });
    if !app_called {
        let Ok(body) = body.collect().await;
        // An HTTP server does not send the body of a response to HEAD.
        let body = if is_head { Default::default() } else { body.to_bytes() };
        let text = || String::from_utf8_lossy(&body).into_owned().into();
        json["body"] = match body.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&body).unwrap_or_else(|_| text()),
        };
        json["content_type"] = texts(header::CONTENT_TYPE).first().cloned().into();
        if parts.headers.contains_key(header::RETRY_AFTER) {
            json["retry_after"] = texts(header::RETRY_AFTER).into();
        }
    }
    json
}

/// Returns a request with the headers that are compared.
fn requested(request: &Value) -> Value {
    const COMPARED: [&str; 4] =
        ["openstack-identity-access-rules", "x-auth-token", "x-service-token", "x-subject-token"];
    let mut request = request.clone();
    if let Some(headers) = request["headers"].as_object_mut() {
        headers.retain(|name, _| COMPARED.contains(&&**name));
    }
    request
}
