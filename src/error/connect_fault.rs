//! Recognizes connection failures that are permanent: no retry succeeds until a URL or a setting is changed.

use std::{error::Error as StdError, fmt, iter::successors};

use super::format::printable;

/// The cause of a permanent connection failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectFault {
    /// The client rejected the certificate of the server.
    Certificate,
    /// The server requires a client certificate, or rejected the one that it got.
    ClientCertificate,
    /// The server does not speak TLS, or no version of it that the client supports.
    NoTls,
    /// The server does not speak HTTP/1, for example because it expects TLS.
    NoHttp,
    /// The client does not support the scheme of the URL.
    Scheme,
    /// The proxy requires a user name and a password, or rejected those that it got.
    ProxyAuthorization,
}

/// Phrases in the errors of TLS libraries (rustls, OpenSSL, Schannel, Secure Transport) and HTTP clients (hyper,
/// hyper-util, hyper-rustls, hyper-tls, reqwest). These libraries have no error type in common.
const PHRASES: [(ConnectFault, &[&str]); 5] = [
    (ConnectFault::Certificate, &["certificate", "unknownca", "unknown ca"]),
    (
        ConnectFault::NoTls,
        &[
            // rustls
            "message of type invalidcontenttype",
            "peer is incompatible",
            "alert: protocolversion",
            // OpenSSL
            "wrong version number",
            "packet length too long",
            "record layer failure",
            "unknown protocol",
            "unsupported protocol",
            "alert protocol version",
            // Schannel
            "message received was unexpected or badly formatted",
            "token supplied to the function is invalid",
            // Secure Transport
            "bad protocol version",
            "record overflow",
        ],
    ),
    (ConnectFault::NoHttp, &["invalid http version"]),
    (
        ConnectFault::Scheme,
        &[
            "unsupported scheme",
            "missing scheme",
            "scheme is not http",
            "scheme is missing",
            "scheme is not allowed",
            "https required but uri was not https",
        ],
    ),
    (
        ConnectFault::ProxyAuthorization,
        &[
            "proxy authorization required",
            "proxy authentication required",
            "socks error: credentials not accepted",
            "socks error: server does not support user/pass authentication",
        ],
    ),
];

impl ConnectFault {
    /// Returns the cause of an HTTP client's error for a connection to `origin`, or `None` if a retry can succeed.
    pub(crate) fn from_error(origin: &str, error: &(dyn StdError + 'static)) -> Option<Self> {
        let messages: Vec<_> = chain(error).map(|error| without_url(origin, &error.to_string())).collect();
        let contains = |phrases: &[&str]| {
            messages.iter().any(|message| phrases.iter().any(|phrase| message.contains(phrase)))
        };
        let (fault, _) = PHRASES.into_iter().find(|(_, phrases)| contains(phrases))?;
        Some(match fault {
            // A TLS alert is sent by the server: it is the server that rejected a certificate.
            Self::Certificate if contains(&["alert"]) => Self::ClientCertificate,
            fault => fault,
        })
    }

    /// Returns whether it is a fault of a TLS connection, which a URL with `http` does not have.
    pub(crate) fn concerns_tls(self) -> bool {
        matches!(self, Self::Certificate | Self::ClientCertificate | Self::NoTls)
    }

    /// Returns whether the URL is right, and something else has to be changed.
    pub(crate) fn is_at_right_url(self) -> bool {
        matches!(self, Self::Certificate | Self::ClientCertificate | Self::ProxyAuthorization)
    }

    /// Describes the cause, with the root of the error chain as text and what to do next.
    pub(crate) fn describe(self, root_cause: &str) -> String {
        let (fault, hint) = self.texts();
        format!("{fault}: {root_cause}; {hint}")
    }

    /// Describes the cause without the error chain, and what to do next.
    pub(crate) fn describe_alone(self) -> String {
        let (fault, hint) = self.texts();
        format!("{fault}; {hint}")
    }

    /// Returns the cause, and what to do next.
    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Certificate => (
                "its certificate was rejected",
                "check the CA certificates that the client trusts, and that the certificate names this host",
            ),
            Self::ClientCertificate => (
                "it rejected the client certificate, or got none",
                "give the client a certificate that this server accepts",
            ),
            Self::NoTls => (
                "it does not speak TLS, or no version that the client supports",
                "check whether the URL needs http:// or another port",
            ),
            Self::NoHttp => {
                ("it does not speak HTTP", "check whether the URL needs https:// or another port")
            }
            Self::Scheme => {
                ("the client does not support this URL scheme", "correct the URL, or use another client")
            }
            Self::ProxyAuthorization => (
                "the proxy requires a user name and a password, or rejected them",
                "correct them in the URL of the proxy",
            ),
        }
    }
}

/// Returns the message of the last error of a chain. HTTP clients often name the cause only there.
pub(crate) fn root_cause(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

/// Returns the message that names the proxy, if the connection failed at a proxy of an
/// [`HttpsClient`](crate::HttpsClient).
#[cfg(feature = "rustls")]
pub(crate) fn failed_proxy(error: &(dyn StdError + 'static)) -> Option<String> {
    chain(error).find_map(|error| error.downcast_ref::<super::ProxyFailure>()).map(ToString::to_string)
}

/// Returns `None`: the errors of other HTTP clients do not name the proxy.
#[cfg(not(feature = "rustls"))]
pub(crate) fn failed_proxy(_: &(dyn StdError + 'static)) -> Option<String> {
    None
}

/// Writes that `server` cannot be reached, and what to do about it. `url` is the name of its URL.
pub(super) fn write_unreachable(
    (server, url): (&str, &str),
    origin: &str,
    source: &(dyn StdError + 'static),
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    write!(f, "cannot reach {server} at {origin}")?;
    let fault = ConnectFault::from_error(origin, source);
    let fault = fault.map(|fault| fault.describe(&printable(&root_cause(source))));
    // In parentheses, because the messages of the sources may follow.
    match (failed_proxy(source), fault) {
        (None, Some(fault)) => write!(f, ": {fault}"),
        (None, None) => write!(f, " (check {url} and the network)"),
        (Some(proxy), Some(fault)) => write!(f, ": {proxy}: {fault}"),
        (Some(proxy), None) => write!(f, ": {proxy} (check the URL of the proxy and the network)"),
    }
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    successors(Some(error), |&error| error.source())
}

/// Returns a message in lower case, without its URLs and host names: they could contain any of the phrases.
fn without_url(origin: &str, text: &str) -> String {
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host).to_ascii_lowercase();
    let text = text.to_ascii_lowercase();
    let words = text.split_ascii_whitespace();
    let words = words.filter(|word| !word.contains("://") && (host.is_empty() || !word.contains(&host)));
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn fault(text: &str) -> Option<ConnectFault> {
        let inner = io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
        ConnectFault::from_error("https://certificate.test:5000", &io::Error::other(inner))
    }

    #[test]
    fn permanent_failures_are_recognized() {
        use ConnectFault::*;
        for (text, expected) in [
            ("invalid peer certificate: UnknownIssuer", Certificate),
            (
                "error:0A000086:SSL routines:tls_post_process_server_certificate:certificate verify failed",
                Certificate,
            ),
            ("The certificate chain was issued by an authority that is not trusted.", Certificate),
            ("received fatal alert: CertificateRequired", ClientCertificate),
            ("received fatal alert: UnknownCA", ClientCertificate),
            ("error:0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca", ClientCertificate),
            ("received corrupt message of type InvalidContentType", NoTls),
            ("error:0A00010B:SSL routines:ssl3_get_record:wrong version number:ssl3_record.c:354:", NoTls),
            (
                "error:0A0000C6:SSL routines:tls_get_more_records:packet length too long:tls_common.c:662:",
                NoTls,
            ),
            ("received fatal alert: ProtocolVersion", NoTls),
            ("bad protocol version", NoTls),
            ("The message received was unexpected or badly formatted. (os error -2146893018)", NoTls),
            ("invalid HTTP version parsed", NoHttp),
            ("unsupported scheme http", Scheme),
            ("invalid URL, scheme is not http", Scheme),
            ("URL scheme is not allowed", Scheme),
            ("https required but URI was not https", Scheme),
            ("tunnel error: proxy authorization required", ProxyAuthorization),
            ("SOCKS error: credentials not accepted", ProxyAuthorization),
        ] {
            assert_eq!(fault(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn transient_failures_and_host_names_are_not_permanent_failures() {
        for text in [
            "connection refused",
            "tls handshake eof",
            "received fatal alert: HandshakeFailure",
            "no record found for certificate.test.",
            "error sending request for url (https://certificate.test:5000/certificate/v3/auth/tokens)",
            "connection closed before message completed",
        ] {
            assert_eq!(fault(text), None, "{text}");
        }
    }
}
