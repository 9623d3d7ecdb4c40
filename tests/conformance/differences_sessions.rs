//! The intended differences in sessions and adapters.

use serde_json::{Map, Value, json};
use tower_keystone::service_types;

use crate::{
    Case, Difference,
    access::time_of,
    changed_case::same_result_after,
    clock::FrozenClock,
    differences::{call, error_text, expected_call, is_about_sending},
    differences_discovery::{change_args, with_absolute_locations, with_minimum},
    differences_requests::{is_login, plugin_spec, requests},
    replay::{Rule, value},
    servers::{Exchange, origin},
    versions,
};

pub(crate) const SESSIONS: &[Rule] = &[
    Rule {
        decision: "every 401 invalidates the token, including the 401 to a retry, so the next request has a new token",
        covers: |case, difference, _| {
            let before = difference.call.checked_sub(1).map(|before| &case.expect["calls"][before]);
            let rejected = before
                .is_some_and(|before| before["http_status"] == 401 || before["result"]["status"] == 401);
            let (expected, got) = (requests(&difference.expected), requests(&difference.got));
            let logins = |all: &[Value]| all.iter().filter(|request| is_login(request)).count();
            difference.subject == "call: requests"
                && rejected
                && logins(got) == logins(expected) + 1
                && got.first().is_some_and(is_login)
                && without_tokens(case, got) == without_tokens(case, expected)
        },
    },
    Rule {
        decision: "the token is sent to known origins only, so a request to an absolute URL of another origin is \
                   refused",
        covers: |case, difference, _| {
            let url = url_of(case, difference);
            let rejected = difference.got["error"] == ""
                && error_text(&difference.got).contains("is not an origin of the service catalog");
            url.contains("://")
                && (rejected && error_text(&difference.got).contains(&origin(url))
                    || stops_before(difference, |request| origin(url_in(request)) == origin(url)))
        },
    },
    Rule {
        decision: "a relative URI starts with a slash, because `servers` is a host in `http::Uri`",
        covers: |case, difference, _| {
            let url = url_of(case, difference);
            let rejected = difference.got["error"] == ""
                && error_text(&difference.got).contains("neither absolute nor a path");
            !url.contains('/')
                && (rejected || stops_before(difference, |request| url_in(request).ends_with(url)))
        },
    },
    Rule {
        decision: "a URI that starts with `//` is a path that is joined, not a URL without a scheme",
        covers: |case, difference, replay| {
            let failed = expected_call(case, difference)["error"] == "UnknownConnectionError";
            failed
                && same_result_after(case, difference, replay, |case| {
                    let calls = case.input.get_mut("calls").and_then(Value::as_array_mut);
                    let urls = calls.into_iter().flatten().filter_map(|call| call.get_mut("url"));
                    let paths = urls.filter_map(|url| {
                        let path = format!("/{}", url.as_str()?.strip_prefix("//")?.trim_start_matches('/'));
                        *url = path.into();
                        Some(())
                    });
                    paths.count() > 0
                })
        },
    },
    Rule {
        decision: "a `%` in an endpoint override that does not start a `%(name)s` is kept unchanged",
        covers: |case, difference, _| {
            let url = argument(case, difference, "endpoint_override").as_str().unwrap_or_default();
            let before = url.split('%').next().unwrap_or_default();
            let has_response = difference.expected["error"] == "ValueError"
                && difference.got["url"].as_str().is_some_and(|got| got.starts_with(before));
            let sent = has_extra_request(difference, |request| url_in(request).starts_with(before));
            // If no server responds, the request is retried.
            let failed =
                difference.expected["error"] == "ValueError" && difference.got["error"] == "ConnectFailure";
            let again = expected_call(case, difference)["error"] == "ValueError"
                && difference.subject == "call: sleeps"
                && requests(&difference.got).iter().all(is_backoff_delay);
            url.replace("%(", "").contains('%') && (has_response || sent || failed || again)
        },
    },
    Rule {
        decision: "a microversion is sent with the name and header that the service supports, also for an alias",
        covers: |_, difference, _| {
            let (expected, got) = (requests(&difference.expected), requests(&difference.got));
            difference.subject == "call: requests"
                && expected.iter().map(with_official_service_name).eq(got.iter().cloned())
        },
    },
    Rule {
        decision: "a maximum version without a minimum finds the newest version up to it, as with a minimum of 0",
        covers: |case, difference, replay| {
            difference.subject == "call: requests"
                && sent(&difference.expected) == sent(&difference.got)
                && requests(&difference.expected).iter().any(is_document)
                && same_result_after(case, difference, replay, with_minimum)
        },
    },
    Rule {
        decision: "a URI is sent unchanged, including redundant percent-encoding",
        covers: |_, difference, _| {
            let decoded = |request: &Value| {
                let mut request = request.clone();
                if let Some(Value::String(url)) = request.get_mut("url") {
                    *url = without_redundant_encoding(url);
                }
                request
            };
            let url = |result: &Value| result["url"].as_str().map(without_redundant_encoding);
            let same = url(value(&difference.expected))
                .is_some_and(|expected| url(&difference.got) == Some(expected));
            let members = ["status", "text", "history"];
            let result = value(&difference.expected);
            same && members.iter().all(|member| result[member] == difference.got[member])
                || difference.subject == "call: requests"
                    && requests(&difference.expected)
                        .iter()
                        .map(decoded)
                        .eq(requests(&difference.got).iter().map(decoded))
        },
    },
    Rule {
        decision: "a layer always has a plugin, so there is no session without one",
        covers: |case, difference, _| {
            let failed = difference.got["error"] == "MissingAuthPlugin";
            case.plugin.is_none() && difference.expected["error"] == "EndpointNotFound" && failed
        },
    },
    Rule {
        decision: "an auth_url whose version fits is used if there is no version document",
        covers: |case, difference, _| {
            let at_auth_url =
                |url: &str| url.starts_with(&*plugin_spec(case).text("auth_url").unwrap_or_default());
            argument(case, difference, "interface")["auth_interface"] == true
                && expected_call(case, difference)["error"] == "EndpointNotFound"
                && (difference.subject == "call"
                    || has_extra_request(difference, |request| at_auth_url(url_in(request))))
        },
    },
    Rule {
        decision: "spaces around an endpoint override are removed",
        covers: |case, difference, replay| {
            (difference.expected["error"] == "UnknownConnectionError" || is_about_sending(difference))
                && same_result_after(case, difference, replay, |case| {
                    let trim = |args: &mut Map<String, Value>| {
                        let url = args.get_mut("endpoint_override")?;
                        let trimmed = url.as_str()?.trim().to_owned();
                        (*url != trimmed).then(|| *url = trimmed.into())
                    };
                    let adapter = case.input.get_mut("adapter").and_then(Value::as_object_mut);
                    let adapter = adapter.and_then(trim).is_some();
                    adapter | change_args(case, |args| trim(args).is_some())
                })
        },
    },
    Rule {
        decision: "contradictory versions are an error before a login is sent",
        covers: |case, difference, _| {
            let class = expected_call(case, difference)["error"].as_str().unwrap_or_default();
            let nothing = difference.subject == "call: requests" && requests(&difference.got).is_empty();
            (class.starts_with("Implied") || class == "ValueError")
                && nothing
                && requests(&difference.expected).iter().all(is_login)
        },
    },
    Rule {
        decision: "versions that contradict the service type are an error with an endpoint override, too",
        covers: |case, difference, _| {
            let implied =
                argument(case, difference, "service_type").as_str().and_then(|name| name.rsplit_once('v'));
            let implied = implied.and_then(|(_, major)| major.parse::<u32>().ok());
            let major = |name| {
                let version = versions::optional_version(argument(case, difference, name)).ok().flatten();
                version.map(|version| version.major)
            };
            let mut requested = ["version", "min_version", "max_version"].into_iter().filter_map(major);
            let nothing = difference.subject == "call: requests" && requests(&difference.got).is_empty();
            let rejected = error_text(&difference.got).contains("use the official service type");
            argument(case, difference, "endpoint_override").is_string()
                && implied.is_some_and(|implied| requested.any(|requested| requested != implied))
                && (rejected || nothing)
        },
    },
    Rule {
        decision: "a version with an endpoint override is discovered from there, as keystoneauth documents it: if a \
                   document lists only other versions, this is an error, else the override is used unchanged",
        covers: |case, difference, _| {
            let version = ["version", "min_version", "max_version"];
            let version = version.iter().any(|name| !argument(case, difference, name).is_null());
            let wanted = argument(case, difference, "endpoint_override").as_str().unwrap_or_default();
            let is_at_override = |request: &Value| origin(url_in(request)) == origin(wanted);
            let rejected = difference.got["error"] == "EndpointNotFound"
                && error_text(&difference.got).contains(" lists ");
            let (expected, got) = (sent(&difference.expected), sent(&difference.got));
            let requested =
                requests(&difference.got).iter().filter(|request| is_document(request)).all(is_at_override);
            let cut = requests(&difference.got).iter().any(is_document)
                && expected.iter().position(is_at_override).and_then(|first| expected.get(..first))
                    == Some(&got[..]);
            version
                && !wanted.is_empty()
                && (rejected
                    || difference.subject == "call: requests" && requested && (expected == got || cut))
        },
    },
    Rule {
        decision: "a negative Retry-After is ignored, and the configured delay applies",
        covers: |case, difference, _| {
            let below = |exchange: &&Exchange| exchange.header("retry-after").starts_with('-');
            let mut below =
                case.exchanges.iter().filter(below).map(|exchange| exchange.header("retry-after"));
            let failed = expected_call(case, difference)["error"] == "ValueError";
            let has_response =
                failed && difference.got["status"].is_u64() && difference.got["history"] == json!([]);
            let read = difference.subject.ends_with(": retry_after")
                && difference.got == 0
                && below.clone().any(|seconds| seconds.parse().ok() == difference.expected.as_i64());
            let (expected, got) = (requests(&difference.expected), requests(&difference.got));
            let again = match got.strip_prefix(expected) {
                Some(more) if difference.subject == "call: requests" => {
                    more.iter().all(|request| Some(request) == expected.last())
                }
                Some(more) if difference.subject == "call: sleeps" => {
                    let doubled = |pair: &[Value]| {
                        pair[1].as_f64() == pair[0].as_f64().map(|first| (first * 2.0).min(60.0))
                    };
                    more.iter().all(is_backoff_delay) && more.windows(2).all(doubled)
                }
                _ => false,
            };
            let below = below.next().is_some();
            below && (has_response || read || failed && again)
        },
    },
    Rule {
        decision: "a Retry-After date in the future is obeyed",
        covers: |case, difference, _| {
            let Ok(start) = FrozenClock::wall_of(case) else { return false };
            let dates = case.exchanges.iter().filter_map(|exchange| date(exchange.header("retry-after")));
            let ahead: Vec<_> =
                dates.filter_map(|date| Some(date.duration_since(start).ok()?.as_secs_f64())).collect();
            let (expected, got) = (requests(&difference.expected), requests(&difference.got));
            let mut slept = 0.0;
            difference.subject == "call: sleeps"
                && !ahead.is_empty()
                && expected.len() == got.len()
                && got.iter().zip(expected).all(|(got, expected)| {
                    let Some(delay) = got.as_f64() else { return false };
                    let until = ahead.iter().any(|date| (date - slept - delay).abs() < 0.01);
                    slept += delay;
                    got == expected || until || is_backoff_delay(got)
                })
        },
    },
    Rule {
        decision: "a delay of 0 means no delay",
        covers: |case, difference, _| {
            let none = ["connect_retry_delay", "status_code_retry_delay"]
                .iter()
                .any(|name| argument(case, difference, name).as_f64() == Some(0.0));
            let mut got = requests(&difference.got).iter().peekable();
            let left_out =
                requests(&difference.expected).iter().filter(|delay| got.next_if_eq(delay).is_none());
            difference.subject == "call: sleeps"
                && none
                && left_out.filter(|delay| !is_backoff_delay(delay)).count() == 0
                && got.next().is_none()
        },
    },
    Rule {
        decision: "a retry starts at the first URL, and is redirected again",
        covers: |case, difference, _| {
            let redirected = |request: &Value| {
                case.exchanges
                    .iter()
                    .any(|exchange| exchange.is_redirect() && exchange.url == url_in(request))
            };
            let mut expected = requests(&difference.expected).iter().peekable();
            let mut seen: Vec<&Value> = Vec::new();
            let mut again = false;
            let got = requests(&difference.got);
            let all = got.iter().all(|request| {
                let repeated = redirected(request) && seen.contains(&request);
                seen.push(request);
                if expected.next_if_eq(&request).is_some() {
                    return true;
                }
                again |= repeated;
                repeated
            });
            // keystoneauth restarts its delays after a redirect.
            let (before, after) = (requests(&difference.expected), requests(&difference.got));
            let grown =
                |pair: &[Value]| pair[1].as_f64() == pair[0].as_f64().map(|first| (first * 2.0).min(60.0));
            let was_led = requests(&expected_call(case, difference)["requests"]).iter().any(redirected);
            let later = difference.subject == "call: sleeps"
                && was_led
                && before.len() == after.len()
                && before.iter().chain(after).all(is_backoff_delay)
                && after.windows(2).all(grown);
            later || difference.subject == "call: requests" && all && again && expected.next().is_none()
        },
    },
    Rule {
        decision: "a redirect from https to http or with status 305 is not followed: it is the response",
        covers: |case, difference, _| {
            let mut never = case.exchanges.iter().filter(|exchange| exchange.is_never_followed());
            never.any(|exchange| {
                let has_response =
                    difference.got["status"] == exchange.status && difference.got["url"] == exchange.url;
                let location = exchange.header("location");
                has_response || stops_before(difference, |request| url_in(request) == location)
            })
        },
    },
    Rule {
        decision: "a redirect to a relative URL is followed",
        covers: |case, difference, replay| {
            let failed = expected_call(case, difference)["error"] == "UnknownConnectionError";
            let (expected, got) = (requests(&difference.expected), requests(&difference.got));
            failed
                && got.starts_with(expected)
                && same_result_after(case, difference, replay, with_absolute_locations)
        },
    },
    Rule {
        decision: "a redirected request keeps its own request id (not the one of the redirect response), and takes \
                   neither a token nor a password to another origin",
        covers: |case, difference, _| {
            let redirects: Vec<_> = case.exchanges.iter().filter(|exchange| exchange.is_redirect()).collect();
            let (expected, got) = (requests(&difference.expected), requests(&difference.got));
            let first = expected.iter().find(|request| !is_login(request)).map(|first| origin(url_in(first)));
            let own = |expected: &Value| {
                let mut own = expected.clone();
                let redirected = redirects.iter().any(|exchange| leads_to(exchange, url_in(expected)));
                if let Some(headers) =
                    own.get_mut("headers").and_then(Value::as_object_mut).filter(|_| redirected)
                {
                    headers.retain(|name, value| match &**name {
                        "x-openstack-request-id" => !redirects
                            .iter()
                            .any(|exchange| *value == exchange.header("x-openstack-request-id")),
                        "authorization" | "x-auth-token" | "x-service-token" => {
                            first.as_ref() == Some(&origin(url_in(expected)))
                        }
                        _ => true,
                    });
                }
                own
            };
            difference.subject == "call: requests"
                && expected.len() == got.len()
                && expected.iter().map(own).eq(got.iter().cloned())
        },
    },
];

fn is_document(request: &Value) -> bool {
    request["method"] == "GET" && request["headers"] == json!({"accept": "application/json"})
}

/// Returns the requests that are not for a version document.
fn sent(all: &Value) -> Vec<Value> {
    requests(all).iter().filter(|request| !is_document(request)).cloned().collect()
}

fn url_in(request: &Value) -> &str {
    request["url"].as_str().unwrap_or_default()
}

fn leads_to(exchange: &Exchange, url: &str) -> bool {
    let location = exchange.header("location");
    location == url || exchange.with_absolute_location().header("location") == url
}

/// Returns the URL of the call.
fn url_of<'a>(case: &'a Case, difference: &Difference) -> &'a str {
    call(case, difference)["url"].as_str().unwrap_or_default()
}

/// Returns an argument of the call, or else of the adapter.
fn argument<'a>(case: &'a Case, difference: &Difference, name: &str) -> &'a Value {
    let args = &call(case, difference)["args"];
    let argument_of_call = args.get(name).or_else(|| args["endpoint_filter"].get(name));
    argument_of_call.unwrap_or_else(|| &case.input("adapter")[name])
}

/// Returns whether this crate sent the same requests as keystoneauth, up to the first one that matches `predicate`.
fn stops_before(difference: &Difference, predicate: impl Fn(&Value) -> bool) -> bool {
    let (expected, got) = (requests(&difference.expected), requests(&difference.got));
    let first = expected.iter().position(|request| !is_login(request) && predicate(request));
    difference.subject == "call: requests" && first.and_then(|first| expected.get(..first)) == Some(got)
}

/// Returns whether this crate sent one more request than keystoneauth, which matches `predicate`, possibly with
/// retries.
fn has_extra_request(difference: &Difference, predicate: impl Fn(&Value) -> bool) -> bool {
    let (expected, got) = (requests(&difference.expected), requests(&difference.got));
    let more = got.strip_prefix(expected).filter(|_| difference.subject == "call: requests");
    more.and_then(<[Value]>::split_first)
        .is_some_and(|(first, again)| predicate(first) && again.iter().all(|request| request == first))
}

/// Returns whether a delay is one of the default back-off: half a second, doubled up to a minute.
fn is_backoff_delay(delay: &Value) -> bool {
    let delays = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0];
    delay.as_f64().is_some_and(|delay| delays.iter().any(|default| (delay - default).abs() < 0.01))
}

/// Returns the requests that are not logins. Each token is replaced by whether a login returned it.
fn without_tokens(case: &Case, requests: &[Value]) -> Vec<Value> {
    let issued =
        |token: &Value| case.exchanges.iter().any(|exchange| *token == exchange.header("x-subject-token"));
    let requests = requests.iter().filter(|request| !is_login(request)).cloned();
    requests
        .map(|mut request| {
            if let Some(token) = request.pointer_mut("/headers/x-auth-token") {
                *token = json!(issued(token));
            }
            if let Some(Value::String(url)) = request.get_mut("url") {
                *url = without_redundant_encoding(url);
            }
            request
        })
        .collect()
}

/// Replaces the service type in the microversion header by the one that the service expects.
fn with_official_service_name(request: &Value) -> Value {
    /// Services whose name or header keystoneauth does not find for every alias.
    const SERVICES: [(&str, &str, Option<&str>); 7] = [
        ("application-container", "container", None),
        ("baremetal", "baremetal", Some("x-openstack-ironic-api-version")),
        (
            "baremetal-introspection",
            "baremetal-introspection",
            Some("x-openstack-ironic-inspector-api-version"),
        ),
        ("block-storage", "volume", None),
        ("container-infrastructure-management", "container-infra", None),
        ("resource-optimization", "infra-optim", None),
        ("shared-file-system", "shared-file-system", Some("x-openstack-manila-api-version")),
    ];
    let mut request = request.clone();
    let headers = request.get_mut("headers").and_then(Value::as_object_mut);
    let Some((headers, requested)) = headers.and_then(|headers| {
        let requested = headers.get("openstack-api-version")?.as_str()?.to_owned();
        Some((headers, requested))
    }) else {
        return request;
    };
    let Some((official, version)) =
        requested.split_once(' ').and_then(|(name, version)| Some((service_types::official(name)?, version)))
    else {
        return request;
    };
    let service = SERVICES.iter().find(|(service, ..)| *service == official);
    let (name, own) = service.map_or((official, None), |(_, name, own)| (name, *own));
    headers.insert("openstack-api-version".to_owned(), format!("{name} {version}").into());
    if let Some(own) = own {
        headers.entry(own).or_insert(version.into());
    }
    request
}

/// Decodes percent-encoded letters, digits and `-._~` in a URL.
pub(crate) fn without_redundant_encoding(url: &str) -> String {
    let plain =
        (0..128_u8).map(char::from).filter(|sign| sign.is_ascii_alphanumeric() || "-._~".contains(*sign));
    // An encoded `%` is decoded, too.
    plain.fold(url.replace("%25", "%"), |url, sign| {
        let code = u32::from(sign);
        url.replace(&format!("%{code:02x}"), &sign.to_string())
            .replace(&format!("%{code:02X}"), &sign.to_string())
    })
}

/// Parses an HTTP date.
fn date(text: &str) -> Option<std::time::SystemTime> {
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let parts: Vec<_> = text.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = parts[..] else { return None };
    let month = months.iter().position(|name| *name == month)? + 1;
    time_of(&format!("{year}-{month:02}-{day}T{time}Z").into()).ok()
}
