//! The differences from the reference that are meant, by their kind and never by a case's id.

use serde_json::Value;

use crate::{Case, Difference, answers};

pub(crate) struct Rule {
    /// What this crate answers instead, and why.
    pub(crate) decision: &'static str,
    pub(crate) covers: fn(&Case, &Difference) -> bool,
}

/// Of URLs, wherever they come from.
pub(crate) const ONE_URL: Rule = Rule {
    decision: "`https://host` and `https://host/` are one URL",
    covers: |_, difference| with_paths(answers::value(&difference.expected)) == with_paths(&difference.got),
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

/// What differs in token documents and their catalogs.
pub(crate) const ACCESS: [Rule; 7] = [
    Rule {
        decision: "a `token` or `access` that is no object is refused when it is read, not when it is asked",
        covers: |case, difference| {
            difference.question == "create"
                && difference.got.get("error").is_some()
                && !part(&case.body()).is_object()
        },
    },
    Rule {
        decision: "a time that is null is an absent one",
        covers: |case, difference| {
            let body = case.body();
            let written = match difference.question.as_str() {
                "expires" => time(&body, "expires"),
                "issued" => time(&body, "issued_at"),
                _ => return false,
            };
            error_of(difference) == Some("ValueError") && written.is_null() && difference.got.is_null()
        },
    },
    Rule {
        decision: "a token whose document names no expiry does not expire (the reference means to say so, and raises)",
        covers: |case, difference| {
            difference.question == "will_expire_soon"
                && difference.got == Value::Bool(false)
                && error_of(difference).is_some()
                && time(&case.body(), "expires").is_null()
        },
    },
    Rule {
        decision: "a role without an id (or name) is left out of the ids (or names), the others are listed",
        covers: |_, difference| {
            let partial =
                difference.expected["value"].as_array().is_some_and(|listed| listed.contains(&Value::Null));
            matches!(difference.question.as_str(), "role_ids" | "role_names")
                && difference.got.is_array()
                && (partial || error_of(difference) == Some("KeyError"))
        },
    },
    Rule {
        decision: "a part that is null or of another kind is an absent one",
        covers: |_, difference| {
            let nothing = match &difference.got {
                Value::Null | Value::Bool(false) => true,
                Value::Array(list) => list.is_empty(),
                Value::Object(members) => members.is_empty(),
                _ => false,
            };
            nothing && matches!(error_of(difference), Some("TypeError" | "AttributeError"))
        },
    },
    Rule {
        decision: "several types match and none has an endpoint: an empty answer, not a programming error",
        covers: |_, difference| {
            let nothing = match &difference.got {
                Value::Array(urls) => urls.is_empty(),
                Value::Object(by_type) => {
                    by_type.values().all(|found| found.as_array().is_some_and(Vec::is_empty))
                }
                _ => false,
            };
            let listing = matches!(difference.question.as_str(), "get_urls" | "get_endpoints_data");
            listing && nothing && error_of(difference) == Some("ValueError")
        },
    },
    Rule {
        decision: "only the suffix `URL` is dropped from an interface, not any of the letters U, R and L",
        covers: |case, _| {
            let Some(query) = case.input.get("query") else { return false };
            let names = match &query["interface"] {
                Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
                name => Vec::from_iter(name.as_str()),
            };
            names.iter().any(|name| {
                name.trim_end_matches(['U', 'R', 'L']) != name.strip_suffix("URL").unwrap_or(name)
            })
        },
    },
];

fn error_of(difference: &Difference) -> Option<&str> {
    difference.expected["error"].as_str()
}

/// What stands for the token in either form of the document.
fn part(body: &Value) -> &Value {
    body.get("token").unwrap_or(&body["access"])
}

/// A time as it is written, in either form of the document.
fn time<'a>(body: &'a Value, name: &str) -> &'a Value {
    match (body.get("token"), name) {
        (Some(token), "expires") => &token["expires_at"],
        (Some(token), name) => &token[name],
        (None, name) => &body["access"]["token"][name],
    }
}

pub(crate) const CATALOG: [Rule; 7] = ACCESS;
