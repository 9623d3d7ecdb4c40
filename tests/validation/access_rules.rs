//! Compares a request with access rules in the simplest way, to check the cause of a difference.

use crate::{
    Case, Difference,
    changed_case::same_result_after,
    changes::{agrees_after, document, elements, step, token, user_token, without_access_rules},
    own_token::has_expired,
    replay::Replay,
    responses::{is_exception, rejected},
};

/// Returns whether the result is the one that the access rules require, and the recorded one is that of a token without
/// access rules, or one of these exceptions.
pub(crate) fn is_decided_by_rules(
    case: &Case,
    difference: &Difference,
    replay: Replay,
    exceptions: &[&str],
) -> bool {
    let step = step(case, difference);
    let rejected = rejected(case, step, difference);
    let recorded = &case.expect[difference.call];
    let is_broken = is_exception(&recorded["response"], exceptions)
        && match &*difference.subject {
            "response" => true,
            "application" => difference.expected.is_null(),
            _ => false,
        };
    match is_allowed(case, difference.call) {
        true => {
            let is_rejected = rejected.is_some_and(|rejected| difference.expected == rejected);
            (is_broken || is_rejected) && same_result_after(case, difference, replay, without_access_rules)
        }
        false => {
            rejected.is_some_and(|rejected| difference.got == rejected)
                && (is_broken || agrees_after(case, difference, replay, without_access_rules))
        }
    }
}

fn is_allowed(case: &Case, call: usize) -> bool {
    let step = &case.steps[call];
    let document = |token: Option<&str>| token.and_then(|token| document(case, token)).unwrap_or_default();
    let service = token(step, "x-service-token").filter(|token| !has_expired(case, token, call));
    if elements(&document(service)["roles"]).iter().any(|role| role["name"] == "service") {
        return true;
    }
    let path = normalized(step.path.split('?').next().unwrap_or_default());
    let rules = &document(user_token(step))["application_credential"]["access_rules"];
    elements(rules).iter().any(|rule| {
        let pattern = rule["path"].as_str().unwrap_or_default();
        rule["service"].as_str() == case.options.service_type.as_deref()
            && rule["method"] == step.method
            && matches(pattern, &path)
    })
}

/// Returns whether a path matches a pattern. `*` and `{name}` are one or more characters but `/`, `**` is anything.
fn matches(pattern: &str, path: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix("**") {
        return (0..=path.len()).filter(|at| path.is_char_boundary(*at)).any(|at| matches(rest, &path[at..]));
    }
    let name = pattern.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    let rest = name.filter(|(name, _)| !name.is_empty()).map(|(_, rest)| rest).or(pattern.strip_prefix('*'));
    if let Some(rest) = rest {
        let end = path.find('/').unwrap_or(path.len());
        return (1..=end).filter(|at| path.is_char_boundary(*at)).any(|at| matches(rest, &path[at..]));
    }
    let (mut pattern, mut path) = (pattern.chars(), path.chars());
    match (pattern.next(), path.next()) {
        (None, None) => true,
        (one, other) => one == other && matches(pattern.as_str(), path.as_str()),
    }
}

/// Decodes the percent-encoding of a path, and encodes what must be encoded.
fn normalized(path: &str) -> String {
    const KEPT: &[u8] = b"/~!$&'()*+,;=:@-._";
    let (bytes, mut all, mut at) = (path.as_bytes(), String::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let hex = path.get(at + 1..at + 3).filter(|_| *byte == b'%');
        let decoded = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        at += if decoded.is_some() { 3 } else { 1 };
        let byte = decoded.unwrap_or(*byte);
        match byte.is_ascii_alphanumeric() || KEPT.contains(&byte) {
            true => all.push(byte.into()),
            false => all.push_str(&format!("%{byte:02X}")),
        }
    }
    all
}
