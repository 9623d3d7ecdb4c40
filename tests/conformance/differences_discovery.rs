//! The intended differences in versions and version discovery.

use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    Case, Difference,
    comparison::value,
    differences::{BLANKS, ONE_URL, Rule, agrees_after, answer, as_after, call, is_of_python, text_of},
    differences_requests::{is_login, requests},
    malformed,
    servers::Exchange,
    versions::written,
};

/// What differs in version numbers, links and service types.
pub(crate) const VERSIONS: &[Rule] = &[
    Rule {
        decision: "the parts of a version are plain numbers, and three at most",
        covers: |case, difference, _| {
            let text = written(arg(case, 0)).unwrap_or_default();
            let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || b".v".contains(&byte));
            // What Python takes for a number.
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
            difference.question == "normalize_version_number"
                && read
                && difference.got["error"] == ""
                && (!plain(&text) || text.matches('.').count() > 2)
        },
    },
    Rule {
        decision: "a version has two parts at least",
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
            let right = match &*difference.question {
                "version_to_string" => spelled(),
                "version_match" => matched(),
                _ => false,
            };
            right
                && as_after(case, difference, replay, |case| {
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
        decision: "the query of a link to another host is appended once",
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
        decision: "a link that is nothing but a host names no version",
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
        decision: "a link with a scheme and without a host is none",
        covers: |case, difference, _| {
            let link = arg(case, 1).as_str().unwrap_or_default();
            difference.question == "_combine_relative_url"
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
        decision: "a service type that the authority does not list is told as it is written, an empty one not at all",
        covers: |case, difference, _| {
            let name = arg(case, 0);
            let unknown = |names: Value| json!({"is_known": false, "service_type": null, "all_types": names});
            let with_hyphens = name.as_str().map(|name| name.replace('_', "-"));
            let (reference, ours) = match name.as_str() {
                Some("") => (json!([null]), json!([])),
                _ => (json!([with_hyphens]), json!([name])),
            };
            difference.question == "service_types"
                && difference.expected["result"] == unknown(reference)
                && difference.got == unknown(ours)
        },
    },
];

fn arg(case: &Case, index: usize) -> &Value {
    &case.input("args")[index]
}

fn links(difference: &Difference) -> (&str, &str) {
    match (&*difference.question, difference.expected["result"].as_str(), difference.got.as_str()) {
        ("_combine_relative_url", Some(expected), Some(got)) => (expected, got),
        _ => ("", "-"),
    }
}

/// What differs in discovery.
pub(crate) const DISCOVERY: &[Rule] = &[
    ONE_URL,
    BLANKS,
    Rule {
        decision: "a maximum without a minimum finds the newest version that is not above it, as with a minimum of 0; \
                   the reference finds none",
        covers: |case, difference, replay| {
            // It has the URL of the catalog at best.
            let found = &answer(case, difference)["result"];
            let undiscovered = found["catalog_url"].is_string() && found["service_url"].is_null();
            // Or it finds the same, and asks for more on the way.
            let asks_less = match (difference.expected.as_array(), difference.got.as_array()) {
                (Some(expected), Some(got)) => got.iter().all(|request| expected.contains(request)),
                _ => false,
            };
            (is_nothing(answer(case, difference)) || undiscovered || asks_less)
                && as_after(case, difference, replay, with_minimum)
                && agrees_after(case, difference, replay, with_impossible_version)
        },
    },
    Rule {
        decision: "of a document, a member that is null or of another kind is an absent one, and the rest is used",
        covers: |case, difference, replay| {
            let goes_on = match (difference.expected.as_array(), difference.got.as_array()) {
                (Some(expected), Some(got)) => expected.iter().all(|request| got.contains(request)),
                _ => true,
            };
            (is_of_python(answer(case, difference)) || is_nothing(answer(case, difference)))
                && goes_on
                && as_after(case, difference, replay, without_odd)
        },
    },
    Rule {
        decision: "an endpoint whose URL has a query or a fragment is passed over",
        covers: |case, difference, replay| {
            answer(case, difference).to_string().contains(['?', '#'])
                && as_after(case, difference, replay, without_queries)
        },
    },
    Rule {
        decision: "a document without versions has no newest one",
        covers: |_, difference, _| difference.expected["error"] == "IndexError" && difference.got.is_null(),
    },
    Rule {
        decision: "who skips discovery is not told that the versions asked for cannot be",
        covers: |case, difference, replay| {
            let class = difference.expected["error"].as_str().unwrap_or_default();
            let refused = class == "ValueError" || IMPLIED.contains(&class);
            refused
                && call(case, difference)["args"]["skip_discovery"] == true
                && as_after(case, difference, replay, |case| {
                    change_args(case, |args| {
                        let versions =
                            ["version", "min_version", "max_version"].map(|name| args.remove(name));
                        versions.iter().any(Option::is_some)
                    })
                })
        },
    },
    Rule {
        decision: "a fixed endpoint without a version document is used as it is",
        covers: |case, difference, replay| {
            difference.expected["error"] == "DiscoveryFailure"
                && fixed_endpoint(case).is_some()
                && as_after(case, difference, replay, |case| {
                    change_args(case, |args| args.insert("skip_discovery".to_owned(), true.into()).is_none())
                })
        },
    },
    Rule {
        decision: "an endpoint override goes before a fixed endpoint",
        covers: |case, difference, _| {
            let wanted = call(case, difference)["args"]["endpoint_override"].as_str();
            let fixed = fixed_endpoint(case);
            fixed.is_some()
                && is_url(value(&difference.expected), fixed.as_deref())
                && is_url(&difference.got, wanted)
        },
    },
    Rule {
        decision: "`%(project_id)s` and `%(user_id)s` stand for the ids in every endpoint override",
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
            // An id that there is not is told before anything is sent.
            let missing = text_of(&difference.got).starts_with("the endpoint override contains %(")
                || difference.question.ends_with(": requests") && difference.got == json!([]);
            wanted.contains("%(") && missing
                || wanted.contains("%(")
                    && serde_json::from_str::<Value>(&expected)
                        .is_ok_and(|expected| expected == difference.got)
        },
    },
    Rule {
        decision: "a URL where there is no document is asked once, and services are asked side by side",
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
            // A session that tries again does so for each.
            let once = case.input("session").is_null() && lengths.0 == Some(unique(&difference.got).len());
            match &*difference.question {
                "get_all_version_data: requests" => {
                    unique(&difference.got) == unique(&difference.expected) && (once || lengths.0 < lengths.1)
                }
                "get_all_version_data: sleeps" => unique(&difference.got) == unique(&difference.expected),
                _ => false,
            }
        },
    },
    Rule {
        decision: "a redirect to another origin is not followed for a version document, but for https in place of http",
        covers: |case, difference, replay| {
            let elsewhere = |exchange: &Exchange| exchange.leads_elsewhere() && !exchange.is_upgrade();
            asks(case, difference, elsewhere)
                && as_after(case, difference, replay, |case| {
                    change_exchanges(case, |exchange| elsewhere(exchange).then(|| exchange.with_nothing()))
                })
                && agrees_after(case, difference, replay, |case| with_led_to(case, elsewhere))
        },
    },
    Rule {
        decision: "a redirect to a relative URL is followed",
        covers: |case, difference, replay| {
            asks(case, difference, Exchange::leads_to_a_path)
                && match (difference.expected.as_array(), difference.got.as_array()) {
                    (Some(expected), Some(got)) => got.starts_with(expected),
                    _ => true,
                }
                && as_after(case, difference, replay, with_absolute_locations)
        },
    },
    Rule {
        decision: "an auth_url with a version that will do is used where there is no document",
        covers: |case, difference, _| {
            let auth_url = case.plugin.as_ref().and_then(|plugin| plugin.text("auth_url"));
            call(case, difference)["args"]["interface"]["auth_interface"] == true
                && is_nothing(&difference.expected)
                && auth_url.is_some()
                && is_url(&difference.got, auth_url.as_deref())
        },
    },
    Rule {
        decision: "a document is asked for without a token first, also after a renewal, and a refusal of it is told",
        covers: |case, difference, _| {
            let (expected, got) = (requests(&difference.expected), requests(&difference.got));
            // The one without a token, before the same with it.
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
            let told = case.expect["calls"]
                .as_array()
                .into_iter()
                .flatten()
                .take(difference.call)
                .any(|call| requests(&call["requests"]).iter().any(|request| request["token"] == true))
                && case.exchanges.iter().any(|exchange| exchange.status == 401);
            let (expected, got) = (needed(expected), needed(got));
            let login =
                got.split_first().is_some_and(|(login, rest)| is_login(login) && rest == &expected[..]);
            difference.question.ends_with(": requests") && (expected == got || told && login)
        },
    },
    Rule {
        decision: "beside an endpoint override, what is asked for is told in its plain form",
        covers: |case, difference, _| {
            let mut expected = value(&difference.expected).clone();
            if let Some(first) = expected.pointer("/interface/0").cloned() {
                expected["interface"] = first;
            }
            for name in ["service_name", "region_name"] {
                if let Some(said) = expected.get_mut(name).filter(|said| **said == "") {
                    *said = Value::Null;
                }
            }
            call(case, difference)["args"]["endpoint_override"].is_string() && expected == difference.got
        },
    },
    Rule {
        decision: "the access is there before an endpoint is looked for, also where none is needed",
        covers: |case, difference, replay| {
            let needless = |call: &Value| call["args"]["interface"]["auth_interface"] == true;
            let asked: Vec<_> = case.calls().iter().take(difference.call + 1).map(needless).collect();
            let (expected, got) = (requests(&difference.expected), requests(&difference.got));
            let first = |got: &[Value], expected: &[Value]| {
                got.split_first().is_some_and(|(login, rest)| is_login(login) && rest == expected)
            };
            match asked.split_last() {
                // The login is made here,
                Some((true, _)) => difference.question.ends_with(": requests") && first(got, expected),
                // or has been made there.
                Some((false, before)) if before.contains(&true) => {
                    difference.question.ends_with(": requests") && first(expected, got)
                        || without_a_login(difference)
                            && as_after(case, difference, replay, |case| {
                                let calls = case.input.get_mut("calls").and_then(Value::as_array_mut);
                                let needless = calls.into_iter().flatten().filter(|call| needless(call));
                                needless.map(|call| *call = json!({"op": "get_token"})).count() > 0
                            })
                }
                _ => false,
            }
        },
    },
    Rule {
        decision: "no version document is a DiscoveryFailure, whatever the reason, and that is told",
        covers: |_, difference, _| {
            let text = text_of(&difference.got);
            let reason =
                match (difference.expected["http_status"].as_u64(), difference.expected["error"].as_str()) {
                    (Some(status), _) => text.contains(&format!("it returned {status} ")),
                    (None, Some("ConnectFailure" | "ConnectTimeout" | "SSLError")) => {
                        text.contains("; tried ")
                    }
                    _ => false,
                };
            difference.question.starts_with("discover.")
                && difference.got["error"] == "DiscoveryFailure"
                && reason
        },
    },
];

const IMPLIED: [&str; 3] =
    ["ImpliedVersionMismatch", "ImpliedMinVersionMismatch", "ImpliedMaxVersionMismatch"];

/// Whether the reference answers as one that has not logged in.
fn without_a_login(difference: &Difference) -> bool {
    let result = &difference.expected["result"];
    match &*difference.question {
        "get_auth_state" => result.is_null(),
        "needs_reauthenticate" => *result == true,
        "invalidate" => *result == false,
        _ => false,
    }
}

/// Whether the reference has no answer.
fn is_nothing(answer: &Value) -> bool {
    answer["error"] == "DiscoveryFailure" || answer.get("result").is_some_and(Value::is_null)
}

/// Whether the reference asks a server that answers so.
fn asks(case: &Case, difference: &Difference, is_it: impl Fn(&Exchange) -> bool) -> bool {
    let requests = answer(case, difference)["requests"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut urls = case.exchanges.iter().filter(|exchange| is_it(exchange)).map(|exchange| &*exchange.url);
    urls.any(|url| requests.iter().any(|request| is_url(&request["url"], Some(url))))
}

/// Gives a maximum that is alone the minimum of 0.
pub(crate) fn with_minimum(case: &mut Case) -> bool {
    let add = |args: &mut Map<String, Value>, sees_version: bool| {
        let given = |name: &str| args.get(name).is_some_and(|said| !said.is_null() && *said != "");
        let version = sees_version && given("version");
        let alone = given("max_version") && !given("min_version") && !version;
        if alone {
            args.insert("min_version".to_owned(), "0".into());
        }
        alone
    };
    let adapter = case.input.get_mut("adapter").and_then(Value::as_object_mut);
    let adapter = adapter.is_some_and(|args| add(args, true));
    let calls = case.input.get_mut("calls").and_then(Value::as_array_mut);
    let changed = calls.into_iter().flatten().filter_map(|call| {
        // This operation takes a range alone.
        let sees_version = call["op"] != "get_endpoint_data";
        add(call.get_mut("args")?.as_object_mut()?, sees_version).then_some(())
    });
    adapter | (changed.count() > 0)
}

/// Asks for a version that no service has in place of a maximum that is alone.
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

/// Takes odd members out of all documents.
fn without_odd(case: &mut Case) -> bool {
    let versions = change_exchanges(case, |exchange| {
        exchange.with_document(malformed::versions_without_odd).filter(|_| exchange.method == "GET")
    });
    versions | change_tokens(case, malformed::token_without_odd)
}

fn without_queries(case: &mut Case) -> bool {
    change_tokens(case, malformed::token_without_queries)
}

/// Changes the token documents, that of the plugin and those of logins.
fn change_tokens(case: &mut Case, change: fn(&RawValue) -> Option<Box<RawValue>>) -> bool {
    let token = case.plugin.as_mut().is_some_and(|plugin| plugin.change("body", change));
    token
        | change_exchanges(case, |exchange| {
            exchange.with_document(change).filter(|_| exchange.method == "POST")
        })
}

/// Puts in the place of redirects what they lead to, which the reference answers by.
fn with_led_to(case: &mut Case, is_it: impl Fn(&Exchange) -> bool) -> bool {
    let all = case.exchanges.clone();
    for call in case.expect["calls"].as_array_mut().into_iter().flatten() {
        let is_led = |request: &Value| {
            let mut redirects = all.iter().filter(|exchange| is_it(exchange));
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
        is_it(exchange).then(|| led.map_or(exchange.with_nothing(), |led| led.at(&exchange.url)))
    })
}

/// Gives redirects to a path the URL that it stands for.
pub(crate) fn with_absolute_locations(case: &mut Case) -> bool {
    change_exchanges(case, |exchange| exchange.leads_to_a_path().then(|| exchange.with_absolute_location()))
}

fn fixed_endpoint(case: &Case) -> Option<Box<str>> {
    case.plugin.as_ref()?.text("endpoint")
}

/// Whether the answer is this URL.
fn is_url(got: &Value, url: Option<&str>) -> bool {
    let (Some(got), Some(url)) = (got.as_str(), url) else { return false };
    got.trim_end_matches('/') == url.trim_end_matches('/')
}

/// Changes the arguments of every call; whether any were.
pub(crate) fn change_args(case: &mut Case, mut change: impl FnMut(&mut Map<String, Value>) -> bool) -> bool {
    let calls = case.input.get_mut("calls").and_then(Value::as_array_mut);
    let args = calls.into_iter().flatten().filter_map(|call| call.get_mut("args")?.as_object_mut());
    args.filter_map(|args| change(args).then_some(())).count() > 0
}

/// Replaces the exchanges of which `change` makes another; whether any were.
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
