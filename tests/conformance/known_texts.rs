//! The texts that a case itself contains.

use serde_json::Value;

use crate::{
    Case, Difference,
    comparison::{ANY_ERROR, value},
    differences_sessions::without_needless_encoding,
};

/// Pieces of texts that plugins and layers add to what a case says.
const OWN: [&str; 26] = [
    "",
    "GET",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "Basic",
    "application",
    "json",
    "auth",
    "tokens",
    "v2.0",
    "v3",
    "nocatalog",
    "password",
    "token",
    "totp",
    "application_credential",
    "unscoped",
    "x-www-form-urlencoded",
    "latest",
    "http:",
    "https:",
    "*",
];

/// Whether what was sent, or what a request was answered, is made of texts of the case on both sides.
pub(crate) fn is_of_case(case: &Case, difference: &Difference) -> bool {
    let sent = difference.question.ends_with(": requests");
    let answered = difference.question == "call";
    let known = Known { case, texts: texts(case) };
    let all_known = |answer: &Value| match value(answer) {
        Value::Array(requests) if sent => {
            requests.iter().all(|request| request["method"].is_string() && known.says(request))
        }
        error if error["error"].is_string() => {
            let is_class = |class: &str| CLASSES.contains(&class) || ANY_ERROR.contains(&class);
            error["http_status"].is_u64() || error["error"].as_str().is_none_or(is_class)
        }
        answer => !answered || known.answers(answer),
    };
    all_known(&difference.expected) && all_known(&difference.got)
}

/// The classes of errors that are neither of Python nor of a status; ours may have none.
const CLASSES: [&str; 15] = [
    "",
    "AuthorizationFailure",
    "ConnectFailure",
    "ConnectTimeout",
    "DiscoveryFailure",
    "EmptyCatalog",
    "EndpointNotFound",
    "ImpliedMaxVersionMismatch",
    "ImpliedMinVersionMismatch",
    "ImpliedVersionMismatch",
    "InvalidResponse",
    "MissingAuthMethods",
    "MissingAuthPlugin",
    "SSLError",
    "UnsupportedParameters",
];

struct Known<'a> {
    case: &'a Case,
    texts: Vec<String>,
}

impl Known<'_> {
    fn says(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.says_text(text),
            Value::Array(elements) => elements.iter().all(|element| self.says(element)),
            Value::Object(members) => members.values().all(|member| self.says(member)),
            Value::Null | Value::Bool(_) | Value::Number(_) => true,
        }
    }

    fn says_text(&self, text: &str) -> bool {
        let said = |piece: &str| self.texts.iter().any(|text| text.contains(piece));
        // What is encoded is looked at no closer.
        let is_known = |piece: &str| piece.contains(['%', '+', ',']) || OWN.contains(&piece) || said(piece);
        said(text) || self.is_basic(text) || text.split([' ', '/', '?', '&', '=', ';']).all(is_known)
    }

    /// Whether it is the header of a plugin with a password for all.
    fn is_basic(&self, text: &str) -> bool {
        let basic = self.case.plugin.as_ref().is_some_and(|plugin| plugin.kind == "http_basic");
        basic && text.starts_with("Basic ")
    }

    /// Whether a server answers so.
    fn answers(&self, answer: &Value) -> bool {
        let mut exchanges = self.case.exchanges.iter();
        let history = answer["history"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = answer["text"].as_str().unwrap_or_default();
        let is_mark = |said: &str| said.strip_prefix('\u{feff}') == Some(text);
        exchanges.any(|exchange| {
            answer["status"] == exchange.status && (exchange.text() == text || is_mark(exchange.text()))
        }) && self.says(&answer["url"])
            && history.iter().all(|status| matches!(status.as_u64(), Some(300..400)))
    }
}

/// All that a case says but for what the reference answered.
fn texts(case: &Case) -> Vec<String> {
    fn add(all: &mut Vec<String>, value: &Value) {
        match value {
            Value::String(text) => all.push(text.clone()),
            Value::Number(number) => all.push(number.to_string()),
            Value::Array(elements) => elements.iter().for_each(|element| add(all, element)),
            Value::Object(members) => members.iter().for_each(|(name, member)| {
                all.push(name.clone());
                add(all, member);
            }),
            Value::Null | Value::Bool(_) => {}
        }
    }
    let mut all = Vec::new();
    case.input.values().for_each(|input| add(&mut all, input));
    let urls = case.calls().iter().filter_map(|call| call["url"].as_str());
    all.extend(urls.map(without_needless_encoding));
    case.plugin.iter().for_each(|plugin| add(&mut all, &plugin.said()));
    for exchange in &case.exchanges {
        all.push(exchange.url.clone());
        all.extend(exchange.headers().map(str::to_owned));
        add(&mut all, &exchange.document());
    }
    all
}
