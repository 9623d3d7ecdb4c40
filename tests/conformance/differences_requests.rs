//! The intended differences in the requests of plugins.

use serde_json::{Value, json};

use crate::{
    Case, Difference,
    access::time_of,
    differences::{Rule, agrees_after, answer, as_after, call, is_about_sending, is_of_python, text_of},
    differences_discovery::change_exchanges,
    lifetime::{Had, Renewal, tokens},
    plugins::Described,
    servers::Exchange,
};

/// What differs in identity plugins.
pub(crate) const PLUGINS: &[Rule] = &[
    Rule {
        decision: "`https://host` and `https://host/` are one auth_url with one cache id, that of the former",
        covers: |case, difference, replay| {
            is_another_cache_id(difference) && as_after(case, difference, replay, one_auth_url)
        },
    },
    Rule {
        decision: "an OAuth 2.0 client credential among several methods is the application credential that it is",
        covers: |case, difference, _| {
            let mut methods = case.plugin.iter().flat_map(Described::method_names);
            is_another_cache_id(difference) && methods.any(|name| name == "v3oauth2clientcredential")
        },
    },
    Rule {
        decision: "no value of a cache id imitates others by a NUL in it",
        covers: |case, difference, _| {
            is_another_cache_id(difference)
                && case.plugin.iter().flat_map(Described::texts).any(|text| text.contains('\0'))
        },
    },
    Rule {
        decision: "a cache id tells system scopes, unscoped tokens and tokens without a catalog from others",
        covers: |case, difference, replay| {
            is_another_cache_id(difference)
                && agrees_after(case, difference, replay, |case| {
                    change_plugin(case, |plugin| {
                        let told =
                            ["system_scope", "unscoped", "include_catalog"].map(|name| plugin.remove(name));
                        told.contains(&true)
                    })
                })
        },
    },
    Rule {
        decision: "a domain that is named is not replaced by a default domain with an id",
        covers: |case, difference, replay| {
            let sent = is_another_cache_id(difference) || is_about_sending(difference);
            sent && agrees_after(case, difference, replay, |case| change_plugin(case, with_default_domain))
        },
    },
    Rule {
        decision: "what is null is not sent",
        covers: |_, difference, _| {
            difference.question.ends_with(": requests")
                && requests(&difference.expected)
                    .iter()
                    .map(without_nulls)
                    .eq(requests(&difference.got).iter().map(without_nulls))
        },
    },
    Rule {
        decision: "a scope that contradicts another is refused, also by a Keystone that has v2.0 only",
        covers: |case, difference, _| {
            let is_said = |name: &str| described(case).text(name).is_some_and(|text| !text.is_empty());
            let scopes = [
                "project_id",
                "project_name",
                "domain_id",
                "domain_name",
                "trust_id",
                "system_scope",
                "tenant_id",
                "tenant_name",
            ];
            let refused =
                text_of(&difference.got).contains("more than one scope is set") || difference.got.is_null();
            matches!(&*described(case).kind, "password" | "token")
                && scopes.iter().filter(|name| is_said(name)).count() > 1
                && (refused && difference.expected["result"].to_string().contains("v2")
                    || is_less(difference)
                    || difference.question.ends_with(": requests") && difference.got == json!([]))
        },
    },
    MESSAGE,
    DETAILS,
    RETRY_AFTER,
    Rule {
        decision: "credentials are not sent where the answer to a login redirects to: it will not pass by itself",
        covers: |case, difference, replay| {
            let is_it =
                |exchange: &&Exchange| exchange.method == "POST" && (300..400).contains(&exchange.status);
            let got = &difference.got;
            let refused = case.exchanges.iter().filter(is_it).any(|exchange| {
                let told = text_of(got).contains(&format!("redirected the login ({} ", exchange.status));
                let says = |member: &str| got[member].is_null() || is_said(case, &got[member]);
                let http = got["http_status"] == exchange.status && got["error"] == "HttpError";
                told || http
                    && says("message")
                    && says("details")
                    && got["retry_after"].is_u64()
                    && got["request_id"] == exchange_id(exchange)
            });
            let class = difference.expected["error"].as_str();
            let failed = class.is_none_or(|class| class == "InvalidResponse")
                || is_of_python(&difference.expected)
                || difference.expected["http_status"].is_u64();
            // What is left undone then is as undone as at a Keystone that has nothing there.
            let undone = difference.got.get("error").is_none() && !difference.question.ends_with("status");
            failed && refused && is_of_login(case, difference)
                || undone
                    && is_of_login(case, difference)
                    && as_after(case, difference, replay, |case| {
                        change_exchanges(case, |exchange| is_it(&exchange).then(|| exchange.with_nothing()))
                    })
        },
    },
    Rule {
        decision: "what Keystone did not answer is asked for again",
        covers: |case, difference, _| {
            let again = difference.got.as_array().map(Vec::as_slice).unwrap_or_default();
            let asked = case.expect["calls"].as_array().into_iter().flatten().take(difference.call);
            let asked: Vec<_> =
                asked.flat_map(|call| call["requests"].as_array().into_iter().flatten()).collect();
            let is_asked = |request: &Value| asked.iter().any(|asked| asked["url"] == request["url"]);
            matches!(&*described(case).kind, "password" | "token")
                && difference.question.ends_with(": requests")
                && difference.expected == json!([])
                && answer(case, difference)["error"] == "DiscoveryFailure"
                && again.iter().all(|request| request["method"] == "GET" && is_asked(request))
        },
    },
    Rule {
        decision: "Keystone is not asked again before the time that it names",
        covers: |case, difference, _| {
            let waits = |exchange: &Exchange| {
                let seconds = exchange.header("retry-after").parse::<u64>();
                exchange.method == "POST"
                    && exchange.status >= 400
                    && seconds.is_ok_and(|seconds| seconds > 0)
            };
            difference.question.ends_with(": requests")
                && difference.call > 0
                && difference.got == json!([])
                && requests(&difference.expected)
                    .iter()
                    .all(|request| Some(request) == all_requests(case).next())
                && case.exchanges.iter().any(waits)
        },
    },
    Rule {
        decision: "a token that is empty or no visible ASCII is not sent",
        covers: |case, difference, _| {
            let visible =
                |token: &str| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
            let empty = described(case).text("token").is_some_and(|token| !visible(&token));
            let refused = text_of(&difference.got).starts_with("invalid token: ");
            empty
                && is_of_login(case, difference)
                && (refused || is_less(difference) || difference.got.is_null())
        },
    },
    Rule {
        decision: "a method that is given twice counts once, in a cache id, too",
        covers: |case, difference, _| {
            is_another_cache_id(difference) && case.plugin.as_ref().is_some_and(Described::has_a_method_twice)
        },
    },
    Rule {
        decision: "without an auth_url there is no endpoint there",
        covers: |case, difference, _| {
            call(case, difference)["args"]["interface"]["auth_interface"] == true
                && described(case).text("auth_url").is_none()
                && difference.expected["error"] == "AssertionError"
                && difference.got.is_null()
        },
    },
    Rule {
        decision: "a login whose answer has no token, or no time of its end, is an error",
        covers: |case, difference, replay| {
            let is_odd = |exchange: &&Exchange| {
                let document = exchange.document();
                let token = document.get("token").unwrap_or(&document["access"]);
                let ends = ["expires_at", "expires"].map(|name| token.get(name).or(token["token"].get(name)));
                let end = ends.into_iter().flatten().next();
                exchange.method == "POST"
                    && exchange.error.is_none()
                    && exchange.status < 300
                    && (!token.is_object() || end.is_some_and(|end| !end.is_null() && time_of(end).is_err()))
            };
            let text = text_of(&difference.got);
            let refused =
                text.contains("it has neither a `token`") || text.contains("is not an ISO 8601 time");
            case.exchanges.iter().any(|exchange| is_odd(&exchange))
                && is_of_login(case, difference)
                && (refused
                    || difference.got.get("error").is_none()
                        && as_after(case, difference, replay, |case| {
                            change_exchanges(case, |exchange| {
                                is_odd(&exchange).then(|| exchange.with_nothing())
                            })
                        }))
        },
    },
    Rule {
        decision: "a stored state may be of either version of the API",
        covers: |case, difference, _| {
            let of_v2 = matches!(&*described(case).kind, "v2password" | "v2token");
            let state = match &*difference.question {
                "construct" => &described(case).auth_state,
                _ => &call(case, difference)["args"]["state"],
            };
            of_v2
                && difference.expected["error"] == "TypeError"
                && difference.got.is_null()
                && (state["body"]["token"].is_object() || state.is_string())
        },
    },
    Rule {
        decision: "a refusal of what is not the current access says that another can be had",
        covers: |case, difference, _| {
            let renews = case.plugin.as_ref().is_some_and(|plugin| plugin.kind != "access_info");
            difference.question == "invalidate"
                && difference.expected["result"] == false
                && difference.got == true
                && renews
        },
    },
    Rule {
        decision: "a v2.0 password of nobody is not sent",
        covers: |case, difference, _| {
            let plugin = described(case);
            let said = |name| plugin.text(name).is_some_and(|text| !text.is_empty());
            let nobody =
                matches!(&*plugin.kind, "v2password" | "password") && !said("username") && !said("user_id");
            let handed_out = |token: &Value| token.as_str().is_some_and(|token| is_handed_out(case, token));
            let result = &difference.expected["result"];
            let of_nobody = |request: &Value| {
                let mut auth = json!({"passwordCredentials": {"password": plugin.text("password")}});
                for (parameter, member) in
                    [("tenant_id", "tenantId"), ("tenant_name", "tenantName"), ("trust_id", "trust_id")]
                {
                    let by_id = parameter == "tenant_name" && !auth["tenantId"].is_null();
                    let given = plugin.text(parameter).filter(|given| !given.is_empty());
                    if let Some(given) = given.filter(|_| !by_id) {
                        auth[member] = json!(given);
                    }
                }
                let headers = json!({"accept": "application/json", "content-type": "application/json"});
                is_login(request)
                    && request["body"] == json!({"json": {"auth": auth}})
                    && request["headers"] == headers
            };
            nobody
                && match &*difference.question {
                    "get_token" => difference.got["error"] == "AuthorizationFailure" && handed_out(result),
                    "get_auth_state" => {
                        let read = |exchange: &Exchange| exchange.document() == result["body"];
                        difference.got.is_null()
                            && handed_out(&result["auth_token"])
                            && case.exchanges.iter().any(read)
                    }
                    "get_sp_url" | "get_sp_auth_url" | "get_user_id" | "get_project_id" | "get_headers"
                    | "get_access" => difference.got["error"] == "AuthorizationFailure",
                    _ => is_less(difference) && requests(&difference.expected).last().is_some_and(of_nobody),
                }
        },
    },
    NOT_MADE,
    Rule {
        decision: "a service without authentication gets no header, and not a token `notused`",
        covers: |case, difference, _| {
            let nothing = match &*difference.question {
                "get_token" => difference.got.is_null() && difference.expected["result"] == "notused",
                "get_headers" => {
                    difference.got == json!({})
                        && difference.expected["result"] == json!({"x-auth-token": "notused"})
                }
                _ => false,
            };
            nothing && described(case).kind == "noauth"
        },
    },
    Rule {
        decision: "a token whose document names no expiry is good for some minutes",
        covers: |case, difference, _| {
            let states = case.calls().iter().filter(|call| call["op"] == "set_auth_state");
            let logins = case.exchanges.iter().map(|exchange| {
                json!({"auth_token": exchange.header("x-subject-token"), "body": exchange.document()})
            });
            let states = states.map(|call| &call["args"]["state"]).chain([&described(case).auth_state]);
            let states = states.cloned().chain(logins);
            let mut endless = states.filter(|state| {
                let token = &state["body"]["token"];
                token.is_object() && token["expires_at"].is_null()
            });
            difference.expected["error"] == "KeyError"
                && match &*difference.question {
                    "get_token" => endless.any(|state| state["auth_token"] == difference.got),
                    "get_user_id" => {
                        endless.any(|state| state["body"]["token"]["user"]["id"] == difference.got)
                    }
                    "get_project_id" => {
                        endless.any(|state| state["body"]["token"]["project"]["id"] == difference.got)
                    }
                    "needs_reauthenticate" => endless.next().is_some() && difference.got == false,
                    _ => false,
                }
        },
    },
    Rule {
        decision: "a token is renewed in the background, its lifetime counts from when it was asked for, \
                   and a plugin that holds credentials always renews (without that it is an AccessInfoPlugin)",
        covers: |case, difference, _| {
            let renews = described(case).flag("reauthenticate") != Some(false);
            let theirs = if renews { Renewal::AtTheCall } else { Renewal::Never };
            let had = |renewal| Some(tokens(case, renewal)?.get(difference.call)?.clone());
            let (Some(theirs), Some(ours)) = (had(theirs), had(Renewal::InTheBackground)) else {
                return false;
            };
            if theirs == ours {
                return false;
            }
            let failed = theirs.logins > 0 && answer(case, difference)["error"].is_string();
            let (question, expected) = (&*difference.question, &difference.expected);
            (failed || is_of_token(case, &theirs, question, &expected["result"], expected))
                && is_of_token(case, &ours, &difference.question, &difference.got, &difference.got)
        },
    },
    Rule {
        decision: "an AccessInfoPlugin keeps its access info",
        covers: |case, difference, replay| {
            described(case).kind == "access_info"
                && last_state(case, difference).is_some_and(|state| is_of_state(&state, difference))
                && (call(case, difference)["op"] == "set_auth_state" && difference.got.is_null()
                    || as_after(case, difference, replay, |case| {
                        skip_calls(case, |call| call["op"] == "set_auth_state")
                    }))
        },
    },
    Rule {
        decision: "without a token there is an error, and nothing is sent without one",
        covers: |case, difference, _| {
            described(case).kind == "access_info"
                && difference.got["error"] == "AuthorizationFailure"
                && difference.expected["result"].is_null()
                && (described(case).text("token").is_none()
                    || described(case).auth_state["auth_token"].is_null())
        },
    },
    Rule {
        decision: "a stored state without a token is refused, and the plugin keeps what it had",
        covers: |case, difference, replay| {
            let without = |state: &Value| {
                let token = &state["auth_token"];
                let of_v2 = &state["body"]["access"]["token"]["id"];
                state.is_object() && (token.is_null() || *token == "") && (of_v2.is_null() || *of_v2 == "")
            };
            let is_it = |call: &Value| call["op"] == "set_auth_state" && without(&call["args"]["state"]);
            let of_plugin = without(&described(case).auth_state)
                && difference.question == "construct"
                && difference.expected.is_null();
            let empty = text_of(&difference.got).starts_with("invalid token: it is empty");
            let refused = (difference.got["error"] == "AuthorizationFailure" || empty)
                && difference.expected["result"].is_null();
            (is_it(call(case, difference)) || of_plugin) && refused
                || last_state(case, difference)
                    .is_some_and(|state| without(&state) && is_of_state(&state, difference))
                    && as_after(case, difference, replay, |case| skip_calls(case, is_it))
        },
    },
    Rule {
        decision: "a certificate that is not good, and a time that the client does not wait, are a ConnectFailure",
        covers: |case, difference, _| {
            let cause = match difference.expected["error"].as_str() {
                Some("SSLError") => "ssl",
                Some("ConnectTimeout") => "timeout",
                _ => return false,
            };
            let caused = case.exchanges.iter().any(|exchange| exchange.error.as_deref() == Some(cause));
            caused && difference.got["error"] == "ConnectFailure"
        },
    },
    Rule {
        decision: "a system scope is refused by a Keystone that has v2.0 only",
        covers: |case, difference, _| {
            let system = described(case).text("system_scope").is_some_and(|scope| !scope.is_empty());
            let refused = difference.got["error"] == "DiscoveryFailure" && is_of_login(case, difference);
            let unsaid = is_less(difference) && difference.expected.to_string().contains("/v2.0/tokens");
            // Each time it is looked for a version that has it.
            let looked = difference.question.ends_with(": requests")
                && difference.expected == json!([])
                && requests(&difference.got).iter().all(|request| {
                    request["method"] == "GET"
                        && all_requests(case).any(|asked| asked["url"] == request["url"])
                });
            let without = difference.question == "get_auth_state" && difference.got.is_null();
            let only_v2 = all_requests(case).any(|request| request.to_string().contains("/v2.0/tokens"));
            matches!(&*described(case).kind, "password" | "token")
                && system
                && only_v2
                && (refused || unsaid || looked || without && is_of_login(case, difference))
        },
    },
];

/// Of errors, wherever they come from.
const MESSAGE: Rule = Rule {
    decision: "what an error says is kept (the data has no message)",
    covers: |case, difference, _| {
        difference.question.ends_with(": message")
            && difference.expected.is_null()
            && is_said(case, &difference.got)
    },
};
const DETAILS: Rule = Rule {
    decision: "what an error says in a form that the reference does not read is its details",
    covers: |case, difference, _| {
        // What is JSON by another name is the message.
        let json = difference
            .expected
            .as_str()
            .is_some_and(|said| said.is_empty() || serde_json::from_str::<Value>(said).is_ok());
        if difference.question.ends_with(": details") && difference.got.is_null() && json {
            return is_said(case, &difference.expected) || difference.expected == "";
        }
        let redacted = difference.got == REDACTED && difference.question.ends_with(": request_id");
        if redacted {
            return is_said(case, &difference.got);
        }
        difference.question.ends_with(": details")
            && difference.expected.is_null()
            && is_said(case, &difference.got)
    },
};
const RETRY_AFTER: Rule = Rule {
    decision: "Retry-After is read whatever the status of the error",
    covers: |case, difference, _| {
        let said = |seconds: &str| {
            seconds.parse::<u64>().is_ok_and(|seconds| seconds > 0 && difference.got == seconds)
        };
        difference.question.ends_with(": retry_after")
            && difference.expected == 0
            && case.exchanges.iter().any(|exchange| said(exchange.header("retry-after")))
    },
};

const REDACTED: &str = "(redacted: it contains a secret that was sent)";

/// A plugin of a fixed endpoint that lacks something, itself or in a part of it.
const NOT_MADE: Rule = Rule {
    decision: "a plugin for a fixed endpoint has its endpoint and its token, or cannot be made",
    covers: |case, difference, _| {
        fn lacks(plugin: &Described) -> bool {
            let needed: &[&str] = match &*plugin.kind {
                "token_endpoint" => &["endpoint", "token"],
                "http_basic" => &["endpoint", "username", "password"],
                "noauth" => &["endpoint"],
                "service_token" => {
                    let parts = ["user_auth", "service_auth"]
                        .map(|part| plugin.get::<Described>(part).ok().flatten());
                    return parts.iter().flatten().any(lacks);
                }
                _ => return false,
            };
            needed.iter().any(|name| plugin.text(name).is_none_or(|text| text.is_empty()))
        }
        difference.question == "construct"
            && difference.expected.is_null()
            && matches!(
                difference.got["error"].as_str(),
                Some("" | "AuthorizationFailure" | "MissingAuthPlugin")
            )
            && lacks(described(case))
    },
};

pub(crate) fn described(case: &Case) -> &Described {
    static NONE: std::sync::LazyLock<Described> = std::sync::LazyLock::new(Described::default);
    case.plugin.as_ref().unwrap_or(&NONE)
}

fn change_plugin(case: &mut Case, change: impl FnOnce(&mut Described) -> bool) -> bool {
    case.plugin.as_mut().is_some_and(change)
}

fn one_auth_url(case: &mut Case) -> bool {
    change_plugin(case, |plugin| {
        let url = plugin.text("auth_url").unwrap_or_default();
        let bare = url.strip_suffix('/').filter(|url| url.matches('/').count() == 2);
        bare.is_some_and(|bare| plugin.set("auth_url", bare))
    })
}

/// Names by its id the domain that the reference puts in the place of one that is named.
fn with_default_domain(plugin: &mut Described) -> bool {
    let default = plugin.text("default_domain_id");
    let said = |plugin: &Described, name: &str| plugin.text(name).is_some_and(|text| !text.is_empty());
    let replaced = ["user", "project"].map(|of| {
        let (id, name) = (format!("{of}_domain_id"), format!("{of}_domain_name"));
        default.is_some() && said(plugin, &name) && !said(plugin, &id) && plugin.set(&id, &default)
    });
    replaced.contains(&true)
}

/// Whether both are cache ids, and not the same one.
fn is_another_cache_id(difference: &Difference) -> bool {
    let is_id = |value: &Value| value.as_str().is_some_and(|id| id.len() == 44 && id.ends_with('='));
    difference.question == "get_cache_id" && is_id(&difference.expected["result"]) && is_id(&difference.got)
}

/// Leaves calls out.
fn skip_calls(case: &mut Case, is_skipped: impl Fn(&Value) -> bool) -> bool {
    let calls = case.input.get_mut("calls").and_then(Value::as_array_mut);
    let skipped = calls.into_iter().flatten().filter(|call| is_skipped(call));
    let skipped = skipped.map(|call| *call = json!({"op": "advance_time", "args": {"seconds": 0}}));
    skipped.count() > 0
}

/// Whether an error answer says this.
fn is_said(case: &Case, got: &Value) -> bool {
    let said =
        |text: &str| case.exchanges.iter().any(|exchange| exchange.status >= 300 && exchange.says(text));
    // What repeats a secret is not said.
    if *got == REDACTED {
        let secrets = case.plugin.iter().map(|plugin| plugin.said().to_string());
        let quoted: Vec<_> = secrets.collect();
        let secrets = quoted.iter().flat_map(|said| said.split('"'));
        return secrets.into_iter().any(|secret| !secret.is_empty() && said(secret));
    }
    got.as_str().is_some_and(|text| !text.is_empty() && text.split(": ").all(said))
}

/// Whether an answer is the one of a plugin that has this token.
fn is_of_token(case: &Case, had: &Had, question: &str, answer: &Value, sent: &Value) -> bool {
    let Some(token) = had.token.as_deref() else {
        // A login that brings none.
        return question.ends_with(": requests") && had.logins > 0
            || sent.get("error").is_some()
            || question == "get_auth_state" && answer.is_null();
    };
    match question {
        "get_token" => *answer == *token,
        "get_headers" => *answer == json!({"x-auth-token": token}),
        "get_auth_state" => *answer == json!({"auth_token": token, "body": had.document}),
        "get_access" => {
            let ids = ["user", "project"].map(|of| (format!("{of}_id"), &had.document["token"][of]["id"]));
            answer["auth_token"] == *token && ids.iter().all(|(name, id)| answer[name] == **id)
        }
        "get_user_id" => *answer == had.document["token"]["user"]["id"],
        "get_project_id" => *answer == had.document["token"]["project"]["id"],
        "needs_reauthenticate" => *answer == had.needs,
        _ if question.ends_with(": sleeps") => *sent == json!([]) || had.logins > 0,
        _ if question.ends_with(": requests") => {
            let sent = requests(sent);
            let first_login = all_requests(case).find(|request| is_login(request)).cloned();
            // A generic plugin asks for the versions first.
            sent.iter().filter(|request| is_login(request)).count() == had.logins
                && sent.iter().all(|request| {
                    let is_same = first_login.as_ref().map_or(is_login(request), |first| first == request);
                    is_same || request["method"] == "GET"
                })
        }
        _ => false,
    }
}

/// The id that an answer has, if it has one.
fn exchange_id(exchange: &Exchange) -> Value {
    match exchange.header("x-openstack-request-id") {
        "" => Value::Null,
        id => id.into(),
    }
}

/// The request without members that are null.
fn without_nulls(request: &Value) -> Value {
    match request {
        Value::Object(members) => {
            let said = members.iter().filter(|(_, member)| !member.is_null());
            said.map(|(name, member)| (name.clone(), without_nulls(member))).collect()
        }
        other => other.clone(),
    }
}

/// The state that was installed last before the answer, parsed.
fn last_state(case: &Case, difference: &Difference) -> Option<Value> {
    let mut before = case.calls().iter().take(difference.call + 1);
    let last = before.rfind(|call| call["op"] == "set_auth_state")?;
    Some(match &last["args"]["state"] {
        Value::String(raw) => serde_json::from_str(raw).unwrap_or_default(),
        state => state.clone(),
    })
}

/// Whether the reference answers as one that has this state.
fn is_of_state(state: &Value, difference: &Difference) -> bool {
    let result = &difference.expected["result"];
    let token = &state["auth_token"];
    let id = |of: &str| result.is_null() || *result == state["body"]["token"][of]["id"];
    match &*difference.question {
        question if question.contains(": ") => true,
        _ if is_of_python(&difference.expected) => true,
        "get_token" => result == token,
        "get_headers" => result.is_null() || result["x-auth-token"] == *token,
        "get_auth_state" => result.is_null() || result == state,
        "get_access" => result["auth_token"] == *token,
        "get_user_id" => id("user"),
        "get_project_id" => id("project"),
        "needs_reauthenticate" | "invalidate" => result.is_boolean(),
        "get_sp_url" | "get_sp_auth_url" | "set_auth_state" => result.is_null(),
        _ => matches!(difference.expected["error"].as_str(), Some("EmptyCatalog" | "EndpointNotFound")),
    }
}

/// Whether the reference answers by a login of the case, or fails.
fn is_of_login(case: &Case, difference: &Difference) -> bool {
    let result = &difference.expected["result"];
    let handed_out = |token: &Value| token.as_str().is_some_and(|token| is_handed_out(case, token));
    match &*difference.question {
        _ if difference.expected["error"].is_string() => true,
        "get_token" => handed_out(result),
        "get_headers" => handed_out(&result["x-auth-token"]),
        "get_access" => handed_out(&result["auth_token"]),
        "get_auth_state" => {
            let read = |exchange: &Exchange| exchange.document() == result["body"];
            result.is_null() || handed_out(&result["auth_token"]) && case.exchanges.iter().any(read)
        }
        _ => true,
    }
}

/// Whether a login of the case brings this token.
fn is_handed_out(case: &Case, token: &str) -> bool {
    case.exchanges.iter().any(|exchange| {
        exchange.header("x-subject-token") == token || exchange.document()["access"]["token"]["id"] == token
    })
}

/// All that the reference sends.
fn all_requests(case: &Case) -> impl Iterator<Item = &Value> {
    let calls = case.expect["calls"].as_array().into_iter().flatten();
    calls.flat_map(|call| requests(&call["requests"]))
}

pub(crate) fn requests(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(crate) fn is_login(request: &Value) -> bool {
    let is_for_tokens = |url: &str| url.split('?').next().is_some_and(|url| url.ends_with("/tokens"));
    request["method"] == "POST" && request["url"].as_str().is_some_and(is_for_tokens)
}

/// Whether of the expected requests only the last was not sent.
pub(crate) fn is_less(difference: &Difference) -> bool {
    let requests = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (mut expected, got) = (requests(&difference.expected), requests(&difference.got));
    expected.pop().is_some() && difference.question.ends_with(": requests") && expected == got
}
