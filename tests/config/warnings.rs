//! The warnings of a load, in the words of the data.

use serde_json::Value;

/// The words of the data, and part of the text of this crate's warning.
const WARNINGS: [(&str, &str); 9] = [
    ("no_clouds_key", "`clouds`"),
    ("cloud_keyword", "use `profile`"),
    ("profile_not_found", "no profile"),
    ("profile_deprecated", "profile is deprecated"),
    ("region_name_list", "use `regions`"),
    ("cacert_but_not_verified", "cacert"),
    ("api_version_latest", "latest"),
    ("network_keyword", "networks"),
    ("file_skipped", "skipped"),
];

/// Returns the warnings in these lines of the log, sorted. A line that the data has no word for is returned unchanged.
pub(crate) fn from_log(lines: &[String]) -> Value {
    let word = |line: &String| {
        let known = WARNINGS.iter().find(|(_, text)| line.contains(text));
        known.map_or(line.clone(), |(word, _)| (*word).to_owned())
    };
    let mut words: Vec<_> = lines.iter().map(word).collect();
    words.sort();
    words.into()
}
