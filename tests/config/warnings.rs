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
const OWN: [(&str, &str, &str); 4] = [
    ("api_version_no_number", "_api_version has no effect", "_api_version"),
    ("auth_plugin_ignored", "auth_plugin is ignored", "auth_plugin"),
    ("key_without_cert", "key has no effect", "key"),
    ("scope_of_application_credential", "Keystone rejects a scope", "application_credential"),
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
    let mut known = RECORDED.iter().map(|(word, part)| (word, part)).chain(own);
    known.find(|(_, part)| text.contains(**part)).map_or(text.to_owned(), |(word, _)| (*word).to_owned())
}

/// Returns whether only this crate has this warning, and the case contains the setting that it is about.
pub(crate) fn is_own(case: &Case, warning: &Value) -> bool {
    let is_written = |setting: &str| {
        let variable = format!("OS_{}", setting.to_ascii_uppercase());
        written::texts(case).any(|text| text.contains(&format!("{setting}: ")))
            || case.env.keys().any(|name| name.starts_with(&variable))
            || written::texts(case).any(|text| text.contains(&format!("{setting}_")))
    };
    OWN.iter().any(|(word, _, setting)| warning == word && is_written(setting))
}
