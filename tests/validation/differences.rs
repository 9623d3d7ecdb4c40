//! The intended differences from keystonemiddleware. A rule covers a kind of difference, and never names the id of a
//! case.

use serde_json::{Value, json};

use crate::{
    Case, Difference,
    access_rules::is_decided_by_rules,
    changed_case::{differences_after, same_result_after},
    changes::{
        agrees_after, change_tokens, document, elements, may_differ_in, remove_header, step, token,
        user_token, without_access_rules, without_failed_login,
    },
    input::{Middleware, Step, application_decides},
    replay::Rule,
    responses::{self, EXCEPTIONS, is_exception, recorded_unavailable, rejected, unauthorized, unavailable},
    servers::Exchange,
};

/// Differences in the response, and in what the application sees.
pub(crate) const RESPONSES: &[Rule] = &[
    Rule {
        decision: "a 503 has a JSON document and a Retry-After",
        covers: |case, difference, _| {
            difference.subject == "response"
                && difference.expected == recorded_unavailable(step(case, difference))
                && is_unavailable(case, difference)
        },
    },
    Rule {
        decision: "if Keystone cannot be asked, the response is 503, or the token is invalid if the application decides",
        covers: |case, difference, _| {
            let caught = match &*difference.subject {
                "response" => is_exception(&difference.expected, &EXCEPTIONS),
                "application" => {
                    let response = &case.expect[difference.call]["response"];
                    difference.expected.is_null() && is_exception(response, &EXCEPTIONS)
                }
                _ => false,
            };
            caught
                && may_differ_in(case, "uncaught")
                && is_keystone_in_trouble(case, difference)
                && is_result_of_outage(case, difference)
        },
    },
    Rule {
        decision: "a login of the service itself that fails with 404 is an outage, and says nothing about the token",
        covers: |case, difference, _| {
            difference.subject == "response"
                && may_differ_in(case, "own-failure-as-401")
                && difference.expected == unauthorized(case, step(case, difference))
                && is_unavailable(case, difference)
        },
    },
    Rule {
        decision: "a token document without a user is nonsense, also if the token has expired",
        covers: |case, difference, _| {
            let step = step(case, difference);
            let document = user_token(step).and_then(|token| document(case, token));
            difference.subject == "response"
                && document.is_some_and(|token| token["user"]["id"].is_null())
                && difference.expected == unauthorized(case, step)
                && is_unavailable(case, difference)
        },
    },
    Rule {
        decision: "a token that is too large for Keystone is unknown",
        covers: |case, difference, _| {
            let step = step(case, difference);
            let user = user_token(step);
            let is_too_large = case.exchanges.iter().any(|exchange| {
                exchange.status == 431 && user.is_some() && exchange.when_subject.as_deref() == user
            });
            difference.subject == "response"
                && is_too_large
                && difference.expected == recorded_unavailable(step)
                && difference.got == unauthorized(case, step)
        },
    },
    Rule {
        decision: "a 404 without an error document of Keystone says nothing about the token",
        covers: |case, difference, _| {
            let step = step(case, difference);
            let user = user_token(step);
            let is_from_a_proxy = case.exchanges.iter().any(|exchange| {
                exchange.status == 404
                    && exchange.json.is_none()
                    && user.is_some()
                    && exchange.when_subject.as_deref() == user
            });
            difference.subject == "response"
                && is_from_a_proxy
                && difference.expected == unauthorized(case, step)
                && is_unavailable(case, difference)
        },
    },
    Rule {
        decision: "a service token that rejects the request decides, whether Keystone can be asked about the user or not",
        covers: |case, difference, replay| {
            let step = step(case, difference);
            let without_service = |case: &mut Case| remove_header(case, difference.call, "x-service-token");
            let is_outage = |other: &Difference| {
                other.call == difference.call && other.subject == "response" && is_unavailable(case, other)
            };
            difference.subject == "response"
                && !application_decides(case)
                && difference.expected == recorded_unavailable(step)
                && difference.got == unauthorized(case, step)
                && differences_after(case, replay, without_service)
                    .is_some_and(|all| all.iter().any(is_outage))
        },
    },
    Rule {
        decision: "a login of the service itself that failed is not repeated for the same request",
        covers: |case, difference, replay| {
            is_rejected(case, difference) && agrees_after(case, difference, replay, without_failed_login)
        },
    },
    Rule {
        decision: "Keystone is asked at most twice about a token if it rejects that of the service",
        covers: |case, difference, replay| {
            let is_outage = match &*difference.subject {
                "response" => is_unavailable(case, difference),
                "application" => difference.got.is_null(),
                _ => false,
            };
            is_outage
                && agrees_after(case, difference, replay, |case| {
                    let before = case.exchanges.len();
                    let mut first = true;
                    case.exchanges.retain(|exchange| exchange.status != 401 || std::mem::take(&mut first));
                    case.exchanges.len() < before
                })
        },
    },
    Rule {
        decision: "a service catalog that Keystone sends although it was not asked for is passed on",
        covers: |case, difference, replay| {
            difference.subject == "application: service_catalog"
                && difference.expected.is_null()
                && case.options.include_service_catalog == Some(false)
                && same_result_after(case, difference, replay, |case| {
                    case.options.include_service_catalog = None;
                    for exchange in &mut case.exchanges {
                        exchange.url = exchange.url.replace("nocatalog&", "").replace("?nocatalog", "");
                    }
                    true
                })
        },
    },
    Rule {
        decision: "a token that is bound to a certificate needs this certificate, in whichever header it comes",
        covers: |case, difference, replay| {
            let step = step(case, difference);
            let document = user_token(step).and_then(|token| document(case, token)).unwrap_or_default();
            document["oauth2_credential"]["x5t#S256"].is_string()
                && step.peer_cert.is_none()
                && case.middleware != Middleware::OAuth2Mtls
                && is_rejected(case, difference)
                && agrees_after(case, difference, replay, |case| {
                    // The status of the identity is another difference.
                    add_status(case, difference);
                    change_tokens(case, |token| {
                        token.as_object_mut().is_some_and(|token| token.remove("oauth2_credential").is_some())
                    })
                })
        },
    },
    Rule {
        decision: "a token that has expired is not valid again, if the cache still has its document",
        covers: |case, difference, replay| {
            let recorded = &case.expect[difference.call];
            recorded["requests"] != json!([])
                && difference.call > 0
                && (recorded["application"]["identity"]["x-identity-status"] == "Confirmed"
                    || matches!(&*difference.subject, "response" | "application"))
                && is_rejected(case, difference)
                && agrees_after(case, difference, replay, never_expires)
        },
    },
    Rule {
        decision: "the application has no identity of a token that is not confirmed",
        covers: |case, difference, replay| {
            let headers = &case.expect[difference.call]["application"]["identity"];
            let is_confirmed = |name: &str| headers[name] == "Confirmed";
            let confirmed = json!({
                "user": is_confirmed("x-identity-status"),
                "service": is_confirmed("x-service-identity-status"),
            });
            difference.subject == "application: token_auth"
                && difference.got == confirmed
                && agrees_after(case, difference, replay, accept_all_tokens)
        },
    },
    Rule {
        decision: "the status of the identity is always set",
        covers: |case, difference, _| {
            let with_status =
                with_member(&difference.expected, "x-identity-status", Some("Confirmed".into()));
            difference.subject == "application: identity"
                && case.middleware != Middleware::AuthToken
                && difference.expected.get("x-identity-status").is_none()
                && difference.got == with_status
        },
    },
    Rule {
        decision: "a system scope that the client claims is removed",
        covers: |case, difference, _| {
            let claimed = step(case, difference).headers.iter().find(|(name, _)| is_system_scope(name));
            let claim = claimed.map(|(_, value)| value.to_string().into());
            let with_claim = with_member(&difference.got, SYSTEM_SCOPE, claim);
            difference.subject == "application: identity"
                && may_differ_in(case, "system-scope-spoofed")
                && claimed.is_some()
                && difference.got.get(SYSTEM_SCOPE).is_none()
                && difference.expected == with_claim
        },
    },
    Rule {
        decision: "the system scope is that of the user, not of the service",
        covers: |case, difference, _| {
            let step = step(case, difference);
            let scope = |token: Option<&str>, status: &str| {
                let document = token.and_then(|token| document(case, token));
                let is_confirmed = difference.expected[status] == "Confirmed";
                let scoped = document.filter(|token| is_confirmed && token["system"]["all"] == true);
                scoped.map(|_| Value::from("all"))
            };
            let of_user = scope(user_token(step), "x-identity-status");
            let of_service = scope(token(step, "x-service-token"), "x-service-identity-status");
            difference.subject == "application: identity"
                && may_differ_in(case, "system-scope-of-service")
                && difference.expected.get(SYSTEM_SCOPE) == of_service.as_ref()
                && difference.got == with_member(&difference.expected, SYSTEM_SCOPE, of_user)
        },
    },
    Rule {
        decision: "a role whose name contains a comma is in no header, only in the typed identity",
        covers: |case, difference, _| {
            let without = without_roles_with_comma(case, step(case, difference), &difference.expected);
            matches!(&*difference.subject, "application: identity" | "typed identity")
                && may_differ_in(case, "role-with-comma")
                && difference.got == without
        },
    },
    Rule {
        decision: "the path of an access rule is compared literally",
        covers: |case, difference, replay| {
            // `error` is the class of a broken regular expression.
            may_differ_in(case, "rule-is-regex") && is_decided_by_rules(case, difference, replay, &["error"])
        },
    },
    Rule {
        decision: "access rules are enforced without a service catalog, too",
        covers: |case, difference, replay| {
            may_differ_in(case, "uncaught") && is_decided_by_rules(case, difference, replay, &["KeyError"])
        },
    },
    Rule {
        decision: "only a service token that is confirmed and has a service role lifts access rules",
        covers: |case, difference, replay| {
            token(step(case, difference), "x-service-token").is_some()
                && is_decided_by_rules(case, difference, replay, &[])
        },
    },
    Rule {
        decision: "a header with `_` in its name is another header",
        covers: |case, difference, replay| {
            let call = difference.call;
            let names = case.steps[call].headers.iter().map(|(name, _)| name);
            let Some(name) = names.clone().find(|name| name.eq_ignore_ascii_case("x_auth_token")) else {
                return false;
            };
            let renamed = |case: &mut Case| {
                for (header, _) in case.steps[call].headers.iter_mut().filter(|(header, _)| header == name) {
                    *header = header.replace('_', "-");
                }
                true
            };
            agrees_after(case, difference, replay, renamed)
                && same_result_after(case, difference, replay, |case| remove_header(case, call, name))
        },
    },
    Rule {
        decision: "a token that is not ASCII is unknown",
        covers: |case, difference, replay| {
            let call = difference.call;
            let with_ascii = |case: &mut Case| {
                for exchange in &mut case.exchanges {
                    exchange.when_subject = exchange.when_subject.take().map(|_| "t".into());
                }
                case.steps[call].headers = vec![("X-Auth-Token".to_owned(), "t".into())];
                true
            };
            user_token(&case.steps[call]).is_some_and(|token| !token.is_ascii())
                && difference.subject != "requests"
                && is_rejected(case, difference)
                && agrees_after(case, difference, replay, with_ascii)
        },
    },
    Rule {
        decision: "quotes in the URI of a challenge are escaped",
        covers: |case, difference, _| {
            let uri = case.options.www_authenticate_uri.as_deref().unwrap_or_default();
            let challenge = |uri: &str| Some(json!([format!("Keystone uri=\"{uri}\"")]));
            let escaped = challenge(&uri.replace('"', "\\\""));
            difference.subject == "response"
                && uri.contains('"')
                && difference.expected.get("www_authenticate") == challenge(uri).as_ref()
                && difference.got == with_member(&difference.expected, "www_authenticate", escaped)
        },
    },
    Rule {
        decision: "without another setting, a challenge names the auth_url of the plugin as it was given",
        covers: |case, difference, _| {
            let is_unset = case.options.www_authenticate_uri.as_deref().is_none_or(str::is_empty);
            let auth_url = case.plugin.text("auth_url").unwrap_or_default();
            let auth_url = auth_url.trim_end_matches('/');
            let challenge = |url: &str| Some(json!([format!("Keystone uri=\"{url}\"")]));
            let expected = difference.expected.get("www_authenticate").cloned();
            difference.subject == "response"
                && is_unset
                && [challenge(&format!("{auth_url}/v3/")), challenge(&format!("{auth_url}/"))]
                    .contains(&expected)
                && difference.got
                    == with_member(&difference.expected, "www_authenticate", challenge(auth_url))
        },
    },
];

const SYSTEM_SCOPE: &str = "openstack-system-scope";

fn is_system_scope(name: &str) -> bool {
    name.replace('_', "-").eq_ignore_ascii_case(SYSTEM_SCOPE)
}

/// Returns an object with a member that has this value, or without it.
fn with_member(object: &Value, name: &str, value: Option<Value>) -> Value {
    let mut object = object.clone();
    if let Some(members) = object.as_object_mut() {
        members.remove(name);
        members.extend(value.map(|value| (name.to_owned(), value)));
    }
    object
}

/// Returns whether the result is that of a token that is rejected.
fn is_rejected(case: &Case, difference: &Difference) -> bool {
    let rejected = rejected(case, step(case, difference), difference);
    rejected.is_some_and(|rejected| difference.got == rejected)
}

/// Returns whether Keystone cannot be asked: it has no endpoint, does not respond, or does not respond with a document.
fn is_keystone_in_trouble(case: &Case, difference: &Difference) -> bool {
    let error = case.expect[difference.call]["response"]["error"].as_str().unwrap_or_default();
    let is_trouble = |exchange: &Exchange| {
        let has_token = exchange.method == "GET" || !exchange.header("x-subject-token").is_empty();
        let is_document = has_token && exchange.document()["token"]["user"]["id"].is_string();
        exchange.error.is_some() || exchange.status < 400 && !is_document
    };
    matches!(error, "EndpointNotFound" | "EmptyCatalog") || case.exchanges.iter().any(is_trouble)
}

/// Returns whether the result is that of a Keystone that cannot be asked.
fn is_result_of_outage(case: &Case, difference: &Difference) -> bool {
    let step = step(case, difference);
    match (&*difference.subject, application_decides(case)) {
        ("response", true) => difference.got == responses::of_application(step),
        ("response", _) => is_unavailable(case, difference),
        ("application", true) => difference.got == responses::invalid(step),
        _ => false,
    }
}

/// Returns whether this crate responds with 503, and says when Keystone asks to be asked again, or after 5 s.
fn is_unavailable(case: &Case, difference: &Difference) -> bool {
    let asked = case.exchanges.iter().map(|exchange| exchange.header("retry-after"));
    let retry_after = asked.filter(|seconds| !seconds.is_empty()).chain(["5"]).next().unwrap_or_default();
    difference.got == unavailable(step(case, difference), retry_after)
}

/// Changes the case so that all tokens that Keystone knows are accepted.
fn accept_all_tokens(case: &mut Case) -> bool {
    case.options.service_token_roles_required = Some(false);
    without_access_rules(case);
    never_expires(case);
    true
}

fn never_expires(case: &mut Case) -> bool {
    change_tokens(case, |token| {
        token["expires_at"] = "2099-01-01T00:00:00.000000Z".into();
        true
    })
}

/// Adds the status of the identity to the expectation, if only that is missing.
fn add_status(case: &mut Case, difference: &Difference) {
    let identity = &mut case.expect[difference.call]["application"]["identity"];
    if identity.is_object() && identity.get("x-identity-status").is_none() {
        identity["x-identity-status"] = "Confirmed".into();
    }
}

/// Removes the roles of a token with a comma in their names.
fn without_roles_with_comma(case: &Case, step: &Step, identity: &Value) -> Value {
    let mut identity = identity.clone();
    let tokens = [
        (user_token(step), &["x-roles", "x-role"][..]),
        (token(step, "x-service-token"), &["x-service-roles"]),
    ];
    for (token, names) in tokens {
        let document = token.and_then(|token| document(case, token)).unwrap_or_default();
        let roles = elements(&document["roles"]);
        let roles: Vec<_> = roles.iter().filter_map(|role| role["name"].as_str()).collect();
        let kept: Vec<_> = roles.iter().copied().filter(|role| !role.contains(',')).collect();
        for name in names {
            if identity[name] == roles.join(",") {
                identity[name] = kept.join(",").into();
            }
        }
    }
    identity
}
