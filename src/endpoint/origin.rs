use std::{
    fmt,
    hash::{Hash, Hasher},
};

use http::{Uri, uri::Authority};

/// Scheme, host and port: what one must have in common with a known endpoint to be shown the token.
///
/// Host names compare without regard to case and a missing port is the scheme's own. There is no
/// further canonical form: a host in any other spelling (a trailing dot, an address written in
/// another way) is another origin, so that nothing is taken for known by a reading of ours.
#[derive(Clone)]
pub(crate) struct Origin {
    https: bool,
    authority: Authority,
    /// How long the host is, at the beginning of the authority, in bytes.
    host: usize,
    port: u16,
}

impl Origin {
    /// The origin of an absolute http or https URL; `None` where it is none or not clear enough.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let https = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        let (host, port) = split(authority.as_str())?;
        let clear = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let clear = match address {
            Some(address) => address.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte)),
            None => !host.is_empty() && host.bytes().all(clear),
        };
        let port = match port {
            None => {
                if https {
                    443
                } else {
                    80
                }
            }
            // A number may have a sign for Rust, and not for anybody else.
            Some(port) if port.starts_with('+') => return None,
            Some(port) => port.parse().ok()?,
        };
        clear.then(|| Self { https, authority: authority.clone(), host: host.len(), port })
    }

    fn host(&self) -> &str {
        self.authority.as_str().get(..self.host).unwrap_or_default()
    }
}

/// Host and port as written. An authority with a user name has none that we would take.
fn split(authority: &str) -> Option<(&str, Option<&str>)> {
    if authority.contains('@') {
        return None;
    }
    let after_address = authority.rfind(']').map_or(0, |end| end + 1);
    match authority.get(after_address..)?.find(':') {
        None => Some((authority, None)),
        Some(colon) => {
            let (host, port) = authority.split_at_checked(after_address + colon)?;
            Some((host, port.get(1..)))
        }
    }
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        (self.https, self.port) == (other.https, other.port) && self.host().eq_ignore_ascii_case(other.host())
    }
}

impl Eq for Origin {}

impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.https, self.port).hash(state);
        self.host().bytes().for_each(|byte| state.write_u8(byte.to_ascii_lowercase()));
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host(), self.port)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Option<Origin> {
        url.parse().ok().and_then(|uri| Origin::of(&uri))
    }

    #[test]
    fn the_same_origin_in_other_words() {
        let known = origin("https://nova.example.com/v2.1").unwrap();
        for url in ["https://nova.example.com:443/", "HTTPS://NOVA.example.com/x", "https://nova.example.com"]
        {
            assert_eq!(origin(url).unwrap(), known, "{url}");
        }
        assert_eq!(origin("http://[::1]:80/"), origin("http://[::1]/x"));
        assert_eq!(known.to_string(), "https://nova.example.com:443");
    }

    #[test]
    fn other_origins() {
        let known = origin("https://nova.example.com/v2.1").unwrap();
        for url in [
            "http://nova.example.com/",
            "https://nova.example.com:8774/",
            "https://nova.example.com./",
            "https://nova.example.com.evil.org/",
            "https://evil.org/nova.example.com",
            "http://nova.example.com:443/",
            "https://nova.example.co/",
            "https://nova-example.com/",
        ] {
            assert_ne!(origin(url).unwrap(), known, "{url}");
        }
        assert_ne!(origin("http://127.0.0.1/"), origin("http://0x7f.1/"));
    }

    #[test]
    fn what_is_not_clear_has_no_origin() {
        for url in [
            "/servers",
            "nova.example.com:443",
            "ftp://nova.example.com/",
            "https://user@nova.example.com/",
            "https://nova.example.com@evil.org/",
            "https://nova.example.com%2F@evil.org/",
            "https://evil.org%2F.nova.example.com/",
            "https://nova.example.com:99999/",
            "https://nova.example.com:/",
            "https://nova.example.com:+443/",
            "https://[::1%25eth0]/",
            "https://[::1",
            "https://nova.example.com\\@evil.org/",
            "https://nova.example.com;evil.org/",
            "https://nova.example.com,evil.org/",
            "https://nova.example.com&evil.org/",
            "https://~nova.example.com/",
        ] {
            assert!(origin(url).is_none(), "{url}");
        }
    }
}
