//! Changes of a case, to find the cause of a difference.

use serde_json::{Value, json, value};

use crate::{
    Case, Difference, changed_case::differences_after, input::Step, replay::Replay, servers::Exchange,
};

/// Returns whether this crate returns the result that was recorded for the changed case: what `change` changes is the
/// only cause of the difference.
pub(crate) fn agrees_after(
    case: &Case,
    difference: &Difference,
    replay: Replay,
    change: impl FnOnce(&mut Case) -> bool,
) -> bool {
    let is_part = |subject: &str| {
        let rest = subject.strip_prefix(&*difference.subject);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(": "))
    };
    let has_result = |other: &Difference| other.call == difference.call && is_part(&other.subject);
    differences_after(case, replay, change).is_some_and(|all| !all.iter().any(has_result))
}

/// Returns the step of a difference.
pub(crate) fn step<'a>(case: &'a Case, difference: &Difference) -> &'a Step {
    &case.steps[difference.call]
}

/// Returns whether another implementation may differ in this respect.
pub(crate) fn may_differ_in(case: &Case, flaw: &str) -> bool {
    case.flaws.iter().any(|name| name == flaw)
}

/// Returns the value of a header, with the blanks around it.
pub(crate) fn header<'a>(step: &'a Step, name: &str) -> Option<&'a str> {
    step.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
}

/// Returns the token in a header, without blanks around it.
pub(crate) fn token<'a>(step: &'a Step, name: &str) -> Option<&'a str> {
    header(step, name).map(|value| value.trim_matches([' ', '\t'])).filter(|token| !token.is_empty())
}

/// Returns the token of the user.
pub(crate) fn user_token(step: &Step) -> Option<&str> {
    let bearer = header(step, "authorization").and_then(|value| value.strip_prefix("Bearer "));
    bearer.or_else(|| token(step, "x-auth-token")).or_else(|| token(step, "x-storage-token"))
}

/// Returns the document of a token, if Keystone has it.
pub(crate) fn document(case: &Case, token: &str) -> Option<Value> {
    let mut documents =
        case.exchanges.iter().filter(|exchange| exchange.when_subject.as_deref() == Some(token));
    documents.find_map(|exchange| exchange.document().get("token").cloned())
}

/// Returns the question about a token, with the token of a service that cannot renew it.
pub(crate) fn question(case: &Case, token: &str) -> Value {
    let is_about_token =
        |exchange: &&Exchange| exchange.when_subject.as_deref().is_none_or(|other| other == token);
    json!({
        "method": "GET",
        "url": case.exchanges.iter().find(is_about_token).map(|exchange| &*exchange.url),
        "headers": {
            "openstack-identity-access-rules": "1",
            "x-auth-token": case.plugin.text("token"),
            "x-subject-token": token,
        },
        "body": null,
    })
}

/// Returns the elements of a list.
pub(crate) fn elements(list: &Value) -> Vec<Value> {
    list.as_array().cloned().unwrap_or_default()
}

/// Removes the access rules from all tokens.
pub(crate) fn without_access_rules(case: &mut Case) -> bool {
    change_tokens(case, |token| {
        let credential = token.get_mut("application_credential").and_then(Value::as_object_mut);
        credential.is_some_and(|credential| credential.remove("access_rules").is_some())
    })
}

/// Removes the first response to a login, if it is a 401.
pub(crate) fn without_failed_login(case: &mut Case) -> bool {
    let login = case.exchanges.iter().position(|exchange| exchange.method == "POST");
    let failed = login.filter(|login| case.exchanges[*login].status == 401);
    failed.map(|login| case.exchanges.remove(login)).is_some()
}

/// Removes a header of a step.
pub(crate) fn remove_header(case: &mut Case, call: usize, header: &str) -> bool {
    let headers = &mut case.steps[call].headers;
    let before = headers.len();
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case(header));
    headers.len() < before
}

/// Changes the documents of all tokens. Returns whether one was changed.
pub(crate) fn change_tokens(case: &mut Case, change: impl Fn(&mut Value) -> bool) -> bool {
    let mut changed = false;
    for exchange in &mut case.exchanges {
        let with_change = exchange.with_document(|written| {
            let mut document: Value = serde_json::from_str(written.get()).ok()?;
            let token = document.get_mut("token")?;
            change(token).then(|| value::to_raw_value(&document).ok())?
        });
        if let Some(with_change) = with_change {
            *exchange = with_change;
            changed = true;
        }
    }
    changed
}
