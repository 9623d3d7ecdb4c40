//! Reads the responses of token endpoints.

use std::{fmt, time::Duration};

use serde_json::value::RawValue;

use super::AccessTokenType;
use crate::{Secret, access::token_header, json};

/// The response of a token endpoint (RFC 6749, section 5.1).
pub(in crate::federation) struct TokenResponse {
    /// The token that is sent to Keystone: the access token or the ID token. It can be sent in a header.
    pub(in crate::federation) bearer: Secret,
    pub(in crate::federation) refresh_token: Option<Secret>,
    /// `expires_in`, at most [`MAX_LIFETIME`].
    pub(in crate::federation) lifetime: Option<Duration>,
}

/// Longest lifetime that is believed: ten years.
const MAX_LIFETIME: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

impl TokenResponse {
    /// Reads a response.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what to do next.
    pub(super) fn read(document: &Secret, kind: AccessTokenType) -> Result<Self, &'static str> {
        let (mut bearer, mut refresh_token, mut lifetime, mut token_type) = (None, None, None, None);
        let bearer_name = match kind {
            AccessTokenType::AccessToken => "access_token",
            AccessTokenType::IdToken => "id_token",
        };
        let read = json::for_each_member(document.expose(), |name, value| match name {
            name if name == bearer_name => bearer = secret(value),
            "refresh_token" => refresh_token = secret(value),
            "expires_in" => lifetime = seconds(value),
            "token_type" => token_type = json::text(value),
            _ => {}
        });
        read.map_err(|_| "its response is not a JSON object; check its URL")?;
        let bearer = bearer.ok_or(match kind {
            AccessTokenType::AccessToken => "its response has no access_token; check its URL",
            AccessTokenType::IdToken => {
                "its response has no id_token; request the scope `openid`, use a grant with a user, or use the \
                 access token (OidcClient::access_token_type)"
            }
        })?;
        let is_bearer = token_type.as_deref().is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
        if kind == AccessTokenType::AccessToken && !is_bearer {
            return Err(
                "the type of its access token is not Bearer, so Keystone cannot take it; change that at the \
                        provider, or use the ID token (OidcClient::access_token_type)",
            );
        }
        token_header(bearer.expose())
            .map_err(|_| "it issued a token that cannot be sent in a header; check its URL")?;
        Ok(Self { bearer, refresh_token, lifetime })
    }
}

/// Returns a text that is not empty.
fn secret(value: &RawValue) -> Option<Secret> {
    json::text(value).map(Secret::new).filter(|secret| !secret.expose().is_empty())
}

/// Reads a number of seconds, which some providers write as a string. It is at most [`MAX_LIFETIME`].
///
/// Returns `None` if the value is negative or not a number.
pub(in crate::federation) fn seconds(value: &RawValue) -> Option<Duration> {
    let seconds: f64 = json::text_or_number(value)?.trim().parse().ok()?;
    let is_number = seconds >= 0.0;
    is_number.then(|| Duration::try_from_secs_f64(seconds).unwrap_or(MAX_LIFETIME).min(MAX_LIFETIME))
}

impl fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenResponse").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str, kind: AccessTokenType) -> Result<TokenResponse, &'static str> {
        TokenResponse::read(&document.into(), kind)
    }

    #[test]
    fn the_tokens_and_the_lifetime_are_read() {
        let document = r#"{"access_token": "a", "id_token": "i", "token_type": "bearer", "expires_in": 3600,
                           "refresh_token": "r", "scope": "openid", "other": {"access_token": "no"}}"#;
        let response = read(document, AccessTokenType::AccessToken).unwrap();
        assert_eq!(response.bearer.expose(), "a");
        assert_eq!(response.refresh_token.unwrap().expose(), "r");
        assert_eq!(response.lifetime, Some(Duration::from_secs(3600)));
        assert_eq!(read(document, AccessTokenType::IdToken).unwrap().bearer.expose(), "i");

        let least = read(r#"{"access_token": "a"}"#, AccessTokenType::AccessToken).unwrap();
        assert!(least.refresh_token.is_none() && least.lifetime.is_none());
        let empty =
            read(r#"{"access_token": "a", "refresh_token": ""}"#, AccessTokenType::AccessToken).unwrap();
        assert!(empty.refresh_token.is_none());
    }

    #[test]
    fn a_lifetime_is_a_number_or_a_string_and_bounded() {
        for (text, expected) in [
            ("30", Some(Duration::from_secs(30))),
            ("\"30\"", Some(Duration::from_secs(30))),
            ("\" 30 \"", Some(Duration::from_secs(30))),
            ("29.5", Some(Duration::from_millis(29_500))),
            ("0", Some(Duration::ZERO)),
            ("1e300", Some(MAX_LIFETIME)),
            ("18446744073709551615", Some(MAX_LIFETIME)),
            ("\"inf\"", Some(MAX_LIFETIME)),
            ("-1", None),
            ("\"NaN\"", None),
            ("\"soon\"", None),
            ("null", None),
            ("[30]", None),
        ] {
            let value = RawValue::from_string(text.to_owned()).unwrap();
            assert_eq!(seconds(&value), expected, "{text}");
        }
    }

    #[test]
    fn a_response_without_a_usable_token_is_an_error() {
        use AccessTokenType::{AccessToken, IdToken};
        for (document, kind, reason) in [
            ("{}", AccessToken, "no access_token"),
            (r#"{"id_token": "i"}"#, AccessToken, "no access_token"),
            (r#"{"access_token": "a"}"#, IdToken, "no id_token"),
            (r#"{"access_token": ""}"#, AccessToken, "no access_token"),
            (r#"{"access_token": 7}"#, AccessToken, "no access_token"),
            (r#"{"access_token": null}"#, AccessToken, "no access_token"),
            (r#"{"access_token": "a b"}"#, AccessToken, "header"),
            (r#"{"access_token": "a\r\nX-Evil: 1"}"#, AccessToken, "header"),
            (r#"{"access_token": "é"}"#, AccessToken, "header"),
            (r#"{"access_token": "a", "token_type": "DPoP"}"#, AccessToken, "Bearer"),
            (r#"{"access_token": "a", "token_type": "mac"}"#, AccessToken, "Bearer"),
        ] {
            let error = read(document, kind).unwrap_err();
            assert!(error.contains(reason), "{document}: {error}");
        }
        assert!(read(r#"{"id_token": "i", "token_type": "DPoP"}"#, IdToken).is_ok());
    }

    #[test]
    fn a_response_does_not_show_its_tokens() {
        let document = r#"{"access_token": "canary", "refresh_token": "canary", "expires_in": 30}"#;
        let response = read(document, AccessTokenType::AccessToken).unwrap();
        assert_eq!(format!("{response:?}"), "TokenResponse { lifetime: Some(30s), .. }");
    }
}
