//! The intended differences in federated logins, OAuth 2.0 and requests without a token.

use serde_json::{Value, json, value::RawValue};

use crate::{
    Case, Difference,
    changed_case::{agrees_after, same_result_after},
    comparison,
    differences::{error_text, expected_call},
    differences_discovery::change_exchanges,
    differences_requests::{plugin_spec, requests},
    replay::Rule,
    servers::Exchange,
};

/// Differences in plugins without a password at Keystone.
pub(crate) const FEDERATION: &[Rule] = &[
    Rule {
        decision: "the token of a federated login has a cache id, made of the login and the scope (keystoneauth has none)",
        covers: |case, difference, replay| {
            difference.subject == "get_cache_id"
                && is_federated(case)
                && difference.expected["result"].is_null()
                && difference.got.is_string()
                && same_result_after(case, difference, replay, |case| {
                    case.exchanges.clear();
                    true
                })
        },
    },
    Rule {
        decision: "the unscoped token of a login is not part of an auth state; credentials share it, also by a store",
        covers: |case, difference, _| {
            let is_issued = |exchange: &Exchange| {
                let state =
                    json!({"auth_token": exchange.header("x-subject-token"), "body": exchange.document()});
                is_federation_url(&exchange.url) && difference.expected["result"] == state
            };
            difference.subject == "get_unscoped_auth_state"
                && difference.got.is_null()
                && case.exchanges.iter().any(is_issued)
        },
    },
    Rule {
        decision: "a device login has no cache id before it is completed (keystoneauth: that of the client)",
        covers: |case, difference, replay| {
            difference.subject == "get_unscoped_cache_id"
                && is_kind(case, "v3oidcdeviceauthorization")
                && difference.got.is_null()
                && agrees_after(case, difference, replay, |case| {
                    case.plugin
                        .iter_mut()
                        .for_each(|plugin| plugin.kind = "v3oidcclientcredentials".to_owned());
                    true
                })
        },
    },
    Rule {
        decision: "Keystone is asked for an unscoped token as JSON, so that no web server in front of it sends a page for \
                   browsers",
        covers: |_, difference, _| {
            let without_accept = |request: &Value| {
                let mut request = request.clone();
                let is_federation = request["url"].as_str().is_some_and(is_federation_url);
                if let Some(headers) = request["headers"].as_object_mut().filter(|_| is_federation)
                    && headers.get("accept").is_some_and(|accept| accept == "application/json")
                {
                    headers.remove("accept");
                }
                request
            };
            difference.subject == "get_token: requests"
                && requests(&difference.got)
                    .iter()
                    .map(without_accept)
                    .eq(requests(&difference.expected).to_vec())
        },
    },
    Rule {
        decision: "an OAuth 2.0 access token is used until it expires (keystoneauth requests one for each request)",
        covers: |case, difference, _| {
            difference.subject == "get_headers: requests"
                && is_kind(case, "v3oauth2clientcredential")
                && difference.got == json!([])
                && is_access_token_of_last_call(case, difference)
                && previous_call(case, difference)["result"]["Authorization"].is_string()
        },
    },
    Rule {
        decision: "a login with an OAuth 2.0 client credential has failed if it has no access token, so the next one has \
                   two requests again",
        covers: |case, difference, _| {
            difference.subject == "get_headers: requests"
                && is_kind(case, "v3oauth2clientcredential")
                && is_access_token_of_last_call(case, difference)
                && previous_call(case, difference)["error"] == "ClientException"
                && requests(&difference.got) == last_requests(case, difference)
        },
    },
    Rule {
        decision: "an auth state has the OAuth 2.0 access token that is sent beside the token",
        covers: |case, difference, _| {
            let mut expected = difference.expected["result"].clone();
            let token = expected["auth_token"].clone();
            expected.as_object_mut().into_iter().for_each(|state| {
                state.insert("bearer".to_owned(), json!({"access_token": token}));
            });
            difference.subject == "get_auth_state"
                && is_kind(case, "v3oauth2mtlsclientcredential")
                && token.is_string()
                && difference.got == expected
        },
    },
    Rule {
        decision: "a certificate without a scope that Keystone accepts is an error before anything is sent",
        covers: |case, difference, _| {
            let plugin = plugin_spec(case);
            let is_set = |name: &str| plugin.text(name).is_some_and(|text| !text.is_empty());
            let names =
                ["project_id", "project_domain_id", "project_domain_name", "domain_id", "domain_name"];
            let mut calls = case.expect["calls"].as_array().into_iter().flatten().zip(case.calls());
            difference.subject == "construct"
                && plugin.kind == "v3tokenlessauth"
                && !names.into_iter().any(is_set)
                && difference.expected.is_null()
                && calls.any(|(expected, call)| call["op"] == "get_headers" && expected["result"].is_null())
                && difference.got["error"] == "AuthorizationFailure"
                && error_text(&difference.got).contains("set its domain")
        },
    },
    Rule {
        decision: "a provider that says `slow_down` is asked more slowly (RFC 8628, section 3.5)",
        covers: |case, difference, replay| {
            let is_failed = json!({
                "error": "BadRequest", "http_status": 400, "message": null, "details": null, "request_id": null,
                "retry_after": 0,
            });
            let mut failed = expected_call(case, difference).clone();
            failed.as_object_mut().into_iter().for_each(|members| {
                members.retain(|name, _| !matches!(&**name, "requests" | "sleeps"));
            });
            if !is_kind(case, "v3oidcdeviceauthorization") || failed != is_failed {
                return false;
            }
            let is_prefix = |of: &Value| requests(of).starts_with(requests(&difference.expected));
            let (delays, has_slow_down) = delays_of_polls(case);
            has_slow_down
                && match &*difference.subject {
                    "get_token: sleeps" => is_prefix(&json!(delays)) && difference.got == json!(delays),
                    "get_token: requests" => {
                        is_prefix(&difference.got)
                            && same_result_after(case, difference, replay, without_slow_down)
                    }
                    "get_token" => same_result_after(case, difference, replay, without_slow_down),
                    _ => false,
                }
        },
    },
];

fn is_kind(case: &Case, kind: &str) -> bool {
    plugin_spec(case).kind == kind
}

/// Returns whether the plugin obtains an unscoped token first, and not by a device login.
fn is_federated(case: &Case) -> bool {
    let kinds = ["v3oidcaccesstoken", "v3oidcauthorizationcode", "v3oidcclientcredentials", "v3oidcpassword"];
    kinds.contains(&&*plugin_spec(case).kind)
}

fn is_federation_url(url: &str) -> bool {
    url.contains("/v3/OS-FEDERATION/identity_providers/") && url.ends_with("/auth")
}

fn previous_call<'a>(case: &'a Case, difference: &Difference) -> &'a Value {
    difference.call.checked_sub(1).map_or(&Value::Null, |call| &case.expect["calls"][call])
}

fn last_requests(case: &Case, difference: &Difference) -> Vec<Value> {
    requests(&previous_call(case, difference)["requests"])
        .iter()
        .map(comparison::without_default_accept)
        .collect()
}

/// Returns whether keystoneauth sent only the request for an access token, as at the end of the call before.
fn is_access_token_of_last_call(case: &Case, difference: &Difference) -> bool {
    let last = last_requests(case, difference).pop();
    last.is_some() && requests(&difference.expected) == last.as_slice()
}

/// Returns the delays after the responses that are not the last one, and whether one of them is `slow_down`.
fn delays_of_polls(case: &Case) -> (Vec<f64>, bool) {
    let (mut interval, mut delays, mut has_slow_down) = (5.0, Vec::new(), false);
    for exchange in case.exchanges.iter().filter(|exchange| exchange.status == 400) {
        let error = exchange.document()["error"].clone();
        if error == "slow_down" {
            has_slow_down = true;
            interval += 5.0;
        } else if error != "authorization_pending" {
            break;
        }
        delays.push(interval);
    }
    (delays, has_slow_down)
}

fn without_slow_down(case: &mut Case) -> bool {
    change_exchanges(case, |exchange| {
        let pending = json!({"error": "authorization_pending"}).to_string();
        let is_slow_down = exchange.document()["error"] == "slow_down";
        is_slow_down.then(|| exchange.with_document(|_| RawValue::from_string(pending).ok())).flatten()
    })
}
