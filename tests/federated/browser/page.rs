use std::net::Ipv4Addr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Sends bytes to a port of this machine as one request. Returns the status of the response; 0 if there is none.
pub(super) async fn send(port: u16, request: impl AsRef<[u8]>) -> u16 {
    let mut connection = connect(port).await;
    let _ = connection.write_all(request.as_ref()).await;
    status(&mut connection).await
}

pub(super) async fn connect(port: u16) -> TcpStream {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap()
}

/// Reads a response, up to its end as browsers do, and returns its status.
pub(super) async fn status(connection: &mut TcpStream) -> u16 {
    let mut received = String::new();
    let mut buffer = [0; 4096];
    while !received.ends_with("</html>\n") {
        match connection.read(&mut buffer).await {
            Ok(0) | Err(_) => return 0,
            Ok(length) => received.push_str(str::from_utf8(&buffer[..length]).unwrap()),
        }
    }
    received.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Opens a page.
pub(super) async fn get(host: &str, path: &str) -> u16 {
    let port = host.rsplit(':').next().unwrap().parse().unwrap();
    send(port, format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n")).await
}

/// The headers of a form that a page of another site sends.
pub(super) const FORM: [&str; 4] = [
    "Content-Type: application/x-www-form-urlencoded",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Site: cross-site",
];

/// Makes the request of a form.
pub(super) fn post(host: &str, path: &str, headers: &[&str], form: &str) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n{headers}\r\n{form}", form.len())
}
