//! Reads discovery documents (OpenID Connect Discovery 1.0, RFC 8414).

use http::Uri;
use serde_json::value::RawValue;

use super::ClientAuthentication;
use crate::{endpoint::Origin, json};

/// What a discovery document says about a provider.
#[derive(Debug, Default)]
pub(in crate::federation) struct ProviderMetadata {
    /// The name of the provider, which is a URL.
    pub(super) issuer: Option<Box<str>>,
    /// Whether the provider names itself (`iss`) when it sends a browser back (RFC 9207).
    sends_issuer: bool,
    pub(super) token_endpoint: Option<Box<str>>,
    pub(super) device_authorization_endpoint: Option<Box<str>>,
    pub(super) authorization_endpoint: Option<Box<str>>,
    /// The supported grants; empty if they are not known.
    grant_types: Vec<Box<str>>,
    /// The supported methods of client authentication; empty if they are not known.
    authentication_methods: Vec<Box<str>>,
}

/// Maximum number of entries to read from a list.
const MAX_ENTRIES: usize = 64;

impl ProviderMetadata {
    /// Reads the document at this URL.
    ///
    /// Members of a wrong kind are ignored, except the issuer.
    ///
    /// # Errors
    ///
    /// What is wrong with the document, and what to do next.
    pub(super) fn read(url: &Uri, document: &str) -> Result<Self, &'static str> {
        let (mut metadata, mut issuer) = (Self::default(), None);
        let read = json::for_each_member(document, |name, value| match name {
            "issuer" => issuer = Some(value),
            "authorization_response_iss_parameter_supported" => metadata.sends_issuer = value.get() == "true",
            "token_endpoint" => metadata.token_endpoint = text(value),
            "device_authorization_endpoint" => metadata.device_authorization_endpoint = text(value),
            "authorization_endpoint" => metadata.authorization_endpoint = text(value),
            "grant_types_supported" => metadata.grant_types = texts(value),
            "token_endpoint_auth_methods_supported" => metadata.authentication_methods = texts(value),
            _ => {}
        });
        read.map_err(|_| "it is not a JSON object; check its URL")?;
        if let Some(issuer) = issuer.filter(|issuer| issuer.get() != "null") {
            let issuer = text(issuer).filter(|issuer| is_issuer_of(issuer, url));
            metadata.issuer = Some(issuer.ok_or(
                "its issuer is not that of its URL; correct the URL, or set the endpoints in place of the document",
            )?);
        }
        Ok(metadata)
    }

    /// Returns whether a response with this `iss` can be from the provider whose document has this URL.
    ///
    /// If the document names no issuer, the one of the response must be that of the URL.
    #[cfg(feature = "browser")]
    pub(in crate::federation) fn sends(&self, iss: Option<&str>, url: &Uri) -> bool {
        match (iss, &self.issuer) {
            (Some(iss), Some(issuer)) => *iss == **issuer,
            (Some(iss), None) => is_issuer_of(iss, url),
            (None, _) => !self.sends_issuer,
        }
    }

    /// Returns whether the provider has a grant, as far as it is known.
    pub(super) fn supports_grant(&self, grant_type: &str) -> bool {
        self.grant_types.is_empty() || self.grant_types.iter().any(|supported| **supported == *grant_type)
    }

    /// Returns whether the provider takes this method of client authentication, as far as it is known.
    pub(super) fn supports_authentication(&self, authentication: ClientAuthentication) -> bool {
        let name = match authentication {
            ClientAuthentication::Basic | ClientAuthentication::EncodedBasic => "client_secret_basic",
            ClientAuthentication::Form => "client_secret_post",
        };
        self.authentication_methods.is_empty()
            || self.authentication_methods.iter().any(|supported| **supported == *name)
    }
}

fn text(value: &RawValue) -> Option<Box<str>> {
    json::text(value).map(Into::into)
}

/// Returns the texts of a list, or none if it is not a list.
fn texts(list: &RawValue) -> Vec<Box<str>> {
    let mut texts = Vec::new();
    let read = json::for_each_element(list, |element| {
        if texts.len() < MAX_ENTRIES {
            texts.extend(text(element));
        }
    });
    if read.is_ok() { texts } else { Vec::new() }
}

/// Returns whether an issuer has its discovery document at this URL.
///
/// The URL begins with the issuer (OpenID Connect), or has the path of the issuer after that of the document (RFC 8414,
/// section 3.1).
fn is_issuer_of(issuer: &str, url: &Uri) -> bool {
    let Ok(issuer) = issuer.parse::<Uri>() else { return false };
    let has_same_origin =
        Origin::from_uri(&issuer).is_some_and(|origin| Origin::from_uri(url) == Some(origin));
    let (path, document) = (issuer.path().trim_end_matches('/'), url.path());
    let is_prefix = || document.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    let is_suffix = || {
        let well_known = document.strip_prefix("/.well-known/").and_then(|rest| rest.split_once('/'));
        well_known.is_some_and(|(_, rest)| path.strip_prefix('/') == Some(rest.trim_end_matches('/')))
    };
    has_same_origin && issuer.query().is_none() && (is_prefix() || is_suffix())
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://op.example.com/realms/a/.well-known/openid-configuration";

    fn read(document: &str) -> Result<ProviderMetadata, &'static str> {
        ProviderMetadata::read(&URL.parse().unwrap(), document)
    }

    #[test]
    fn the_members_are_read() {
        let metadata = read(
            r#"{"issuer": "https://op.example.com/realms/a", "token_endpoint": "https://op.example.com/token",
                "device_authorization_endpoint": "https://op.example.com/device",
                "authorization_endpoint": "https://op.example.com/auth",
                "authorization_response_iss_parameter_supported": true,
                "grant_types_supported": ["password", 7, "refresh_token"],
                "token_endpoint_auth_methods_supported": ["client_secret_post"]}"#,
        )
        .unwrap();
        assert_eq!(metadata.issuer.as_deref(), Some("https://op.example.com/realms/a"));
        assert_eq!(metadata.token_endpoint.as_deref(), Some("https://op.example.com/token"));
        assert_eq!(metadata.device_authorization_endpoint.as_deref(), Some("https://op.example.com/device"));
        assert_eq!(metadata.authorization_endpoint.as_deref(), Some("https://op.example.com/auth"));
        assert!(metadata.sends_issuer);
        assert!(metadata.supports_grant("password") && metadata.supports_grant("refresh_token"));
        assert!(!metadata.supports_grant("client_credentials"));
        assert!(metadata.supports_authentication(ClientAuthentication::Form));
        assert!(!metadata.supports_authentication(ClientAuthentication::Basic));
        assert!(!metadata.supports_authentication(ClientAuthentication::EncodedBasic));
    }

    #[cfg(feature = "browser")]
    #[test]
    fn a_response_is_from_the_provider_of_the_document() {
        let named = r#"{"issuer": "https://op.example.com/realms/a"}"#;
        let sent = r#"{"issuer": "https://op.example.com/realms/a",
                       "authorization_response_iss_parameter_supported": true}"#;
        for (document, iss, expected) in [
            (sent, Some("https://op.example.com/realms/a"), true),
            (named, Some("https://op.example.com/realms/a"), true),
            (named, Some("https://op.example.com/realms/a/"), false),
            (named, Some("https://op.example.com"), false),
            (named, Some("https://evil.example.org"), false),
            (named, None, true),
            (sent, None, false),
            ("{}", Some("https://op.example.com/realms/a"), true),
            ("{}", Some("https://op.example.com/realms/b"), false),
            ("{}", Some("https://evil.example.org/realms/a"), false),
            ("{}", Some("op"), false),
            ("{}", None, true),
        ] {
            let metadata = read(document).unwrap();
            assert_eq!(metadata.sends(iss, &URL.parse().unwrap()), expected, "{document} {iss:?}");
        }
    }

    #[test]
    fn lists_that_are_missing_or_malformed_are_not_known() {
        for document in [
            "{}",
            r#"{"grant_types_supported": null, "token_endpoint_auth_methods_supported": "x", "token_endpoint": 7}"#,
            r#"{"grant_types_supported": [], "token_endpoint_auth_methods_supported": [], "issuer": null}"#,
        ] {
            let metadata = read(document).unwrap();
            assert!(metadata.supports_grant("password"), "{document}");
            assert!(metadata.supports_authentication(ClientAuthentication::Form), "{document}");
            assert!(metadata.token_endpoint.is_none() && metadata.issuer.is_none(), "{document}");
        }
    }

    #[test]
    fn a_text_that_is_not_an_object_is_an_error() {
        for document in ["", "[]", "\"\"", "<html>", "{", "{} {}"] {
            assert!(read(document).unwrap_err().contains("not a JSON object"), "{document}");
        }
    }

    #[test]
    fn long_lists_are_read_up_to_a_limit() {
        let document = format!(r#"{{"grant_types_supported": [{}"z"]}}"#, r#""a","#.repeat(100_000));
        assert_eq!(read(&document).unwrap().grant_types.len(), MAX_ENTRIES);
    }

    #[test]
    fn the_issuer_is_that_of_the_url() {
        for (issuer, url) in [
            ("https://op.example.com", "https://op.example.com/.well-known/openid-configuration"),
            ("https://op.example.com/", "https://op.example.com/.well-known/openid-configuration"),
            ("https://OP.example.com:443", "https://op.example.com/.well-known/openid-configuration"),
            ("https://op.example.com/realms/a", URL),
            ("https://op.example.com/realms/a/", URL),
            (
                "https://op.example.com/a/b",
                "https://op.example.com/.well-known/oauth-authorization-server/a/b",
            ),
            ("https://op.example.com", "https://op.example.com/.well-known/oauth-authorization-server"),
            ("http://127.0.0.1:48003", "http://127.0.0.1:48003/.well-known/openid-configuration"),
        ] {
            assert!(is_issuer_of(issuer, &url.parse().unwrap()), "{issuer} {url}");
        }
        for issuer in [
            "https://evil.example.com/realms/a",
            "https://op.example.com.evil.org/realms/a",
            "http://op.example.com/realms/a",
            "https://op.example.com:8443/realms/a",
            "https://op.example.com/realms/b",
            "https://op.example.com/realms/",
            "https://op.example.com/realm",
            "https://op.example.com/realms/a?x",
            "https://x@op.example.com/realms/a",
            "op.example.com",
            "",
        ] {
            let document = format!(r#"{{"issuer": "{issuer}"}}"#);
            let is_prefix = issuer == "https://op.example.com/realms/";
            assert_eq!(read(&document).is_ok(), is_prefix, "{issuer}");
        }
        assert!(read(r#"{"issuer": ["https://op.example.com/realms/a"]}"#).is_err());
        let rfc_8414 = "https://op.example.com/.well-known/oauth-authorization-server/a".parse().unwrap();
        assert!(!is_issuer_of("https://op.example.com/b", &rfc_8414));
    }
}
