use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Uri};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::ServiceExt;
use tower_keystone::{Access, AccessInfo, AuthLayer, Error, IdentityPlugin, Secret, endpoint::Origin};

use crate::{
    Case, Difference, Replayed, answers,
    plugins::{Described, Plugin},
    servers::{self, Servers},
};

pub(crate) fn replay(case: &Case) -> Replayed {
    let described = case.plugin().expect("a case has a plugin");
    if described.is_not_built() {
        return Err(format!("the plugin {}", described.kind));
    }
    Ok(servers::run(replay_calls(case, &described)))
}

async fn replay_calls(case: &Case, described: &Described) -> Vec<Difference> {
    let mut differences = Vec::new();
    let servers = Servers::new(&case.exchanges);
    let plugin = match Plugin::new(described, &servers) {
        Ok(plugin) => plugin,
        Err(error) => {
            let (expected, got) = (case.expect["construct"].clone(), answers::described(&error));
            if expected.is_null() {
                differences.push(Difference { question: "construct".to_owned(), expected, got });
            }
            return differences;
        }
    };
    if !case.expect["construct"].is_null() {
        // What cannot be used is refused when it is to be used, before anything is sent.
        let got =
            plugin.shared().access().await.map(|_| Value::Null).map_err(|error| answers::described(&error));
        answers::compare(&mut differences, "construct", &case.expect["construct"], got);
        answers::compare_sent(&mut differences, "construct", &Value::Null, servers.take_sent(Instant::now()));
        return differences;
    }
    let mut asked = Asked { plugin, servers: servers.clone(), last: None };
    let calls = case.input["calls"].as_array().into_iter().flatten();
    for (call, expected) in calls.zip(case.expect["calls"].as_array().into_iter().flatten()) {
        let op = call["op"].as_str().expect("a call has an op");
        let before = Instant::now();
        if op == "advance_time" {
            tokio::time::advance(Duration::from_secs_f64(call["args"]["seconds"].as_f64().unwrap())).await;
            continue;
        }
        let got = asked.ask(op, &call["args"]).await.map_err(|error| answers::described(&error));
        answers::compare(&mut differences, op, &with_plain_names(expected), got);
        answers::compare_sent(&mut differences, op, expected, servers.take_sent(before));
    }
    differences
}

struct Asked {
    plugin: Plugin,
    servers: Servers,
    /// What was used last.
    last: Option<Arc<Access>>,
}

impl Asked {
    async fn ask(&mut self, op: &str, args: &Value) -> Result<Value, Error> {
        Ok(match (op, &self.plugin) {
            ("get_token", _) => self.headers().await?["x-auth-token"].clone(),
            ("get_headers", _) => self.headers().await?,
            ("get_endpoint", _) => self.endpoint().await,
            ("get_cache_id", Plugin::Renewing(plugin)) => json!(plugin.cache_id()),
            ("get_cache_id", _) => Value::Null,
            ("get_auth_state", Plugin::Renewing(plugin)) => state(plugin.auth_state()),
            ("get_auth_state", Plugin::AccessInfo(_, access_info)) => state(Some(access_info.auth_state())),
            ("set_auth_state", Plugin::Renewing(plugin)) => {
                let text = match &args["state"] {
                    Value::Null => None,
                    Value::String(raw) => Some(raw.clone()),
                    state => Some(state.to_string()),
                };
                plugin.set_auth_state(text.map(Secret::from).as_ref())?;
                Value::Null
            }
            // It is the access info that it was made with.
            ("set_auth_state", _) => Value::Null,
            ("needs_reauthenticate", Plugin::Renewing(plugin)) => plugin.needs_renewal().into(),
            ("needs_reauthenticate", plugin) => {
                let since = Instant::now();
                let _ = plugin.shared().access().await;
                (!self.servers.take_sent(since).0.is_empty()).into()
            }
            ("invalidate", plugin) => {
                let nothing = || Arc::new(Access::fixed("http://nowhere".parse().unwrap()).unwrap());
                let by = Origin::of(&Uri::from_static("https://nova.example.com")).unwrap();
                plugin.shared().invalidate(&self.last.clone().unwrap_or_else(nothing), &by).into()
            }
            ("get_user_id", Plugin::AccessInfo(_, access_info)) => json!(access_info.user_id()),
            ("get_project_id", Plugin::AccessInfo(_, access_info)) => json!(access_info.project_id()),
            ("get_user_id", _) => json!(self.access().await?.user_id()),
            ("get_project_id", _) => json!(self.access().await?.project_id()),
            ("get_sp_url" | "get_sp_auth_url", _) => {
                let access = self.access().await?;
                let providers = access.auth_ref().and_then(AccessInfo::service_providers);
                let wanted = |id: &str| args["sp_id"] == *id;
                let provider = providers.into_iter().flatten().find(|provider| wanted(provider.id));
                json!(provider.map(|provider| if op == "get_sp_url" {
                    provider.sp_url
                } else {
                    provider.auth_url
                }))
            }
            (other, _) => panic!("no such operation: {other}"),
        })
    }

    async fn access(&mut self) -> Result<Arc<Access>, Error> {
        let access = self.plugin.shared().access().await?;
        self.last = Some(Arc::clone(&access));
        Ok(access)
    }

    async fn headers(&mut self) -> Result<Value, Error> {
        let mut headers = HeaderMap::new();
        self.access().await?.insert_headers(&mut headers);
        Ok(servers::headers(&headers))
    }

    /// Where a request for `/` goes, without that slash.
    async fn endpoint(&mut self) -> Value {
        let layer = AuthLayer::new(self.plugin.shared());
        let request = Request::get("/").body(Bytes::new().into()).unwrap();
        // There is no answer to it; what was sent counts.
        let _ = tower::Layer::layer(&layer, self.servers.clone()).oneshot(request).await;
        let (sent, _) = self.servers.take_sent(Instant::now());
        sent.first().map_or(Value::Null, |sent| sent["url"].as_str().unwrap().trim_end_matches('/').into())
    }
}

fn state(state: Option<Secret>) -> Value {
    state.map_or(Value::Null, |state| serde_json::from_str(state.expose()).expect("a state is JSON"))
}

/// The answer to `get_headers`, with names in the spelling of the `http` crate.
fn with_plain_names(expected: &Value) -> Value {
    let mut expected = expected.clone();
    if let Some(headers) = expected.get_mut("result").and_then(Value::as_object_mut)
        && headers.keys().all(|name| name.starts_with("X-"))
    {
        let plain: BTreeMap<_, _> =
            headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
        *headers = plain.into_iter().collect();
    }
    expected
}
