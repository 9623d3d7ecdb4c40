//! The intended differences in versions and version discovery.

use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    Case, Difference,
    changed_case::{agrees_after, same_result_after},
    differences::{ROOT_PATH, SPACES_AROUND_URL, call, error_text, expected_call, is_python_error},
    differences_requests::{is_login, requests},
    malformed,
    replay::{Rule, value},
    servers::Exchange,
    versions::version_text,
};

/// Differences in version numbers, links and service types.
pub(crate) const VERSIONS: &[Rule] = &[
    Rule {
        decision: "a version has at most three parts, and each is an ASCII number",
        covers: |case, difference, _| {
            let text = version_text(arg(case, 0)).unwrap_or_default();
            let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || b".v".contains(&byte));
            // Python also parses signs, spaces and underscores in a number.
            let number = |part: &str| part.trim().replace('_', "").parse::<i64>().ok();
            let mut parts: Vec<_> = text.trim_start_matches('v').split('.').map(number).collect();
            if parts.len() == 1 {
                parts.push(Some(0));
            }
            let read = difference.expected["result"] == json!(parts)
                || !text.is_ascii()
                    && difference.expected["result"]
                        .as_array()
                        .is_some_and(|read| read.len() == parts.len() && read.iter().all(Value::is_u64));
            difference.subject == "normalize_version_number"
                && read
                && difference.got["error"] == ""
                && (!plain(&text) || text.matches('.').count() > 2)
        },
    },
    Rule {
        decision: "a version has at least two parts",
        covers: |case, difference, replay| {
            let with_two_parts = |version: &mut Value| match version.as_array_mut() {
                Some(parts) if parts.len() == 1 => {
                    parts.push(0.into());
                    true
                }
                _ => false,
            };
            let whole = difference.expected["result"].as_str().unwrap_or_default();
            let spelled = || difference.got == format!("{whole}.0");
            let matched = || difference.expected["result"].is_boolean() && difference.got.is_boolean();
            let right = match &*difference.subject {
                "version_to_string" => spelled(),
                "version_match" => matched(),
                _ => false,
            };
            right
                && same_result_after(case, difference, replay, |case| {
                    let args = case.input.get_mut("args").and_then(Value::as_array_mut);
                    args.into_iter()
                        .flatten()
                        .filter_map(|version| with_two_parts(version).then_some(()))
                        .count()
                        > 0
                })
        },
    },
    Rule {
        decision: "the query of a link to another host is appended only once",
        covers: |_, difference, _| {
            let (expected, got) = links(difference);
            let Some((path, query)) = got.find(['?', ';']).and_then(|rest| got.split_at_checked(rest)) else {
                return false;
            };
            let twice = expected.strip_suffix(query).and_then(|expected| expected.strip_suffix(query));
            let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            twice == Some(path) || twice == Some(&format!("{path}/{last}"))
        },
    },
    Rule {
        decision: "a link that contains only a host has no version",
        covers: |case, difference, _| {
            let (expected, got) = links(difference);
            let host =
                arg(case, 1).as_str().and_then(|link| link.split_once("//")).map_or("", |(_, host)| host);
            let host = host.trim_end_matches('/');
            !host.is_empty()
                && !host.contains('/')
                && expected
                    .trim_end_matches('/')
                    .strip_suffix(host)
                    .is_some_and(|path| path.trim_end_matches('/') == got.trim_end_matches('/'))
        },
    },
    Rule {
        decision: "a link with a scheme but without a host is ignored",
        covers: |case, difference, _| {
            let link = arg(case, 1).as_str().unwrap_or_default();
            difference.subject == "_combine_relative_url"
                && difference.expected["result"].is_string()
                && difference.got.is_null()
                && link.split_once(':').is_some_and(|(_, path)| {
                    let path = path.trim_matches('/');
                    !path.is_empty()
                        && difference.expected["result"].as_str().is_some_and(|url| url.ends_with(path))
                })
                && !link.contains("//")
        },
    },
    Rule {
        decision: "an unknown service type is returned unchanged, and an empty one is not returned",
        covers: |case, difference, _| {
            let name = arg(case, 0);
            let unknown = |names: Value| json!({"is_known": false, "service_type": null, "all_types": names});
            let with_hyphens = name.as_str().map(|name| name.replace('_', "-"));
            let (reference, ours) = match name.as_str() {
                Some("") => (json!([null]), json!([])),
                _ => (json!([with_hyphens]), json!([name])),
            };
            difference.subject == "service_types"
                && difference.expected["result"] == unknown(reference)
                && difference.got == unknown(ours)
        },
    },
];

fn arg(case: &Case, index: usize) -> &Value {
    &case.input("args")[index]
}

fn links(difference: &Difference) -> (&str, &str) {
    match (&*difference.subject, difference.expected["result"].as_str(), difference.got.as_str()) {
        ("_combine_relative_url", Some(expected), Some(got)) => (expected, got),
        _ => ("", "-"),
    }
}

/// Differences in version discovery.
pub(crate) const DISCOVERY: &[Rule] = &[
    ROOT_PATH,
    SPACES_AROUND_URL,
    Rule {
        decision: "a maximum version without a minimum finds the newest version up to it, as with a minimum of 0 \
                   (keystoneauth finds none)",
        covers: |case, difference, replay| {
            // At best, keystoneauth finds the URL in the catalog.
            let found = &expected_call(case, difference)["result"];
            let undiscovered = found["catalog_url"].is_string() && found["service_url"].is_null();
            // Or it finds the same endpoint, with more requests.
            let asks_less = match (difference.expected.as_array(), difference.got.as_array()) {
                (Some(expected), Some(got)) => got.iter().all(|request| expected.contains(request)),
                _ => false,
            };
            (is_no_result(expected_call(case, difference)) || undiscovered || asks_less)
                && same_result_after(case, difference, replay, with_minimum)
                && agrees_after(case, difference, replay, with_impossible_version)
        },
    },
    Rule {
        decision: "a member of a document that is null or has the wrong type counts as missing, and the rest is used",
        covers: |case, difference, replay| {
            let continues = match (difference.expected.as_array(), difference.got.as_array()) {
                (Some(expected), Some(got)) => expected.iter().all(|request| got.contains(request)),
                _ => true,
            };
            (is_python_error(expected_call(case, difference))
                || is_no_result(expected_call(case, difference)))
                && continues
                && same_result_after(case, difference, replay, without_malformed)
        },
    },
    Rule {
        decision: "an endpoint whose URL has a query or a fragment is skipped",
        covers: |case, difference, replay| {
            expected_call(case, difference).to_string().contains(['?', '#'])
                && same_result_after(case, difference, replay, without_queries)
        },
    },
    Rule {
        decision: "a document without versions has no newest version",
        covers: |_, difference, _| difference.expected["error"] == "IndexError" && difference.got.is_null(),
    },
    Rule {
        decision: "with `skip_discovery`, impossible versions are not reported as an error",
        covers: |case, difference, replay| {
            let class = difference.expected["error"].as_str().unwrap_or_default();
            let is_version_error = class == "ValueError" || IMPLIED.contains(&class);
            is_version_error
                && call(case, difference)["args"]["skip_discovery"] == true
                && same_result_after(case, difference, replay, |case| {
                    change_args(case, |args| {
                        let versions =
                            ["version", "min_version", "max_version"].map(|name| args.remove(name));
                        versions.iter().any(Option::is_some)
                    })
                })
        },
    },
    Rule {
        decision: "a fixed endpoint without a version document is used unchanged",
        covers: |case, difference, replay| {
            difference.expected["error"] == "DiscoveryFailure"
                && fixed_endpoint(case).is_some()
                && same_result_after(case, difference, replay, |case| {
                    change_args(case, |args| args.insert("skip_discovery".to_owned(), true.into()).is_none())
                })
        },
    },
    Rule {
        decision: "an endpoint override takes precedence over a fixed endpoint",
        covers: |case, difference, _| {
            let wanted = call(case, difference)["args"]["endpoint_override"].as_str();
            let fixed = fixed_endpoint(case);
            fixed.is_some()
                && is_url(value(&difference.expected), fixed.as_deref())
                && is_url(&difference.got, wanted)
        },
    },
    Rule {
        decision: "`%(project_id)s` and `%(user_id)s` are replaced by the ids in every endpoint override",
        covers: |case, difference, _| {
            let token: Value =
                case.plugin.as_ref().and_then(|plugin| plugin.get("body").ok()?).unwrap_or_default();
            let id = |pointers: [&str; 2]| {
                let id = pointers.iter().find_map(|pointer| token.pointer(pointer)?.as_str());
                id.unwrap_or_default().to_owned()
            };
            let user_id = id(["/token/user/id", "/access/user/id"]);
            let project_id = id(["/token/project/id", "/access/token/tenant/id"]);
            let mut expected = value(&difference.expected).to_string();
            for (name, id) in [("project_id", project_id), ("user_id", user_id)] {
                expected =
                    expected.replace(&format!("%({name})s"), &id).replace(&format!("%25({name})s"), &id);
            }
            let wanted = call(case, difference)["args"]["endpoint_override"].as_str().unwrap_or_default();
            // A missing id is an error before a request is sent.
            let missing = error_text(&difference.got).starts_with("the endpoint override contains %(")
                || difference.subject.ends_with(": requests") && difference.got == json!([]);
            wanted.contains("%(") && missing
                || wanted.contains("%(")
                    && serde_json::from_str::<Value>(&expected)
                        .is_ok_and(|expected| expected == difference.got)
        },
    },
    Rule {
        decision: "a URL without a version document is requested once, and services are queried concurrently",
        covers: |case, difference, _| {
            let unique = |requests: &Value| {
                let mut requests: Vec<_> =
                    requests.as_array().into_iter().flatten().map(Value::to_string).collect();
                requests.sort();
                requests.dedup();
                requests
            };
            let lengths =
                (difference.got.as_array().map(Vec::len), difference.expected.as_array().map(Vec::len));
            // A session with retries repeats each request.
            let once = case.input("session").is_null() && lengths.0 == Some(unique(&difference.got).len());
            match &*difference.subject {
                "get_all_version_data: requests" => {
                    unique(&difference.got) == unique(&difference.expected) && (once || lengths.0 < lengths.1)
                }
                "get_all_version_data: sleeps" => unique(&difference.got) == unique(&difference.expected),
                _ => false,
            }
        },
    },
    Rule {
        decision: "a redirect of a version document to another origin is followed only from http to https",
        covers: |case, difference, replay| {
            let is_refused =
                |exchange: &Exchange| exchange.redirects_to_other_origin() && !exchange.is_https_upgrade();
            requests_from(case, difference, is_refused)
                && same_result_after(case, difference, replay, |case| {
                    change_exchanges(case, |exchange| is_refused(exchange).then(|| exchange.as_not_found()))
                })
                && agrees_after(case, difference, replay, |case| with_redirect_targets(case, is_refused))
        },
    },
    Rule {
        decision: "a request for a version is not sent to the URL of the catalog if the version document cannot be \
                   fetched for now, because a request at the wrong URL is lost",
        covers: |case, difference, replay| {
            let is_refused = match &*difference.subject {
                "get_endpoint" => difference.got.is_null() && difference.expected["result"].is_string(),
                "call" => {
                    difference.got["error"] == "EndpointNotFound"
                        && error_text(&difference.got).starts_with("cannot find version ")
                }
                // Only the last request is missing.
                "call: requests" => {
                    let (expected, got) = (requests(&difference.expected), requests(&difference.got));
                    expected.split_last().is_some_and(|(_, discovery)| discovery == got)
                }
                _ => false,
            };
            is_refused && agrees_after(case, difference, replay, without_transient_failures)
        },
    },
    Rule {
        decision: "a redirect to a relative URL is followed",
        covers: |case, difference, replay| {
            let is_refused = difference.got.is_null() && difference.expected["result"].is_string();
            !is_refused
                && requests_from(case, difference, Exchange::redirects_to_relative_url)
                && match (difference.expected.as_array(), difference.got.as_array()) {
                    (Some(expected), Some(got)) => got.starts_with(expected),
                    _ => true,
                }
                && same_result_after(case, difference, replay, with_absolute_locations)
        },
    },
    Rule {
        decision: "an auth_url whose version fits is used if there is no version document",
        covers: |case, difference, _| {
            let auth_url = case.plugin.as_ref().and_then(|plugin| plugin.text("auth_url"));
            call(case, difference)["args"]["interface"]["auth_interface"] == true
                && is_no_result(&difference.expected)
                && auth_url.is_some()
                && is_url(&difference.got, auth_url.as_deref())
        },
    },
    Rule {
        decision: "a version document is requested without a token first, also after a renewal, and a 401 to it \
                   invalidates the token",
        covers: |case, difference, _| {
            let (expected, got) = (requests(&difference.expected), requests(&difference.got));
            // Removes a request without a token that precedes the same request with a token.
            let needed = |all: &[Value]| -> Vec<Value> {
                let next = all.iter().skip(1).map(Some).chain([None]);
                let is_first = |(request, next): &(&Value, Option<&Value>)| {
                    let same =
                        next.is_some_and(|next| next["url"] == request["url"] && next["token"] == true);
                    request["token"] == false && same
                };
                all.iter()
                    .zip(next)
                    .filter(|pair| !is_first(pair))
                    .map(|(request, _)| request.clone())
                    .collect()
            };
            let is_invalidated = case.expect["calls"]
                .as_array()
                .into_iter()
                .flatten()
                .take(difference.call)
                .any(|call| requests(&call["requests"]).iter().any(|request| request["token"] == true))
                && case.exchanges.iter().any(|exchange| exchange.status == 401);
            let (expected, got) = (needed(expected), needed(got));
            let login =
                got.split_first().is_some_and(|(login, rest)| is_login(login) && rest == &expected[..]);
            difference.subject.ends_with(": requests") && (expected == got || is_invalidated && login)
        },
    },
    Rule {
        decision: "with an endpoint override, the endpoint data contains the requested interface, region and name in \
                   normalized form",
        covers: |case, difference, _| {
            let mut expected = value(&difference.expected).clone();
            if let Some(first) = expected.pointer("/interface/0").cloned() {
                expected["interface"] = first;
            }
            for name in ["service_name", "region_name"] {
                if let Some(member) = expected.get_mut(name).filter(|member| **member == "") {
                    *member = Value::Null;
                }
            }
            call(case, difference)["args"]["endpoint_override"].is_string() && expected == difference.got
        },
    },
    Rule {
        decision: "the plugin logs in before the endpoint lookup, even if the endpoint needs no token",
        covers: |case, difference, replay| {
            let is_auth_interface = |call: &Value| call["args"]["interface"]["auth_interface"] == true;
            let is_auth_calls: Vec<_> =
                case.calls().iter().take(difference.call + 1).map(is_auth_interface).collect();
            let (expected, got) = (requests(&difference.expected), requests(&difference.got));
            let first = |got: &[Value], expected: &[Value]| {
                got.split_first().is_some_and(|(login, rest)| is_login(login) && rest == expected)
            };
            match is_auth_calls.split_last() {
                // The login is sent by this call,
                Some((true, _)) => difference.subject.ends_with(": requests") && first(got, expected),
                // or by an earlier one.
                Some((false, before)) if before.contains(&true) => {
                    difference.subject.ends_with(": requests") && first(expected, got)
                        || is_result_without_login(difference)
                            && same_result_after(case, difference, replay, |case| {
                                let calls = case.input.get_mut("calls").and_then(Value::as_array_mut);
                                let is_auth_interface =
                                    calls.into_iter().flatten().filter(|call| is_auth_interface(call));
                                is_auth_interface.map(|call| *call = json!({"op": "get_token"})).count() > 0
                            })
                }
                _ => false,
            }
        },
    },
    Rule {
        decision: "a missing version document is a DiscoveryFailure for any reason, and the error names the reason",
        covers: |_, difference, _| {
            let text = error_text(&difference.got);
            let reason =
                match (difference.expected["http_status"].as_u64(), difference.expected["error"].as_str()) {
                    (Some(status), _) => text.contains(&format!("it returned {status} ")),
                    (None, Some("ConnectFailure" | "ConnectTimeout" | "SSLError")) => {
                        text.contains("; tried ")
                    }
                    _ => false,
                };
            difference.subject.starts_with("discover.")
                && difference.got["error"] == "DiscoveryFailure"
                && reason
        },
    },
];

const IMPLIED: [&str; 3] =
    ["ImpliedVersionMismatch", "ImpliedMinVersionMismatch", "ImpliedMaxVersionMismatch"];

/// Returns whether keystoneauth returned the result of a plugin that has not logged in.
fn is_result_without_login(difference: &Difference) -> bool {
    let result = &difference.expected["result"];
    match &*difference.subject {
        "get_auth_state" => result.is_null(),
        "needs_reauthenticate" => *result == true,
        "invalidate" => *result == false,
        _ => false,
    }
}

/// Returns whether keystoneauth found nothing.
fn is_no_result(result: &Value) -> bool {
    result["error"] == "DiscoveryFailure" || result.get("result").is_some_and(Value::is_null)
}

/// Returns whether keystoneauth sent a request whose exchange matches `predicate`.
fn requests_from(case: &Case, difference: &Difference, predicate: impl Fn(&Exchange) -> bool) -> bool {
    let requests =
        expected_call(case, difference)["requests"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut urls =
        case.exchanges.iter().filter(|exchange| predicate(exchange)).map(|exchange| &*exchange.url);
    urls.any(|url| requests.iter().any(|request| is_url(&request["url"], Some(url))))
}

/// Adds a minimum version of 0 to a maximum without a minimum.
pub(crate) fn with_minimum(case: &mut Case) -> bool {
    let add = |args: &mut Map<String, Value>, sees_version: bool| {
        let is_given =
            |name: &str| args.get(name).is_some_and(|argument| !argument.is_null() && *argument != "");
        let version = sees_version && is_given("version");
        let alone = is_given("max_version") && !is_given("min_version") && !version;
        if alone {
            args.insert("min_version".to_owned(), "0".into());
        }
        alone
    };
    let adapter = case.input.get_mut("adapter").and_then(Value::as_object_mut);
    let adapter = adapter.is_some_and(|args| add(args, true));
    let calls = case.input.get_mut("calls").and_then(Value::as_array_mut);
    let changed = calls.into_iter().flatten().filter_map(|call| {
        // This operation accepts only a range of versions.
        let sees_version = call["op"] != "get_endpoint_data";
        add(call.get_mut("args")?.as_object_mut()?, sees_version).then_some(())
    });
    adapter | (changed.count() > 0)
}

/// Replaces a maximum without a minimum by a version that no service has.
fn with_impossible_version(case: &mut Case) -> bool {
    with_minimum(case)
        && change_args(case, |args| {
            let alone = args.get("min_version").is_some_and(|min| *min == "0");
            if alone {
                args.insert("min_version".to_owned(), "999".into());
                args.insert("max_version".to_owned(), "999".into());
            }
            alone
        })
}

/// Removes malformed members from all documents.
fn without_malformed(case: &mut Case) -> bool {
    let versions = change_exchanges(case, |exchange| {
        exchange.with_document(malformed::versions_without_malformed).filter(|_| exchange.method == "GET")
    });
    versions | change_tokens(case, malformed::token_without_malformed)
}

fn without_queries(case: &mut Case) -> bool {
    change_tokens(case, malformed::token_without_queries)
}

/// Changes the token documents of the plugin and of login responses.
fn change_tokens(case: &mut Case, change: fn(&RawValue) -> Option<Box<RawValue>>) -> bool {
    let token = case.plugin.as_mut().is_some_and(|plugin| plugin.change("body", change));
    token
        | change_exchanges(case, |exchange| {
            exchange.with_document(change).filter(|_| exchange.method == "POST")
        })
}

/// Replaces the transient failures of requests without a token by an empty 404: the service has no version document.
fn without_transient_failures(case: &mut Case) -> bool {
    let calls = case.expect["calls"].as_array().into_iter().flatten();
    let requested = calls.flat_map(|call| requests(&call["requests"])).filter(|request| {
        request["method"] == "GET" && request["token"] != true && request["headers"]["x-auth-token"].is_null()
    });
    let redirects = case.exchanges.iter().filter(|exchange| exchange.is_redirect());
    let urls: Vec<_> = requested
        .filter_map(|request| request["url"].as_str().map(str::to_owned))
        .chain(redirects.map(|exchange| exchange.with_absolute_location().header("location").to_owned()))
        .collect();
    let is_requested = |exchange: &Exchange| urls.iter().any(|url| exchange.is_get(url));
    let mut any = change_exchanges(case, |exchange| {
        (is_requested(exchange) && exchange.is_transient_failure()).then(|| exchange.as_not_found())
    });
    for url in &urls {
        // The connection to an unknown URL is refused.
        if !case.exchanges.iter().any(|exchange| exchange.is_get(url)) {
            case.exchanges.push(Exchange::not_found(url));
            any = true;
        }
    }
    any
}

/// Replaces redirects by the responses of their targets, which keystoneauth uses.
fn with_redirect_targets(case: &mut Case, predicate: impl Fn(&Exchange) -> bool) -> bool {
    let all = case.exchanges.clone();
    for call in case.expect["calls"].as_array_mut().into_iter().flatten() {
        let is_led = |request: &Value| {
            let mut redirects = all.iter().filter(|exchange| predicate(exchange));
            request["token"] != true
                && redirects.any(|exchange| is_url(&request["url"], Some(exchange.header("location"))))
        };
        if let Some(requests) = call.get_mut("requests").and_then(Value::as_array_mut) {
            requests.retain(|request| !is_led(request));
        }
    }
    change_exchanges(case, |exchange| {
        let to = Value::from(exchange.header("location"));
        let led = all.iter().find(|other| is_url(&to, Some(&other.url)));
        predicate(exchange).then(|| led.map_or(exchange.as_not_found(), |led| led.at(&exchange.url)))
    })
}

/// Replaces relative URLs in redirects by absolute ones.
pub(crate) fn with_absolute_locations(case: &mut Case) -> bool {
    change_exchanges(case, |exchange| {
        exchange.redirects_to_relative_url().then(|| exchange.with_absolute_location())
    })
}

fn fixed_endpoint(case: &Case) -> Option<Box<str>> {
    case.plugin.as_ref()?.text("endpoint")
}

/// Returns whether the result is this URL.
fn is_url(got: &Value, url: Option<&str>) -> bool {
    let (Some(got), Some(url)) = (got.as_str(), url) else { return false };
    got.trim_end_matches('/') == url.trim_end_matches('/')
}

/// Changes the arguments of every call. Returns whether any were changed.
pub(crate) fn change_args(case: &mut Case, mut change: impl FnMut(&mut Map<String, Value>) -> bool) -> bool {
    let calls = case.input.get_mut("calls").and_then(Value::as_array_mut);
    let args = calls.into_iter().flatten().filter_map(|call| call.get_mut("args")?.as_object_mut());
    args.filter_map(|args| change(args).then_some(())).count() > 0
}

/// Replaces the exchanges for which `change` returns another one. Returns whether any were replaced.
pub(crate) fn change_exchanges(case: &mut Case, change: impl Fn(&Exchange) -> Option<Exchange>) -> bool {
    let mut any = false;
    for exchange in &mut case.exchanges {
        if let Some(changed) = change(exchange) {
            *exchange = changed;
            any = true;
        }
    }
    any
}
