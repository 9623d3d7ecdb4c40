//! Proxies, from the environment and from the builder.

use std::net::Ipv4Addr;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{Request, header::PROXY_AUTHORIZATION};
use http_body_util::Full;
use tokio::net::TcpListener;
use tower_keystone::{Error, HttpsClient, HttpsClientBuilder, Transport, discovery::Discovery};

use crate::{
    builder,
    certificates::{Authority, Directory, NAMES},
    chain, get, is_child, log_of,
    proxy::{Proxy, start_refusing_socks, start_socks},
    run_as_child, send,
    server::Server,
    transport_error,
};

/// A TLS server whose name `service.test` only a proxy can resolve.
async fn service() -> (Server, Directory) {
    let (ca, files) = (Authority::new("CA"), Directory::new());
    let server = Server::start(ca.issue(&NAMES).server()).await;
    files.file("ca.pem", ca.pem());
    (server, files)
}

fn environment(builder: HttpsClientBuilder, variables: &[(&str, &str)]) -> HttpsClientBuilder {
    builder.proxy_from(|name| {
        let value = variables.iter().find(|(variable, _)| *variable == name);
        value.map(|(_, value)| (*value).to_owned())
    })
}

fn client(builder: &HttpsClientBuilder) -> HttpsClient {
    builder.build().unwrap()
}

#[tokio::test]
async fn https_is_tunnelled_with_the_credentials_of_the_proxy_alone() {
    let ((server, files), proxy) =
        (service().await, Proxy::start_with_credentials("Basic YWxpY2U6cDphQHNz").await);
    let url = format!("http://alice:p%3Aa%40ss@127.0.0.1:{}/", proxy.port);
    let client = client(&builder().ca_file(files.path("ca.pem")).proxy(url));
    assert_eq!(get(&client, &server.url("service.test")).await.unwrap().body(), "hello");

    let [head] = &*proxy.heads() else { panic!("{:?}", proxy.heads()) };
    assert!(head.starts_with(&format!("CONNECT service.test:{} HTTP/1.1\r\n", server.port)), "{head}");
    assert!(head.contains(&format!("Host: service.test:{}\r\n", server.port)), "{head}");
    let received = server.only();
    assert!(!received.headers.contains_key(PROXY_AUTHORIZATION));
    assert_eq!(received.uri.path(), "/");
}

#[tokio::test]
async fn plain_http_is_forwarded_with_an_absolute_url() {
    let proxy = Proxy::start_with_credentials("Basic YWxpY2U6cGFzcw==").await;
    let url = format!("http://alice:pass@127.0.0.1:{}", proxy.port);
    let client = client(&builder().proxy(url));
    let response = get(&client, "http://service.test:8774/servers?limit=1").await.unwrap();
    assert_eq!(response.body(), "forwarded");
    let [head] = &*proxy.heads() else { panic!("{:?}", proxy.heads()) };
    assert!(head.starts_with("GET http://service.test:8774/servers?limit=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("host: service.test:8774\r\n"), "{head}");
}

#[tokio::test]
async fn a_direct_request_has_no_credentials_of_the_proxy() {
    let server = Server::start_plain().await;
    let client = client(&builder().proxy("http://alice:pass@127.0.0.1:1").no_proxy("127.0.0.1"));
    get(&client, &server.url("127.0.0.1").replace("https:", "http:")).await.unwrap();
    assert!(!server.only().headers.contains_key(PROXY_AUTHORIZATION));
}

#[tokio::test]
async fn a_header_of_the_request_for_the_proxy_stays() {
    let proxy = Proxy::start().await;
    let client = client(&builder().proxy(format!("http://alice:pass@127.0.0.1:{}", proxy.port)));
    let request = Request::get("http://service.test/").header(PROXY_AUTHORIZATION, "Bearer mine");
    send(&client, request.body(Full::default()).unwrap()).await.unwrap();
    assert!(proxy.heads()[0].contains("proxy-authorization: Bearer mine\r\n"), "{:?}", proxy.heads());
}

#[tokio::test]
async fn a_proxy_can_be_reached_with_tls() {
    let (ca, files) = (Authority::new("CA"), Directory::new());
    let server = Server::start(ca.issue(&NAMES).server()).await;
    let proxy = Proxy::start_tls(ca.issue(&NAMES).server()).await;
    let builder = builder().ca_file(files.file("ca.pem", ca.pem()));
    let client = client(&builder.proxy(format!("https://localhost:{}", proxy.port)));
    assert_eq!(get(&client, &server.url("service.test")).await.unwrap().body(), "hello");
    assert_eq!(get(&client, "http://service.test/").await.unwrap().body(), "forwarded");
    assert_eq!(proxy.heads().len(), 2);
}

#[tokio::test]
async fn a_socks_proxy_resolves_the_name() {
    let (server, files) = service().await;
    for scheme in ["socks5", "socks5h"] {
        let (port, serving) = start_socks().await;
        let builder = builder().ca_file(files.path("ca.pem"));
        let client = client(&builder.proxy(format!("{scheme}://alice:pa%3Ass@127.0.0.1:{port}")));
        assert_eq!(get(&client, &server.url("service.test")).await.unwrap().body(), "hello");
        assert_eq!(serving.await.unwrap(), format!("service.test:{}", server.port));
    }
}

#[tokio::test]
async fn a_socks_proxy_is_told_the_default_port() {
    for (url, expected) in [
        ("http://service.test/", "service.test:80"),
        ("https://service.test/", "service.test:443"),
        ("http://service.test:5000/", "service.test:5000"),
    ] {
        let (port, serving) = start_socks().await;
        let client = client(&builder().proxy(format!("socks5://alice:pa%3Ass@127.0.0.1:{port}")));
        // Nothing may listen on that port.
        let (_, address) = tokio::join!(get(&client, url), serving);
        assert_eq!(address.unwrap(), expected);
    }
}

#[tokio::test]
async fn the_environment_chooses_the_proxy() {
    let (server, files) = service().await;
    let base = builder().ca_file(files.path("ca.pem"));
    let proxy = Proxy::start().await;
    let url = proxy.url();
    let without_scheme = format!("127.0.0.1:{}", proxy.port);
    let down = "http://127.0.0.1:1";
    for variables in [
        &[("HTTPS_PROXY", &*url)][..],
        &[("https_proxy", &url)],
        &[("https_proxy", &without_scheme)],
        &[("https_proxy", &url), ("HTTPS_PROXY", down)],
        &[("https_proxy", ""), ("HTTPS_PROXY", &url)],
        &[("ALL_PROXY", &url)],
        &[("all_proxy", &url), ("ALL_PROXY", down)],
        &[("https_proxy", &url), ("all_proxy", down), ("http_proxy", down)],
        &[("https_proxy", &url), ("no_proxy", "other.test")],
        &[("https_proxy", &url), ("no_proxy", ""), ("REQUEST_METHOD", "GET")],
    ] {
        let before = proxy.heads().len();
        let client = client(&environment(base.clone(), variables));
        assert_eq!(get(&client, &server.url("service.test")).await.unwrap().body(), "hello", "{variables:?}");
        assert_eq!(proxy.heads().len(), before + 1, "{variables:?}");
    }
}

#[tokio::test]
async fn plain_http_has_a_variable_of_its_own_which_a_cgi_program_does_not_trust() {
    let (server, proxy) = (Server::start_plain().await, Proxy::start().await);
    let http = server.url("127.0.0.1").replace("https:", "http:");
    let url = proxy.url();
    for (variables, is_proxied) in [
        (&[("http_proxy", &*url)][..], true),
        (&[("HTTP_PROXY", &url)], true),
        (&[("all_proxy", &url)], true),
        (&[("HTTPS_PROXY", &url)], false),
        (&[("HTTP_PROXY", &url), ("REQUEST_METHOD", "GET")], false),
        (&[("http_proxy", &url), ("REQUEST_METHOD", "GET")], true),
    ] {
        let client = client(&environment(builder(), variables));
        let response = get(&client, &http).await.unwrap();
        assert_eq!(response.body() == "forwarded", is_proxied, "{variables:?}");
    }
}

#[tokio::test]
async fn no_proxy_names_the_hosts_without_a_proxy() {
    let (server, files) = service().await;
    let base = builder().ca_file(files.path("ca.pem"));
    let (local, port, proxy) = (server.url("127.0.0.1"), server.port, Proxy::start().await);
    let url = proxy.url();
    for (no_proxy, host, is_proxied) in [
        ("", "127.0.0.1", true),
        ("", "localhost", true),
        ("*", "127.0.0.1", false),
        ("127.0.0.1", "127.0.0.1", false),
        ("127.0.0.1", "localhost", true),
        ("other.test, 127.0.0.1", "127.0.0.1", false),
        ("other.test 127.0.0.1", "127.0.0.1", false),
        ("127.0.0.0/8", "127.0.0.1", false),
        ("128.0.0.0/8", "127.0.0.1", true),
        ("localhost", "localhost", false),
        ("LOCALHOST.", "localhost", false),
        ("host", "localhost", true),
        (&format!("127.0.0.1:{port}"), "127.0.0.1", false),
        (&format!("127.0.0.0/8:{port}"), "127.0.0.1", false),
        (&format!("localhost:{port}"), "localhost", false),
        ("127.0.0.1:1", "127.0.0.1", true),
        ("localhost:443,localhost:80", "localhost", true),
    ] {
        let before = proxy.heads().len();
        for builder in [
            base.clone().proxy(&*url).no_proxy(no_proxy),
            environment(base.clone(), &[("https_proxy", &url), ("NO_PROXY", no_proxy)]),
            environment(base.clone(), &[("https_proxy", &url), ("NO_PROXY", "*")]).no_proxy(no_proxy),
            environment(base.clone(), &[("NO_PROXY", no_proxy)]).proxy(&*url),
        ] {
            let response = get(&client(&builder), &server.url(host)).await.unwrap();
            assert_eq!(response.body(), "hello");
        }
        let expected = if is_proxied { 4 } else { 0 };
        assert_eq!(proxy.heads().len() - before, expected, "{no_proxy:?} {host}");
    }
    let before = proxy.heads().len();
    let direct = environment(base.clone(), &[("https_proxy", &url)]).without_proxy();
    get(&client(&direct), &local).await.unwrap();
    assert_eq!(proxy.heads().len(), before);
}

#[tokio::test]
async fn a_proxy_that_is_down_is_named() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let down = listener.local_addr().unwrap();
    drop(listener);
    for scheme in ["http", "https", "socks5"] {
        let client = client(&builder().proxy(format!("{scheme}://alice:hunter2@{down}")));
        for url in ["https://service.test/", "http://service.test/"] {
            let error = transport_error(&client, url).await;
            assert!(error.is_transient(), "{error}");
            let text = chain(&error);
            assert!(
                text.contains(&format!("cannot connect through the proxy {scheme}://{down}: ")),
                "{text}"
            );
            assert!(text.to_lowercase().contains("connection refused"), "{text}");
            assert!(!format!("{text} {error:?}").contains("hunter2"), "{text}");
        }
    }
}

/// Returns the error of a login and of a version discovery through a proxy that an environment sets.
async fn errors_through(variable: &'static str, proxy: &str, url: &str) -> [String; 2] {
    let client = client(&environment(builder(), &[(variable, proxy)]));
    let login = transport_error(&client, url).await;
    let discovery = Discovery::new(Transport::new(client)).document(url).await.unwrap_err();
    assert!(!format!("{} {login:?} {discovery:?}", chain(&login)).contains("hunter2"));
    [login.to_string(), discovery.to_string()]
}

#[tokio::test]
async fn an_error_of_keystone_or_discovery_names_the_proxy_and_its_variable() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let down = listener.local_addr().unwrap();
    drop(listener);
    let (plain, tls) = ("http://service.test:5000/", "https://service.test:5000/");
    for scheme in ["http", "https", "socks5"] {
        for (variable, url) in
            [("http_proxy", plain), ("https_proxy", tls), ("ALL_PROXY", plain), ("all_proxy", tls)]
        {
            let proxy = format!("{scheme}://alice:hunter2@{down}");
            let named = format!("cannot connect through the proxy {scheme}://{down}, set by {variable}");
            for text in errors_through(variable, &proxy, url).await {
                assert!(text.contains(&named) && text.contains("service.test:5000"), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_to_connect_is_named() {
    let forbidding = Proxy::start_with_refusal("403 Forbidden").await.port;
    let unauthorized = Proxy::start_with_refusal("407 Proxy Authentication Required").await.port;
    let socks = start_refusing_socks().await;
    let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    for (scheme, port) in [("http", forbidding), ("http", unauthorized), ("socks5", socks)] {
        let proxy = format!("{scheme}://alice:hunter2@127.0.0.1:{port}");
        let named =
            format!("cannot connect through the proxy {scheme}://127.0.0.1:{port}, set by https_proxy");
        for text in errors_through("https_proxy", &proxy, "https://service.test:5000/").await {
            assert!(text.contains(&named), "{text}");
        }
    }
    tokio::time::pause();
    let mute = mute.local_addr().unwrap();
    for scheme in ["http", "https", "socks5"] {
        let named = format!("cannot connect through the proxy {scheme}://{mute}, set by https_proxy");
        let [login, _] =
            errors_through("https_proxy", &format!("{scheme}://{mute}"), "https://service.test/").await;
        assert!(login.contains(&named), "{login}");
    }
}

#[tokio::test]
async fn a_proxy_that_rejects_the_credentials_is_a_permanent_failure() {
    let proxy = Proxy::start_with_credentials("Basic cmlnaHQ6cmlnaHQ=").await;
    let client = client(&builder().proxy(format!("http://alice:hunter2@127.0.0.1:{}", proxy.port)));
    let error = transport_error(&client, "https://service.test/").await;
    assert!(!error.is_transient(), "{}", chain(&error));
    assert!(error.to_string().contains("the proxy requires a user name and a password"), "{error}");
    assert!(!format!("{} {error:?}", chain(&error)).contains("hunter2"), "{error:?}");
}

#[test]
fn a_malformed_proxy_is_named_and_not_shown() {
    for url in [
        "http://",
        "ftp://user:hunter2@proxy.test",
        "socks4://user:hunter2@proxy.test",
        "http://user:hunter2@proxy.test:port",
        "http://user:hunter2@proxy.test:70000",
        "http://user:hunter2@proxy.test:0",
        "http://user:hunter2@proxy.test/path",
        "http://user:hunter2@proxy.test?query",
        "http://user:hun#ter2@proxy.test",
        "http://hunter:12#hunter2@proxy.test",
        "http://hunter:12/hunter2@proxy.test",
        "http://hunter:12?hunter2@proxy.test",
        "http://user:hun/ter2@proxy.test",
        "http://user:hun@ter2@proxy.test",
        "http://user:hun ter2@proxy.test",
        "http://user:hunter2@",
    ] {
        let by_variable = environment(builder(), &[("HTTPS_PROXY", url)]);
        for (builder, name) in [(builder().proxy(url), "proxy: "), (by_variable, "HTTPS_PROXY: ")] {
            let built = builder.build();
            let error = built.expect_err(url);
            let text = error.to_string();
            assert!(matches!(error, Error::InvalidClientSetting { .. }), "{error:?}");
            assert!(text.contains(name) && text.contains("it must be a URL such as"), "{text}");
            assert!(!format!("{text} {error:?}").contains("hun"), "{text}");
        }
    }
}

#[tokio::test]
async fn the_password_of_a_proxy_is_not_shown() {
    let builder = environment(builder(), &[("https_proxy", "http://alice:hunter2@proxy.test:3128")]);
    let by_url = builder.clone().proxy("http://alice:hunter2@proxy.test:3128");
    let encoded = BASE64_STANDARD.encode("alice:hunter2");
    for builder in [builder, by_url] {
        for text in [format!("{builder:?}"), format!("{:#?}", client(&builder))] {
            assert!(!text.contains("hunter2") && !text.contains(&encoded), "{text}");
        }
    }
}

#[test]
fn the_password_of_a_proxy_is_not_logged() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let encoded = BASE64_STANDARD.encode("alice:hunter2");
    let ((), log) = log_of(|| {
        runtime.block_on(async {
            let proxy = Proxy::start().await;
            let by_http = client(&builder().proxy(format!("http://alice:hunter2@127.0.0.1:{}", proxy.port)));
            let server = Server::start_plain().await;
            for url in ["http://service.test/".to_owned(), server.url("service.test")] {
                let _ = get(&by_http, &url).await;
            }
            let (port, _serving) = start_socks().await;
            let by_socks = client(&builder().proxy(format!("socks5://alice:pa%3Ass@127.0.0.1:{port}")));
            get(&by_socks, &server.url("service.test").replace("https:", "http:")).await.unwrap();
            assert!(proxy.heads().iter().all(|head| head.contains(&encoded)), "{:?}", proxy.heads());
            assert_eq!(proxy.heads().len(), 2);
        });
    });
    assert!(log.contains("TRACE"), "{log}");
    for secret in ["hunter2", "pa%3Ass", "pa:ss", &encoded] {
        assert!(!log.contains(secret), "{log}");
    }
}

/// The environment of the process is read if the program sets no other. A child process has such an environment.
#[tokio::test]
async fn the_environment_of_the_process_is_read_by_default() {
    if is_child() {
        let client = HttpsClient::builder().build().unwrap();
        let response = get(&client, "http://service.test/").await.unwrap();
        assert_eq!(response.body(), "forwarded");
        return;
    }
    let proxy = Proxy::start().await;
    let test = "proxies::the_environment_of_the_process_is_read_by_default";
    run_as_child(test, &[("http_proxy", &proxy.url())]).await;
    assert_eq!(proxy.heads().len(), 1);
}
