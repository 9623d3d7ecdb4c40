//! The access rules of application credentials.

mod pattern;

use std::fmt;

use http::Method;

use super::percent_encoding;
use crate::AccessInfo;

/// A request, as far as access rules depend on it.
pub(super) struct Request<'a> {
    pub(super) method: &'a Method,
    /// The path that the client sent, without the query.
    pub(super) path: &'a str,
    /// Whether a confirmed service token with a service role came with the request. A service may send requests that
    /// the rules do not list, because the user did not ask for them directly.
    pub(super) is_sent_by_service: bool,
}

/// Why access rules do not allow a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forbidden {
    NoServiceType,
    NotInCatalog,
    NoRule,
}

/// Returns an error if the token has access rules, and they do not allow this request to a service of this type.
///
/// A rule allows a request if its method and its service type are the same, in the same case and without aliases, and
/// its path [matches](pattern::matches). A malformed rule allows nothing. An empty list allows nothing either.
///
/// If the token has a service catalog, the service type must be listed in it. Everyone may ask Keystone about a token.
pub(super) fn check(
    access_info: &AccessInfo,
    service_type: Option<&str>,
    request: &Request<'_>,
) -> Result<(), Forbidden> {
    let Some(mut rules) = access_info.application_credential_access_rules() else { return Ok(()) };
    let service_type = service_type.filter(|name| !name.is_empty()).ok_or(Forbidden::NoServiceType)?;
    let path = percent_encoding::normalize(request.path);

    if service_type == "identity" && request.method == Method::GET && path.ends_with("/v3/auth/tokens") {
        return Ok(());
    }
    if access_info.has_service_catalog() && !access_info.service_catalog().has_service_type(service_type) {
        return Err(Forbidden::NotInCatalog);
    }
    if request.is_sent_by_service {
        return Ok(());
    }
    let is_allowed = rules.any(|rule| {
        rule.service == Some(service_type)
            && rule.method == Some(request.method.as_str())
            && rule.path.is_some_and(|pattern| pattern::matches(pattern, &path))
    });
    is_allowed.then_some(()).ok_or(Forbidden::NoRule)
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoServiceType => {
                "the token has access rules, which need the type of this service: set it with `service_type`"
            }
            Self::NotInCatalog => "the service catalog of the token does not list the type of this service",
            Self::NoRule => "no access rule of the token allows the request",
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn access_info(application_credential: Value, catalog: Option<Value>) -> AccessInfo {
        let mut body = json!({"token": {
            "user": {"id": "u"},
            "expires_at": "2026-01-15T13:00:00Z",
            "application_credential": application_credential,
        }});
        if let Some(catalog) = catalog {
            body["token"]["catalog"] = catalog;
        }
        AccessInfo::new("t", body.to_string()).unwrap()
    }

    fn with_rules(rules: Value) -> AccessInfo {
        access_info(json!({"id": "c", "access_rules": rules}), Some(json!([{"type": "compute"}])))
    }

    fn get(path: &str) -> Request<'_> {
        Request { method: &Method::GET, path, is_sent_by_service: false }
    }

    #[test]
    fn a_token_without_rules_is_not_restricted() {
        for credential in [json!(null), json!({}), json!({"id": "c"}), json!({"access_rules": null})] {
            assert_eq!(check(&access_info(credential, None), None, &get("/x")), Ok(()));
        }
        let password = AccessInfo::new("t", r#"{"token": {"expires_at": "2026-01-15T13:00:00Z"}}"#).unwrap();
        assert_eq!(check(&password, None, &get("/x")), Ok(()));
    }

    #[test]
    fn no_rule_allows_nothing() {
        assert_eq!(check(&with_rules(json!([])), Some("compute"), &get("/x")), Err(Forbidden::NoRule));
    }

    #[test]
    fn method_and_service_type_are_compared_exactly() {
        let token = with_rules(json!([
            {"service": "compute", "method": "GET", "path": "/a"},
            {"service": "nova", "method": "POST", "path": "/b"},
            {"service": "compute", "method": "get", "path": "/c"},
        ]));
        let check = |method: &str, path| {
            let method = &Method::from_bytes(method.as_bytes()).unwrap();
            check(&token, Some("compute"), &Request { method, path, is_sent_by_service: false })
        };
        assert_eq!(check("GET", "/a"), Ok(()));
        assert_eq!(check("get", "/c"), Ok(()));
        for (method, path) in
            [("get", "/a"), ("HEAD", "/a"), ("POST", "/b"), ("GET", "/b"), ("GET", "/c"), ("GET", "/")]
        {
            assert_eq!(check(method, path), Err(Forbidden::NoRule), "{method} {path}");
        }
    }

    #[test]
    fn the_path_is_decoded_but_not_resolved() {
        let token = with_rules(json!([{"service": "compute", "method": "GET", "path": "/v2/servers/*"}]));
        for path in
            ["/v2/servers/1", "/v2/ser%76ers/1", "/v2/servers%2F1", "/v2/servers/..", "/v2/servers/%C3%A9"]
        {
            assert_eq!(check(&token, Some("compute"), &get(path)), Ok(()), "{path}");
        }
        for path in [
            "/v2/servers/a%2Fb",
            "/v2//servers/1",
            "/v2/x/../servers/1",
            "/v2/servers/1/",
            "v2/servers/1",
            "",
            "*",
        ] {
            assert_eq!(check(&token, Some("compute"), &get(path)), Err(Forbidden::NoRule), "{path}");
        }
    }

    #[test]
    fn malformed_rules_allow_nothing() {
        let malformed = [
            json!("**"),
            json!({"service": "compute", "method": "GET", "path": "**"}),
            json!(true),
            json!([null, 1, "**", ["compute", "GET", "**"]]),
            json!([{"service": "compute", "method": "GET"}]),
            json!([{"service": "compute", "path": "**"}]),
            json!([{"method": "GET", "path": "**"}]),
            json!([{"service": null, "method": null, "path": null}]),
            json!([{"service": "compute", "method": ["GET"], "path": "**"}]),
            json!([{"service": "compute", "method": "GET", "path": ["**"]}]),
        ];
        for rules in malformed {
            assert_eq!(
                check(&with_rules(rules.clone()), Some("compute"), &get("/x")),
                Err(Forbidden::NoRule),
                "{rules}"
            );
        }
        let rules = json!([1, {"service": "compute", "method": "GET", "path": "/x"}]);
        assert_eq!(check(&with_rules(rules), Some("compute"), &get("/x")), Ok(()));
    }

    #[test]
    fn the_service_type_must_be_known_and_in_the_catalog() {
        let rules = json!({"access_rules": [{"service": "volumev3", "method": "GET", "path": "**"}]});
        let check = |catalog: Option<Value>, service_type, is_sent_by_service| {
            let request = Request { is_sent_by_service, ..get("/x") };
            check(&access_info(rules.clone(), catalog), service_type, &request)
        };
        let listed = || Some(json!([{"type": "volumev3"}]));
        let alias = || Some(json!([{"type": "block-storage", "endpoints": []}]));
        for by_service in [false, true] {
            assert_eq!(check(listed(), Some("volumev3"), by_service), Ok(()));
            assert_eq!(check(None, Some("volumev3"), by_service), Ok(()));
            assert_eq!(check(listed(), None, by_service), Err(Forbidden::NoServiceType));
            assert_eq!(check(listed(), Some(""), by_service), Err(Forbidden::NoServiceType));
            assert_eq!(check(alias(), Some("volumev3"), by_service), Err(Forbidden::NotInCatalog));
            assert_eq!(check(Some(json!([])), Some("volumev3"), by_service), Err(Forbidden::NotInCatalog));
        }
    }

    #[test]
    fn a_service_may_send_requests_without_a_rule() {
        let request = Request { is_sent_by_service: true, ..get("/x") };
        assert_eq!(check(&with_rules(json!([])), Some("compute"), &request), Ok(()));
    }

    #[test]
    fn a_token_can_always_be_validated() {
        let token = with_rules(json!([]));
        let check = |service_type, method, path| {
            check(&token, Some(service_type), &Request { method, path, is_sent_by_service: false }).is_ok()
        };
        assert!(check("identity", &Method::GET, "/v3/auth/tokens"));
        assert!(check("identity", &Method::GET, "/identity/v3/auth/tokens"));
        assert!(!check("compute", &Method::GET, "/v3/auth/tokens"));
        assert!(!check("identity", &Method::HEAD, "/v3/auth/tokens"));
        assert!(!check("identity", &Method::GET, "/v3/auth/tokens/"));
        assert!(!check("identity", &Method::GET, "/v2.0/tokens"));
    }
}
