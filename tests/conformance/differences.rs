//! The intended differences from the reference, by kind and never by the id of a case.

use serde_json::{Value, json, value::RawValue};

use crate::{Case, Difference, Replay, comparison, malformed};

/// A rule excuses an answer if it is exactly the one that the decision means.
pub(crate) struct Rule {
    /// What this crate answers instead, and why.
    pub(crate) decision: &'static str,
    pub(crate) covers: fn(&Case, &Difference, Replay) -> bool,
}

/// What differs in token documents.
pub(crate) const ACCESS: &[Rule] = &[
    NO_OBJECT,
    Rule {
        decision: "a token that is empty is refused",
        covers: |case, difference, _| {
            let created = ["v2.0", "v3"].iter().any(|version| difference.expected["version"] == *version);
            let empty = *case.input("token") == "" || part(&case.body())["token"]["id"] == "";
            let refused = text_of(&difference.got).starts_with("invalid token: it is empty");
            difference.question == "create" && empty && refused && created
        },
    },
    Rule {
        decision: "a token whose document names no expiry does not expire (the reference means to say so, and raises)",
        covers: |case, difference, _| {
            let written = match (case.body().get("token"), &part(&case.body())["token"]) {
                (Some(token), _) => token["expires_at"].clone(),
                (None, token) => token["expires"].clone(),
            };
            difference.question == "will_expire_soon"
                && difference.got == false
                && is_of_python(&difference.expected)
                && !written.is_string()
        },
    },
    Rule {
        decision: "a role without an id (or name) is left out of the ids (or names), the others are listed",
        covers: |case, difference, _| {
            let said = match &*difference.question {
                "role_ids" => roles(&case.body(), "id"),
                "role_names" => roles(&case.body(), "name"),
                _ => return false,
            };
            let handed_out = difference.expected["value"].as_array().is_some_and(|all| {
                let texts: Vec<_> = all.iter().filter(|name| name.is_string()).cloned().collect();
                texts.len() < all.len()
                    && Value::from(texts) == said
                    && is_made_of(&case.body(), &difference.expected)
            });
            difference.got == said && (is_of_python(&difference.expected) || handed_out)
        },
    },
    Rule {
        decision: "a part that is null or of another kind is an absent one",
        covers: |case, difference, replay| {
            // What is asked for is handed out as it is, or it is a question whether it is there.
            let is_role = matches!(&*difference.question, "role_ids" | "role_names");
            let odd = match &difference.expected["value"] {
                Value::Null if difference.expected.get("error").is_none() => {
                    difference.got.is_string() || is_empty(&difference.got)
                }
                Value::Null => is_of_python(&difference.expected),
                // Also a letter of a text that should have been a list.
                Value::String(text) => text.chars().count() < 2 && difference.got.is_null(),
                Value::Array(_) => !is_role,
                Value::Bool(_) | Value::Number(_) | Value::Object(_) => true,
            };
            // It is a flag, or said by the document itself.
            let flag = difference.expected["value"].is_boolean() && difference.got.is_boolean();
            let said = flag || is_made_of(&case.body(), &difference.expected["value"]);
            said && odd
                && as_after(case, difference, replay, |case| change_body(case, malformed::token_without_odd))
        },
    },
    Rule {
        decision: "an id that is empty is none",
        covers: |_, difference, _| {
            difference.question == "audit_chain_id"
                && difference.expected["value"] == ""
                && difference.got.is_null()
        },
    },
    Rule {
        decision: "what a document does not have is none or false, and not an error",
        covers: |_, difference, _| {
            // A part that is empty is handed out in place of what it does not have.
            let empty = difference.expected["value"] == json!({}) && difference.got.is_null();
            let missing = difference.expected["error"] == "KeyError";
            empty || missing && (difference.got == false || is_empty(&difference.got))
        },
    },
];

/// What differs in look-ups of a catalog.
pub(crate) const CATALOG: &[Rule] = &[
    NO_OBJECT,
    Rule {
        decision: "several types match and none has an endpoint: an empty answer, not a programming error",
        covers: |_, difference, _| {
            let nothing = match &difference.got {
                Value::Object(by_type) => by_type.values().all(is_empty),
                other => is_empty(other),
            };
            let listing = matches!(&*difference.question, "get_urls" | "get_endpoints_data");
            listing && nothing && difference.expected["error"] == "ValueError"
        },
    },
    Rule {
        decision: "a part that is null or of another kind is an absent one",
        covers: |case, difference, replay| {
            let coped = match difference.expected["error"].as_str() {
                Some(class) => {
                    matches!(class, "EmptyCatalog" | "EndpointNotFound") || is_of_python(&difference.expected)
                }
                None => true,
            };
            coped
                && is_made_of(&case.body(), comparison::value(&difference.expected))
                && as_after(case, difference, replay, |case| change_body(case, malformed::token_without_odd))
        },
    },
    Rule {
        decision: "a catalog of services without a type is an empty one",
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
        decision: "a name or an id that is `\"\"` is none",
        covers: |case, difference, replay| {
            let named = !case.input("query")["service_name"].is_null();
            (named || difference.expected.to_string().contains(r#":"""#))
                && as_after(case, difference, replay, |case| {
                    change_body(case, malformed::token_without_empty_names)
                })
        },
    },
    BLANKS,
    Rule {
        decision: "an endpoint whose URL has a query or a fragment is passed over",
        covers: |case, difference, replay| {
            difference.expected.to_string().contains(['?', '#'])
                && as_after(case, difference, replay, |case| {
                    change_body(case, malformed::token_without_queries)
                })
        },
    },
    Rule {
        decision: "only the suffix `URL` is dropped from an interface, not any of the letters U, R and L",
        covers: |case, difference, replay| {
            let stripped = |name: &mut Value| {
                let Some(text) = name.as_str() else { return false };
                let letters = text.trim_end_matches(['U', 'R', 'L']).to_owned();
                let odd = text.strip_suffix("URL").unwrap_or(text) != letters;
                *name = letters.into();
                odd
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

const NO_OBJECT: Rule = Rule {
    decision: "a `token` or `access` that is no object is refused when it is read, not when it is asked",
    covers: |case, difference, _| {
        let created = ["v2.0", "v3"].iter().any(|version| difference.expected["version"] == *version);
        let answered = created || is_of_python(&difference.expected);
        difference.question == "create"
            && answered
            && difference.got["error"] == "InvalidResponse"
            && !part(&case.body()).is_object()
    },
};

/// Of endpoints, wherever their URLs come from.
pub(crate) const BLANKS: Rule = Rule {
    decision: "blanks at either end of an endpoint's URL are no part of it",
    covers: |_, difference, _| trimmed(comparison::value(&difference.expected)) == difference.got,
};

/// The same without the blanks around URLs.
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

/// Of URLs, wherever they come from.
pub(crate) const ONE_URL: Rule = Rule {
    decision: "`https://host` and `https://host/` are one URL",
    covers: |_, difference, _| {
        with_paths(comparison::value(&difference.expected)) == with_paths(&difference.got)
    },
};

/// The same with a path in every URL that is nothing but an origin.
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

/// Whether the answer is the one to the case as `change` leaves it: what it changes makes no difference.
pub(crate) fn as_after(
    case: &Case,
    difference: &Difference,
    replay: Replay,
    change: impl FnOnce(&mut Case) -> bool,
) -> bool {
    let answered = |other: &Difference| {
        is_answer_to_same(other, difference) && without_text(&other.got) == without_text(&difference.got)
    };
    differences_after(case, replay, change).is_some_and(|all| all.iter().any(answered))
}

/// Whether the reference's answer is ours to the case as `change` leaves it: what it changes makes the
/// difference, and nothing else.
pub(crate) fn agrees_after(
    case: &Case,
    difference: &Difference,
    replay: Replay,
    change: impl FnOnce(&mut Case) -> bool,
) -> bool {
    let answered = |other: &Difference| is_answer_to_same(other, difference);
    differences_after(case, replay, change).is_some_and(|all| !all.iter().any(answered))
}

/// An error without its words, which may tell what was asked for.
fn without_text(got: &Value) -> Value {
    let mut got = got.clone();
    if let Some(error) = got.as_object_mut().filter(|members| members.contains_key("error")) {
        error.remove("text");
    }
    got
}

fn is_answer_to_same(difference: &Difference, other: &Difference) -> bool {
    (difference.call, &difference.question) == (other.call, &other.question)
}

/// The differences of the changed case, or nothing if there was nothing to be changed.
fn differences_after(
    case: &Case,
    replay: Replay,
    change: impl FnOnce(&mut Case) -> bool,
) -> Option<Vec<Difference>> {
    let mut changed = case.clone();
    let mut differences = Vec::new();
    (change(&mut changed) && replay(&changed, &mut differences).is_ok()).then_some(differences)
}

fn change_body(case: &mut Case, change: fn(&RawValue) -> Option<Box<RawValue>>) -> bool {
    let changed = case.body.as_deref().and_then(change);
    changed.is_some_and(|changed| case.body.replace(changed).is_some())
}

/// Whether an answer says nothing but what the document does: an error says none, and a version is in a URL.
fn is_made_of(document: &Value, answer: &Value) -> bool {
    fn says(document: &Value, leaf: &Value) -> bool {
        let within = match (document, leaf) {
            (Value::String(said), Value::String(text)) => said.contains(&**text),
            _ => document == leaf,
        };
        within
            || match document {
                Value::Array(elements) => elements.iter().any(|element| says(element, leaf)),
                Value::Object(members) => {
                    members.iter().any(|(name, member)| leaf == name.as_str() || says(member, leaf))
                }
                _ => false,
            }
    }
    match answer {
        Value::Null => true,
        Value::Object(members) if members.contains_key("error") => true,
        Value::Object(members) => {
            members.iter().all(|(name, member)| name == "api_version" || is_made_of(document, member))
        }
        Value::Array(elements) => elements.iter().all(|element| is_made_of(document, element)),
        leaf => says(document, leaf),
    }
}

/// Whether the reference fails as Python does, which says that it does not cope.
pub(crate) fn is_of_python(answer: &Value) -> bool {
    answer["error"].as_str().is_some_and(|class| comparison::ANY_ERROR.contains(&class))
}

pub(crate) fn text_of(got: &Value) -> &str {
    got["text"].as_str().unwrap_or_default()
}

/// Whether it is about what was sent, or how long was waited before.
pub(crate) fn is_about_sending(difference: &Difference) -> bool {
    difference.question.ends_with(": requests") || difference.question.ends_with(": sleeps")
}

/// What the reference answers to the call that it is about.
pub(crate) fn answer<'a>(case: &'a Case, difference: &Difference) -> &'a Value {
    &case.expect["calls"][difference.call]
}

/// The call that it is about.
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

/// What stands for the token in either form of the document.
fn part(body: &Value) -> &Value {
    body.get("token").unwrap_or(&body["access"])
}

/// The ids or names of the roles in either form of the document, as far as they are texts.
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
