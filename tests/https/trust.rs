//! Which servers the client trusts.

use http::Request;
use http_body_util::Full;
use tower::{Layer, ServiceExt};
use tower_keystone::{Error, ErrorContextLayer, HttpsClient};

use crate::{
    builder,
    certificates::{Authority, Directory, Identity, NAMES, self_signed, self_signed_ca},
    chain, get, is_child, log_of, run_as_child,
    server::Server,
    transport_error,
};

/// Expects that a client which trusts `ca` refuses the server, for the reason `cause`.
async fn assert_refused(ca: &Authority, identity: &Identity, cause: &str) {
    assert_refused_by(&ca.pem(), identity, cause).await;
}

async fn assert_refused_by(ca_file: &str, identity: &Identity, cause: &str) {
    let (files, server) = (Directory::new(), Server::start(identity.server()).await);
    let client = builder().ca_file(files.file("ca.pem", ca_file)).build().unwrap();
    let error = transport_error(&client, &server.url("localhost")).await;
    assert!(matches!(error, Error::ConnectFailure { .. }), "{error:?}");
    assert!(!error.is_transient(), "{error}");
    assert!(chain(&error).contains(cause), "{}", chain(&error));
    assert!(error.to_string().contains("certificate was rejected"), "{error}");
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn a_server_of_the_ca_file_is_trusted() {
    let (ca, files) = (Authority::new("Right CA"), Directory::new());
    let server = Server::start(ca.issue(&NAMES).server()).await;
    // The right one is not the first of the file.
    let bundle = Authority::new("Other CA").pem() + "# A comment between certificates.\n" + &ca.pem();
    let client = builder().ca_file(files.file("ca.pem", bundle)).build().unwrap();
    for host in ["localhost", "127.0.0.1"] {
        assert_eq!(get(&client, &server.url(host)).await.unwrap().body(), "hello");
    }
}

#[tokio::test]
async fn a_ca_file_can_have_other_line_ends_and_private_keys() {
    let (ca, files) = (Authority::new("CA"), Directory::new());
    let server = Server::start(ca.issue(&NAMES).server()).await;
    let encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n\
                     c2VjcmV0\n-----END RSA PRIVATE KEY-----\n";
    for text in [
        ca.pem().replace('\n', "\r\n"),
        format!("\u{feff}{}", ca.pem()),
        format!("CA\n{encrypted}{}", ca.pem()),
        format!("{}{}", ca.issue(&NAMES).key_pem(), ca.pem().trim_end()),
        // Its end is missing.
        format!("-----BEGIN PRIVATE KEY-----\nc2Vj\n{}", ca.pem()),
    ] {
        let client = builder().ca_file(files.file("ca.pem", &text)).build().unwrap();
        assert_eq!(get(&client, &server.url("localhost")).await.unwrap().body(), "hello", "{text}");
    }
}

#[tokio::test]
async fn a_server_of_another_ca_is_refused() {
    let identity = Authority::new("Right CA").issue(&NAMES);
    assert_refused(&Authority::new("Wrong CA"), &identity, "UnknownIssuer").await;
}

#[tokio::test]
async fn a_server_with_another_name_is_refused() {
    let ca = Authority::new("Right CA");
    assert_refused(&ca, &ca.issue(&["other.test"]), "not valid for name").await;
}

#[tokio::test]
async fn a_server_with_an_expired_certificate_is_refused() {
    let ca = Authority::new("Right CA");
    assert_refused(&ca, &ca.issue_expired(&NAMES), "expired").await;
}

#[tokio::test]
async fn a_self_signed_server_is_refused() {
    assert_refused(&Authority::new("Right CA"), &self_signed(&NAMES), "UnknownIssuer").await;
}

#[tokio::test]
async fn a_self_signed_certificate_can_be_in_the_ca_file() {
    for identity in [self_signed(&NAMES), self_signed_ca(&NAMES, false)] {
        for config in [identity.server(), identity.tls12_server()] {
            let (files, server) = (Directory::new(), Server::start(config).await);
            let file = files.file("ca.pem", Authority::new("CA").pem() + &identity.certificate_pem());
            let client = builder().ca_file(file).build().unwrap();
            assert_eq!(get(&client, &server.url("localhost")).await.unwrap().body(), "hello");
        }
    }
}

#[tokio::test]
async fn a_self_signed_certificate_in_the_ca_file_is_verified() {
    for (identity, cause) in [
        (self_signed_ca(&["other.test"], false), "not valid for name"),
        (self_signed_ca(&NAMES, true), "expired"),
    ] {
        assert_refused_by(&identity.certificate_pem(), &identity, cause).await;
    }
    // The file has another certificate, even if its names are the same.
    let (server, other) = (self_signed_ca(&NAMES, false), self_signed_ca(&NAMES, false));
    let (files, server) = (Directory::new(), Server::start(server.server()).await);
    let client = builder().ca_file(files.file("ca.pem", other.certificate_pem())).build().unwrap();
    let error = transport_error(&client, &server.url("localhost")).await;
    assert!(error.to_string().contains("certificate was rejected"), "{error}");
}

#[tokio::test]
async fn a_malformed_certificate_in_a_bundle_is_ignored_with_a_warning() {
    let (ca, files) = (Authority::new("Right CA"), Directory::new());
    let server = Server::start(ca.issue(&NAMES).server()).await;
    let malformed = "-----BEGIN CERTIFICATE-----\nbWFsZm9ybWVk\n-----END CERTIFICATE-----\n".to_owned();
    let file = files.file("ca.pem", malformed + &ca.pem());
    let (client, log) = log_of(|| builder().ca_file(&file).build().unwrap());
    assert!(log.contains("WARN") && log.contains(file.to_str().unwrap()), "{log}");
    assert_eq!(get(&client, &server.url("localhost")).await.unwrap().body(), "hello");
}

#[tokio::test]
async fn the_default_roots_do_not_contain_a_private_ca() {
    let server = Server::start(Authority::new("Private CA").issue(&NAMES).server()).await;
    let error = transport_error(&builder().build().unwrap(), &server.url("localhost")).await;
    assert!(chain(&error).contains("UnknownIssuer"), "{}", chain(&error));
}

/// A child process has other roots of the operating system.
#[tokio::test]
async fn native_roots_are_read_on_request() {
    const URL: &str = "TOWER_KEYSTONE_TEST_URL";
    if is_child() {
        let (native, url) = (builder().native_roots().build(), std::env::var(URL).unwrap());
        if url.is_empty() {
            let text = native.map(|_: HttpsClient| ()).unwrap_err().to_string();
            assert!(text.contains("native roots: ") && text.contains("set SSL_CERT_FILE"), "{text}");
        } else {
            assert_eq!(get(&native.unwrap(), &url).await.unwrap().body(), "hello");
            assert!(get(&builder().build().unwrap(), &url).await.is_err());
        }
        return;
    }
    let (ca, files) = (Authority::new("System CA"), Directory::new());
    let server = Server::start(ca.issue(&NAMES).server()).await;
    let (system, empty) = (files.file("system.pem", ca.pem()), files.file("empty.pem", ""));
    let test = "trust::native_roots_are_read_on_request";
    for (file, url) in [(system, server.url("localhost")), (empty, String::new())] {
        run_as_child(test, &[("SSL_CERT_FILE", file.to_str().unwrap()), (URL, &url)]).await;
    }
}

#[tokio::test]
async fn invalid_certificates_are_accepted_on_request() {
    let ca = Authority::new("Unknown CA");
    for identity in [self_signed(&["other.test"]), ca.issue(&["other.test"]), ca.issue_expired(&NAMES)] {
        for config in [identity.server(), identity.tls12_server()] {
            let server = Server::start(config).await;
            let strict = builder().build().unwrap();
            assert!(get(&strict, &server.url("localhost")).await.is_err());
            // The CA file is not read.
            let lax = builder().ca_file("/nonexistent").accept_invalid_certificates();
            let client = lax.build().unwrap();
            assert_eq!(get(&client, &server.url("localhost")).await.unwrap().body(), "hello");
        }
    }
}

#[tokio::test]
async fn plain_http_on_a_tls_port_is_a_permanent_failure() {
    let server = Server::start_plain().await;
    let error = transport_error(&builder().build().unwrap(), &server.url("localhost")).await;
    assert!(!error.is_transient(), "{error}");
    assert!(error.to_string().contains("does not speak TLS"), "{error}");

    let client = builder().build().unwrap();
    let service = ErrorContextLayer::new().layer(client);
    let request = Request::get(server.url("localhost")).body(Full::default()).unwrap();
    let error = service.oneshot(request).await.unwrap_err();
    assert!(error.to_string().contains("failed: it does not speak TLS"), "{error}");
}

#[test]
fn a_client_that_accepts_invalid_certificates_logs_a_warning_each_time() {
    let ((), text) = log_of(|| {
        let lax = builder().accept_invalid_certificates();
        for _ in 0..2 {
            let _client = lax.build().unwrap();
        }
        let _client = builder().build().unwrap();
    });
    assert_eq!(text.matches("WARN").count(), 2, "{text}");
    assert_eq!(text.matches("certificates of servers are not verified").count(), 2, "{text}");
}
