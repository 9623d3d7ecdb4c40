//! Why a connection failed, if it will fail again until somebody changes something.

use std::{error::Error as StdError, iter::successors};

use super::escaped;

/// A mistake that no other attempt mends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectFault {
    /// The server has a certificate that the client does not accept.
    Certificate,
    /// The server wants a certificate of the client, or another one.
    ClientCertificate,
    /// The server speaks no TLS, or none that the client speaks.
    NoTls,
    /// The server speaks no HTTP/1, for example because it speaks TLS.
    NoHttp,
    /// The client does not take URLs of this scheme.
    Scheme,
}

/// Words by which TLS libraries (rustls, OpenSSL, Schannel, Secure Transport) and HTTP clients (hyper, hyper-util,
/// hyper-rustls, hyper-tls, reqwest) tell a mistake. They have no type of error in common.
const WORDS: [(ConnectFault, &[&str]); 4] = [
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
];

impl ConnectFault {
    /// The mistake in what an HTTP client says of a connection to `origin`, if it is one.
    pub(crate) fn from_error(origin: &str, error: &(dyn StdError + 'static)) -> Option<Self> {
        let said: Vec<_> = chain(error).map(|error| without_url(origin, &error.to_string())).collect();
        let is_said = |words: &[&str]| said.iter().any(|said| words.iter().any(|words| said.contains(words)));
        let (fault, _) = WORDS.into_iter().find(|(_, words)| is_said(words))?;
        Some(match fault {
            Self::Certificate if is_said(&["alert"]) => Self::ClientCertificate,
            fault => fault,
        })
    }

    /// What is wrong with the server, with what is at the root of the error, and what may mend it.
    pub(crate) fn describe(self, error: &(dyn StdError + 'static)) -> String {
        let (fault, hint) = match self {
            Self::Certificate => (
                "its certificate was not accepted",
                "does the client trust the issuer, and does the certificate name this host?",
            ),
            Self::ClientCertificate => (
                "it did not accept the certificate of the client",
                "give the client a certificate that this server knows",
            ),
            Self::NoTls => {
                ("it speaks no TLS that the client understands", "is it http://, or another port?")
            }
            Self::NoHttp => ("no HTTP server answers there", "is it https://, or another port?"),
            Self::Scheme => {
                ("the client does not take URLs of this scheme", "correct the URL, or take another client")
            }
        };
        let root = chain(error).last().map(ToString::to_string).unwrap_or_default();
        format!("{fault}: {}; {hint}", escaped(&root))
    }
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    successors(Some(error), |&error| error.source())
}

/// A text in lower case, without the names and URLs in it, which may have any of the words.
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
    fn what_libraries_say_of_a_mistake_is_understood() {
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
        ] {
            assert_eq!(fault(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_passes_by_itself_and_names_of_hosts_are_no_mistake() {
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
