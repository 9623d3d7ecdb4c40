use std::{net::Ipv4Addr, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Instant, pause, timeout},
};

use super::{super::loopback::tests::bind_quiet_port, *};

/// Serves until a request for `/right` comes. Returns the port, and the task, which returns the query of that request.
async fn start() -> (u16, JoinHandle<String>) {
    let loopback = bind_quiet_port().await;
    let port = loopback.port();
    let judge = |request: &Request<'_>| match request.path() {
        "/right" => Ok((request.query().to_owned(), Page::COMPLETE)),
        _ => Err(StatusCode::NOT_FOUND),
    };
    (port, tokio::spawn(serve(loopback, judge)))
}

async fn connect(port: u16) -> TcpStream {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap()
}

/// Sends bytes. Returns the status line of the response, or nothing if the connection is closed without one.
async fn send(connection: &mut TcpStream, request: &str) -> String {
    // If it was closed, the response is still to be read.
    let _ = connection.write_all(request.as_bytes()).await;
    response(connection).await
}

/// Reads a response as browsers do, up to its `Content-Length`.
async fn response(connection: &mut TcpStream) -> String {
    let mut received = String::new();
    loop {
        if let Some((head, body)) = received.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                return head.lines().next().unwrap().to_owned();
            }
        }
        let mut buffer = [0; 4096];
        match connection.read(&mut buffer).await {
            Ok(0) | Err(_) => return received,
            Ok(length) => received.push_str(str::from_utf8(&buffer[..length]).unwrap()),
        }
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

/// Waits for an event, with a limit that only a fault reaches.
async fn soon<T>(event: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(120), event).await.expect("it happens")
}

#[tokio::test]
async fn the_first_right_request_ends_it_and_closes_the_port() {
    let (port, login) = start().await;
    let mut favicon = connect(port).await;
    assert_eq!(soon(send(&mut favicon, &get("/favicon.ico"))).await, "HTTP/1.1 404 Not Found");
    let mut garbage = connect(port).await;
    assert_eq!(soon(send(&mut garbage, "\x16\x03\x01")).await, "HTTP/1.1 400 Bad Request");

    let mut right = connect(port).await;
    assert_eq!(soon(send(&mut right, &get("/right?a"))).await, "HTTP/1.1 200 OK");
    drop(right);
    assert_eq!(soon(login).await.unwrap(), "a");
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err());
    // The other connections are closed too, and nothing keeps the port occupied.
    assert_eq!(soon(response(&mut favicon)).await, "");
    drop(Loopback::bind("localhost", port).await.unwrap());
}

#[tokio::test]
async fn a_second_right_request_is_refused() {
    let (port, login) = start().await;
    let (mut first, mut second) = (connect(port).await, connect(port).await);
    // Both connections are accepted before the first right request is.
    for connection in [&mut first, &mut second] {
        connection.write_all(b"GET /ri").await.unwrap();
    }
    let mut other = connect(port).await;
    assert_eq!(soon(send(&mut other, &get("/"))).await, "HTTP/1.1 404 Not Found");

    assert_eq!(soon(send(&mut first, "ght?first HTTP/1.1\r\n\r\n")).await, "HTTP/1.1 200 OK");
    let refused = soon(send(&mut second, "ght?second HTTP/1.1\r\n\r\n")).await;
    assert!(refused == "HTTP/1.1 409 Conflict" || refused.is_empty(), "{refused}");
    drop(first);
    assert_eq!(soon(login).await.unwrap(), "first");
}

#[tokio::test]
async fn silent_and_slow_connections_keep_nobody_away() {
    let (port, login) = start().await;
    let mut silent = Vec::new();
    for number in 0..200 {
        let mut connection = connect(port).await;
        if number % 2 == 0 {
            connection.write_all(b"GET /right HTTP/1.1\r\nHost: ").await.unwrap();
        }
        silent.push(connection);
        if number % 50 == 0 {
            let mut other = connect(port).await;
            assert_eq!(soon(send(&mut other, &get("/"))).await, "HTTP/1.1 404 Not Found");
        }
    }
    let mut right = connect(port).await;
    assert_eq!(soon(send(&mut right, &get("/right?r"))).await, "HTTP/1.1 200 OK");
    drop(right);
    assert_eq!(soon(login).await.unwrap(), "r");
    for connection in &mut silent {
        assert_eq!(soon(response(connection)).await, "");
    }
}

#[tokio::test]
async fn the_oldest_of_too_many_connections_is_closed() {
    let (port, login) = start().await;
    let mut first = connect(port).await;
    let mut others = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        others.push(connect(port).await);
    }
    assert_eq!(soon(response(&mut first)).await, "");
    // The youngest are open.
    let mut last = others.pop().unwrap();
    assert_eq!(soon(send(&mut last, &get("/"))).await, "HTTP/1.1 404 Not Found");
    login.abort();
}

#[tokio::test]
async fn half_a_request_is_no_request() {
    let (port, login) = start().await;
    for half in [
        "",
        "GET /right",
        "GET /right?x HTTP/1.1\r\nHost: h\r\n",
        "GET /right HTTP/1.1\r\ncontent-length: 5\r\n\r\nabcd",
    ] {
        let mut connection = connect(port).await;
        connection.write_all(half.as_bytes()).await.unwrap();
        connection.shutdown().await.unwrap();
        assert_eq!(soon(response(&mut connection)).await, "", "{half}");
    }
    assert!(!login.is_finished());
    login.abort();
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_closed_after_a_time() {
    let (port, login) = start().await;
    let (mut silent, mut slow) = (connect(port).await, connect(port).await);
    slow.write_all(b"GET /right HTTP/1.1\r\n").await.unwrap();
    let start = Instant::now();
    assert_eq!(response(&mut silent).await, "");
    assert_eq!(response(&mut slow).await, "");
    assert!(
        start.elapsed() >= REQUEST_TIMEOUT && start.elapsed() < 2 * REQUEST_TIMEOUT,
        "{:?}",
        start.elapsed()
    );
    assert!(!login.is_finished());
    login.abort();
}

#[tokio::test]
async fn a_browser_that_keeps_the_connection_open_delays_the_login_for_a_second_at_most() {
    let (port, login) = start().await;
    let mut right = connect(port).await;
    assert_eq!(soon(send(&mut right, &get("/right?r"))).await, "HTTP/1.1 200 OK");
    pause();
    let start = Instant::now();
    assert_eq!(login.await.unwrap(), "r");
    assert!(start.elapsed() <= 2 * RESPONSE_TIMEOUT, "{:?}", start.elapsed());
    // No socket of this side waits for a minute.
    drop(Loopback::bind("localhost", port).await.unwrap());
}

#[tokio::test]
async fn the_port_and_the_connections_are_closed_when_it_is_dropped() {
    let (port, login) = start().await;
    let mut connection = connect(port).await;
    let mut other = connect(port).await;
    assert_eq!(soon(send(&mut other, &get("/"))).await, "HTTP/1.1 404 Not Found");
    login.abort();
    assert!(soon(login).await.unwrap_err().is_cancelled());
    assert_eq!(soon(response(&mut connection)).await, "");
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err());
    drop(Loopback::bind("localhost", port).await.unwrap());
}

#[tokio::test]
async fn a_response_tells_nothing_and_is_not_kept() {
    let (port, login) = start().await;
    let mut connection = connect(port).await;
    let request = "GET /<canary>?canary HTTP/1.1\r\nHost: canary\r\nX: canary\r\n\r\n";
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut received = [0; 4096];
    let length = soon(connection.read(&mut received)).await.unwrap();
    let response = str::from_utf8(&received[..length]).unwrap();
    assert!(!response.contains("canary"), "{response}");
    for header in [
        "\r\nConnection: close\r\n",
        "\r\nCache-Control: no-store\r\n",
        "\r\nReferrer-Policy: no-referrer\r\n",
        "\r\nX-Content-Type-Options: nosniff\r\n",
        "\r\nContent-Security-Policy: default-src 'none'; ",
        "\r\nContent-Type: text/html; charset=utf-8\r\n",
    ] {
        assert!(response.contains(header), "{response}");
    }
    login.abort();
}
