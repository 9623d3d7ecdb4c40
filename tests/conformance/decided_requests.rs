//! The same for what plugins send.

use serde_json::Value;

use crate::{
    Case, Difference,
    decided::{ONE_URL, Rule},
    plugins::Described,
};

/// What differs in identity plugins.
pub(crate) const PLUGINS: [Rule; 17] = [
    Rule {
        decision: "a cache id tells system scopes, unscoped tokens and tokens without a catalog from others",
        covers: |case, difference| {
            let plugin = described(case);
            difference.question == "get_cache_id"
                && (plugin.text("system_scope").is_some()
                    || flag(plugin, "unscoped") == Some(true)
                    || flag(plugin, "include_catalog") == Some(false))
        },
    },
    Rule {
        decision: "no value of a cache id imitates others by a NUL in it",
        covers: |case, difference| {
            difference.question == "get_cache_id" && described(case).texts().any(|text| text.contains('\0'))
        },
    },
    Rule {
        decision: "`https://host` and `https://host/` are one auth_url with one cache id, that of the former",
        covers: |case, difference| {
            let auth_url = described(case).text("auth_url").unwrap_or_default();
            difference.question == "get_cache_id" && auth_url.ends_with('/') && slashes(&auth_url) == 3
        },
    },
    ONE_URL,
    Rule {
        decision: "a domain that is named is not replaced by a default domain with an id",
        covers: |case, difference| {
            let plugin = described(case);
            let said = |name: &str| plugin.text(name).is_some_and(|text| !text.is_empty());
            let named = |of: &str| said(&format!("{of}_domain_name")) && !said(&format!("{of}_domain_id"));
            matches!(&*difference.question, "get_cache_id" | "get_token: requests")
                && plugin.text("default_domain_id").is_some()
                && (named("user") || named("project"))
        },
    },
    Rule {
        decision: "an OAuth 2.0 client credential among several methods is the application credential that it is",
        covers: |case, difference| {
            let methods = described(case).method_names();
            difference.question == "get_cache_id"
                && methods.iter().any(|name| name == "v3oauth2clientcredential")
        },
    },
    MESSAGE,
    RETRY_AFTER,
    Rule {
        decision: "a 3xx in answer to a login is an HTTP error: it will not pass by itself",
        covers: |_, difference| {
            let status = difference.got["http_status"].as_u64();
            error_of(difference) == Some("InvalidResponse") && matches!(status, Some(300..400))
        },
    },
    Rule {
        decision: "a refusal of what is not the current access says that another can be had",
        covers: |case, difference| {
            let renews = difference.got == true && described(case).kind != "access_info";
            difference.question == "invalidate" && difference.expected["result"] == false && renews
        },
    },
    Rule {
        decision: "a v2.0 password of nobody is not sent",
        covers: |case, difference| {
            let plugin = described(case);
            let said = |name| plugin.text(name).is_some_and(|text| !text.is_empty());
            let of_v2 = matches!(&*plugin.kind, "v2password" | "password");
            let nobody = of_v2 && !said("username") && !said("user_id");
            let refused = difference.got["error"] == "AuthorizationFailure";
            nobody && (refused || difference.got.is_null() || is_less(difference))
        },
    },
    Rule {
        decision: "a plugin for a fixed endpoint has its endpoint and its token, or cannot be made",
        covers: |case, difference| is_not_made(described(case), difference),
    },
    Rule {
        decision: "a service without authentication gets no header, and not a token `notused`",
        covers: |case, difference| {
            let expected = &difference.expected["result"];
            let notused = *expected == "notused" || expected["x-auth-token"] == "notused";
            described(case).kind == "noauth" && notused && error_of(difference).is_none()
        },
    },
    Rule {
        decision: "a token whose document names no expiry is good for some minutes",
        covers: |case, difference| {
            let asked = matches!(&*difference.question, "get_token" | "needs_reauthenticate");
            let states = calls(case).filter(|call| call["op"] == "set_auth_state");
            let mut documents = states.map(|call| &call["args"]["state"]["body"]);
            let endless = documents.any(|document| document["token"]["expires_at"].is_null());
            asked && endless && error_of(difference) == Some("KeyError") && difference.got["error"].is_null()
        },
    },
    Rule {
        decision: "a plugin that holds credentials renews; without that (reauthenticate=False) it is an AccessInfoPlugin",
        covers: |case, difference| {
            flag(described(case), "reauthenticate") == Some(false) && is_about_a_later_token(case, difference)
        },
    },
    Rule {
        decision: "a token is renewed in the background, and its lifetime counts from when it was asked for",
        covers: is_about_a_later_token,
    },
    Rule {
        decision: "an AccessInfoPlugin keeps its access info, and without a token in it there is an error",
        covers: |case, difference| {
            let plugin = described(case);
            let forgets = calls(case).any(|call| call["op"] == "set_auth_state");
            let kept = forgets && error_of(difference) == Some("AssertionError");
            let without = plugin.text("token").is_none() && difference.got["error"] == "AuthorizationFailure";
            plugin.kind == "access_info" && (kept || without && difference.expected["result"].is_null())
        },
    },
];

/// Of errors, wherever they come from.
pub(crate) const MESSAGE: Rule = Rule {
    decision: "what an error says is kept (the data has neither message nor details)",
    covers: |_, difference| {
        let says = |what| is(difference, what, Value::is_null, Value::is_string);
        says(": message") || says(": details")
    },
};
pub(crate) const RETRY_AFTER: Rule = Rule {
    decision: "Retry-After is read whatever the status of the error",
    covers: |_, difference| {
        is(difference, ": retry_after", |expected| *expected == 0, |got| got.as_u64() > Some(0))
    },
};

fn described(case: &Case) -> &Described {
    static NONE: std::sync::LazyLock<Described> = std::sync::LazyLock::new(Described::default);
    case.plugin.as_ref().unwrap_or(&NONE)
}

fn flag(plugin: &Described, name: &str) -> Option<bool> {
    plugin.get(name).ok().flatten()
}

pub(crate) fn calls(case: &Case) -> impl Iterator<Item = &Value> {
    case.input["calls"].as_array().into_iter().flatten()
}

pub(crate) fn error_of(difference: &Difference) -> Option<&str> {
    difference.expected["error"].as_str()
}

pub(crate) fn is(
    difference: &Difference,
    member: &str,
    expected: fn(&Value) -> bool,
    got: fn(&Value) -> bool,
) -> bool {
    difference.question.ends_with(member) && expected(&difference.expected) && got(&difference.got)
}

fn slashes(text: &str) -> usize {
    text.matches('/').count()
}

/// A plugin of a fixed endpoint that lacks something, itself or in a part of it.
pub(crate) fn is_not_made(plugin: &Described, difference: &Difference) -> bool {
    fn lacks(plugin: &Described) -> bool {
        let needed: &[&str] = match &*plugin.kind {
            "token_endpoint" => &["endpoint", "token"],
            "http_basic" => &["endpoint", "username", "password"],
            "noauth" => &["endpoint"],
            "service_token" => {
                let parts =
                    ["user_auth", "service_auth"].map(|part| plugin.get::<Described>(part).ok().flatten());
                return parts.iter().flatten().any(lacks);
            }
            _ => return false,
        };
        needed.iter().any(|name| plugin.text(name).is_none_or(|text| text.is_empty()))
    }
    difference.question == "construct" && difference.expected.is_null() && lacks(plugin)
}

/// Whether it is about a token after time has passed.
fn is_about_a_later_token(case: &Case, difference: &Difference) -> bool {
    let later = calls(case).any(|call| call["op"] == "advance_time");
    let token = difference.question == "get_token" && difference.got.is_string();
    later && (token || difference.question == "get_token: requests")
}

/// Whether of the expected requests only the last was not sent.
pub(crate) fn is_less(difference: &Difference) -> bool {
    let requests = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (mut expected, got) = (requests(&difference.expected), requests(&difference.got));
    expected.pop();
    difference.question.ends_with(": requests") && expected == got
}
