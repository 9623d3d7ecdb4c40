//! Where secrets may be sent without TLS.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::Uri;

use crate::{
    Error,
    endpoint::Origin,
    error::{FederatedLoginFailed, LoginStep},
};

/// The hosts to which secrets may be sent over plain http, besides loopback.
#[derive(Clone, Debug, Default)]
pub(super) struct PlainHttpHosts(Vec<Box<str>>);

impl PlainHttpHosts {
    /// Allows a host: a name, or an IP address with or without brackets.
    pub(super) fn allow(&mut self, host: &str) {
        self.0.push(normalize(host.trim()));
    }

    /// Returns an error if secrets must not be sent to this URL.
    ///
    /// They are sent over https, and over plain http to `localhost`, `127.0.0.0/8`, `[::1]` and the allowed hosts.
    /// Other notations of loopback, such as `127.1` or `localhost.`, are not recognized, because resolvers read them
    /// differently.
    pub(super) fn check(&self, step: LoginStep, url: &Uri) -> Result<(), Error> {
        let fail = |hint| Err(FederatedLoginFailed::at(step, url, hint, false).into());
        let Some(origin) = Origin::from_uri(url) else {
            return fail(
                "the URL is not http or https, or it has a user name, no valid host or an invalid port; correct it",
            );
        };
        let host = normalize(url.host().unwrap_or_default());
        if origin.is_https() || is_loopback(&host) || self.0.contains(&host) {
            return Ok(());
        }
        fail(
            "nothing is sent, because anybody on the network path can read plain http; use https, or name the host in \
             allow_http",
        )
    }
}

/// Returns a host in lower case, and an IPv6 address without brackets and in its shortest form.
fn normalize(host: &str) -> Box<str> {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match address.parse::<Ipv6Addr>() {
        Ok(address) => address.to_string().into(),
        Err(_) => host.to_ascii_lowercase().into(),
    }
}

fn is_loopback(host: &str) -> bool {
    let is_v4 = || host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback());
    let is_v6 = || host.parse().is_ok_and(|address: Ipv6Addr| address.is_loopback());
    host == "localhost" || is_v4() || is_v6()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hosts: &PlainHttpHosts, url: &str) -> Result<(), Error> {
        hosts.check(LoginStep::Token, &url.parse().unwrap())
    }

    #[test]
    fn secrets_are_sent_over_https_and_to_loopback() {
        for url in [
            "https://op.example.com/token",
            "HTTPS://op.example.com:8443/token?tenant=x",
            "http://localhost:8080/token",
            "HTTP://LocalHost/token",
            "http://127.0.0.1:8080/token",
            "http://127.255.255.254/token",
            "http://[::1]:8080/token",
            "http://[0:0:0:0:0:0:0:1]/token",
        ] {
            assert!(check(&PlainHttpHosts::default(), url).is_ok(), "{url}");
        }
    }

    #[test]
    fn secrets_are_not_sent_over_plain_http_to_what_only_looks_like_loopback() {
        for url in [
            "http://op.example.com/token",
            "http://localhost./token",
            "http://op.localhost/token",
            "http://localhost.example.com/token",
            "http://127.1/token",
            "http://127.0.0.1./token",
            "http://0127.0.0.1/token",
            "http://0x7f.0.0.1/token",
            "http://2130706433/token",
            "http://127.0.0.1.example.com/token",
            "http://0.0.0.0/token",
            "http://128.0.0.1/token",
            "http://[::]/token",
            "http://[::2]/token",
            "http://[::ffff:127.0.0.1]/token",
            "http://[::ffff:7f00:1]/token",
            "http://[::127.0.0.1]/token",
        ] {
            let error = check(&PlainHttpHosts::default(), url).unwrap_err();
            assert!(error.to_string().contains("plain http"), "{url}: {error}");
            assert!(!error.is_transient(), "{url}");
        }
    }

    #[test]
    fn an_ambiguous_url_is_rejected() {
        for url in [
            "http://localhost@op.example.com/token",
            "https://localhost@op.example.com/token",
            "http://alice:canary@localhost/token",
            "http://127.0.0.1:80@op.example.com/token",
            "ftp://localhost/token",
            "http://localhost:99999/token",
            "http://[::1%25lo]/token",
            "/token",
            "localhost",
        ] {
            let Ok(url) = url.parse() else { continue };
            let error = PlainHttpHosts::default().check(LoginStep::Token, &url).unwrap_err();
            assert!(error.to_string().contains("correct it"), "{url}: {error}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
    }

    #[test]
    fn a_host_is_allowed_by_its_name() {
        let mut hosts = PlainHttpHosts::default();
        for host in [" OP.internal ", "[FE80:0:0::1]", "10.0.0.1"] {
            hosts.allow(host);
        }
        for url in ["http://op.INTERNAL:8080/", "http://[fe80::1]/", "http://10.0.0.1:80/"] {
            assert!(check(&hosts, url).is_ok(), "{url}");
        }
        for url in [
            "http://op.internal./",
            "http://x.op.internal/",
            "http://op.internal.example.com/",
            "http://op/",
            "http://[fe80::2]/",
            "http://10.0.0.10/",
            "http://[::ffff:10.0.0.1]/",
            "http://x@op.internal/",
        ] {
            assert!(check(&hosts, url).is_err(), "{url}");
        }
    }
}
