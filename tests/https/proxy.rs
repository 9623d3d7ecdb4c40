//! Proxies: HTTP with CONNECT and forwarding, and SOCKS 5. Each connects to loopback, whatever the host.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

const UNAUTHORIZED: &str = "407 Proxy Authentication Required";

#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    /// The credentials that a request must have, as the value of `Proxy-Authorization`.
    required: Option<&'static str>,
    /// The status of the response to a request without them.
    refusal: &'static str,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        Self::serve(None, None, UNAUTHORIZED).await
    }

    /// Responds to all requests with this status.
    pub(crate) async fn start_with_refusal(status: &'static str) -> Self {
        Self::serve(None, Some("credentials that nobody has"), status).await
    }

    pub(crate) async fn start_with_credentials(required: &'static str) -> Self {
        Self::serve(None, Some(required), UNAUTHORIZED).await
    }

    pub(crate) async fn start_tls(tls: ServerConfig) -> Self {
        Self::serve(Some(tls), None, UNAUTHORIZED).await
    }

    async fn serve(tls: Option<ServerConfig>, required: Option<&'static str>, refusal: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self { port, required, refusal, heads: Arc::default() };
        let (accepting, tls) = (proxy.clone(), tls.map(|tls| TlsAcceptor::from(Arc::new(tls))));
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (proxy, tls) = (accepting.clone(), tls.clone());
                tokio::spawn(async move {
                    let Some(tls) = tls else { return proxy.handle(tcp).await };
                    if let Ok(stream) = tls.accept(tcp).await {
                        proxy.handle(stream).await;
                    }
                });
            }
        });
        proxy
    }

    async fn handle(&self, mut client: impl AsyncRead + AsyncWrite + Unpin) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match client.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).unwrap();
        self.heads.lock().unwrap().push(head.clone());
        let sent = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("proxy-authorization").then_some(value)
        });
        if self.required.is_some() && sent != self.required {
            let refusal = format!("HTTP/1.1 {}\r\ncontent-length: 0\r\n\r\n", self.refusal);
            let _ = client.write_all(refusal.as_bytes()).await;
            return;
        }
        let Some(target) = head.strip_prefix("CONNECT ") else {
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nforwarded").await;
            let _ = client.shutdown().await;
            return;
        };
        let port = target.split(' ').next().unwrap().rsplit(':').next().unwrap().parse().unwrap();
        tunnel(client, port, b"HTTP/1.1 200 OK\r\n\r\n").await;
    }

    /// Returns the heads of the requests.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

async fn tunnel(mut client: impl AsyncRead + AsyncWrite + Unpin, port: u16, established: &[u8]) {
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
    client.write_all(established).await.unwrap();
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// Starts a SOCKS 5 proxy that accepts no way to log in, and returns its port.
pub(crate) async fn start_refusing_socks() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let _ = client.read_exact(&mut [0; 3]).await;
            let _ = client.write_all(&[5, 255]).await;
        }
    });
    port
}

/// A SOCKS 5 proxy that requires the user `alice` with the password `pa:ss`. It serves one connection.
///
/// The host of the request is sent to the returned task.
pub(crate) async fn start_socks() -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut greeting = [0; 3];
        client.read_exact(&mut greeting).await.unwrap();
        assert_eq!(greeting, [5, 1, 2], "version 5, with a user name and a password");
        client.write_all(&[5, 2]).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), 1);
        assert_eq!(read_text(&mut client).await, "alice");
        assert_eq!(read_text(&mut client).await, "pa:ss");
        client.write_all(&[1, 0]).await.unwrap();
        let mut request = [0; 4];
        client.read_exact(&mut request).await.unwrap();
        assert_eq!(request, [5, 1, 0, 3], "to a host name");
        let host = read_text(&mut client).await;
        let port = client.read_u16().await.unwrap();
        tokio::spawn(async move { tunnel(client, port, &[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).await });
        format!("{host}:{port}")
    });
    (port, serving)
}

async fn read_text(client: &mut TcpStream) -> String {
    let length = client.read_u8().await.unwrap();
    let mut text = vec![0; length.into()];
    client.read_exact(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}
