//! Removes the identity headers that a client could forge, and marks its credentials as sensitive.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Marks the headers that contain tokens as sensitive.
///
/// Returns the value of `X-Auth-Token` if the request has no other credential, and no identity header to remove.
#[inline]
pub(in crate::validate) fn mark_credentials(headers: &mut HeaderMap) -> Option<&HeaderValue> {
    let mut token = None;
    let mut is_only_one = true;
    for (name, value) in headers.iter_mut() {
        let meaning = Meaning::of(name);
        if meaning == Meaning::Other {
            continue;
        }
        if meaning != Meaning::Identity {
            value.set_sensitive(true);
        }
        is_only_one &= meaning == Meaning::AuthToken && token.is_none();
        token = Some(&*value);
    }
    token.filter(|_| is_only_one)
}

/// Removes all identity headers.
///
/// In each name any `-` may be `_` instead: a WSGI server does not distinguish them.
pub(in crate::validate) fn remove_identity(headers: &mut HeaderMap) {
    let forged: Vec<HeaderName> =
        headers.keys().filter(|name| Meaning::of(name) == Meaning::Identity).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Identity,
    AuthToken,
    /// Another token, or `X-Auth-Token` in another spelling.
    Credential,
    Other,
}

/// Length of the longest name of an identity header, `x-service-project-domain-name`.
const MAX_LENGTH: usize = 29;

impl Meaning {
    /// Returns the meaning of a header. The name is in lower case, as in each `HeaderName`.
    #[inline(always)]
    fn of(name: &HeaderName) -> Self {
        let name = name.as_str().as_bytes();
        match name {
            [b'x', b'-' | b'_', ..] | [b'o', b'p', ..] | [b'a', b'u', ..] => Self::of_candidate(name),
            _ => Self::Other,
        }
    }

    #[inline(never)]
    fn of_candidate(name: &[u8]) -> Self {
        if name == b"x-auth-token" {
            return Self::AuthToken;
        }
        let mut buffer = [0; MAX_LENGTH];
        let Some(normalized) = buffer.get_mut(..name.len()) else { return Self::Other };
        for (to, &from) in normalized.iter_mut().zip(name) {
            *to = if from == b'_' { b'-' } else { from };
        }
        let normalized = &*normalized;
        match normalized {
            b"x-auth-token" | b"x-service-token" | b"x-storage-token" | b"authorization" => Self::Credential,
            b"openstack-system-scope" => Self::Identity,
            _ => match normalized.strip_prefix(b"x-") {
                Some(name) if is_identity(name) => Self::Identity,
                _ => Self::Other,
            },
        }
    }
}

/// Returns whether a name without `x-` is that of an identity header.
fn is_identity(name: &[u8]) -> bool {
    matches!(
        name.strip_prefix(b"service-").unwrap_or(name),
        b"domain-id"
            | b"domain-name"
            | b"project-id"
            | b"project-name"
            | b"project-domain-id"
            | b"project-domain-name"
            | b"user-id"
            | b"user-name"
            | b"user-domain-id"
            | b"user-domain-name"
            | b"roles"
            | b"identity-status"
    ) || matches!(
        name,
        b"is-admin-project"
            | b"service-catalog"
            | b"role"
            | b"user"
            | b"tenant"
            | b"tenant-id"
            | b"tenant-name"
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMMON: [&str; 12] = [
        "Domain-Id",
        "Domain-Name",
        "Project-Id",
        "Project-Name",
        "Project-Domain-Id",
        "Project-Domain-Name",
        "User-Id",
        "User-Name",
        "User-Domain-Id",
        "User-Domain-Name",
        "Roles",
        "Identity-Status",
    ];
    const OTHERS: [&str; 8] = [
        "X-Is-Admin-Project",
        "X-Service-Catalog",
        "X-Role",
        "X-User",
        "X-Tenant",
        "X-Tenant-Id",
        "X-Tenant-Name",
        "OpenStack-System-Scope",
    ];
    const CREDENTIALS: [&str; 4] = ["X-Auth-Token", "X-Service-Token", "X-Storage-Token", "Authorization"];
    const HARMLESS: [&str; 14] = [
        "Accept",
        "Host",
        "Age",
        "X",
        "X-",
        "X-User-",
        "X-User-Ids",
        "X-Service-Role",
        "X-Service-User",
        "X-Service-Service-Roles",
        "X-Service-Project-Domain-Names",
        "XX-Roles",
        "OpenStack-API-Version",
        "Roles",
    ];

    fn identity_headers() -> Vec<String> {
        let common = COMMON.iter().flat_map(|name| [format!("X-{name}"), format!("X-Service-{name}")]);
        common.chain(OTHERS.map(str::to_owned)).collect()
    }

    fn names() -> impl Strategy<Value = String> {
        let all = [&identity_headers()[..], &CREDENTIALS.map(str::to_owned), &HARMLESS.map(str::to_owned)];
        let known = prop::sample::select(all.concat());
        let spelling = prop::collection::vec(any::<(bool, bool)>(), 32);
        let known = (known, spelling).prop_map(|(name, spelling)| {
            let letter = |(letter, (underscore, upper)): (char, (bool, bool))| match letter {
                '-' if underscore => '_',
                letter if upper => letter.to_ascii_uppercase(),
                letter => letter.to_ascii_lowercase(),
            };
            name.chars().zip(spelling).map(letter).collect()
        });
        prop_oneof![4 => known, 1 => "[xX][-_a-z]{1,12}", 1 => "[a-zA-Z_-]{1,12}"]
    }

    fn sanitize(headers: &mut HeaderMap) {
        mark_credentials(headers);
        remove_identity(headers);
    }

    proptest! {
        #[test]
        fn the_same_headers_are_removed_as_by_comparing_each_name(names in prop::collection::vec(names(), 0..12)) {
            let normalize = |name: &str| name.to_lowercase().replace('_', "-");
            let is_listed = |list: &[String], name: &str| list.iter().any(|listed| normalize(listed) == normalize(name));
            let (identity, credentials) = (identity_headers(), CREDENTIALS.map(str::to_owned));

            let mut headers = HeaderMap::new();
            for name in &names {
                headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("v"));
            }
            let mut kept: Vec<_> =
                headers.keys().map(HeaderName::to_string).filter(|name| !is_listed(&identity, name)).collect();
            sanitize(&mut headers);
            let mut left: Vec<_> = headers.keys().map(HeaderName::to_string).collect();
            kept.sort();
            left.sort();
            prop_assert_eq!(left, kept);
            for (name, value) in &headers {
                prop_assert_eq!(value.is_sensitive(), is_listed(&credentials, name.as_str()), "{}", name);
            }
        }
    }

    #[test]
    fn a_token_is_returned_only_without_others_and_without_identity_headers() {
        let token = |names: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for &name in names {
                headers.append(name, HeaderValue::from_static("v"));
            }
            mark_credentials(&mut headers).is_some()
        };
        assert!(token(&["x-auth-token"]) && token(&["host", "x-auth-token", "accept", "x-trace"]));
        assert!(
            !token(&[]) && !token(&["host"]) && !token(&["x_auth_token"]) && !token(&["x-storage-token"])
        );
        let all = identity_headers();
        let others = all.iter().map(|name| name.to_lowercase().leak() as &'static str);
        for other in others.chain([
            "x-auth-token",
            "x_auth_token",
            "x-service-token",
            "x-storage-token",
            "authorization",
        ]) {
            assert!(!token(&["x-auth-token", other]) && !token(&[other, "x-auth-token"]), "{other}");
        }
    }

    #[test]
    fn all_identity_headers_are_removed() {
        let all = identity_headers();
        assert_eq!(all.len(), 32);
        assert_eq!(all.iter().map(String::len).max(), Some(MAX_LENGTH));
        let mut headers = HeaderMap::new();
        for name in &all {
            for spelling in [name.clone(), name.replace('-', "_"), name.replacen('-', "_", 1)] {
                let name = HeaderName::from_bytes(spelling.as_bytes()).unwrap();
                headers.append(name.clone(), HeaderValue::from_static("spoof"));
                headers.append(name, HeaderValue::from_static("again"));
            }
        }
        for name in headers.keys() {
            let mut alone = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static("spoof"))]);
            sanitize(&mut alone);
            assert!(alone.is_empty(), "{name}");
        }
        headers.append("x-auth-token", HeaderValue::from_static("one"));
        headers.append("x-auth-token", HeaderValue::from_static("other"));
        sanitize(&mut headers);
        assert_eq!(headers.len(), 2, "{headers:?}");
        assert!(headers.values().all(HeaderValue::is_sensitive));
    }
}
