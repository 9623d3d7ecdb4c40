//! The intended differences in sessions and adapters.

use serde_json::{Map, Value, json};
use tower_keystone::service_types;

use crate::{
    Case, Difference,
    access::time_of,
    comparison::value,
    differences::{Rule, answer, as_after, call, is_about_sending, text_of},
    differences_discovery::{change_args, with_absolute_locations, with_minimum},
    differences_requests::{described, is_login, requests},
    servers::{Exchange, FrozenClock, origin},
    versions,
};

pub(crate) const SESSIONS: &[Rule] = &[
    Rule {
        decision: "every 401 is told to the plugin, also that of a second attempt: the next request has a new token",
        covers: |case, difference, _| {
            let before = difference.call.checked_sub(1).map(|before| &case.expect["calls"][before]);
            let refused = before
                .is_some_and(|before| before["http_status"] == 401 || before["result"]["status"] == 401);
            let (expected, got) = (requests(&difference.expected), requests(&difference.got));
            let logins = |all: &[Value]| all.iter().filter(|request| is_login(request)).count();
            difference.question == "call: requests"
                && refused
                && logins(got) == logins(expected) + 1
                && got.first().is_some_and(is_login)
                && without_tokens(case, got) == without_tokens(case, expected)
        },
    },
    Rule {
        decision: "the token goes to known origins only, so an absolute URL elsewhere is refused",
        covers: |case, difference, _| {
            let url = url_of(case, difference);
            let refused = difference.got["error"] == ""
                && text_of(&difference.got).contains("is not an origin of the service catalog");
            url.contains("://")
                && (refused && text_of(&difference.got).contains(&origin(url))
                    || is_cut_before(difference, |request| origin(url_in(request)) == origin(url)))
        },
    },
    Rule {
        decision: "a relative URI begins with a slash: `servers` is a host in `http::Uri`",
        covers: |case, difference, _| {
            let url = url_of(case, difference);
            let refused = difference.got["error"] == ""
                && text_of(&difference.got).contains("neither absolute nor a path");
            !url.contains('/')
                && (refused || is_cut_before(difference, |request| url_in(request).ends_with(url)))
        },
    },
    Rule {
        decision: "a URI that begins with `//` is a path to be joined, not a URL without a scheme",
        covers: |case, difference, replay| {
            let failed = answer(case, difference)["error"] == "UnknownConnectionError";
            failed
                && as_after(case, difference, replay, |case| {
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
        decision: "a `%` in an endpoint override that begins no `%(name)s` stands for itself",
        covers: |case, difference, _| {
            let url = argument(case, difference, "endpoint_override").as_str().unwrap_or_default();
            let before = url.split('%').next().unwrap_or_default();
            let answered = difference.expected["error"] == "ValueError"
                && difference.got["url"].as_str().is_some_and(|got| got.starts_with(before));
            let sent = is_more(difference, |request| url_in(request).starts_with(before));
            // Where nobody listens it is tried again.
            let failed =
                difference.expected["error"] == "ValueError" && difference.got["error"] == "ConnectFailure";
            let again = answer(case, difference)["error"] == "ValueError"
                && difference.question == "call: sleeps"
                && requests(&difference.got).iter().all(is_own_delay);
            url.replace("%(", "").contains('%') && (answered || sent || failed || again)
        },
    },
    Rule {
        decision: "a microversion is asked for by the name and the header that the service knows, also for an alias",
        covers: |_, difference, _| {
            let (expected, got) = (requests(&difference.expected), requests(&difference.got));
            difference.question == "call: requests"
                && expected.iter().map(named_as_the_service_does).eq(got.iter().cloned())
        },
    },
    Rule {
        decision: "a maximum without a minimum finds the newest version that is not above it, as with a minimum of 0",
        covers: |case, difference, replay| {
            difference.question == "call: requests"
                && sent(&difference.expected) == sent(&difference.got)
                && requests(&difference.expected).iter().any(is_document)
                && as_after(case, difference, replay, with_minimum)
        },
    },
    Rule {
        decision: "a URI is sent as it is written, also what need not be encoded",
        covers: |_, difference, _| {
            let decoded = |request: &Value| {
                let mut request = request.clone();
                if let Some(Value::String(url)) = request.get_mut("url") {
                    *url = without_needless_encoding(url);
                }
                request
            };
            let url = |answer: &Value| answer["url"].as_str().map(without_needless_encoding);
            let same = url(value(&difference.expected))
                .is_some_and(|expected| url(&difference.got) == Some(expected));
            let members = ["status", "text", "history"];
            let result = value(&difference.expected);
            same && members.iter().all(|member| result[member] == difference.got[member])
                || difference.question == "call: requests"
                    && requests(&difference.expected)
                        .iter()
                        .map(decoded)
                        .eq(requests(&difference.got).iter().map(decoded))
        },
    },
    Rule {
        decision: "a layer has a plugin: no session without one",
        covers: |case, difference, _| {
            let failed = difference.got["error"] == "MissingAuthPlugin";
            case.plugin.is_none() && difference.expected["error"] == "EndpointNotFound" && failed
        },
    },
    Rule {
        decision: "an auth_url with a version that will do is used where there is no document",
        covers: |case, difference, _| {
            let at_auth_url =
                |url: &str| url.starts_with(&*described(case).text("auth_url").unwrap_or_default());
            argument(case, difference, "interface")["auth_interface"] == true
                && answer(case, difference)["error"] == "EndpointNotFound"
                && (difference.question == "call"
                    || is_more(difference, |request| at_auth_url(url_in(request))))
        },
    },
    Rule {
        decision: "blanks at either end of an endpoint override are no part of it",
        covers: |case, difference, replay| {
            (difference.expected["error"] == "UnknownConnectionError" || is_about_sending(difference))
                && as_after(case, difference, replay, |case| {
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
        decision: "versions that contradict themselves are refused before a login",
        covers: |case, difference, _| {
            let class = answer(case, difference)["error"].as_str().unwrap_or_default();
            let nothing = difference.question == "call: requests" && requests(&difference.got).is_empty();
            (class.starts_with("Implied") || class == "ValueError")
                && nothing
                && requests(&difference.expected).iter().all(is_login)
        },
    },
    Rule {
        decision: "versions that the service type cannot have are refused beside an endpoint override, too",
        covers: |case, difference, _| {
            let implied =
                argument(case, difference, "service_type").as_str().and_then(|name| name.rsplit_once('v'));
            let implied = implied.and_then(|(_, major)| major.parse::<u32>().ok());
            let major = |name| {
                let version = versions::given(argument(case, difference, name)).ok().flatten();
                version.map(|version| version.major)
            };
            let mut asked = ["version", "min_version", "max_version"].into_iter().filter_map(major);
            let nothing = difference.question == "call: requests" && requests(&difference.got).is_empty();
            let refused = text_of(&difference.got).contains("use the official service type");
            argument(case, difference, "endpoint_override").is_string()
                && implied.is_some_and(|implied| asked.any(|asked| asked != implied))
                && (refused || nothing)
        },
    },
    Rule {
        decision: "a version beside an endpoint override is looked for from there, as the override's help in the \
                   reference says; where a document lists others alone it is refused, else the override is used as it is",
        covers: |case, difference, _| {
            let version = ["version", "min_version", "max_version"];
            let version = version.iter().any(|name| !argument(case, difference, name).is_null());
            let wanted = argument(case, difference, "endpoint_override").as_str().unwrap_or_default();
            let here = |request: &Value| origin(url_in(request)) == origin(wanted);
            let refused =
                difference.got["error"] == "EndpointNotFound" && text_of(&difference.got).contains(" lists ");
            let (expected, got) = (sent(&difference.expected), sent(&difference.got));
            let asked = requests(&difference.got).iter().filter(|request| is_document(request)).all(here);
            let cut = requests(&difference.got).iter().any(is_document)
                && expected.iter().position(here).and_then(|first| expected.get(..first)) == Some(&got[..]);
            version
                && !wanted.is_empty()
                && (refused || difference.question == "call: requests" && asked && (expected == got || cut))
        },
    },
    Rule {
        decision: "a Retry-After below zero is no answer: the own delay holds",
        covers: |case, difference, _| {
            let below = |exchange: &&Exchange| exchange.header("retry-after").starts_with('-');
            let mut below =
                case.exchanges.iter().filter(below).map(|exchange| exchange.header("retry-after"));
            let failed = answer(case, difference)["error"] == "ValueError";
            let answered =
                failed && difference.got["status"].is_u64() && difference.got["history"] == json!([]);
            let read = difference.question.ends_with(": retry_after")
                && difference.got == 0
                && below.clone().any(|said| said.parse().ok() == difference.expected.as_i64());
            let (expected, got) = (requests(&difference.expected), requests(&difference.got));
            let again = match got.strip_prefix(expected) {
                Some(more) if difference.question == "call: requests" => {
                    more.iter().all(|request| Some(request) == expected.last())
                }
                Some(more) if difference.question == "call: sleeps" => {
                    let doubled = |pair: &[Value]| {
                        pair[1].as_f64() == pair[0].as_f64().map(|first| (first * 2.0).min(60.0))
                    };
                    more.iter().all(is_own_delay) && more.windows(2).all(doubled)
                }
                _ => false,
            };
            let below = below.next().is_some();
            below && (answered || read || failed && again)
        },
    },
    Rule {
        decision: "a Retry-After that is a date which is still to come is waited for",
        covers: |case, difference, _| {
            let Ok(start) = FrozenClock::wall_of(case) else { return false };
            let dates = case.exchanges.iter().filter_map(|exchange| date(exchange.header("retry-after")));
            let ahead: Vec<_> =
                dates.filter_map(|date| Some(date.duration_since(start).ok()?.as_secs_f64())).collect();
            let (expected, got) = (requests(&difference.expected), requests(&difference.got));
            let mut slept = 0.0;
            difference.question == "call: sleeps"
                && !ahead.is_empty()
                && expected.len() == got.len()
                && got.iter().zip(expected).all(|(got, expected)| {
                    let Some(pause) = got.as_f64() else { return false };
                    let until = ahead.iter().any(|date| (date - slept - pause).abs() < 0.01);
                    slept += pause;
                    got == expected || until || is_own_delay(got)
                })
        },
    },
    Rule {
        decision: "a delay of 0 is none",
        covers: |case, difference, _| {
            let none = ["connect_retry_delay", "status_code_retry_delay"]
                .iter()
                .any(|name| argument(case, difference, name).as_f64() == Some(0.0));
            let mut got = requests(&difference.got).iter().peekable();
            let left_out =
                requests(&difference.expected).iter().filter(|pause| got.next_if_eq(pause).is_none());
            difference.question == "call: sleeps"
                && none
                && left_out.filter(|pause| !is_own_delay(pause)).count() == 0
                && got.next().is_none()
        },
    },
    Rule {
        decision: "a retry begins at the first URL, and is redirected again",
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
            // The delays of the reference begin again where it is redirected.
            let (before, after) = (requests(&difference.expected), requests(&difference.got));
            let grown =
                |pair: &[Value]| pair[1].as_f64() == pair[0].as_f64().map(|first| (first * 2.0).min(60.0));
            let was_led = requests(&answer(case, difference)["requests"]).iter().any(redirected);
            let later = difference.question == "call: sleeps"
                && was_led
                && before.len() == after.len()
                && before.iter().chain(after).all(is_own_delay)
                && after.windows(2).all(grown);
            later || difference.question == "call: requests" && all && again && expected.next().is_none()
        },
    },
    Rule {
        decision: "no redirect is followed from https to http, nor at 305: it is the answer",
        covers: |case, difference, _| {
            let mut never = case.exchanges.iter().filter(|exchange| exchange.is_never_followed());
            never.any(|exchange| {
                let answered =
                    difference.got["status"] == exchange.status && difference.got["url"] == exchange.url;
                let location = exchange.header("location");
                answered || is_cut_before(difference, |request| url_in(request) == location)
            })
        },
    },
    Rule {
        decision: "a redirect to a relative URL is followed",
        covers: |case, difference, replay| {
            let failed = answer(case, difference)["error"] == "UnknownConnectionError";
            let (expected, got) = (requests(&difference.expected), requests(&difference.got));
            failed && got.starts_with(expected) && as_after(case, difference, replay, with_absolute_locations)
        },
    },
    Rule {
        decision: "a redirected request has its own request id, not that of the answer which redirects it, \
                   and takes no token and no password to another origin",
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
            difference.question == "call: requests"
                && expected.len() == got.len()
                && expected.iter().map(own).eq(got.iter().cloned())
        },
    },
];

fn is_document(request: &Value) -> bool {
    request["method"] == "GET" && request["headers"] == json!({"accept": "application/json"})
}

/// The requests that are not for a version document.
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

/// The URL of the call.
fn url_of<'a>(case: &'a Case, difference: &Difference) -> &'a str {
    call(case, difference)["url"].as_str().unwrap_or_default()
}

/// An argument of the call, else of the adapter.
fn argument<'a>(case: &'a Case, difference: &Difference, name: &str) -> &'a Value {
    let args = &call(case, difference)["args"];
    let of_call = args.get(name).or_else(|| args["endpoint_filter"].get(name));
    of_call.unwrap_or_else(|| &case.input("adapter")[name])
}

/// Whether what the reference sent ends here before the first request of this kind.
fn is_cut_before(difference: &Difference, is_it: impl Fn(&Value) -> bool) -> bool {
    let (expected, got) = (requests(&difference.expected), requests(&difference.got));
    let first = expected.iter().position(|request| !is_login(request) && is_it(request));
    difference.question == "call: requests" && first.and_then(|first| expected.get(..first)) == Some(got)
}

/// Whether there is a request that the reference comes to no more, of this kind, sent once or again.
fn is_more(difference: &Difference, is_it: impl Fn(&Value) -> bool) -> bool {
    let (expected, got) = (requests(&difference.expected), requests(&difference.got));
    let more = got.strip_prefix(expected).filter(|_| difference.question == "call: requests");
    more.and_then(<[Value]>::split_first)
        .is_some_and(|(first, again)| is_it(first) && again.iter().all(|request| request == first))
}

/// Half a second, doubled again and again up to a minute.
fn is_own_delay(pause: &Value) -> bool {
    let delays = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0];
    pause.as_f64().is_some_and(|pause| delays.iter().any(|delay| (pause - delay).abs() < 0.01))
}

/// The requests that are not for a token, each with whether its token is one that was handed out.
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
                *url = without_needless_encoding(url);
            }
            request
        })
        .collect()
}

/// The request with the microversion that the service compares with.
fn named_as_the_service_does(request: &Value) -> Value {
    /// The services whose name or header the reference does not know under every alias.
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
    let Some((headers, asked)) = headers.and_then(|headers| {
        let asked = headers.get("openstack-api-version")?.as_str()?.to_owned();
        Some((headers, asked))
    }) else {
        return request;
    };
    let Some((official, version)) =
        asked.split_once(' ').and_then(|(name, version)| Some((service_types::official(name)?, version)))
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

/// The URL with the letters, digits and `-._~` in it that are encoded written out.
pub(crate) fn without_needless_encoding(url: &str) -> String {
    let plain =
        (0..128_u8).map(char::from).filter(|sign| sign.is_ascii_alphanumeric() || "-._~".contains(*sign));
    // A `%` that encodes nothing is one.
    plain.fold(url.replace("%25", "%"), |url, sign| {
        let code = u32::from(sign);
        url.replace(&format!("%{code:02x}"), &sign.to_string())
            .replace(&format!("%{code:02X}"), &sign.to_string())
    })
}

/// The time that an HTTP date names.
fn date(text: &str) -> Option<std::time::SystemTime> {
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let parts: Vec<_> = text.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = parts[..] else { return None };
    let month = months.iter().position(|name| *name == month)? + 1;
    time_of(&format!("{year}-{month:02}-{day}T{time}Z").into()).ok()
}
