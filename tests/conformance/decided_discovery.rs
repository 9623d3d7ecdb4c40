//! The same for versions and their discovery.

use serde_json::Value;

use crate::{
    Difference,
    decided::{ONE_URL, Rule},
    decided_requests::{calls, error_of, is_not_made},
};

/// What differs in version numbers, links and service types.
pub(crate) const VERSIONS: [Rule; 6] = [
    Rule {
        decision: "the parts of a version are plain numbers, and three at most",
        covers: |case, difference| {
            let text = crate::versions::written(&case.input["args"][0]).unwrap_or_default();
            let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || b".v".contains(&byte));
            difference.question == "normalize_version_number"
                && difference.got["error"].is_string()
                && (!plain(&text) || text.matches('.').count() > 2)
        },
    },
    Rule {
        decision: "a version has two parts at least",
        covers: |case, difference| {
            let mut tuples = case.input["args"].as_array().into_iter().flatten().filter_map(Value::as_array);
            matches!(&*difference.question, "version_match" | "version_to_string")
                && tuples.any(|parts| parts.len() < 2)
        },
    },
    Rule {
        decision: "the query of a link to another host is appended once",
        covers: |_, difference| {
            let (expected, got) = links(difference);
            let doubled = got.find(['?', ';']).and_then(|rest| {
                Some(format!("{expected}!").ends_with(&format!("{}{}!", got.get(rest..)?, got.get(rest..)?)))
            });
            doubled == Some(true)
        },
    },
    Rule {
        decision: "a link that is nothing but a host names no version",
        covers: |_, difference| {
            let (expected, got) = links(difference);
            expected.trim_end_matches('/').ends_with("/o.example.com") && expected.starts_with(got)
        },
    },
    Rule {
        decision: "a link with a scheme and without a host is none",
        covers: |case, difference| {
            let link = case.input["args"][1].as_str().unwrap_or_default();
            difference.question == "_combine_relative_url"
                && difference.got.is_null()
                && link.contains(':')
                && !link.contains("//")
        },
    },
    Rule {
        decision: "a service type that the authority does not list has no names, its own included",
        covers: |_, difference| {
            let known = &difference.expected["result"]["is_known"];
            difference.question == "service_types"
                && *known == false
                && difference.got["is_known"] == false
                && difference.got["all_types"].as_array().is_some_and(Vec::is_empty)
        },
    },
];

fn links(difference: &Difference) -> (&str, &str) {
    match (&difference.question, difference.expected["result"].as_str(), difference.got.as_str()) {
        (question, Some(expected), Some(got)) if question == "_combine_relative_url" => (expected, got),
        _ => ("", "-"),
    }
}

/// What differs in discovery.
pub(crate) const DISCOVERY: [Rule; 13] = [
    Rule {
        decision: "a maximum without a minimum finds the newest version that is not above it; the reference finds none",
        covers: |case, difference| {
            let none =
                difference.expected["result"].is_null() || error_of(difference) == Some("DiscoveryFailure");
            (none && !difference.got.is_null() || is_confirmed(difference))
                && calls(case).any(|call| {
                    let given = |name: &str| matches!(call["args"].get(name), Some(version) if !version.is_null() && *version != "");
                    given("max_version") && !given("min_version") && !given("version")
                })
        },
    },
    Rule {
        decision: "of a document, what is no version or no list of versions is left out, and the rest is used",
        covers: |_, difference| {
            let requests = difference.question.ends_with(": requests");
            error_of(difference) == Some("TypeError") || requests && goes_on(difference)
        },
    },
    Rule {
        decision: "a document without versions has no newest one",
        covers: |_, difference| error_of(difference) == Some("IndexError") && difference.got.is_null(),
    },
    Rule {
        decision: "who skips discovery is not told that the versions asked for cannot be",
        covers: |case, difference| {
            let class = error_of(difference).unwrap_or_default();
            (class == "ValueError" || class.starts_with("Implied"))
                && calls(case).any(|call| call["args"]["skip_discovery"] == true)
        },
    },
    ONE_URL,
    Rule {
        decision: "a plugin for a fixed endpoint has its endpoint and its token, or cannot be made",
        covers: |case, difference| case.plugin.as_ref().is_some_and(|plugin| is_not_made(plugin, difference)),
    },
    Rule {
        decision: "a fixed endpoint without a version document is used as it is",
        covers: |case, difference| {
            let fixed = case.plugin.as_ref().is_some_and(|plugin| plugin.text("endpoint").is_some());
            fixed && error_of(difference) == Some("DiscoveryFailure") && difference.got["url"].is_string()
        },
    },
    Rule {
        decision: "an endpoint override goes before a fixed endpoint",
        covers: |case, difference| {
            let fixed = case.plugin.as_ref().is_some_and(|plugin| plugin.text("endpoint").is_some());
            fixed && calls(case).any(|call| difference.got == call["args"]["endpoint_override"])
        },
    },
    Rule {
        decision: "a URL where there is no document is asked once, and services are asked side by side",
        covers: |_, difference| {
            let unique = |requests: &Value| {
                let mut requests: Vec<_> =
                    requests.as_array().into_iter().flatten().map(Value::to_string).collect();
                requests.sort();
                requests.dedup();
                requests
            };
            difference.question == "get_all_version_data: requests"
                && difference.got.as_array().map(Vec::len) == Some(unique(&difference.got).len())
                && unique(&difference.got) == unique(&difference.expected)
        },
    },
    Rule {
        decision: "a redirect to another origin is not followed for a version document",
        covers: |case, difference| {
            let elsewhere = case.exchanges.iter().any(|exchange| exchange.leads_elsewhere());
            elsewhere && (difference.question.ends_with(": requests") || found_less(difference))
        },
    },
    Rule {
        decision: "a redirect to a relative URL is followed",
        covers: |case, difference| {
            let relative = case.exchanges.iter().any(|exchange| exchange.leads_to_a_path());
            relative && difference.question.ends_with(": requests") && goes_on(difference)
        },
    },
    Rule {
        decision: "an auth_url with a version that will do is used where there is no document",
        covers: |case, difference| {
            let auth_url = case.plugin.as_ref().and_then(|plugin| plugin.text("auth_url"));
            difference.expected["result"].is_null() && auth_url.is_some_and(|url| difference.got == *url)
        },
    },
    Rule {
        decision: "a filter asks for versions of two parts",
        covers: |case, _| {
            calls(case).any(|call| {
                let versions = ["version", "min_version", "max_version"];
                versions
                    .iter()
                    .any(|name| call["args"][name].as_str().is_some_and(|text| text.matches('.').count() > 1))
            })
        },
    },
];

/// Whether the URL of the catalog is the answer of both, and here the one of the service too, whose version will do.
fn is_confirmed(difference: &Difference) -> bool {
    let mut expected = difference.expected["result"].clone();
    if !expected["catalog_url"].is_string() || !expected["service_url"].is_null() {
        return false;
    }
    expected["service_url"] = expected["catalog_url"].clone();
    expected == difference.got
}

/// Whether there are further requests after the expected ones, or further pauses.
pub(crate) fn goes_on(difference: &Difference) -> bool {
    match (difference.expected.as_array(), difference.got.as_array()) {
        (Some(expected), Some(got)) => got.len() > expected.len() && got.starts_with(expected),
        _ => false,
    }
}

/// Whether the catalog's own endpoint is the answer, since there was no document.
fn found_less(difference: &Difference) -> bool {
    difference.got.is_null() || difference.got["service_url"].is_null()
}
