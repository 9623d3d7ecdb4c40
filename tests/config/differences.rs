//! The intended differences from openstacksdk. A rule covers a kind of difference, and never names the id of a case.
//!
//! Where openstacksdk guesses, this crate returns an error. Otherwise a setting has its evident meaning. A rule changes
//! the input, so that both agree or that the result of this crate stays the same, to check the cause of a difference.

use serde_json::{Value, json};

use crate::{
    Case, Difference,
    changed_case::{differences_after, same_result_after},
    error,
    replay::{Replay, Rule},
    warnings,
    written::{self, change_files, converted, plain_scalars},
};

/// Differences in a cloud that both load.
pub(crate) const LOADED_CLOUDS: &[Rule] = &[
    Rule {
        decision: "an argument takes precedence over the same setting in a file, wherever it is written there",
        covers: |case, difference, replay| {
            // In `auth` of a file if the argument is outside, and the other way round.
            let loses = |case: &Case, name: &str, indent: &str| {
                written::texts(case).any(|text| text.contains(&format!("\n{indent}{name}:")))
            };
            let without_losing = |case: &mut Case| {
                let before = case.args.clone();
                let all = case.clone();
                case.args.retain(|name, _| !loses(&all, name, "      "));
                if let Some(auth) = case.args.get_mut("auth").and_then(Value::as_object_mut) {
                    auth.retain(|name, _| !loses(&all, name, "    "));
                }
                case.args != before
            };
            agrees_after(case, difference, replay, without_losing)
                && same_result_after(case, difference, replay, |case| {
                    let in_auth = case.args.get("auth").and_then(Value::as_object);
                    let all = case
                        .args
                        .iter()
                        .filter(|(name, _)| *name != "auth")
                        .chain(in_auth.into_iter().flatten());
                    let names: Vec<_> =
                        all.filter(|(_, value)| !value.is_null()).map(|(name, _)| name.clone()).collect();
                    change_files(case, |text| written::without_members(text, &names))
                })
        },
    },
    Rule {
        decision: "an application credential without an auth type is used, if there is no password",
        covers: |case, difference, replay| {
            // openstacksdk selects the auth type `password`, and fails for want of a password.
            let recorded = match &*difference.subject {
                "auth_type" => difference.expected == "password",
                "authentication: requests" => {
                    let get = json!({
                        "method": "GET",
                        "url": written::auth_url(case),
                        "headers": {"accept": "application/json"},
                        "body": null,
                    });
                    difference.expected == json!([get])
                }
                _ => false,
            };
            recorded
                && case.expect["authentication"]["kind"] == "password_missing"
                && same_result_after(case, difference, replay, |case| {
                    with_auth_type(case, "v3applicationcredential")
                })
        },
    },
    Rule {
        decision: "a text has the characters that were written, also if YAML has a number or a boolean there",
        covers: |case, difference, replay| {
            let is_converted = |scalar: &str| {
                converted(scalar).is_some_and(|converted| {
                    let expected = replaced(&difference.got, scalar, &converted);
                    expected != difference.got && expected == difference.expected
                })
            };
            // openstacksdk has no password then, or cannot send it.
            let is_lost = |scalar: &str| {
                difference.subject == "authentication: requests"
                    && (converted(scalar) == Some(false.into()) || written::is_date(scalar))
                    && difference.got.as_array().and_then(|sent| sent.first())
                        == difference.expected.as_array().filter(|sent| sent.len() == 1).map(|sent| &sent[0])
                    && same_result_after(case, difference, replay, |case| {
                        change_files(case, |text| {
                            text.replace(&format!(": {scalar}\n"), &format!(": '{scalar}'\n"))
                        })
                    })
            };
            plain_scalars(case).into_iter().any(|scalar| is_converted(scalar) || is_lost(scalar))
        },
    },
    Rule {
        decision: "the name of a cloud has the characters that were written, also if YAML has a boolean there",
        covers: |case, difference, _| {
            let name = difference.got.as_str().unwrap_or_default();
            let is_name = written::texts(case).any(|text| text.contains(&format!("\n  {name}:\n")));
            let expected = match converted(name) {
                Some(Value::Bool(true)) => "True",
                Some(Value::Bool(false)) => "False",
                _ => return false,
            };
            difference.subject == "cloud" && is_name && difference.expected == expected
        },
    },
    Rule {
        decision: "the earlier of several merged mappings takes precedence, as YAML says",
        covers: |case, difference, replay| {
            agrees_after(case, difference, replay, |case| {
                change_files(case, |text| text.replace("<<: [*a, *b]", "<<: [*b, *a]"))
            }) && same_result_after(case, difference, replay, |case| {
                // With its own anchor alone, the later mapping does not matter.
                change_files(case, |text| text.replace("&b {auth_url: \"https://other/v3\", ", "&b {"))
            })
        },
    },
    Rule {
        decision: "a quoted boolean is a boolean, not the path of a file",
        covers: |case, difference, replay| {
            let recorded = match written::setting(case, "verify") {
                Some(text) => written::absolute(case, text),
                None => true.into(),
            };
            difference.subject == "tls"
                && difference.expected == json!({"verify": recorded, "cert": difference.got["cert"]})
                && same_result_after(case, difference, replay, |case| {
                    written::unquote(case, &["verify", "insecure"])
                })
        },
    },
    Rule {
        decision: "a version with the minor number 0, such as 2.0, is no microversion",
        covers: |case, difference, _| {
            let texts = (difference.expected.as_str(), difference.got.as_str());
            let (Some(expected), Some(got)) = texts else { return false };
            let is_written = written::texts(case).any(|text| text.contains("_api_version: '2.0'\n"));
            difference.subject.ends_with(".endpoint")
                && is_written
                && expected.strip_suffix(", microversion 2.0)") == got.strip_suffix(")")
                && got.ends_with(", version 2.0)")
        },
    },
    Rule {
        decision: "no token is sent without authentication",
        covers: |_, difference, _| {
            let headers = json!({"x-auth-token": "notused"});
            difference.subject == "authentication"
                && difference.expected["headers"] == headers
                && difference.got == json!({"headers": {}, "endpoint": difference.expected["endpoint"]})
        },
    },
    Rule {
        decision: "a system scope is not omitted from a login: v2.0, which has none, is an error",
        covers: |case, difference, replay| {
            let fails = match &*difference.subject {
                "authentication" => difference.got["error"] == "DiscoveryFailure",
                "authentication: requests" => {
                    let first = difference.expected.as_array().and_then(|sent| sent.first());
                    first.is_some_and(|first| difference.got == json!([first]))
                }
                _ => false,
            };
            fails
                && agrees_after(case, difference, replay, |case| {
                    change_files(case, |text| written::without_members(text, &["system_scope".to_owned()]))
                })
        },
    },
    Rule {
        decision: "Keystone is asked for an unscoped token as JSON, so that no web server in front of it sends a page for \
                   browsers",
        covers: |_, difference, _| {
            let without_accept = |request: &Value| {
                let mut request = request.clone();
                let url = request["url"].as_str().unwrap_or_default();
                let is_federation = url.contains("/OS-FEDERATION/identity_providers/");
                let headers = request.get_mut("headers").and_then(Value::as_object_mut);
                if let Some(headers) = headers.filter(|_| is_federation)
                    && headers.get("accept").is_some_and(|accept| accept == "application/json")
                {
                    headers.remove("accept");
                }
                request
            };
            let without_accepts =
                |requests: &Vec<Value>| requests.iter().map(without_accept).collect::<Value>();
            difference.subject == "authentication: requests"
                && difference.got.as_array().map(without_accepts).as_ref() == Some(&difference.expected)
        },
    },
    Rule {
        decision: "a failed version discovery is not logged: the error of the login says what was tried",
        covers: |_, difference, _| {
            let expected = difference.expected.as_array().into_iter().flatten();
            let logged: Vec<_> =
                expected.filter(|warning| **warning != "discovery_failed").cloned().collect();
            difference.subject == "warnings" && difference.got == Value::from(logged)
        },
    },
    Rule {
        decision: "a setting without effect, or with a bad one, is logged",
        covers: |case, difference, _| has_own_warnings(case, difference),
    },
];

/// Sets the auth type by an argument.
pub(crate) fn with_auth_type(case: &mut Case, auth_type: &str) -> bool {
    case.args.insert("auth_type".to_owned(), auth_type.into()).is_none()
}

/// Returns whether both load the changed case, and agree on the subject of the difference.
fn agrees_after(
    case: &Case,
    difference: &Difference,
    replay: Replay,
    change: impl FnOnce(&mut Case) -> bool,
) -> bool {
    let agrees = |other: &Difference| other.subject != "load" && other.subject != difference.subject;
    differences_after(case, replay, change).is_some_and(|all| all.iter().all(agrees))
}

/// Returns whether both agree wholly on the changed case, but for settings that this crate lists as missing and for
/// its own warnings, too.
pub(crate) fn agrees_wholly_after(
    case: &Case,
    replay: Replay,
    change: impl FnOnce(&mut Case) -> bool,
) -> bool {
    let is_allowed = |other: &Difference| lists_missing(other) || has_own_warnings(case, other);
    differences_after(case, replay, change).is_some_and(|all| all.iter().all(is_allowed))
}

/// Returns whether only this crate has some of the warnings, and all others agree.
fn has_own_warnings(case: &Case, difference: &Difference) -> bool {
    let (Some(expected), Some(got)) = (difference.expected.as_array(), difference.got.as_array()) else {
        return false;
    };
    let (own, recorded): (Vec<_>, Vec<_>) =
        got.iter().cloned().partition(|warning| warnings::is_own(case, warning));
    difference.subject == "warnings" && !own.is_empty() && recorded == *expected
}

/// Returns whether this crate reports the same settings as missing, with others or not.
fn lists_missing(difference: &Difference) -> bool {
    let missing = error::missing(&difference.expected);
    let (Some(missing), Some(listed)) =
        (missing.as_ref().and_then(Value::as_array), difference.got["options"].as_array())
    else {
        return false;
    };
    difference.got["kind"] == "missing_options" && missing.iter().all(|name| listed.contains(name))
}

/// Returns the value in which each text is replaced that is this one.
fn replaced(value: &Value, text: &str, by: &Value) -> Value {
    match value {
        Value::String(leaf) if leaf == text => by.clone(),
        Value::Array(elements) => elements.iter().map(|element| replaced(element, text, by)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), replaced(member, text, by))).collect()
        }
        other => other.clone(),
    }
}
