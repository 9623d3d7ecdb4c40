//! The intended differences in identity plugins and their requests.

use serde_json::{Value, json};

use crate::{
    Case, Difference,
    access::time_of,
    changed_case::{agrees_after, same_result_after},
    differences::{call, error_text, expected_call, is_about_sending, is_python_error},
    differences_discovery::change_exchanges,
    lifetime::{Renewal, TokenState, tokens},
    plugins::PluginSpec,
    replay::Rule,
    servers::Exchange,
};

/// Differences in identity plugins.
pub(crate) const PLUGINS: &[Rule] = &[
    Rule {
        decision: "the auth_urls `https://host` and `https://host/` have the same cache id, that of the former",
        covers: |case, difference, replay| {
            is_different_cache_id(difference) && same_result_after(case, difference, replay, one_auth_url)
        },
    },
    Rule {
        decision: "an OAuth 2.0 client credential that is one of several methods is sent as an application credential",
        covers: |case, difference, _| {
            let mut methods = case.plugin.iter().flat_map(PluginSpec::method_names);
            is_different_cache_id(difference) && methods.any(|name| name == "v3oauth2clientcredential")
        },
    },
    Rule {
        decision: "a NUL in a parameter cannot make the cache ids of different credentials equal",
        covers: |case, difference, _| {
            is_different_cache_id(difference)
                && case.plugin.iter().flat_map(PluginSpec::texts).any(|text| text.contains('\0'))
        },
    },
    Rule {
        decision: "system scope, an explicitly unscoped token and a token without a catalog are part of the cache id",
        covers: |case, difference, replay| {
            is_different_cache_id(difference)
                && agrees_after(case, difference, replay, |case| {
                    change_plugin(case, |plugin| {
                        let is_named =
                            ["system_scope", "unscoped", "include_catalog"].map(|name| plugin.remove(name));
                        is_named.contains(&true)
                    })
                })
        },
    },
    Rule {
        decision: "a domain name is not replaced by the id of a default domain",
        covers: |case, difference, replay| {
            let sent = is_different_cache_id(difference) || is_about_sending(difference);
            sent && agrees_after(case, difference, replay, |case| change_plugin(case, with_default_domain))
        },
    },
    Rule {
        decision: "null members are not sent",
        covers: |_, difference, _| {
            difference.subject.ends_with(": requests")
                && requests(&difference.expected)
                    .iter()
                    .map(without_nulls)
                    .eq(requests(&difference.got).iter().map(without_nulls))
        },
    },
    Rule {
        decision: "contradictory scopes are an error, also with a Keystone that supports only v2.0",
        covers: |case, difference, _| {
            let is_in_error_response =
                |name: &str| plugin_spec(case).text(name).is_some_and(|text| !text.is_empty());
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
            let is_error = error_text(&difference.got).contains("more than one scope is set")
                || difference.got.is_null();
            matches!(&*plugin_spec(case).kind, "password" | "token")
                && scopes.iter().filter(|name| is_in_error_response(name)).count() > 1
                && (is_error && difference.expected["result"].to_string().contains("v2")
                    || lacks_last_request(difference)
                    || difference.subject.ends_with(": requests") && difference.got == json!([]))
        },
    },
    MESSAGE,
    DETAILS,
    RETRY_AFTER,
    Rule {
        decision: "a login is not redirected to another URL with its credentials, and such a redirect is a permanent \
                   error",
        covers: |case, difference, replay| {
            let predicate =
                |exchange: &&Exchange| exchange.method == "POST" && (300..400).contains(&exchange.status);
            let got = &difference.got;
            let is_error = case.exchanges.iter().filter(predicate).any(|exchange| {
                let is_named =
                    error_text(got).contains(&format!("redirected the login ({} ", exchange.status));
                let says = |member: &str| got[member].is_null() || is_in_error_response(case, &got[member]);
                let http = got["http_status"] == exchange.status && got["error"] == "HttpError";
                is_named
                    || http
                        && says("message")
                        && says("details")
                        && got["retry_after"].is_u64()
                        && got["request_id"] == exchange_id(exchange)
            });
            let class = difference.expected["error"].as_str();
            let failed = class.is_none_or(|class| class == "InvalidResponse")
                || is_python_error(&difference.expected)
                || difference.expected["http_status"].is_u64();
            // A later result is the same as with a Keystone that responds with 404.
            let is_not_found =
                difference.got.get("error").is_none() && !difference.subject.ends_with("status");
            failed && is_error && is_result_of_login(case, difference)
                || is_not_found
                    && is_result_of_login(case, difference)
                    && same_result_after(case, difference, replay, |case| {
                        change_exchanges(case, |exchange| {
                            predicate(&exchange).then(|| exchange.as_not_found())
                        })
                    })
        },
    },
    Rule {
        decision: "a request to Keystone that failed is sent again at the next call",
        covers: |case, difference, _| {
            let again = difference.got.as_array().map(Vec::as_slice).unwrap_or_default();
            let earlier = case.expect["calls"].as_array().into_iter().flatten().take(difference.call);
            let earlier: Vec<_> =
                earlier.flat_map(|call| call["requests"].as_array().into_iter().flatten()).collect();
            let is_repeated =
                |request: &Value| earlier.iter().any(|earlier| earlier["url"] == request["url"]);
            matches!(&*plugin_spec(case).kind, "password" | "token")
                && difference.subject.ends_with(": requests")
                && difference.expected == json!([])
                && expected_call(case, difference)["error"] == "DiscoveryFailure"
                && again.iter().all(|request| request["method"] == "GET" && is_repeated(request))
        },
    },
    Rule {
        decision: "no request is sent to Keystone before its Retry-After has passed",
        covers: |case, difference, _| {
            let waits = |exchange: &Exchange| {
                let seconds = exchange.header("retry-after").parse::<u64>();
                exchange.method == "POST"
                    && exchange.status >= 400
                    && seconds.is_ok_and(|seconds| seconds > 0)
            };
            difference.subject.ends_with(": requests")
                && difference.call > 0
                && difference.got == json!([])
                && requests(&difference.expected)
                    .iter()
                    .all(|request| Some(request) == all_requests(case).next())
                && case.exchanges.iter().any(waits)
        },
    },
    Rule {
        decision: "a token that is empty or contains other than visible ASCII characters is not sent",
        covers: |case, difference, _| {
            let visible =
                |token: &str| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
            let empty = plugin_spec(case).text("token").is_some_and(|token| !visible(&token));
            let is_error = error_text(&difference.got).starts_with("invalid token: ");
            empty
                && is_result_of_login(case, difference)
                && (is_error || lacks_last_request(difference) || difference.got.is_null())
        },
    },
    Rule {
        decision: "a duplicate method counts once, also in the cache id",
        covers: |case, difference, _| {
            is_different_cache_id(difference)
                && case.plugin.as_ref().is_some_and(PluginSpec::has_duplicate_method)
        },
    },
    Rule {
        decision: "without an auth_url, there is no endpoint for the auth interface",
        covers: |case, difference, _| {
            call(case, difference)["args"]["interface"]["auth_interface"] == true
                && plugin_spec(case).text("auth_url").is_none()
                && difference.expected["error"] == "AssertionError"
                && difference.got.is_null()
        },
    },
    Rule {
        decision: "a login response without a token object, or with an expiry that is not a time, is an error",
        covers: |case, difference, replay| {
            let is_malformed = |exchange: &&Exchange| {
                let document = exchange.document();
                let token = document.get("token").unwrap_or(&document["access"]);
                let ends = ["expires_at", "expires"].map(|name| token.get(name).or(token["token"].get(name)));
                let end = ends.into_iter().flatten().next();
                exchange.method == "POST"
                    && exchange.url.split('?').next().is_some_and(|url| url.ends_with("/tokens"))
                    && exchange.error.is_none()
                    && exchange.status < 300
                    && (!token.is_object() || end.is_some_and(|end| !end.is_null() && time_of(end).is_err()))
            };
            let text = error_text(&difference.got);
            let is_error =
                text.contains("it has neither a `token`") || text.contains("is not an ISO 8601 time");
            case.exchanges.iter().any(|exchange| is_malformed(&exchange))
                && is_result_of_login(case, difference)
                && (is_error
                    || difference.got.get("error").is_none()
                        && same_result_after(case, difference, replay, |case| {
                            change_exchanges(case, |exchange| {
                                is_malformed(&exchange).then(|| exchange.as_not_found())
                            })
                        }))
        },
    },
    Rule {
        decision: "a stored state of either Identity API version is accepted",
        covers: |case, difference, _| {
            let of_v2 = matches!(&*plugin_spec(case).kind, "v2password" | "v2token");
            let state = match &*difference.subject {
                "construct" => &plugin_spec(case).auth_state,
                _ => &call(case, difference)["args"]["state"],
            };
            of_v2
                && difference.expected["error"] == "TypeError"
                && difference.got.is_null()
                && (state["body"]["token"].is_object() || state.is_string())
        },
    },
    Rule {
        decision: "`invalidate` with an access that is not the current one reports that another token is available",
        covers: |case, difference, _| {
            let renews = case.plugin.as_ref().is_some_and(|plugin| plugin.kind != "access_info");
            difference.subject == "invalidate"
                && difference.expected["result"] == false
                && difference.got == true
                && renews
        },
    },
    Rule {
        decision: "a v2.0 password without a user is not sent",
        covers: |case, difference, _| {
            let plugin = plugin_spec(case);
            let is_set = |name| plugin.text(name).is_some_and(|text| !text.is_empty());
            let has_no_user = matches!(&*plugin.kind, "v2password" | "password")
                && !is_set("username")
                && !is_set("user_id");
            let issued = |token: &Value| token.as_str().is_some_and(|token| is_issued(case, token));
            let result = &difference.expected["result"];
            let is_without_user = |request: &Value| {
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
            has_no_user
                && match &*difference.subject {
                    "get_token" => difference.got["error"] == "AuthorizationFailure" && issued(result),
                    "get_auth_state" => {
                        let read = |exchange: &Exchange| exchange.document() == result["body"];
                        difference.got.is_null()
                            && issued(&result["auth_token"])
                            && case.exchanges.iter().any(read)
                    }
                    "get_sp_url" | "get_sp_auth_url" | "get_user_id" | "get_project_id" | "get_headers"
                    | "get_access" => difference.got["error"] == "AuthorizationFailure",
                    _ => {
                        lacks_last_request(difference)
                            && requests(&difference.expected).last().is_some_and(is_without_user)
                    }
                }
        },
    },
    INCOMPLETE_FIXED_ENDPOINT,
    Rule {
        decision: "a service without authentication gets no token header (keystoneauth sends the token `notused`)",
        covers: |case, difference, _| {
            let nothing = match &*difference.subject {
                "get_token" => difference.got.is_null() && difference.expected["result"] == "notused",
                "get_headers" => {
                    difference.got == json!({})
                        && difference.expected["result"] == json!({"x-auth-token": "notused"})
                }
                _ => false,
            };
            nothing && plugin_spec(case).kind == "noauth"
        },
    },
    Rule {
        decision: "a token without an expiry is used for the default lifetime",
        covers: |case, difference, _| {
            let states = case.calls().iter().filter(|call| call["op"] == "set_auth_state");
            let logins = case.exchanges.iter().map(|exchange| {
                json!({"auth_token": exchange.header("x-subject-token"), "body": exchange.document()})
            });
            let states = states.map(|call| &call["args"]["state"]).chain([&plugin_spec(case).auth_state]);
            let states = states.cloned().chain(logins);
            let mut without_expiry = states.filter(|state| {
                let token = &state["body"]["token"];
                token.is_object() && token["expires_at"].is_null()
            });
            difference.expected["error"] == "KeyError"
                && match &*difference.subject {
                    "get_token" => without_expiry.any(|state| state["auth_token"] == difference.got),
                    "get_user_id" => {
                        without_expiry.any(|state| state["body"]["token"]["user"]["id"] == difference.got)
                    }
                    "get_project_id" => {
                        without_expiry.any(|state| state["body"]["token"]["project"]["id"] == difference.got)
                    }
                    "needs_reauthenticate" => without_expiry.next().is_some() && difference.got == false,
                    _ => false,
                }
        },
    },
    Rule {
        decision: "a token is renewed in the background, its lifetime starts when it is requested, and a plugin with \
                   credentials always renews (a plugin that never renews is an AccessInfoPlugin)",
        covers: |case, difference, _| {
            let renews = plugin_spec(case).flag("reauthenticate") != Some(false);
            let theirs = if renews { Renewal::AtCall } else { Renewal::Never };
            let state = |renewal| Some(tokens(case, renewal)?.get(difference.call)?.clone());
            let (Some(theirs), Some(ours)) = (state(theirs), state(Renewal::InBackground)) else {
                return false;
            };
            if theirs == ours {
                return false;
            }
            let failed = theirs.logins > 0 && expected_call(case, difference)["error"].is_string();
            let (subject, expected) = (&*difference.subject, &difference.expected);
            (failed || is_result_of_token(case, &theirs, subject, &expected["result"], expected))
                && is_result_of_token(case, &ours, &difference.subject, &difference.got, &difference.got)
        },
    },
    Rule {
        decision: "an AccessInfoPlugin never changes its access info",
        covers: |case, difference, replay| {
            plugin_spec(case).kind == "access_info"
                && last_state(case, difference).is_some_and(|state| is_result_of_state(&state, difference))
                && (call(case, difference)["op"] == "set_auth_state" && difference.got.is_null()
                    || same_result_after(case, difference, replay, |case| {
                        skip_calls(case, |call| call["op"] == "set_auth_state")
                    }))
        },
    },
    Rule {
        decision: "a missing token is an error, and no request is sent without a token",
        covers: |case, difference, _| {
            plugin_spec(case).kind == "access_info"
                && difference.got["error"] == "AuthorizationFailure"
                && difference.expected["result"].is_null()
                && (plugin_spec(case).text("token").is_none()
                    || plugin_spec(case).auth_state["auth_token"].is_null())
        },
    },
    Rule {
        decision: "a stored state without a token is an error, and the plugin keeps its current token",
        covers: |case, difference, replay| {
            let without = |state: &Value| {
                let token = &state["auth_token"];
                let of_v2 = &state["body"]["access"]["token"]["id"];
                state.is_object() && (token.is_null() || *token == "") && (of_v2.is_null() || *of_v2 == "")
            };
            let predicate = |call: &Value| call["op"] == "set_auth_state" && without(&call["args"]["state"]);
            let is_constructed = without(&plugin_spec(case).auth_state)
                && difference.subject == "construct"
                && difference.expected.is_null();
            let empty = error_text(&difference.got).starts_with("invalid token: it is empty");
            let is_error = (difference.got["error"] == "AuthorizationFailure" || empty)
                && difference.expected["result"].is_null();
            (predicate(call(case, difference)) || is_constructed) && is_error
                || last_state(case, difference)
                    .is_some_and(|state| without(&state) && is_result_of_state(&state, difference))
                    && same_result_after(case, difference, replay, |case| skip_calls(case, predicate))
        },
    },
    Rule {
        decision: "an invalid certificate and a timeout of the client are a ConnectFailure",
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
        decision: "a system scope is an error with a Keystone that supports only v2.0",
        covers: |case, difference, _| {
            let system = plugin_spec(case).text("system_scope").is_some_and(|scope| !scope.is_empty());
            let is_error =
                difference.got["error"] == "DiscoveryFailure" && is_result_of_login(case, difference);
            let is_not_sent =
                lacks_last_request(difference) && difference.expected.to_string().contains("/v2.0/tokens");
            // Each call discovers the versions again.
            let is_discovery = difference.subject.ends_with(": requests")
                && difference.expected == json!([])
                && requests(&difference.got).iter().all(|request| {
                    request["method"] == "GET"
                        && all_requests(case).any(|earlier| earlier["url"] == request["url"])
                });
            let without = difference.subject == "get_auth_state" && difference.got.is_null();
            let only_v2 = all_requests(case).any(|request| request.to_string().contains("/v2.0/tokens"));
            matches!(&*plugin_spec(case).kind, "password" | "token")
                && system
                && only_v2
                && (is_error
                    || is_not_sent
                    || is_discovery
                    || without && is_result_of_login(case, difference))
        },
    },
];

/// Rules for errors from any source.
const MESSAGE: Rule = Rule {
    decision: "the message of an error response is kept (keystoneauth returns none)",
    covers: |case, difference, _| {
        difference.subject.ends_with(": message")
            && difference.expected.is_null()
            && is_in_error_response(case, &difference.got)
    },
};
const DETAILS: Rule = Rule {
    decision: "the details of an error response are also read from forms that keystoneauth does not parse",
    covers: |case, difference, _| {
        // A JSON body with another content type is the message.
        let json = difference
            .expected
            .as_str()
            .is_some_and(|text| text.is_empty() || serde_json::from_str::<Value>(text).is_ok());
        if difference.subject.ends_with(": details") && difference.got.is_null() && json {
            return is_in_error_response(case, &difference.expected) || difference.expected == "";
        }
        let redacted = difference.got == REDACTED && difference.subject.ends_with(": request_id");
        if redacted {
            return is_in_error_response(case, &difference.got);
        }
        difference.subject.ends_with(": details")
            && difference.expected.is_null()
            && is_in_error_response(case, &difference.got)
    },
};
const RETRY_AFTER: Rule = Rule {
    decision: "Retry-After is read from error responses with any status",
    covers: |case, difference, _| {
        let is_delay = |seconds: &str| {
            seconds.parse::<u64>().is_ok_and(|seconds| seconds > 0 && difference.got == seconds)
        };
        difference.subject.ends_with(": retry_after")
            && difference.expected == 0
            && case.exchanges.iter().any(|exchange| is_delay(exchange.header("retry-after")))
    },
};

const REDACTED: &str = "(redacted: it contains a secret that was sent)";

/// A rule for a fixed-endpoint plugin without a required parameter, possibly as a part of another plugin.
const INCOMPLETE_FIXED_ENDPOINT: Rule = Rule {
    decision: "a plugin for a fixed endpoint cannot be created without its endpoint and its credentials",
    covers: |case, difference, _| {
        fn lacks(plugin: &PluginSpec) -> bool {
            let needed: &[&str] = match &*plugin.kind {
                "token_endpoint" => &["endpoint", "token"],
                "http_basic" => &["endpoint", "username", "password"],
                "noauth" => &["endpoint"],
                "service_token" => {
                    let parts = ["user_auth", "service_auth"]
                        .map(|part| plugin.get::<PluginSpec>(part).ok().flatten());
                    return parts.iter().flatten().any(lacks);
                }
                _ => return false,
            };
            needed.iter().any(|name| plugin.text(name).is_none_or(|text| text.is_empty()))
        }
        difference.subject == "construct"
            && difference.expected.is_null()
            && matches!(
                difference.got["error"].as_str(),
                Some("" | "AuthorizationFailure" | "MissingAuthPlugin")
            )
            && lacks(plugin_spec(case))
    },
};

pub(crate) fn plugin_spec(case: &Case) -> &PluginSpec {
    static NONE: std::sync::LazyLock<PluginSpec> = std::sync::LazyLock::new(PluginSpec::default);
    case.plugin.as_ref().unwrap_or(&NONE)
}

fn change_plugin(case: &mut Case, change: impl FnOnce(&mut PluginSpec) -> bool) -> bool {
    case.plugin.as_mut().is_some_and(change)
}

fn one_auth_url(case: &mut Case) -> bool {
    change_plugin(case, |plugin| {
        let url = plugin.text("auth_url").unwrap_or_default();
        let bare = url.strip_suffix('/').filter(|url| url.matches('/').count() == 2);
        bare.is_some_and(|bare| plugin.set("auth_url", bare))
    })
}

/// Replaces domain names by the default domain id that keystoneauth uses instead.
fn with_default_domain(plugin: &mut PluginSpec) -> bool {
    let default = plugin.text("default_domain_id");
    let is_set = |plugin: &PluginSpec, name: &str| plugin.text(name).is_some_and(|text| !text.is_empty());
    let replaced = ["user", "project"].map(|of| {
        let (id, name) = (format!("{of}_domain_id"), format!("{of}_domain_name"));
        default.is_some() && is_set(plugin, &name) && !is_set(plugin, &id) && plugin.set(&id, &default)
    });
    replaced.contains(&true)
}

/// Returns whether both results are cache ids, and they differ.
fn is_different_cache_id(difference: &Difference) -> bool {
    let is_id = |value: &Value| value.as_str().is_some_and(|id| id.len() == 44 && id.ends_with('='));
    matches!(&*difference.subject, "get_cache_id" | "get_unscoped_cache_id")
        && is_id(&difference.expected["result"])
        && is_id(&difference.got)
}

/// Removes calls.
fn skip_calls(case: &mut Case, is_skipped: impl Fn(&Value) -> bool) -> bool {
    let calls = case.input.get_mut("calls").and_then(Value::as_array_mut);
    let skipped = calls.into_iter().flatten().filter(|call| is_skipped(call));
    let skipped = skipped.map(|call| *call = json!({"op": "advance_time", "args": {"seconds": 0}}));
    skipped.count() > 0
}

/// Returns whether an error response contains this text.
fn is_in_error_response(case: &Case, got: &Value) -> bool {
    let is_contained =
        |text: &str| case.exchanges.iter().any(|exchange| exchange.status >= 300 && exchange.contains(text));
    // A text that contains a secret is redacted.
    if *got == REDACTED {
        let secrets = case.plugin.iter().map(|plugin| plugin.parameters_json().to_string());
        let quoted: Vec<_> = secrets.collect();
        let secrets = quoted.iter().flat_map(|text| text.split('"'));
        return secrets.into_iter().any(|secret| !secret.is_empty() && is_contained(secret));
    }
    got.as_str().is_some_and(|text| !text.is_empty() && text.split(": ").all(is_contained))
}

/// Returns whether a result is the one of a plugin in this state.
fn is_result_of_token(case: &Case, state: &TokenState, subject: &str, answer: &Value, sent: &Value) -> bool {
    let Some(token) = state.token.as_deref() else {
        // The login returns no token.
        return subject.ends_with(": requests") && state.logins > 0
            || sent.get("error").is_some()
            || subject == "get_auth_state" && answer.is_null();
    };
    match subject {
        "get_token" => *answer == *token,
        "get_headers" => *answer == json!({"x-auth-token": token}),
        "get_auth_state" => *answer == json!({"auth_token": token, "body": state.document}),
        "get_access" => {
            let ids = ["user", "project"].map(|of| (format!("{of}_id"), &state.document["token"][of]["id"]));
            answer["auth_token"] == *token && ids.iter().all(|(name, id)| answer[name] == **id)
        }
        "get_user_id" => *answer == state.document["token"]["user"]["id"],
        "get_project_id" => *answer == state.document["token"]["project"]["id"],
        "needs_reauthenticate" => *answer == state.needs_login,
        _ if subject.ends_with(": sleeps") => *sent == json!([]) || state.logins > 0,
        _ if subject.ends_with(": requests") => {
            let sent = requests(sent);
            let first_login = all_requests(case).find(|request| is_login(request)).cloned();
            // A generic plugin requests the version document first.
            sent.iter().filter(|request| is_login(request)).count() == state.logins
                && sent.iter().all(|request| {
                    let is_same = first_login.as_ref().map_or(is_login(request), |first| first == request);
                    is_same || request["method"] == "GET"
                })
        }
        _ => false,
    }
}

/// Returns the request id of a response, or null.
fn exchange_id(exchange: &Exchange) -> Value {
    match exchange.header("x-openstack-request-id") {
        "" => Value::Null,
        id => id.into(),
    }
}

/// Removes members that are null from a request.
fn without_nulls(request: &Value) -> Value {
    match request {
        Value::Object(members) => {
            let non_null = members.iter().filter(|(_, member)| !member.is_null());
            non_null.map(|(name, member)| (name.clone(), without_nulls(member))).collect()
        }
        other => other.clone(),
    }
}

/// Returns the state that was restored last before or by this call.
fn last_state(case: &Case, difference: &Difference) -> Option<Value> {
    let mut before = case.calls().iter().take(difference.call + 1);
    let last = before.rfind(|call| call["op"] == "set_auth_state")?;
    Some(match &last["args"]["state"] {
        Value::String(raw) => serde_json::from_str(raw).unwrap_or_default(),
        state => state.clone(),
    })
}

/// Returns whether keystoneauth returned the result of a plugin with this restored state.
fn is_result_of_state(state: &Value, difference: &Difference) -> bool {
    let result = &difference.expected["result"];
    let token = &state["auth_token"];
    let id = |of: &str| result.is_null() || *result == state["body"]["token"][of]["id"];
    match &*difference.subject {
        subject if subject.contains(": ") => true,
        _ if is_python_error(&difference.expected) => true,
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

/// Returns whether keystoneauth used a login of the case, or failed.
fn is_result_of_login(case: &Case, difference: &Difference) -> bool {
    let result = &difference.expected["result"];
    let issued = |token: &Value| token.as_str().is_some_and(|token| is_issued(case, token));
    match &*difference.subject {
        _ if difference.expected["error"].is_string() => true,
        "get_token" => issued(result),
        "get_headers" => issued(&result["x-auth-token"]),
        "get_access" => issued(&result["auth_token"]),
        "get_auth_state" => {
            let read = |exchange: &Exchange| exchange.document() == result["body"];
            result.is_null() || issued(&result["auth_token"]) && case.exchanges.iter().any(read)
        }
        _ => true,
    }
}

/// Returns whether a login of the case returns this token.
fn is_issued(case: &Case, token: &str) -> bool {
    case.exchanges.iter().any(|exchange| {
        exchange.header("x-subject-token") == token || exchange.document()["access"]["token"]["id"] == token
    })
}

/// Returns all requests that keystoneauth sent.
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

/// Returns whether this crate sent all expected requests except the last one.
pub(crate) fn lacks_last_request(difference: &Difference) -> bool {
    let requests = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (mut expected, got) = (requests(&difference.expected), requests(&difference.got));
    expected.pop().is_some() && difference.subject.ends_with(": requests") && expected == got
}
