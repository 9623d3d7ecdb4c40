//! Versions of TLS and HTTP, addresses, timeouts, redirects and the user agent.

use std::{net::Ipv4Addr, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, Version, header::USER_AGENT};
use http_body_util::{Empty, Full};
use tokio::{io::AsyncReadExt, net::TcpListener};
use tokio_rustls::rustls::{ProtocolVersion, ServerConfig};
use tower::ServiceExt;
use tower_keystone::{Error, HttpsClient, Transport};

use crate::{
    builder,
    certificates::{Authority, Directory, NAMES},
    chain, get, send,
    server::{COUNT, LENGTH, Server},
    transport_error,
};

/// Starts a server, and returns a client that trusts it.
async fn trusted(
    change: impl FnOnce(&Authority) -> ServerConfig,
) -> (Server, tower_keystone::HttpsClientBuilder, Directory) {
    let (ca, files) = (Authority::new("CA"), Directory::new());
    let server = Server::start(change(&ca)).await;
    let builder = builder().ca_file(files.file("ca.pem", ca.pem()));
    (server, builder, files)
}

fn with_alpn(mut config: ServerConfig, protocols: &[&str]) -> ServerConfig {
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken() {
    let (server, builder, _files) = trusted(|ca| ca.issue(&NAMES).tls12_server()).await;
    get(&builder.build().unwrap(), &server.url("localhost")).await.unwrap();
    assert_eq!(server.only().tls, Some(ProtocolVersion::TLSv1_2));

    let (server, builder, _files) = trusted(|ca| ca.issue(&NAMES).server()).await;
    get(&builder.build().unwrap(), &server.url("localhost")).await.unwrap();
    assert_eq!(server.only().tls, Some(ProtocolVersion::TLSv1_3));
}

#[tokio::test]
async fn the_server_chooses_the_version_of_http() {
    let cases: [(&[&str], _); 4] = [
        (&["h2", "http/1.1"], Version::HTTP_2),
        (&["h2"], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ];
    for (protocols, version) in cases {
        let (server, builder, _files) = trusted(|ca| with_alpn(ca.issue(&NAMES).server(), protocols)).await;
        let response = get(&builder.build().unwrap(), &server.url("localhost")).await.unwrap();
        assert_eq!((response.version(), server.only().version), (version, version), "{protocols:?}");
    }
}

#[tokio::test]
async fn a_response_can_have_a_long_header() {
    for protocol in ["h2", "http/1.1"] {
        let (server, builder, _files) = trusted(|ca| with_alpn(ca.issue(&NAMES).server(), &[protocol])).await;
        // A token may have 128 KiB.
        let request = Request::get(server.url("localhost")).header(LENGTH, 128 * 1024);
        let response = send(&builder.build().unwrap(), request.body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(response.headers()[LENGTH].len(), 128 * 1024, "{protocol}");
    }
}

#[tokio::test]
async fn a_response_can_have_many_headers() {
    for protocol in ["h2", "http/1.1"] {
        let (server, builder, _files) = trusted(|ca| with_alpn(ca.issue(&NAMES).server(), &[protocol])).await;
        let request = Request::get(server.url("localhost")).header(COUNT, 200);
        let response = send(&builder.build().unwrap(), request.body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(response.headers().get_all(COUNT).iter().count(), 200, "{protocol}");
    }
}

#[tokio::test]
async fn plain_http_is_http_1_1() {
    let server = Server::start_plain().await;
    let url = server.url("127.0.0.1").replace("https:", "http:");
    get(&builder().build().unwrap(), &url).await.unwrap();
    let received = server.only();
    assert_eq!((received.version, received.uri.to_string()), (Version::HTTP_11, "/".to_owned()));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (ca, files) = (Authority::new("CA"), Directory::new());
    let target = Server::start(ca.issue(&NAMES).server()).await;
    let server = Server::start_redirect(ca.issue(&NAMES).server(), target.url("localhost")).await;
    let client = builder().ca_file(files.file("ca.pem", ca.pem())).build().unwrap();
    let response = get(&client, &server.url("localhost")).await.unwrap();
    assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(response.headers()["location"], target.url("localhost"));
    assert!(target.received().is_empty());
}

#[tokio::test]
async fn the_user_agent_names_the_program_first() {
    let server = Server::start_plain().await;
    let url = server.url("127.0.0.1").replace("https:", "http:");
    let own = format!("tower-keystone/{}", env!("CARGO_PKG_VERSION"));
    get(&builder().build().unwrap(), &url).await.unwrap();
    let named = builder().user_agent("name/1.0").build().unwrap();
    get(&named, &url).await.unwrap();
    let request = Request::get(&url).header(USER_AGENT, "mine/2").body(Full::default()).unwrap();
    send(&named, request).await.unwrap();
    let sent: Vec<_> = server.received().iter().map(|one| one.headers[USER_AGENT].clone()).collect();
    assert_eq!(sent, [own.clone(), format!("name/1.0 {own}"), "mine/2".to_owned()]);
}

#[tokio::test]
async fn an_ipv6_address_is_refused_if_ipv4_is_forced() {
    let client = builder().force_ipv4(true).build().unwrap();
    let error = transport_error(&client, "https://[::1]:1/").await;
    assert!(matches!(error, Error::InvalidEndpoint { .. }), "{error:?}");
    assert!(error.to_string().contains("is an IPv6 address, and force_ipv4"), "{error}");
    assert!(!error.is_transient());
    // The proxy too. Behind a proxy, the address is the affair of the proxy.
    let client = builder().force_ipv4(true).proxy("http://[::1]:1").build().unwrap();
    let error = transport_error(&client, "https://localhost/").await;
    assert!(matches!(error, Error::InvalidEndpoint { .. }), "{error:?}");

    let error = transport_error(&builder().build().unwrap(), "https://[::1]:1/").await;
    assert!(matches!(error, Error::ConnectFailure { .. }), "{error:?}");
}

#[tokio::test]
async fn ipv4_is_used_if_it_is_forced() {
    let (server, builder, _files) = trusted(|ca| ca.issue(&NAMES).server()).await;
    let client = builder.force_ipv4(true).build().unwrap();
    for host in ["localhost", "127.0.0.1"] {
        assert_eq!(get(&client, &server.url(host)).await.unwrap().body(), "hello");
    }
}

#[tokio::test]
async fn one_build_serves_several_bodies() {
    let (server, builder, files) = trusted(|ca| ca.issue(&NAMES).server()).await;
    let client = builder.build().unwrap();
    let transport = Transport::new(client.clone());
    // The files are not read again.
    std::fs::remove_file(files.path("ca.pem")).unwrap();
    let other: HttpsClient<Empty<Bytes>> = client.with_body();

    let request = Request::get(server.url("localhost")).body(Bytes::new()).unwrap();
    assert_eq!(transport.send(request).await.unwrap().body(), "hello");
    let request = Request::get(server.url("localhost")).body(Empty::new()).unwrap();
    assert_eq!(other.oneshot(request).await.unwrap().status(), StatusCode::OK);
    assert_eq!(server.received().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_shake_hands_ends_in_a_timeout() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let client = builder().connect_timeout(Duration::from_secs(2)).build().unwrap();
    let error = transport_error(&client, &url).await;
    assert!(chain(&error).contains("no connection within 12000 ms"), "{}", chain(&error));
    assert!(error.is_transient());
    let error = get(&client, &url).await.unwrap_err();
    assert!(HttpsClient::is_connect_failure(&*error), "{error:?}");
}

#[tokio::test]
async fn times_can_be_as_long_as_you_like() {
    let (server, builder, _files) = trusted(|ca| with_alpn(ca.issue(&NAMES).server(), &["h2"])).await;
    let client = builder
        .connect_timeout(Duration::MAX)
        .pool_idle_timeout(Duration::MAX)
        .tcp_keepalive(Some(Duration::MAX))
        .http2_keepalive(Some(Duration::MAX))
        .build()
        .unwrap();
    for _ in 0..3 {
        assert_eq!(get(&client, &server.url("localhost")).await.unwrap().body(), "hello");
    }
}

#[tokio::test]
async fn only_a_failure_to_connect_that_can_pass_is_retried() {
    let client = builder().build().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { drop(listener.accept().await) });
    // The connection ends before the TLS handshake.
    let error = get(&client, &format!("https://{address}/")).await.unwrap_err();
    assert!(HttpsClient::is_connect_failure(&*error), "{error:?}");
    // It ends after the request was sent.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.read_u8().await.unwrap();
    });
    let error = get(&client, &format!("http://{address}/")).await.unwrap_err();
    assert!(!HttpsClient::is_connect_failure(&*error), "{error:?}");
    // A retry cannot change the certificate.
    let (server, _, _files) = trusted(|ca| ca.issue(&NAMES).server()).await;
    let error = get(&client, &server.url("localhost")).await.unwrap_err();
    assert!(!HttpsClient::is_connect_failure(&*error), "{error:?}");
}
