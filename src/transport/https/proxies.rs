use http::{HeaderValue, Uri, uri::Scheme};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use zeroize::Zeroizing;

use crate::{BoxError, Error, Secret, error::ProxyFailure};

/// The URL of a proxy.
#[derive(Clone, Debug)]
pub(super) struct ProxyUrl {
    /// The variable that it comes from. `None` if the program sets it.
    pub(super) variable: Option<&'static str>,
    pub(super) url: Secret,
}

/// The proxies of a client, and the hosts to which it connects directly.
pub(super) struct Proxies {
    /// A matcher that has the entries of `NO_PROXY` without a port.
    matcher: Matcher,
    /// Matchers that have only the entries of `NO_PROXY` with this port.
    with_port: Vec<(u16, Matcher)>,
    /// The variables that set the proxies for http and for https.
    variables: [Option<&'static str>; 2],
    /// Whether a request over plain http can need a header for its proxy.
    has_http_authorization: bool,
}

const EXPECTED: &str = "it must be a URL such as `http://proxy.example.com:3128`, with http, https, socks5 or socks5h, \
                        without a path; percent-encode special characters of the user name and the password";

impl Proxies {
    /// Returns the proxies of a client that connects to all hosts directly.
    pub(super) fn none() -> Self {
        Self {
            matcher: Matcher::builder().build(),
            with_port: Vec::new(),
            variables: [None; 2],
            has_http_authorization: false,
        }
    }

    /// Reads the URLs of the proxies for http and https, and the list of hosts without a proxy.
    pub(super) fn new(
        http: Option<&ProxyUrl>,
        https: Option<&ProxyUrl>,
        no_proxy: &str,
    ) -> Result<Self, Error> {
        let has_http_authorization = http.is_some_and(|proxy| proxy.url.expose().contains('@'));
        let variables = [http, https].map(|proxy| proxy?.variable);
        let http = http.map(checked_url).transpose()?.unwrap_or_default();
        let https = https.map(checked_url).transpose()?.unwrap_or_default();
        let matcher = |no_proxy: &str| {
            Matcher::builder().http(http.as_str()).https(https.as_str()).no(no_proxy).build()
        };
        let (mut hosts, mut with_port) = (Vec::new(), Vec::new());
        for entry in no_proxy.split([',', ' ', '\t']).filter(|entry| !entry.is_empty()) {
            let (host, port) = split_port(entry);
            let host = match host.strip_prefix('*') {
                // The `*` of the matcher is not for IP addresses.
                Some("") => "*,0.0.0.0/0,::/0",
                Some(domain) if domain.starts_with('.') => domain,
                _ => host,
            };
            match port {
                Some(port) => with_port.push((port, matcher(host))),
                None => hosts.push(host),
            }
        }
        Ok(Self { matcher: matcher(&hosts.join(",")), with_port, variables, has_http_authorization })
    }

    /// Returns the proxy for a URL. `None` if the client connects directly.
    pub(super) fn for_url(&self, url: &Uri) -> Option<Intercept> {
        let proxy = self.matcher.intercept(url)?;
        let port = url.port_u16().unwrap_or(if url.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 });
        let is_direct =
            |(other, matcher): &(u16, Matcher)| *other == port && matcher.intercept(url).is_none();
        if self.with_port.iter().any(is_direct) { None } else { Some(proxy) }
    }

    /// Adds the proxy for a URL to the error of a connection through it. Returns other errors unchanged.
    pub(super) fn name_proxy_in(&self, error: BoxError, url: &Uri) -> BoxError {
        let [http, https] = self.variables;
        let variable = if url.scheme() == Some(&Scheme::HTTPS) { https } else { http };
        match self.for_url(url) {
            Some(proxy) => ProxyFailure::new(proxy.uri(), variable, error).into(),
            None => error,
        }
    }

    /// Returns the `Proxy-Authorization` header of a request over plain http, which the proxy forwards.
    ///
    /// A request over https has no such header: the proxy gets it when the tunnel is opened.
    pub(super) fn authorization(&self, url: &Uri) -> Option<HeaderValue> {
        if !self.has_http_authorization || url.scheme() != Some(&Scheme::HTTP) {
            return None;
        }
        self.for_url(url)?.basic_auth().cloned()
    }
}

/// Returns whether this is the URL of a SOCKS proxy.
pub(super) fn is_socks(proxy: &Uri) -> bool {
    proxy.scheme_str().is_some_and(|scheme| scheme.starts_with("socks"))
}

/// Checks the URL of a proxy, and adds the scheme `http` and the port of SOCKS if they are missing.
///
/// Without this check, the matcher would ignore a malformed URL, or take a part of a password for the host.
fn checked_url(proxy: &ProxyUrl) -> Result<Zeroizing<String>, Error> {
    let text = proxy.url.expose().trim();
    let text = Zeroizing::new(match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    });
    url_for_matcher(&text)
        .ok_or_else(|| Error::invalid_client_setting(proxy.variable.unwrap_or("proxy"), EXPECTED))
}

fn url_for_matcher(text: &str) -> Option<Zeroizing<String>> {
    let url: Uri = text.parse().ok()?;
    let (scheme, authority) = (url.scheme_str()?.to_ascii_lowercase(), url.authority()?.as_str());
    let address = authority.split_once('@').map_or(authority, |(_, address)| address);
    let is_socks = match &*scheme {
        "http" | "https" => false,
        "socks5" | "socks5h" => true,
        _ => return None,
    };
    let has_port = !address.ends_with(']') && address.contains(':');
    let is_valid = !url.host()?.is_empty()
        && !address.contains('@')
        && !text.contains('#')
        && has_port == url.port_u16().is_some_and(|port| port != 0)
        && matches!(url.path_and_query().map_or("", |path| path.as_str()), "" | "/");
    let port = if is_socks && !has_port { ":1080" } else { "" };
    is_valid.then(|| Zeroizing::new(format!("{scheme}://{authority}{port}")))
}

/// Splits an entry of `NO_PROXY` into the host, without the brackets of an IPv6 address, and the port.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((address, rest)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (address, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.split_once(':') {
        Some((host, port)) if !port.contains(':') => match port.parse() {
            Ok(port) => (host.trim_end_matches('.'), Some(port)),
            Err(_) => (entry, None),
        },
        // An IPv6 address.
        Some(_) => (entry, None),
        None => (entry.trim_end_matches('.'), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_proxied(no_proxy: &str, url: &str) -> bool {
        let proxy = ProxyUrl { variable: None, url: "proxy.test".into() };
        let proxies = Proxies::new(Some(&proxy), Some(&proxy), no_proxy).unwrap();
        proxies.for_url(&url.parse().unwrap()).is_some()
    }

    #[test]
    fn the_list_of_hosts_without_a_proxy_has_domains_addresses_networks_and_ports() {
        for (no_proxy, direct, proxied) in [
            ("", &[][..], &["https://example.com", "http://localhost", "https://[::1]:5000"][..]),
            (
                "example.com",
                &["https://example.com", "https://a.example.com", "http://EXAMPLE.com:80"],
                &["https://badexample.com", "https://example.com.test", "https://com", "https://10.0.0.1"],
            ),
            (".example.com", &["https://a.example.com", "https://example.com"], &["https://badexample.com"]),
            ("*.example.com", &["https://a.example.com", "https://example.com"], &["https://badexample.com"]),
            ("example.com.", &["https://example.com"], &["https://example.org"]),
            ("a.test,,b.test , c.test\td.test", &["https://b.test", "https://d.test"], &["https://e.test"]),
            ("*", &["https://example.com", "https://10.0.0.1", "https://[::1]"], &[]),
            ("*:5000", &["https://example.com:5000", "https://10.0.0.1:5000"], &["https://example.com"]),
            ("10.0.0.0/8", &["https://10.1.2.3"], &["https://11.0.0.1", "https://[::1]", "https://10.test"]),
            ("fd00::/8,::1", &["https://[fd00::1]", "https://[::1]:5000"], &["https://[fe80::1]"]),
            ("[::1]", &["https://[::1]", "https://[::1]:5000"], &["https://[::2]"]),
            ("[::1]:5000", &["https://[::1]:5000"], &["https://[::1]", "https://[::2]:5000"]),
            ("10.0.0.0/8:5000", &["https://10.0.0.1:5000"], &["https://10.0.0.1"]),
            (
                "a.test:443",
                &["https://a.test", "https://b.a.test:443"],
                &["http://a.test", "https://a.test:5000"],
            ),
            ("a.test:80,a.test:5000", &["http://a.test", "https://a.test:5000"], &["https://a.test"]),
            ("a.test:port", &[], &["https://a.test"]),
        ] {
            for url in direct {
                assert!(!is_proxied(no_proxy, url), "{no_proxy:?} {url}");
            }
            for url in proxied {
                assert!(is_proxied(no_proxy, url), "{no_proxy:?} {url}");
            }
        }
    }

    #[test]
    fn the_scheme_and_the_port_of_a_proxy_have_defaults() {
        for (text, expected) in [
            ("proxy.test", "http://proxy.test/"),
            ("proxy.test:3128", "http://proxy.test:3128/"),
            ("HTTP://user:pass@proxy.test:3128/", "http://proxy.test:3128/"),
            ("https://[fd00::1]:3128", "https://[fd00::1]:3128/"),
            (" http://[fd00::1] ", "http://[fd00::1]/"),
            ("socks5://user@proxy.test", "socks5://proxy.test:1080/"),
            ("socks5h://[fd00::1]", "socks5h://[fd00::1]:1080/"),
            ("socks5h://proxy.test:9050", "socks5h://proxy.test:9050/"),
        ] {
            let proxy = ProxyUrl { variable: None, url: text.into() };
            let proxies = Proxies::new(Some(&proxy), None, "").unwrap();
            let found = proxies.for_url(&Uri::from_static("http://service.test")).unwrap();
            assert_eq!(found.uri().to_string(), expected, "{text}");
            assert!(proxies.for_url(&Uri::from_static("https://service.test")).is_none());
        }
    }
}
