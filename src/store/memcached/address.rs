use std::fmt;

/// Where a memcached listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Address {
    Tcp {
        host: Box<str>,
        port: u16,
    },
    #[cfg(unix)]
    Unix(Box<str>),
}

const DEFAULT_PORT: u16 = 11211;

impl Address {
    /// Reads `host`, `host:port`, `[IPv6 address]:port`, or the absolute path of a Unix socket. The error says what is
    /// wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Self::unix(text);
        }
        let wrong = |reason| format!("memcached server {text:?} {reason}");
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => {
                (host, Some(rest.strip_prefix(':').ok_or_else(|| wrong("has no `:` after `]`"))?))
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| wrong("has no port from 1 to 65535"))?,
            Some(_) => {
                return Err(wrong(
                    "is not `host`, `host:port`, `[IPv6 address]:port` or the absolute path of a Unix socket",
                ));
            }
        };
        let is_part_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:%".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_part_of_host) {
            return Err(wrong("has no valid host name"));
        }
        Ok(Self::Tcp { host: host.to_ascii_lowercase().into(), port })
    }

    #[cfg(unix)]
    fn unix(path: &str) -> Result<Self, String> {
        Ok(Self::Unix(path.into()))
    }

    #[cfg(not(unix))]
    fn unix(path: &str) -> Result<Self, String> {
        Err(format!("memcached server {path:?}: this system has no Unix sockets"))
    }
}

/// Equal addresses are shown equally: this is the name of the server for the selection among several.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            #[cfg(unix)]
            Self::Unix(path) => f.write_str(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_addresses_have_one_spelling() {
        for (text, shown) in [
            ("cache", "cache:11211"),
            ("Cache.Example.org:1", "cache.example.org:1"),
            ("10.0.0.1:65535", "10.0.0.1:65535"),
            ("[::1]", "[::1]:11211"),
            ("[FE80::1%eth0]:2", "[fe80::1%eth0]:2"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), shown);
        }
        #[cfg(unix)]
        assert_eq!(Address::parse("/run/memcached.sock").unwrap().to_string(), "/run/memcached.sock");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            ":1",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:1:2",
            "::1",
            "[::1",
            "[::1]1",
            "[]:1",
            "a b",
            "a\r\nb",
            "a/b",
            "memcached://a",
            "user@a",
            "a:1 ",
            "./socket",
        ] {
            let refused = Address::parse(text);
            assert!(refused.is_err(), "{text:?}");
        }
    }
}
