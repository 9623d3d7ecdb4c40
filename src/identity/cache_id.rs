//! Cache ids and public ids: the keys of tokens in a cache, derived from the credentials that obtained them.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::Uri;
use sha2::{Digest, Sha256};

/// Returns keystoneauth's cache id of these elements, in base64.
///
/// It is the SHA-256 of the elements that have a value, sorted by name. Each name and each value ends with a NUL byte.
/// If two elements have the same name, the last one counts.
///
/// Unlike keystoneauth's, it escapes a NUL inside a value, so that different elements have different ids.
pub(crate) fn cache_id(elements: Vec<(String, Option<&str>)>) -> String {
    let elements: BTreeMap<_, _> = elements.into_iter().collect();
    let mut hasher = Sha256::new();
    for (name, value) in &elements {
        let Some(value) = value else { continue };
        hasher.update(name.as_bytes());
        hasher.update([0]);
        for (index, part) in value.split('\0').enumerate() {
            if index > 0 {
                // No name starts with the byte 0xff, so this NUL does not end the value.
                hasher.update([0, 0xff]);
            }
            hasher.update(part.as_bytes());
        }
        hasher.update([0]);
    }
    BASE64_STANDARD.encode(hasher.finalize())
}

/// Returns the public id of these elements, none of which is a secret.
///
/// `kind` tells the types of credentials apart.
pub(crate) fn public_id<'a>(kind: &'a str, mut elements: Vec<(String, Option<&'a str>)>) -> String {
    elements.push(("credentials".to_owned(), Some(kind)));
    cache_id(elements)
}

/// Returns an `auth_url` as an element of a cache id.
///
/// keystoneauth uses the text of the configuration. [`Uri`] writes `https://host` as `https://host/`, so the slash is
/// removed to get the same id: most configurations have none.
pub(crate) fn auth_url_element(auth_url: &Uri) -> String {
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
    fn a_value_cannot_look_like_two_elements() {
        assert_ne!(id(&[("a", "b"), ("c", "d")]), id(&[("a", "b\0c\0d")]));
        assert_ne!(id(&[("a", "bc")]), id(&[("ab", "c")]));
        assert_ne!(id(&[("a", "b\0")]), id(&[("a", "b")]));
    }
}
