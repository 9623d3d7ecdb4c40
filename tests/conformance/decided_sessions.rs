//! The same for what sessions and adapters do.

use serde_json::{Map, Value};

use crate::{
    Difference,
    decided::Rule,
    decided_discovery::goes_on,
    decided_requests::{MESSAGE, RETRY_AFTER, calls, error_of, is, is_less, is_not_made},
    servers::Exchange,
};

pub(crate) const SESSIONS: [Rule; 16] = [
    MESSAGE,
    RETRY_AFTER,
    Rule {
        decision: "every 401 is told to the plugin, also that of a second attempt: the next request has a new token",
        covers: |case, difference| {
            difference.question == "call: requests"
                && case.exchanges.iter().any(Exchange::is_refusal)
                && without_logins(&difference.got) == without_logins(&difference.expected)
        },
    },
    Rule {
        decision: "the token goes to known origins only, so an absolute URL elsewhere is refused",
        covers: |case, difference| {
            let absolute =
                calls(case).any(|call| call["url"].as_str().is_some_and(|url| url.contains("://")));
            let refused = text_of(difference).contains("is not an origin of the service catalog");
            absolute && (refused || is_less(difference))
        },
    },
    Rule {
        decision: "a relative URI begins with a slash: `servers` is a host in `http::Uri`",
        covers: |case, difference| {
            let relative = calls(case).any(|call| !call["url"].as_str().unwrap_or_default().contains('/'));
            let refused = text_of(difference).contains("neither absolute nor a path");
            relative && (refused || is_less(difference))
        },
    },
    Rule {
        decision: "a URI that begins with `//` is a path to be joined, not a URL without a scheme",
        covers: |case, difference| {
            let path = calls(case).any(|call| call["url"].as_str().is_some_and(|url| url.starts_with("//")));
            path && (error_of(difference) == Some("UnknownConnectionError") || is_more(difference))
        },
    },
    Rule {
        decision: "a `%` in an endpoint override that begins no `%(name)s` stands for itself",
        covers: |case, difference| {
            let mut overrides = calls(case).filter_map(|call| call["args"]["endpoint_override"].as_str());
            let percent = overrides.any(|url| url.replace("%(", "").contains('%'));
            percent && (error_of(difference) == Some("ValueError") || is_more(difference))
        },
    },
    Rule {
        decision: "a microversion is asked for by the name and the header that the service knows, also for an alias",
        covers: |_, difference| {
            let mut expected = difference.expected.clone();
            let requests = expected.as_array_mut().into_iter().flatten();
            requests
                .filter_map(|request| request["headers"].as_object_mut())
                .for_each(name_as_the_service_does);
            difference.question == "call: requests" && expected == difference.got
        },
    },
    Rule {
        decision: "a layer has a plugin, and that has what it needs: no session without one",
        covers: |case, difference| match case.plugin.as_ref() {
            None => {
                let failed = difference.got["error"] == "MissingAuthPlugin";
                error_of(difference) == Some("EndpointNotFound") && failed
            }
            Some(plugin) => is_not_made(plugin, difference),
        },
    },
    Rule {
        decision: "a version beside an endpoint override is looked for from there, as the override's help in the \
                   reference says; its requests go to the override whatever the version",
        covers: |case, difference| {
            let adapter = case.input.get("adapter").unwrap_or(&Value::Null);
            let version =
                ["version", "min_version", "max_version"].iter().any(|name| adapter.get(name).is_some());
            let refused = text_of(difference).contains("ask for the official service type");
            version && adapter.get("endpoint_override").is_some() && (refused || is_less(difference))
        },
    },
    Rule {
        decision: "a Retry-After below zero is no answer: the own delay holds",
        covers: |case, difference| {
            let below = case.exchanges.iter().any(|exchange| exchange.retry_after().starts_with('-'));
            let answered = error_of(difference) == Some("ValueError") && difference.got["status"].is_u64();
            let read = is(difference, ": retry_after", |expected| *expected == -1, |got| *got == 0);
            below && (answered || read || goes_on(difference))
        },
    },
    Rule {
        decision: "a Retry-After that is a date which is still to come is waited for",
        covers: |case, difference| {
            let date = case.exchanges.iter().any(|exchange| exchange.retry_after().ends_with(" GMT"));
            let pauses = |value: &Value| value.as_array().map(Vec::len);
            let pause = difference.question == "call: sleeps";
            date && pause && pauses(&difference.expected) == pauses(&difference.got)
        },
    },
    Rule {
        decision: "no redirect is followed from https to http, nor at 305: it is the answer",
        covers: |case, difference| {
            let answered = matches!(difference.got["status"].as_u64(), Some(300..400));
            case.exchanges.iter().any(Exchange::is_never_followed) && (answered || is_less(difference))
        },
    },
    Rule {
        decision: "a redirect to a relative URL is followed",
        covers: |case, difference| {
            let relative = case.exchanges.iter().any(Exchange::leads_to_a_path);
            let followed = error_of(difference) == Some("UnknownConnectionError")
                && difference.got["history"].as_array().is_some_and(|history| !history.is_empty());
            relative && (followed || is_more(difference) && ends_with_the_same_twice(&difference.got))
        },
    },
    Rule {
        decision: "a redirected request has its own request id, not that of the answer which redirects it",
        covers: |case, difference| {
            let redirects = case.exchanges.iter().any(Exchange::is_redirect);
            let mut id = None;
            let expected = last_with(&difference.expected, |headers| {
                id = headers.remove("x-openstack-request-id");
            });
            redirects && id == Some("req-abc".into()) && expected == difference.got
        },
    },
    Rule {
        decision: "a redirect to another origin takes no token and no password along",
        covers: |case, difference| {
            let expected = last_with(&difference.expected, |headers| {
                headers.retain(|name, _| !matches!(&**name, "authorization" | "x-auth-token"));
            });
            case.exchanges.iter().any(Exchange::leads_elsewhere) && expected == difference.got
        },
    },
];

fn text_of(difference: &Difference) -> &str {
    difference.got["text"].as_str().unwrap_or_default()
}

/// Whether there is a request that the reference comes to no more.
fn is_more(difference: &Difference) -> bool {
    let requests = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (expected, mut got) = (requests(&difference.expected), requests(&difference.got));
    got.pop();
    difference.question.ends_with(": requests") && expected == got
}

/// Whether the last request is the one before it, sent to another URL.
fn ends_with_the_same_twice(requests: &Value) -> bool {
    let [.., before, last] = requests.as_array().map_or(&[][..], Vec::as_slice) else { return false };
    ["method", "headers", "body"].iter().all(|part| before[part] == last[part])
}

/// The requests, with other headers in the last one.
fn last_with(requests: &Value, change: impl FnOnce(&mut Map<String, Value>)) -> Value {
    let mut requests = requests.clone();
    let last = requests.as_array_mut().and_then(|requests| requests.last_mut());
    if let Some(Value::Object(headers)) = last.and_then(|request| request.get_mut("headers")) {
        change(headers);
    }
    requests
}

/// The requests that are not for a token, without their tokens.
fn without_logins(requests: &Value) -> Vec<Value> {
    let mut requests = requests.as_array().cloned().unwrap_or_default();
    requests.retain(|request| request["url"].as_str().is_some_and(|url| !url.ends_with("/tokens")));
    for headers in requests.iter_mut().filter_map(|request| request["headers"].as_object_mut()) {
        headers.remove("x-auth-token");
    }
    requests
}

/// What the services compare with that the reference does not know.
fn name_as_the_service_does(headers: &mut Map<String, Value>) {
    const NAMES: [(&str, &str, Option<&str>); 3] = [
        ("bare-metal", "baremetal", Some("x-openstack-ironic-api-version")),
        ("block-store", "volume", None),
        (
            "baremetal-introspection",
            "baremetal-introspection",
            Some("x-openstack-ironic-inspector-api-version"),
        ),
    ];
    let asked =
        headers.get("openstack-api-version").and_then(Value::as_str).and_then(|asked| asked.split_once(' '));
    let Some((name, version)) = asked else { return };
    let Some((_, name, own)) = NAMES.iter().find(|(alias, ..)| *alias == name) else { return };
    let (value, version) = (format!("{name} {version}"), version.to_owned());
    headers.insert("openstack-api-version".to_owned(), value.into());
    if let Some(own) = own {
        headers.entry(*own).or_insert(version.into());
    }
}
