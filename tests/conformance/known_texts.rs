//! Checks that requests and responses contain only texts of their case, so that a rule cannot cover arbitrary values.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

use crate::{
    Case, Difference, comparison::ANY_ERROR, differences_sessions::without_redundant_encoding, replay::value,
};

/// Texts that plugins and layers add to requests.
const FIXED_TEXTS: [&str; 44] = [
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
    "OS-FEDERATION",
    "identity_providers",
    "protocols",
    "saml2",
    "ecp",
    "Bearer",
    "openid",
    "profile",
    "grant_type",
    "client_credentials",
    "authorization_code",
    "urn:ietf:params:oauth:grant-type:device_code",
    "device_code",
    "client_id",
    "redirect_uri",
    "scope",
    "username",
    "vnd.paos",
    "latest",
    "http:",
    "https:",
    "*",
];

/// Returns whether both results of a difference consist of texts of the case, if they are requests, responses or
/// errors.
pub(crate) fn has_texts_of_case(case: &Case, difference: &Difference) -> bool {
    let sent = difference.subject.ends_with(": requests");
    let is_response_of_call = difference.subject == "call";
    let known = KnownTexts { case, texts: texts_of(case) };
    let all_known = |result: &Value| match value(result) {
        Value::Array(requests) if sent => {
            requests.iter().all(|request| request["method"].is_string() && known.contains(request))
        }
        error if error["error"].is_string() => {
            let is_class = |class: &str| CLASSES.contains(&class) || ANY_ERROR.contains(&class);
            error["http_status"].is_u64() || error["error"].as_str().is_none_or(is_class)
        }
        result => !is_response_of_call || known.is_response(result),
    };
    all_known(&difference.expected) && all_known(&difference.got)
}

/// Error classes of keystoneauth. The empty class is an error of this crate without such a class.
const CLASSES: [&str; 20] = [
    "",
    "AuthorizationFailure",
    "ClientException",
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
    "OidcAccessTokenEndpointNotFound",
    "OidcDeviceAuthorizationEndpointNotFound",
    "OidcInvalidCodeChallengeMethod",
    "OidcPluginNotSupported",
    "SSLError",
    "UnsupportedParameters",
];

struct KnownTexts<'a> {
    case: &'a Case,
    texts: Vec<String>,
}

impl KnownTexts<'_> {
    fn contains(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.contains_text(text),
            Value::Array(elements) => elements.iter().all(|element| self.contains(element)),
            Value::Object(members) => members.values().all(|member| self.contains(member)),
            Value::Null | Value::Bool(_) | Value::Number(_) => true,
        }
    }

    fn contains_text(&self, text: &str) -> bool {
        let is_in_case = |piece: &str| self.texts.iter().any(|text| text.contains(piece));
        // Encoded texts are not checked.
        let is_known = |piece: &str| {
            piece.contains(['%', '+', ',']) || FIXED_TEXTS.contains(&piece) || is_in_case(piece)
        };
        is_in_case(text)
            || self.is_basic_auth(text)
            || text.split([' ', '/', '?', '&', '=', ';']).all(is_known)
    }

    /// Returns whether the text is the header of an `http_basic` plugin, or of the client of the plugin.
    fn is_basic_auth(&self, text: &str) -> bool {
        let Some(plugin) = &self.case.plugin else { return false };
        let is_of_client = |prefix: &str| {
            let [id, secret] =
                ["client_id", "client_secret"].map(|name| plugin.text(&format!("{prefix}{name}")));
            let characters = id.iter().chain(&secret).flat_map(|text| text.chars()).count();
            let credentials = format!("{}:{}", id.unwrap_or_default(), secret.unwrap_or_default());
            let latin1: Vec<_> = credentials.chars().map(|character| character as u8).collect();
            characters > 0 && text == format!("Basic {}", BASE64_STANDARD.encode(latin1))
        };
        plugin.kind == "http_basic" && text.starts_with("Basic ")
            || ["", "oauth2_"].into_iter().any(is_of_client)
    }

    /// Returns whether a server of the case sends this response.
    fn is_response(&self, result: &Value) -> bool {
        let mut exchanges = self.case.exchanges.iter();
        let history = result["history"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = result["text"].as_str().unwrap_or_default();
        let is_after_byte_order_mark = |body: &str| body.strip_prefix('\u{feff}') == Some(text);
        exchanges.any(|exchange| {
            result["status"] == exchange.status
                && (exchange.text() == text || is_after_byte_order_mark(exchange.text()))
        }) && self.contains(&result["url"])
            && history.iter().all(|status| matches!(status.as_u64(), Some(300..400)))
    }
}

/// Returns all texts of a case, without the expected results.
fn texts_of(case: &Case) -> Vec<String> {
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
    all.extend(urls.map(without_redundant_encoding));
    case.plugin.iter().for_each(|plugin| add(&mut all, &plugin.parameters_json()));
    for exchange in &case.exchanges {
        all.push(exchange.url.clone());
        all.extend(exchange.headers().map(str::to_owned));
        add(&mut all, &exchange.document());
    }
    all
}
