//! The URL that begins a login at the provider (RFC 6749, section 4.1.1).

use http::Uri;

use super::ascii::ascii;
use crate::federation::oauth::form;

/// Returns the URL of a request with these fields. The query of the endpoint is kept.
///
/// # Errors
///
/// What is wrong with the fields: a field must not be sent twice (RFC 6749, section 3.1).
pub(super) fn authorization_url(endpoint: &Uri, fields: &[(&str, &str)]) -> Result<String, &'static str> {
    let query = endpoint.query().unwrap_or_default();
    let mut names = query.split('&').filter_map(|field| field.split('=').next());
    if names.any(|name| fields.iter().any(|(other, _)| *other == name)) {
        return Err(
            "the query of the authorization endpoint has a parameter that the login sets; remove it there",
        );
    }
    let is_repeated = |(index, (name, _)): (usize, &(&str, &str))| {
        fields.iter().take(index).any(|(other, _)| other == name)
    };
    if fields.iter().enumerate().any(is_repeated) {
        return Err("a parameter was added twice, or is one that the login sets itself; remove it");
    }
    let separator = match endpoint.query() {
        None => "?",
        Some("") => "",
        Some(_) => "&",
    };
    Ok(format!("{}{separator}{}", ascii(endpoint), *form::encode(fields)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(endpoint: &str, fields: &[(&str, &str)]) -> Result<String, &'static str> {
        authorization_url(&endpoint.parse().unwrap(), fields)
    }

    #[test]
    fn the_query_of_the_endpoint_is_kept() {
        let fields = [("client_id", "cli"), ("scope", "openid profile")];
        for (endpoint, expected) in [
            ("https://op/auth", "https://op/auth?client_id=cli&scope=openid+profile"),
            ("https://op/auth?", "https://op/auth?client_id=cli&scope=openid+profile"),
            ("https://op/auth?p=a%20b", "https://op/auth?p=a%20b&client_id=cli&scope=openid+profile"),
            ("https://op", "https://op/?client_id=cli&scope=openid+profile"),
        ] {
            assert_eq!(url(endpoint, &fields).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn no_parameter_is_sent_twice() {
        let error = url("https://op/auth?state=1", &[("state", "2")]).unwrap_err();
        assert!(error.contains("authorization endpoint"), "{error}");
        let error =
            url("https://op/auth", &[("state", "2"), ("prompt", "login"), ("state", "3")]).unwrap_err();
        assert!(error.contains("added twice"), "{error}");
    }
}
