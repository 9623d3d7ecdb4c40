//! The scope of a request in its headers, in place of a token.

use http::{HeaderName, HeaderValue};

use super::{Scope, text_setters::non_empty};
use crate::Error;

type Header<'a> = (&'static str, &'a str);

impl Scope {
    /// Returns the headers that tell Keystone the scope of a request without a token.
    ///
    /// # Errors
    ///
    /// [`Error::AuthorizationFailure`] if the scope is not one project or one domain, if a project is given by name
    /// without its domain, or if a value cannot be sent in a header.
    pub(crate) fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
        let invalid = |reason| Error::AuthorizationFailure { reason };
        let project = first([("x-project-id", &self.project_id), ("x-project-name", &self.project_name)]);
        let domain = first([("x-domain-id", &self.domain_id), ("x-domain-name", &self.domain_name)]);
        let has_other =
            non_empty(&self.system_scope).or(non_empty(&self.trust_id)).is_some() || self.unscoped;
        let (scope, project_domain) = match (project, domain, has_other) {
            (Some(project), None, false) if project.0 == "x-project-id" => (project, None),
            (Some(project), None, false) => {
                let domain = first([
                    ("x-project-domain-id", &self.project_domain_id),
                    ("x-project-domain-name", &self.project_domain_name),
                ]);
                let missing = "the project is given by name; set its domain too, or the id of the project";
                (project, Some(domain.ok_or(invalid(missing))?))
            }
            (None, Some(domain), false) => (domain, None),
            (None, None, false) => {
                return Err(invalid("Keystone needs a scope with a certificate; set a project or a domain"));
            }
            _ => return Err(invalid("the scope of a certificate must be one project or one domain")),
        };
        [scope].into_iter().chain(project_domain).map(header).collect()
    }
}

/// Returns the first header that has a value.
fn first<'a>(headers: [(&'static str, &'a Option<Box<str>>); 2]) -> Option<Header<'a>> {
    headers.into_iter().find_map(|(name, text)| Some((name, non_empty(text)?)))
}

/// Encodes the value in ISO 8859-1, in which Keystone reads headers.
fn header((name, text): Header<'_>) -> Result<(HeaderName, HeaderValue), Error> {
    let bytes = text.chars().map(u8::try_from).collect::<Result<Vec<_>, _>>();
    let value = bytes.ok().and_then(|bytes| HeaderValue::from_bytes(&bytes).ok());
    let reason = "a name in the scope has a character that no header can contain; use its id";
    Ok((HeaderName::from_static(name), value.ok_or(Error::AuthorizationFailure { reason })?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(scope: Scope) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let headers = scope.headers()?.into_iter();
        Ok(headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect())
    }

    fn is(scope: Scope, expected: &[(&str, &[u8])]) {
        let expected: Vec<_> =
            expected.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
        assert_eq!(headers(scope).unwrap(), expected);
    }

    #[test]
    fn an_id_takes_precedence_over_a_name() {
        let names = || Scope::new().project_name("p").project_domain_id("d").project_domain_name("D");
        is(names().project_id("1"), &[("x-project-id", b"1")]);
        is(names(), &[("x-project-name", b"p"), ("x-project-domain-id", b"d")]);
        is(names().project_domain_id(""), &[("x-project-name", b"p"), ("x-project-domain-name", b"D")]);
        is(Scope::new().domain_id("1").domain_name("d"), &[("x-domain-id", b"1")]);
        is(Scope::new().domain_name("d"), &[("x-domain-name", b"d")]);
    }

    #[test]
    fn a_name_is_encoded_in_iso_8859_1() {
        is(Scope::new().domain_name("projet-été"), &[("x-domain-name", b"projet-\xe9t\xe9")]);
    }

    #[test]
    fn what_cannot_be_sent_is_an_error_that_says_so() {
        let project = || Scope::new().project_id("p");
        for (scope, part) in [
            (Scope::new(), "set a project or a domain"),
            (Scope::new().project_id("").domain_name(""), "set a project or a domain"),
            (Scope::new().project_domain_id("d"), "set a project or a domain"),
            (Scope::new().project_name("p"), "set its domain"),
            (project().domain_id("d"), "one project or one domain"),
            (Scope::new().system_scope("all"), "one project or one domain"),
            (project().trust_id("t"), "one project or one domain"),
            (project().unscoped(), "one project or one domain"),
            (Scope::new().domain_name("домен"), "use its id"),
            (Scope::new().domain_name("a\r\nx: y"), "use its id"),
        ] {
            let error = headers(scope).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
