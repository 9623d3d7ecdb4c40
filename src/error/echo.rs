//! Servers that repeat what they were sent.

use zeroize::Zeroizing;

/// Whether a text repeats one of these secrets, as it is or as it stands in JSON.
pub(crate) fn repeats<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> bool {
    let escaped = |secret: &str| secret.replace('\\', "\\\\").replace('"', "\\\"");
    secrets.into_iter().filter(|secret| !secret.is_empty()).any(|secret| {
        text.contains(secret)
            || secret.contains(['\\', '"']) && text.contains(&*Zeroizing::new(escaped(secret)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_as_it_is_and_as_json() {
        for (text, found) in [
            ("the password is pw", false),
            (r#"the password is p"w\"#, true),
            (r#"{"password": "p\"w\\"}"#, true),
            ("", false),
        ] {
            assert_eq!(repeats(text, ["other", r#"p"w\"#]), found, "{text}");
        }
        assert!(!repeats("anything", [""]));
    }
}
