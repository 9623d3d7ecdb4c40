//! The `WWW-Authenticate` header of a 401.

use http::{HeaderValue, Uri, uri::Authority};

/// Returns the challenge that names the URL of Keystone: `Keystone uri="https://keystone.example.com/v3"`.
///
/// Without a URL, it names only the scheme. A password in the URL is left out.
pub(in crate::validate) fn challenge(uri: Option<&Uri>) -> HeaderValue {
    let keystone = HeaderValue::from_static("Keystone");
    let Some(uri) = uri else { return keystone };
    let scheme = uri.scheme_str().map_or(String::new(), |scheme| format!("{scheme}://"));
    let authority = uri.authority().map_or("", Authority::as_str);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    let path = if path == "/" { "" } else { path };

    let mut challenge = String::from("Keystone uri=\"");
    for byte in [&scheme, host, path].into_iter().flat_map(str::bytes) {
        match byte {
            b'"' | b'\\' => challenge.extend(['\\', byte.into()]),
            b'!'..=b'~' => challenge.push(byte.into()),
            _ => challenge.push_str(&format!("%{byte:02X}")),
        }
    }
    challenge.push('"');
    HeaderValue::try_from(challenge).unwrap_or(keystone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_quoted() {
        let cases = [
            ("https://public.example.com:5000", r#"Keystone uri="https://public.example.com:5000""#),
            ("https://public.example.com:5000/", r#"Keystone uri="https://public.example.com:5000""#),
            ("https://p.example.com/v3/", r#"Keystone uri="https://p.example.com/v3/""#),
            ("http://[::1]:5000/v3?x=1", r#"Keystone uri="http://[::1]:5000/v3?x=1""#),
            (r#"https://p.example.com/"q""#, r#"Keystone uri="https://p.example.com/\"q\"""#),
            ("https://p.example.com/é", r#"Keystone uri="https://p.example.com/%C3%A9""#),
            ("https://user:canary@p.example.com/v3", r#"Keystone uri="https://p.example.com/v3""#),
            ("/v3", r#"Keystone uri="/v3""#),
        ];
        for (uri, expected) in cases {
            assert_eq!(challenge(Some(&uri.parse().unwrap())), expected);
        }
        assert_eq!(challenge(None), "Keystone");
    }
}
