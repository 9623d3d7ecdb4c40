//! The intended differences from keystoneauth. A rule covers a kind of difference, and never names the id of a case.

use serde_json::{Value, json, value::RawValue};

use crate::{
    Case, Difference,
    changed_case::{agrees_after, same_result_after},
    comparison, malformed,
    replay::{Rule, value},
};

/// Differences in token documents.
pub(crate) const ACCESS: &[Rule] = &[
    NOT_AN_OBJECT,
    Rule {
        decision: "an empty token is an error",
        covers: |case, difference, _| {
            let created = ["v2.0", "v3"].iter().any(|version| difference.expected["version"] == *version);
            let empty = *case.input("token") == "" || part(&case.body())["token"]["id"] == "";
            let rejected = error_text(&difference.got).starts_with("invalid token: it is empty");
            difference.subject == "create" && empty && rejected && created
        },
    },
    Rule {
        decision: "a token without an expiry does not expire (keystoneauth intends this, but raises an exception)",
        covers: |case, difference, _| {
            let expiry = match (case.body().get("token"), &part(&case.body())["token"]) {
                (Some(token), _) => token["expires_at"].clone(),
                (None, token) => token["expires"].clone(),
            };
            difference.subject == "will_expire_soon"
                && difference.got == false
                && is_python_error(&difference.expected)
                && !expiry.is_string()
        },
    },
    Rule {
        decision: "a role without an id (or name) is omitted from the ids (or names), and the others are listed",
        covers: |case, difference, _| {
            let in_document = match &*difference.subject {
                "role_ids" => roles(&case.body(), "id"),
                "role_names" => roles(&case.body(), "name"),
                _ => return false,
            };
            let is_returned_unchanged = difference.expected["value"].as_array().is_some_and(|all| {
                let texts: Vec<_> = all.iter().filter(|name| name.is_string()).cloned().collect();
                texts.len() < all.len()
                    && Value::from(texts) == in_document
                    && consists_of(&case.body(), &difference.expected)
            });
            difference.got == in_document && (is_python_error(&difference.expected) || is_returned_unchanged)
        },
    },
    Rule {
        decision: "a member that is null or has the wrong type counts as missing",
        covers: |case, difference, replay| {
            // keystoneauth returns the malformed member unchanged, or whether it exists.
            let is_role = matches!(&*difference.subject, "role_ids" | "role_names");
            let is_malformed = match &difference.expected["value"] {
                Value::Null if difference.expected.get("error").is_none() => {
                    difference.got.is_string() || is_empty(&difference.got)
                }
                Value::Null => is_python_error(&difference.expected),
                // Or a character of a text where a list is expected.
                Value::String(text) => text.chars().count() < 2 && difference.got.is_null(),
                Value::Array(_) => !is_role,
                Value::Bool(_) | Value::Number(_) | Value::Object(_) => true,
            };
            // The value is a flag or part of the document.
            let flag = difference.expected["value"].is_boolean() && difference.got.is_boolean();
            let in_document = flag || consists_of(&case.body(), &difference.expected["value"]);
            in_document
                && is_malformed
                && same_result_after(case, difference, replay, |case| {
                    change_body(case, malformed::token_without_malformed)
                })
        },
    },
    Rule {
        decision: "an empty id counts as missing",
        covers: |_, difference, _| {
            difference.subject == "audit_chain_id"
                && difference.expected["value"] == ""
                && difference.got.is_null()
        },
    },
    Rule {
        decision: "a member that the document does not contain is `None` or false, not an error",
        covers: |_, difference, _| {
            // keystoneauth returns an empty object for a missing member.
            let empty = difference.expected["value"] == json!({}) && difference.got.is_null();
            let missing = difference.expected["error"] == "KeyError";
            empty || missing && (difference.got == false || is_empty(&difference.got))
        },
    },
];

/// Differences in catalog lookups.
pub(crate) const CATALOG: &[Rule] = &[
    NOT_AN_OBJECT,
    Rule {
        decision: "if several service types match and none has an endpoint, the result is empty, not an error",
        covers: |_, difference, _| {
            let nothing = match &difference.got {
                Value::Object(by_type) => by_type.values().all(is_empty),
                other => is_empty(other),
            };
            let listing = matches!(&*difference.subject, "get_urls" | "get_endpoints_data");
            listing && nothing && difference.expected["error"] == "ValueError"
        },
    },
    Rule {
        decision: "a member that is null or has the wrong type counts as missing",
        covers: |case, difference, replay| {
            let is_unhandled = match difference.expected["error"].as_str() {
                Some(class) => {
                    matches!(class, "EmptyCatalog" | "EndpointNotFound")
                        || is_python_error(&difference.expected)
                }
                None => true,
            };
            is_unhandled
                && consists_of(&case.body(), value(&difference.expected))
                && same_result_after(case, difference, replay, |case| {
                    change_body(case, malformed::token_without_malformed)
                })
        },
    },
    Rule {
        decision: "a catalog whose services have no type counts as empty",
        covers: |case, difference, _| {
            let body = case.body();
            let services = body["token"].get("catalog").unwrap_or(&body["access"]["serviceCatalog"]);
            difference.expected["error"] == "EndpointNotFound"
                && difference.got["error"] == "EmptyCatalog"
                && services
                    .as_array()
                    .is_some_and(|services| services.iter().all(|service| !service["type"].is_string()))
        },
    },
    Rule {
        decision: "an empty name or id in the catalog counts as missing",
        covers: |case, difference, replay| {
            let named = !case.input("query")["service_name"].is_null();
            (named || difference.expected.to_string().contains(r#":"""#))
                && same_result_after(case, difference, replay, |case| {
                    change_body(case, malformed::token_without_empty_names)
                })
        },
    },
    SPACES_AROUND_URL,
    Rule {
        decision: "an endpoint whose URL has a query or a fragment is skipped",
        covers: |case, difference, replay| {
            difference.expected.to_string().contains(['?', '#'])
                && same_result_after(case, difference, replay, |case| {
                    change_body(case, malformed::token_without_queries)
                })
        },
    },
    Rule {
        decision: "only the suffix `URL` is removed from an interface name, not any trailing letters U, R and L",
        covers: |case, difference, replay| {
            let stripped = |name: &mut Value| {
                let Some(text) = name.as_str() else { return false };
                let letters = text.trim_end_matches(['U', 'R', 'L']).to_owned();
                let differs = text.strip_suffix("URL").unwrap_or(text) != letters;
                *name = letters.into();
                differs
            };
            let nothing = match &difference.got {
                Value::Object(by_type) if !by_type.contains_key("error") => by_type.values().all(is_empty),
                error if error["error"].is_string() => error["error"] == "EndpointNotFound",
                other => is_empty(other),
            };
            let several = case.input("query")["interface"].is_array();
            (nothing || several)
                && agrees_after(case, difference, replay, |case| {
                    let Some(interface) =
                        case.input.get_mut("query").and_then(|query| query.get_mut("interface"))
                    else {
                        return false;
                    };
                    match interface {
                        Value::Array(names) => {
                            names.iter_mut().filter_map(|name| stripped(name).then_some(())).count() > 0
                        }
                        name => stripped(name),
                    }
                })
        },
    },
];

const NOT_AN_OBJECT: Rule = Rule {
    decision: "a `token` or `access` that is not an object is an error when the document is parsed, not when it is \
               used",
    covers: |case, difference, _| {
        let created = ["v2.0", "v3"].iter().any(|version| difference.expected["version"] == *version);
        let has_result = created || is_python_error(&difference.expected);
        difference.subject == "create"
            && has_result
            && difference.got["error"] == "InvalidResponse"
            && !part(&case.body()).is_object()
    },
};

/// A rule for the URL of an endpoint from any source.
pub(crate) const SPACES_AROUND_URL: Rule = Rule {
    decision: "spaces around the URL of an endpoint are removed",
    covers: |_, difference, _| trimmed(value(&difference.expected)) == difference.got,
};

/// Removes spaces around URLs from a value.
fn trimmed(value: &Value) -> Value {
    match value {
        Value::String(url) if url.contains("://") => url.trim().into(),
        Value::Array(elements) => elements.iter().map(trimmed).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), trimmed(value))).collect()
        }
        other => other.clone(),
    }
}

/// A rule for URLs from any source.
pub(crate) const ROOT_PATH: Rule = Rule {
    decision: "`https://host` and `https://host/` are the same URL",
    covers: |_, difference, _| with_paths(value(&difference.expected)) == with_paths(&difference.got),
};

/// Adds the path `/` to every URL without a path.
fn with_paths(value: &Value) -> Value {
    match value {
        Value::String(url)
            if url.split_once("://").is_some_and(|(_, rest)| !rest.contains(['/', '?', '#'])) =>
        {
            format!("{url}/").into()
        }
        Value::Array(elements) => elements.iter().map(with_paths).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), with_paths(value))).collect()
        }
        other => other.clone(),
    }
}

fn change_body(case: &mut Case, change: fn(&RawValue) -> Option<Box<RawValue>>) -> bool {
    let changed = case.body.as_deref().and_then(change);
    changed.is_some_and(|changed| case.body.replace(changed).is_some())
}

/// Returns whether each value of a result occurs in the document. Errors and versions (parts of URLs) are not checked.
fn consists_of(document: &Value, result: &Value) -> bool {
    fn contains_leaf(document: &Value, leaf: &Value) -> bool {
        let within = match (document, leaf) {
            (Value::String(in_document), Value::String(text)) => in_document.contains(&**text),
            _ => document == leaf,
        };
        within
            || match document {
                Value::Array(elements) => elements.iter().any(|element| contains_leaf(element, leaf)),
                Value::Object(members) => {
                    members.iter().any(|(name, member)| leaf == name.as_str() || contains_leaf(member, leaf))
                }
                _ => false,
            }
    }
    match result {
        Value::Null => true,
        Value::Object(members) if members.contains_key("error") => true,
        Value::Object(members) => {
            members.iter().all(|(name, member)| name == "api_version" || consists_of(document, member))
        }
        Value::Array(elements) => elements.iter().all(|element| consists_of(document, element)),
        leaf => contains_leaf(document, leaf),
    }
}

/// Returns whether keystoneauth failed with a Python exception, so that it did not handle the input.
pub(crate) fn is_python_error(result: &Value) -> bool {
    result["error"].as_str().is_some_and(|class| comparison::ANY_ERROR.contains(&class))
}

pub(crate) fn error_text(got: &Value) -> &str {
    got["text"].as_str().unwrap_or_default()
}

/// Returns whether the difference is in the requests or the delays.
pub(crate) fn is_about_sending(difference: &Difference) -> bool {
    difference.subject.ends_with(": requests") || difference.subject.ends_with(": sleeps")
}

/// Returns the expected result of the call.
pub(crate) fn expected_call<'a>(case: &'a Case, difference: &Difference) -> &'a Value {
    &case.expect["calls"][difference.call]
}

/// Returns the call.
pub(crate) fn call<'a>(case: &'a Case, difference: &Difference) -> &'a Value {
    case.calls().get(difference.call).unwrap_or(&Value::Null)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// Returns the `token` or `access` member of a document.
fn part(body: &Value) -> &Value {
    body.get("token").unwrap_or(&body["access"])
}

/// Returns the ids or names of the roles that are texts, in a document of either version.
fn roles(body: &Value, name: &str) -> Value {
    let texts = |list: &Value| -> Value {
        let named = |role: &Value| if role.is_object() { role[name].clone() } else { role.clone() };
        list.as_array().into_iter().flatten().map(named).filter(Value::is_string).collect()
    };
    match (body.get("token"), name) {
        (Some(token), _) => texts(&token["roles"]),
        (None, "id") => texts(&body["access"]["metadata"]["roles"]),
        (None, _) => texts(&body["access"]["user"]["roles"]),
    }
}
