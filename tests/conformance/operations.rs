//! Calls to a plugin, an endpoint or a version document, one by one.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tower_keystone::discovery::Discovery;

use crate::{
    Case, Difference, Unanswered,
    arguments::{Args, text},
    auth_requests::Authenticated,
    comparison::{self, Failed},
    discovery::{self, Asked},
    plugins::{PAUSE, Plugin},
    servers::{self, FrozenClock, Servers},
    session,
};

/// Replays the calls of a case; a request that was sent is noted in the `form` of the file.
pub(crate) fn replay(
    case: &Case,
    differences: &mut Vec<Difference>,
    form: fn(&Value) -> Value,
) -> Result<(), Unanswered> {
    servers::run(replay_calls(case, differences, form))
}

async fn replay_calls(
    case: &Case,
    differences: &mut Vec<Difference>,
    form: fn(&Value) -> Value,
) -> Result<(), Unanswered> {
    let (servers, transport) = session::client(case)?;
    let clock = FrozenClock::of(case)?;
    let (mut plugin, mut start) = (None, None);
    match &case.plugin {
        Some(described) if described.kind == "endpoint_data" => start = Some(discovery::endpoint(described)?),
        Some(described) => {
            let made = Plugin::new(described, &transport, clock);
            plugin = construct(case, made, differences, &servers).await?;
            if plugin.is_none() {
                return Ok(());
            }
        }
        None => {}
    }
    // The reference does not remember failures.
    let discovery = Discovery::new(transport).cache_lifetimes(HOUR, Duration::ZERO);
    let mut asked = Asked::new(discovery, plugin.as_ref());
    let mut authenticated =
        plugin.map(|plugin| Authenticated { plugin, servers: servers.clone(), last: None });
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
            asked.endpoint.clone_from(&start);
        }
        let got = match answer(&mut asked, authenticated.as_mut(), op, args).await {
            Ok(got) if op == "get_access" => Ok(members_of(&expected["result"], &got)?),
            Ok(got) => Ok(got),
            Err(failed) => Err(failed.described()?),
        };
        let failed = got.is_err();
        // The reference asks again at once where it failed.
        if failed {
            tokio::time::advance(PAUSE).await;
        }
        // What was begun in the background is done before the next call.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let (sent, pauses) = servers.take_sent(before);
        comparison::compare(differences, (index, op), &with_plain_names(op, expected), got);
        comparison::compare_sent(
            differences,
            (index, op),
            expected,
            (sent.iter().map(form).collect(), pauses),
        );
        if failed && case.calls().get(index + 1).is_some_and(|next| next["chain"] == true) {
            break;
        }
    }
    Ok(())
}

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// The plugin, unless it cannot be made: that is compared.
async fn construct(
    case: &Case,
    made: Result<Plugin, Failed>,
    differences: &mut Vec<Difference>,
    servers: &Servers,
) -> Result<Option<Plugin>, Unanswered> {
    let expected = &case.expect["construct"];
    let got = match made {
        Ok(plugin) if expected.is_null() => return Ok(Some(plugin)),
        // What cannot be used is refused when it is to be used, before anything is sent.
        Ok(plugin) => match plugin.shared().access().await {
            Ok(_) => Ok(Value::Null),
            Err(error) => Err(comparison::described(&error)),
        },
        Err(failed) => Err(failed.described()?),
    };
    comparison::compare(differences, (0, "construct"), expected, got);
    comparison::compare_sent(differences, (0, "construct"), &Value::Null, servers.take_sent(Instant::now()));
    Ok(None)
}

async fn answer(
    asked: &mut Asked,
    authenticated: Option<&mut Authenticated>,
    op: &str,
    args: Args<'_>,
) -> Result<Value, Failed> {
    if let Some(op) = op.strip_prefix("discover.") {
        return asked.of_document(op, args).await;
    }
    if matches!(op, "get_versioned_data" | "get_current_versioned_data" | "get_all_version_string_data") {
        return asked.of_endpoint(op, args).await;
    }
    let Some(authenticated) = authenticated else {
        return Err(Unanswered::Malformed(format!("{op} without a plugin")).into());
    };
    match op {
        "get_endpoint" | "get_endpoint_data" | "get_api_major_version" | "get_all_version_data" => {
            asked.of_plugin(&*authenticated.plugin.shared(), op, args).await
        }
        _ => authenticated.ask(op, args).await,
    }
}

/// Of what a token says, what the summary of the data says too.
fn members_of(summary: &Value, all: &Value) -> Result<Value, Unanswered> {
    let names = summary.as_object().into_iter().flat_map(|summary| summary.keys());
    let member = |name: &String| match all.get(name) {
        Some(value) => Ok((name.clone(), value.clone())),
        None => Err(Unanswered::NotExpressible(format!("the summary of a token with its {name}"))),
    };
    names.map(member).collect()
}

/// The answer to `get_headers`, with names in the spelling of the `http` crate.
fn with_plain_names(op: &str, expected: &Value) -> Value {
    let mut expected = expected.clone();
    if op == "get_headers"
        && let Some(headers) = expected.get_mut("result").and_then(Value::as_object_mut)
    {
        *headers = headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
    }
    expected
}
