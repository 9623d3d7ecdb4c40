//! Calls to a plugin, an endpoint or a version document, one by one.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tower_keystone::discovery::Discovery;

use crate::{
    Case, Difference, Incomplete,
    arguments::{Args, text},
    auth_requests::AuthenticatedPlugin,
    clock::FrozenClock,
    comparison::{self, CallError},
    discovery::{self, DiscoveryCalls},
    plugins::{BACKOFF, Plugin},
    servers::{self, Servers},
    session,
};

/// Replays the calls of a case. `form` converts a request to the format of the file.
pub(crate) fn replay(
    case: &Case,
    differences: &mut Vec<Difference>,
    form: fn(&Value) -> Value,
) -> Result<(), Incomplete> {
    servers::run(replay_calls(case, differences, form))
}

async fn replay_calls(
    case: &Case,
    differences: &mut Vec<Difference>,
    form: fn(&Value) -> Value,
) -> Result<(), Incomplete> {
    let (servers, transport) = session::client(case)?;
    let clock = FrozenClock::of(case)?;
    let (mut plugin, mut start) = (None, None);
    match &case.plugin {
        Some(spec) if spec.kind == "endpoint_data" => start = Some(discovery::endpoint(spec)?),
        Some(spec) => {
            let created = Plugin::new(spec, &transport, clock);
            plugin = construct(case, created, differences, &servers).await?;
            if plugin.is_none() {
                return Ok(());
            }
        }
        None => {}
    }
    // keystoneauth does not cache failures.
    let discovery = Discovery::new(transport).cache_lifetimes(HOUR, Duration::ZERO);
    let mut discovery_calls = DiscoveryCalls::new(discovery, plugin.as_ref());
    let mut authenticated =
        plugin.map(|plugin| AuthenticatedPlugin { plugin, servers: servers.clone(), last: None });
    let expected = case.expect["calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (index, (call, expected)) in case.calls().iter().zip(expected).enumerate() {
        let op = text(&call["op"], "the op of a call")?;
        let args = Args::new(&call["args"])?;
        let before = Instant::now();
        if op == "advance_time" {
            let seconds = args.seconds("seconds")?.unwrap_or_default();
            tokio::time::advance(Duration::from_secs_f64(seconds)).await;
            continue;
        }
        let chained = call["chain"] == true;
        if !chained {
            discovery_calls.endpoint.clone_from(&start);
        }
        let got = match call_operation(&mut discovery_calls, authenticated.as_mut(), op, args).await {
            Ok(got) if op == "get_access" => Ok(members_of(&expected["result"], &got)?),
            Ok(got) => Ok(got),
            Err(failed) => Err(failed.into_json()?),
        };
        let failed = got.is_err();
        // keystoneauth has no back-off after a failure.
        if failed {
            tokio::time::advance(BACKOFF).await;
        }
        // Completes background tasks before the next call.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let (sent, delays) = servers.take_sent(before);
        comparison::compare(differences, (index, op), &with_plain_names(op, expected), got);
        comparison::compare_requests(
            differences,
            (index, op),
            expected,
            (sent.iter().map(form).collect(), delays),
        );
        if failed && case.calls().get(index + 1).is_some_and(|next| next["chain"] == true) {
            break;
        }
    }
    Ok(())
}

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// Returns the plugin, or compares the error if it cannot be created.
async fn construct(
    case: &Case,
    created: Result<Plugin, CallError>,
    differences: &mut Vec<Difference>,
    servers: &Servers,
) -> Result<Option<Plugin>, Incomplete> {
    let expected = &case.expect["construct"];
    let got = match created {
        Ok(plugin) if expected.is_null() => return Ok(Some(plugin)),
        // Some errors are returned at the first use, before a request is sent.
        Ok(plugin) => match plugin.shared().access().await {
            Ok(_) => Ok(Value::Null),
            Err(error) => Err(comparison::error_to_json(&error)),
        },
        Err(failed) => Err(failed.into_json()?),
    };
    comparison::compare(differences, (0, "construct"), expected, got);
    comparison::compare_requests(
        differences,
        (0, "construct"),
        &Value::Null,
        servers.take_sent(Instant::now()),
    );
    Ok(None)
}

async fn call_operation(
    discovery_calls: &mut DiscoveryCalls,
    authenticated: Option<&mut AuthenticatedPlugin>,
    op: &str,
    args: Args<'_>,
) -> Result<Value, CallError> {
    if let Some(op) = op.strip_prefix("discover.") {
        return discovery_calls.call_document(op, args).await;
    }
    if matches!(op, "get_versioned_data" | "get_current_versioned_data" | "get_all_version_string_data") {
        return discovery_calls.call_endpoint(op, args).await;
    }
    let Some(authenticated) = authenticated else {
        return Err(Incomplete::Malformed(format!("{op} without a plugin")).into());
    };
    match op {
        "get_endpoint" | "get_endpoint_data" | "get_api_major_version" | "get_all_version_data" => {
            discovery_calls.call_plugin(&*authenticated.plugin.shared(), op, args).await
        }
        _ => authenticated.call(op, args).await,
    }
}

/// Returns the members of a token that the summary in the data contains.
fn members_of(summary: &Value, all: &Value) -> Result<Value, Incomplete> {
    let names = summary.as_object().into_iter().flat_map(|summary| summary.keys());
    let member = |name: &String| match all.get(name) {
        Some(value) => Ok((name.clone(), value.clone())),
        None => Err(Incomplete::NotExpressible(format!("the member `{name}` in the summary of a token"))),
    };
    names.map(member).collect()
}

/// Converts the header names in the result of `get_headers` to lower case, as in the `http` crate.
fn with_plain_names(op: &str, expected: &Value) -> Value {
    let mut expected = expected.clone();
    if op == "get_headers"
        && let Some(headers) = expected.get_mut("result").and_then(Value::as_object_mut)
    {
        *headers = headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
    }
    expected
}
