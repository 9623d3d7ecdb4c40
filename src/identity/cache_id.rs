//! The name under which a cache of tokens keeps what a set of credentials obtained.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::Uri;
use sha2::{Digest, Sha256};

/// keystoneauth's cache id: SHA-256 over the elements that are there, sorted by name, each name and
/// each value ended by a NUL.
///
/// A NUL inside a value, by which two sets of elements could look the same there, is escaped here.
/// Of two elements of one name the last counts.
pub(super) fn cache_id(elements: Vec<(String, Option<&str>)>) -> String {
    let elements: BTreeMap<_, _> = elements.into_iter().collect();
    let mut hasher = Sha256::new();
    for (name, value) in &elements {
        let Some(value) = value else { continue };
        hasher.update(name.as_bytes());
        hasher.update([0]);
        for (index, part) in value.split('\0').enumerate() {
            if index > 0 {
                // No name begins with this byte, so the value cannot end here.
                hasher.update([0, 0xff]);
            }
            hasher.update(part.as_bytes());
        }
        hasher.update([0]);
    }
    BASE64_STANDARD.encode(hasher.finalize())
}

/// An `auth_url` as an element of a cache id.
///
/// `https://host` and `https://host/` are one [`Uri`]; the former is how most write it.
pub(super) fn auth_url_element(auth_url: &Uri) -> String {
    let text = auth_url.to_string();
    match (auth_url.path(), auth_url.query()) {
        ("/", None) => text.trim_end_matches('/').to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_auth_url_without_a_path_has_no_slash() {
        for (auth_url, element) in [
            ("https://h:5000", "https://h:5000"),
            ("https://h:5000/", "https://h:5000"),
            ("https://h:5000/v3/", "https://h:5000/v3/"),
            ("https://h/?x=/", "https://h/?x=/"),
        ] {
            assert_eq!(auth_url_element(&auth_url.parse().unwrap()), element);
        }
    }

    fn id(elements: &[(&str, &str)]) -> String {
        cache_id(elements.iter().map(|(name, value)| ((*name).to_owned(), Some(*value))).collect())
    }

    #[test]
    fn no_value_imitates_the_elements_after_it() {
        assert_ne!(id(&[("a", "b"), ("c", "d")]), id(&[("a", "b\0c\0d")]));
        assert_ne!(id(&[("a", "bc")]), id(&[("ab", "c")]));
        assert_ne!(id(&[("a", "b\0")]), id(&[("a", "b")]));
    }
}
