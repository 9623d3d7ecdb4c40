//! The warnings of a load, in the words of the data.

use serde_json::Value;

use crate::{Case, written};

/// The words of the data, and part of the text of this crate's warning.
const RECORDED: [(&str, &str); 6] = [
    ("cacert_but_not_verified", "cacert has no effect"),
    ("cloud_keyword", "use `profile`"),
    ("no_clouds_key", "has no member `clouds`"),
    ("profile_deprecated", "the profile is deprecated"),
    ("profile_not_found", "there is no profile"),
    ("region_name_list", "use `regions`"),
];

/// Words for warnings that only this crate has, part of their texts, and what is written in a case.
const OWN: [(&str, &str, &str); 7] = [
    ("api_version_no_number", "_api_version has no effect", "_api_version"),
    ("auth_plugin_ignored", "auth_plugin is ignored", "auth_plugin"),
    ("key_without_cert", "key has no effect", "key"),
    ("misspelt_auth", "the setting AUTH is unknown", "AUTH"),
    ("misspelt_region_name", "the setting Region_Name is unknown", "Region_Name"),
    ("misspelt_timeout", "the setting timeout is unknown", "timeout"),
    ("scope_of_application_credential", "Keystone rejects a scope", "application_credential"),
];

/// Returns whether a case gives a reason for a warning.
type HasReason = fn(&Case) -> bool;

/// The same for warnings that are not about a setting, with whether a case gives a reason for one.
const OTHERS: [(&str, &str, HasReason); 4] = [
    ("file_absent", "that can be read; the usual places are searched", |case| {
        let variables = ["OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE"];
        let mut named = variables.iter().filter_map(|variable| case.env.get(*variable));
        named.any(|path| case.files.get(path).is_none_or(|file| file.text().is_none()))
    }),
    ("file_forbidden", "may not be read, so it is skipped", |case| {
        case.files.values().any(|file| file.text().is_none())
    }),
    ("user_missing", "no user is configured", |case| {
        let auth = &case.expect["auth"];
        auth["user_id"].is_null() && auth["username"].is_null()
    }),
    ("variables_ignored", "these variables are ignored", |case| {
        let is_of_file = !case.files.is_empty() && case.expect["cloud"] != "envvars";
        let mut variables = case.env.keys().filter(|name| name.starts_with("OS_") && *name != "OS_CLOUD");
        is_of_file && variables.next().is_some()
    }),
];

/// Returns the warnings in these lines of the log, sorted. A line without a word is returned without its time.
pub(crate) fn from_log(case: &Case, lines: &[String]) -> Value {
    let mut words: Vec<_> = lines.iter().map(|line| word(case, line)).collect();
    words.sort();
    words.into()
}

fn word(case: &Case, line: &str) -> String {
    let text = line.split_once(" WARN ").map_or(line, |(_, text)| text);
    let is_latest = |location: &str| {
        written::at(case, &location.into()).is_some_and(|version| version.ends_with("latest"))
    };
    if text.split_once(" location=").is_some_and(|(_, location)| is_latest(location)) {
        return "api_version_latest".to_owned();
    }
    let own = OWN.iter().map(|(word, part, _)| (word, part));
    let others = OTHERS.iter().map(|(word, part, _)| (word, part));
    let mut known = RECORDED.iter().map(|(word, part)| (word, part)).chain(own).chain(others);
    known.find(|(_, part)| text.contains(**part)).map_or(text.to_owned(), |(word, _)| (*word).to_owned())
}

/// Returns whether only this crate has this warning, and the case contains the setting that it is about.
pub(crate) fn is_own(case: &Case, warning: &Value) -> bool {
    let is_written = |setting: &str| {
        let variable = format!("OS_{}", setting.to_ascii_uppercase());
        written::texts(case).any(|text| text.contains(&format!("{setting}:")))
            || case.env.keys().any(|name| name.starts_with(&variable))
            || written::texts(case).any(|text| text.contains(&format!("{setting}_")))
    };
    OWN.iter().any(|(word, _, setting)| warning == word && is_written(setting))
        || OTHERS.iter().any(|(word, _, has_reason)| warning == word && has_reason(case))
}
