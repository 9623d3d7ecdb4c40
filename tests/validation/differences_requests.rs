//! The intended differences in the requests to Keystone and to other services.

use serde_json::{Value, json};

use crate::{
    Case, Difference,
    changes::{
        agrees_after, elements, header, question, remove_header, step, token, user_token,
        without_failed_login,
    },
    input::{Middleware, application_decides},
    own_token,
    replay::{Replay, Rule},
    servers::Servers,
};

/// Differences in what is sent.
pub(crate) const REQUESTS: &[Rule] = &[
    Rule {
        decision: "Keystone is not asked about the user if the service token rejects the request",
        covers: |case, difference, replay| {
            token(step(case, difference), "x-service-token").is_some()
                && is_only_user_omitted(case, difference, replay, elements(&difference.expected))
        },
    },
    Rule {
        decision: "Keystone is not asked about blanks",
        covers: |case, difference, replay| {
            let step = step(case, difference);
            let is_blank = |name| header(step, name).is_some_and(|value| value.trim().is_empty());
            let mut others = elements(&difference.expected);
            others.retain(|request| *request != question(case, ""));
            others.len() < elements(&difference.expected).len()
                && difference.subject == "requests"
                && (is_blank("x-service-token") || is_blank("x-auth-token"))
                && (difference.got == Value::from(others.clone())
                    || is_only_user_omitted(case, difference, replay, others))
        },
    },
    Rule {
        decision: "Keystone is not asked about a service token if there is no token of the user",
        covers: |case, difference, _| {
            let service = token(step(case, difference), "x-service-token").unwrap_or_default();
            difference.subject == "requests"
                && has_only_service_token(case, difference)
                && difference.expected == json!([question(case, service)])
                && difference.got == json!([])
        },
    },
    Rule {
        decision: "a request is not repeated after a 401 with a token that cannot be renewed",
        covers: |case, difference, _| {
            difference.subject == "requests"
                && difference.expected == with_repeats_after_401(case, &difference.got)
        },
    },
    Rule {
        decision: "the service renews its token in time, and once if Keystone rejects it",
        covers: |case, difference, _| {
            let requests = |behaviour| own_token::requests(case, behaviour).get(difference.call).cloned();
            difference.subject == "requests"
                && requests(own_token::Behaviour::Keystonemiddleware).as_ref() == Some(&difference.expected)
                && requests(own_token::Behaviour::Layer).as_ref() == Some(&difference.got)
        },
    },
    Rule {
        decision: "a token of the service is kept if its catalog has no endpoint of Keystone",
        covers: |case, difference, _| {
            let call = difference.call;
            let error = case.expect[call]["response"]["error"].as_str().unwrap_or_default();
            difference.subject == "requests"
                && call > 0
                && ["EmptyCatalog", "EndpointNotFound"].contains(&error)
                && elements(&difference.expected).iter().all(|request| request["method"] == "POST")
                && difference.expected == case.expect[call - 1]["requests"]
                && difference.got == json!([])
        },
    },
    Rule {
        decision: "a login of the service itself that failed is not repeated for the same request",
        covers: |case, difference, replay| {
            let first = elements(&case.expect[0]["requests"]);
            let Some((login, others)) = first.split_first() else { return false };
            let repeats = |case: &mut Case| {
                case.expect[0]["requests"] = others.into();
                without_failed_login(case)
            };
            difference.subject == "requests"
                && match difference.call {
                    0 => difference.got == json!([login]) && agrees_after(case, difference, replay, repeats),
                    _ => {
                        let before =
                            Difference { call: 0, subject: "requests".to_owned(), ..difference.clone() };
                        difference.expected == json!([])
                            && difference.got == Value::from(others)
                            && agrees_after(case, &before, replay, repeats)
                    }
                }
        },
    },
    Rule {
        decision: "a token is validated again in the background before its lifetime in the cache ends",
        covers: |case, difference, _| {
            let user = user_token(step(case, difference)).unwrap_or_default();
            let question = question(case, user);
            let lifetime = case.options.token_cache_time.unwrap_or(300) as f64;
            let age = age(case, difference.call, &question);
            difference.subject == "requests"
                && age.is_some_and(|age| age >= lifetime * 0.7 && age < lifetime)
                && difference.expected == json!([])
                && difference.got == json!([question])
        },
    },
    Rule {
        decision: "a token that has expired is not asked about again, if the cache still has its document",
        covers: |case, difference, _| {
            let user = user_token(step(case, difference)).unwrap_or_default();
            let question = question(case, user);
            let has_expired = own_token::has_expired(case, user, difference.call);
            difference.subject == "requests"
                && age(case, difference.call, &question).is_some()
                && has_expired
                && difference.expected == json!([question])
                && difference.got == json!([])
        },
    },
    Rule {
        decision: "a token that has expired counts as unknown, so that it is cached for a shorter time",
        covers: |case, difference, replay| {
            let mut once = elements(&difference.got);
            once.dedup();
            difference.subject == "requests"
                && difference.expected == Value::from(once)
                && agrees_after(case, difference, replay, |case| {
                    case.options.unknown_token_cache_time = 10;
                    true
                })
        },
    },
    Rule {
        decision: "the certificate is compared after the token has been validated",
        covers: |case, difference, _| {
            let step = step(case, difference);
            let user = user_token(step).unwrap_or_default();
            difference.subject == "requests"
                && case.middleware == Middleware::OAuth2Mtls
                && step.peer_cert.is_none()
                && difference.expected == json!([])
                && difference.got == json!([question(case, user)])
        },
    },
    Rule {
        decision: "Keystone is not asked for version documents to make a challenge",
        covers: |case, difference, _| {
            let auth_url = case.plugin.text("auth_url").unwrap_or_default();
            let mut with_document = elements(&difference.got);
            with_document.push(get(&format!("{}/", auth_url.trim_end_matches('/'))));
            difference.subject == "requests"
                && case.options.www_authenticate_uri.as_deref().is_none_or(str::is_empty)
                && difference.expected == Value::from(with_document)
        },
    },
    Rule {
        decision: "version documents are cached",
        covers: |case, difference, _| {
            let earlier = case.expect[..difference.call].iter().flat_map(|step| elements(&step["requests"]));
            let mut seen: Vec<_> = earlier.collect();
            let mut others = elements(&difference.expected);
            others.retain(|request| {
                let is_repeated = request["headers"] == json!({}) && seen.contains(request);
                seen.push(request.clone());
                !is_repeated
            });
            difference.subject == "requests"
                && others.len() < elements(&difference.expected).len()
                && difference.got == Value::from(others)
        },
    },
    Rule {
        decision: "Keystone is not asked at a URL that is not known to be that of its API v3",
        covers: |case, difference, _| {
            let step = step(case, difference);
            let requests = elements(&case.expect[difference.call]["requests"]);
            let Some(document) = requests.first().and_then(|request| request["url"].as_str()) else {
                return false;
            };
            let endpoint = document.trim_end_matches('/');
            let mut question = question(case, user_token(step).unwrap_or_default());
            question["url"] = format!("{endpoint}/auth/tokens").into();
            let is_recorded = |request: &Value| *request == question || *request == get(document);
            let got = elements(&difference.got);
            let delays = || got.iter().filter_map(Value::as_f64).sum::<f64>();
            requests.contains(&question)
                && requests.iter().all(is_recorded)
                && match &*difference.subject {
                    "requests" => got.len() <= 4 && got.iter().all(|request| *request == get(document)),
                    // The same, unless there is nothing to be repeated.
                    "sleeps" => {
                        difference.expected == json!([0.5, 1.0, 2.0])
                            && got.iter().all(Value::is_number)
                            && (got.is_empty() || (delays() - 3.5).abs() < 0.001)
                    }
                    _ => false,
                }
        },
    },
    Rule {
        decision: "Keystone is not asked about a token that is not ASCII, or has more than 8,192 characters",
        covers: |case, difference, _| {
            let user = user_token(step(case, difference)).unwrap_or_default();
            difference.subject == "requests"
                && (user.len() > 8_192 || !user.is_ascii())
                && difference.expected == json!([question(case, user)])
                && difference.got == json!([])
        },
    },
];

/// Returns whether these requests are the sent ones and the question about the user, and the service token rejects the
/// request.
fn is_only_user_omitted(case: &Case, difference: &Difference, replay: Replay, sent: Vec<Value>) -> bool {
    let got = elements(&difference.got);
    let Some(about_user) = sent.strip_prefix(got.as_slice()).filter(|omitted| !omitted.is_empty()) else {
        return false;
    };
    difference.subject == "requests"
        && !application_decides(case)
        && agrees_after(case, difference, replay, |case| {
            case.expect[difference.call]["requests"] = about_user.into();
            remove_header(case, difference.call, "x-service-token")
        })
}

/// Returns whether the client sends a service token only, and the layer decides.
fn has_only_service_token(case: &Case, difference: &Difference) -> bool {
    let step = step(case, difference);
    let auth_token = header(step, "x-auth-token").or_else(|| header(step, "x-storage-token"));
    auth_token.is_none_or(str::is_empty)
        && token(step, "x-service-token").is_some()
        && !application_decides(case)
}

/// Repeats each request that is rejected with 401, unless another one follows with a renewed token.
fn with_repeats_after_401(case: &Case, sent: &Value) -> Value {
    let servers = Servers::new(&case.exchanges);
    let mut all = Vec::new();
    for request in elements(sent) {
        let is_rejected = own_token::status(&servers, &request) == Some(401);
        if is_rejected {
            all.push(request.clone());
        }
        all.push(request);
    }
    all.into()
}

/// Returns a request without any of the headers that are compared.
fn get(url: &str) -> Value {
    json!({"method": "GET", "url": url, "headers": {}, "body": null})
}

/// Returns the seconds since the last step with this request.
fn age(case: &Case, call: usize, request: &Value) -> Option<f64> {
    let has_request = |step: &usize| elements(&case.expect[*step]["requests"]).contains(request);
    let asked = (0..call).rev().find(has_request)?;
    Some(case.steps[asked + 1..=call].iter().map(|step| step.advance).sum())
}
