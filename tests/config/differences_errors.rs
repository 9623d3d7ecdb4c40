//! The intended differences of configurations that only one of both loads, or that both reject with other errors.

use serde_json::{Value, json};

use crate::{
    Case, Difference,
    changed_case::{differences_after, same_result_after},
    configuration::LOADED,
    differences::{agrees_wholly_after, with_auth_type},
    error,
    replay::Rule,
    written::{self, change_files},
};

/// Differences in what is an error.
pub(crate) const ERRORS: &[Rule] = &[
    Rule {
        decision: "a file that cannot be parsed is an error, and the next one is not used instead",
        covers: |case, difference, replay| {
            let location = &difference.got["location"];
            is_error(difference, "syntax")
                && difference.got["member"].is_null()
                && written::at(case, location).is_some()
                && agrees_wholly_after(case, replay, |case| {
                    without_skipped_file(case, written::path(location))
                })
        },
    },
    Rule {
        decision: "a plain `=` is a text, not a broken file",
        covers: |case, difference, replay| {
            difference.subject == "load"
                && agrees_wholly_after(case, replay, |case| {
                    without_skipped_file(case, difference.got["config_file"].as_str())
                })
                && same_result_after(case, difference, replay, |case| {
                    change_files(case, |text| text.replace(": =\n", ": '='\n"))
                })
        },
    },
    Rule {
        decision: "a boolean that is misspelt is an error",
        covers: |case, difference, _| {
            is_invalid(case, difference, &["insecure", "verify"], |text| {
                !matches!(text, "true" | "false" | "yes" | "no" | "on" | "off")
            })
        },
    },
    Rule {
        decision: "a path in the home directory of another user is an error",
        covers: |case, difference, _| {
            is_invalid(case, difference, &["cacert", "cert", "key"], |text| {
                text.starts_with('~') && !text.starts_with("~/")
            })
        },
    },
    Rule {
        decision: "a timeout that is no number is an error when the configuration is loaded, not when it is used",
        covers: |case, difference, _| {
            case.expect["timeout"]["error"] == "ValueError"
                && is_invalid(case, difference, &["api_timeout"], |text| text.parse::<f64>().is_err())
        },
    },
    Rule {
        decision: "a mapping where a text belongs is an error, and is not sent",
        covers: |case, difference, _| {
            case.expect["auth"]["password"].is_object()
                && is_invalid(case, difference, &["auth.password"], |text| text.starts_with('{'))
        },
    },
    Rule {
        decision: "an auth_url with a user name, a fragment or a placeholder is an error when the configuration is loaded",
        covers: |case, difference, _| {
            is_invalid(case, difference, &["auth.auth_url"], |text| {
                text.contains(['@', '#']) || text.contains("%(")
            })
        },
    },
    Rule {
        decision: "braces in an auth_url that do not contain the name of a setting are an error",
        covers: |case, difference, replay| {
            let recorded = case.expect["auth"]["auth_url"].as_str().unwrap_or_default();
            let encoded = recorded.replace('{', "%7B").replace('}', "%7D");
            let with_recorded = |case: &mut Case| {
                let is_auth_url = |line: &str| line.trim_start().starts_with("auth_url:");
                change_files(case, |text| {
                    let lines = text.lines().map(|line| match is_auth_url(line) {
                        true => format!("      auth_url: {encoded}\n"),
                        false => format!("{line}\n"),
                    });
                    lines.collect()
                })
            };
            is_invalid(case, difference, &["auth.auth_url"], |text| text.contains(['{', '}']))
                && differences_after(case, replay, with_recorded)
                    .is_some_and(|all| all.iter().all(|other| other.expected == recorded))
        },
    },
    Rule {
        decision: "a secret is never inserted into another setting",
        covers: |case, difference, _| {
            let text = written::at(case, &difference.got["location"]).unwrap_or_default();
            is_rejected(difference, "conflict")
                && text.contains("{auth}")
                && difference.got["member"] == "auth.auth_url"
                && is_at_member(case, &difference.got)
        },
    },
    Rule {
        decision: "`{region_name}` without a region is an error",
        covers: |case, difference, _| {
            let text = written::at(case, &difference.got["location"]).unwrap_or_default();
            is_rejected(difference, "conflict")
                && text.contains("{region_name}")
                && difference.got["member"] == "cacert"
                && is_at_member(case, &difference.got)
                && case.expect["region_name"] == ""
        },
    },
    Rule {
        decision: "a user name or password that is missing is an error when the configuration is loaded, not when it is used",
        covers: |case, difference, _| {
            // openstacksdk fails at the first request, or sends it without authentication.
            let (recorded, auth) = (&case.expect["authentication"], &case.expect["auth"]);
            let missing = if recorded["error"].is_string() && auth["password"].is_null() {
                "password"
            } else if recorded.get("headers").is_some_and(Value::is_null) && auth["username"].is_null() {
                "username"
            } else {
                return false;
            };
            is_missing(difference, &json!([missing]))
                && difference.expected == LOADED
                && is_at_cloud(case, &difference.got)
        },
    },
    Rule {
        decision: "all settings that are missing are listed, with those that openstacksdk misses only later",
        covers: |case, difference, replay| {
            let (Some(listed), Some(recorded)) =
                (difference.got["options"].as_array(), error::missing(&difference.expected))
            else {
                return false;
            };
            let recorded = recorded.as_array().cloned().unwrap_or_default();
            let others: Vec<_> = listed.iter().filter(|name| !recorded.contains(name)).cloned().collect();
            let with_others = |case: &mut Case| {
                let auth = case.args.entry("auth").or_insert_with(|| json!({}));
                for name in &others {
                    // The last one of several that are possible.
                    let name = name.as_str().and_then(|name| name.rsplit(' ').next()).unwrap_or_default();
                    auth[name] = "https://given".into();
                }
                !others.is_empty()
            };
            is_missing(difference, &difference.got["options"])
                && is_at_cloud(case, &difference.got)
                && agrees_wholly_after(case, replay, with_others)
        },
    },
    Rule {
        decision: "a null domain counts as missing, not as a domain of the name None",
        covers: |case, difference, replay| {
            let domain = json!(["project_domain_id or project_domain_name"]);
            is_missing(difference, &domain)
                && difference.got["member"] == "auth.project_name"
                && is_at_member(case, &difference.got)
                && written::at(case, &difference.got["location"])
                    == case.expect["auth"]["project_name"].as_str()
                && difference.expected == LOADED
                && agrees_wholly_after(case, replay, |case| {
                    change_files(case, |text| {
                        text.replace("project_domain_id: null\n", "project_domain_id: 'None'\n")
                    })
                })
        },
    },
    Rule {
        decision: "an error names a setting as it was written, not by its current name",
        covers: |case, difference, _| {
            let unknown = difference.got["option"].as_str().unwrap_or_default();
            let current = match unknown {
                "auth_token" => "token",
                "tenant_id" => "project_id",
                "tenant_name" => "project_name",
                _ => return false,
            };
            let recorded = json!({"error": "TypeError", "kind": "unknown_auth_option", "option": current});
            is_error(difference, "unknown_auth_option")
                && difference.expected == recorded
                && difference.got["member"] == format!("auth.{unknown}")
                && is_at_member(case, &difference.got)
        },
    },
    Rule {
        decision: "a setting that the auth type does not know is reported before one that is missing",
        covers: |case, difference, replay| {
            let unknown = difference.got["option"].as_str().unwrap_or_default();
            is_error(difference, "unknown_auth_option")
                && difference.got["member"] == format!("auth.{unknown}")
                && is_at_member(case, &difference.got)
                && agrees_wholly_after(case, replay, |case| {
                    change_files(case, |text| written::without_members(text, &[unknown.to_owned()]))
                })
        },
    },
    Rule {
        decision: "the auth type is evident from an application credential or a token, if there is no password",
        covers: |case, difference, replay| {
            let auth_type = match difference.expected["option"].as_str() {
                Some("token") => "token",
                Some("application_credential_id" | "application_credential_name") => {
                    "v3applicationcredential"
                }
                _ => return false,
            };
            let recorded = &difference.expected;
            difference.subject == "load"
                && recorded["error"] == "TypeError"
                && recorded["kind"] == "unknown_auth_option"
                && same_result_after(case, difference, replay, |case| with_auth_type(case, auth_type))
        },
    },
    Rule {
        decision: "an auth type for which the program needs a function is an error that says which, whatever its settings are",
        covers: |case, difference, _| {
            let auth_type = difference.got["auth_type"].as_str().unwrap_or_default();
            let option = difference.expected["option"].as_str().unwrap_or_default();
            let recorded = json!({"error": "TypeError", "kind": "unknown_auth_option", "option": option});
            is_error(difference, "auth_type_unsupported")
                && difference.expected == recorded
                && written::texts(case).any(|text| text.contains(&format!("\n      {option}:")))
                && matches!(auth_type, "v3kerberos" | "v3fedkerb" | "v3oauth1")
                && written::texts(case).any(|text| text.contains(&format!("auth_type: {auth_type}\n")))
                && is_at_member(case, &difference.got)
        },
    },
    Rule {
        decision: "braces stay as they are if they do not contain the name of a setting",
        covers: |case, difference, replay| {
            difference.subject == "load"
                && matches!(
                    difference.expected["error"].as_str(),
                    Some("IndexError" | "KeyError" | "ValueError")
                )
                && same_result_after(case, difference, replay, |case| {
                    change_files(case, |text| text.replace("'{0}'", "'0'"))
                })
        },
    },
];

/// Returns whether this crate returns an error of this kind.
fn is_error(difference: &Difference, kind: &str) -> bool {
    difference.subject == "load" && difference.got["kind"] == kind
}

/// Returns whether this crate returns an error of this kind, and openstacksdk loads the cloud.
fn is_rejected(difference: &Difference, kind: &str) -> bool {
    is_error(difference, kind) && difference.expected == LOADED
}

/// Returns whether this crate rejects the value of one of these settings, and names the place where it is written.
fn is_invalid(
    case: &Case,
    difference: &Difference,
    members: &[&str],
    is_wrong: impl FnOnce(&str) -> bool,
) -> bool {
    let member = difference.got["member"].as_str().unwrap_or_default();
    is_rejected(difference, "invalid_value")
        && members.contains(&member)
        && is_at_member(case, &difference.got)
        && written::at(case, &difference.got["location"]).is_some_and(is_wrong)
}

/// Returns whether these settings are missing.
fn is_missing(difference: &Difference, options: &Value) -> bool {
    is_error(difference, "missing_options") && difference.got["options"] == *options
}

/// Returns whether the error names the place of the cloud in a file, or none if no cloud of a file is selected.
fn is_at_cloud(case: &Case, got: &Value) -> bool {
    let Some(cloud) = got["member"].as_str() else {
        return got["location"].is_null() && got["member"].is_null();
    };
    let line = written::line_at(case, &got["location"]).and_then(|line| line.split_once(':'));
    line.is_some_and(|(name, _)| cloud == format!("clouds.{name}"))
}

/// Returns whether the location is that of the member, in a file or in a variable.
fn is_at_member(case: &Case, got: &Value) -> bool {
    let name = got["member"].as_str().and_then(|member| member.rsplit('.').next()).unwrap_or_default();
    let variable = format!("the variable OS_{}", name.to_ascii_uppercase());
    let line = written::line_at(case, &got["location"]).unwrap_or_default();
    got["location"] == variable || line.starts_with(&format!("{name}:"))
}

/// Removes a file that openstacksdk skips, and its warning.
fn without_skipped_file(case: &mut Case, path: Option<&str>) -> bool {
    if let Some(warnings) = case.expect.get_mut("warnings").and_then(Value::as_array_mut) {
        warnings.retain(|warning| warning != "file_skipped");
    }
    case.files.remove(path.unwrap_or_default()).is_some()
}
