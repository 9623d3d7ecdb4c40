use super::*;

/// A request as the reader sees it, or the status of the response that refuses it. `None` if it is not complete.
type Outcome = Option<Result<(String, String, String, Vec<u8>), StatusCode>>;

/// Feeds bytes in parts of this size.
fn read_in_parts(bytes: &[u8], part: usize) -> Outcome {
    let mut reader = RequestReader::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut room = reader.room();
        assert!(
            room.remaining_mut() > 0,
            "there is no room, and the request is neither complete nor refused"
        );
        let (now, later) = rest.split_at(part.min(rest.len()).min(room.remaining_mut()));
        room.put_slice(now);
        rest = later;
        match reader.is_complete() {
            Ok(false) => assert!(reader.request().is_none()),
            Ok(true) => {
                let request = reader.request().unwrap();
                let texts = [request.method(), request.path(), request.query()].map(str::to_owned);
                let [method, path, query] = texts;
                return Some(Ok((method, path, query, request.body().to_vec())));
            }
            Err(status) => return Some(Err(status)),
        }
    }
    None
}

fn read(bytes: &[u8]) -> Outcome {
    let outcome = read_in_parts(bytes, usize::MAX);
    for part in [1, 2, 7, 4096] {
        assert_eq!(read_in_parts(bytes, part), outcome, "{part}: {}", bytes.escape_ascii());
    }
    outcome
}

fn status(bytes: &[u8]) -> Option<u16> {
    Some(read(bytes)?.err()?.as_u16())
}

#[test]
fn a_request_is_read() {
    let post =
        b"POST /auth/websso/?a=b?c HTTP/1.1\r\nHost: localhost:9990\r\ncontent-LENGTH:  7 \r\n\r\ntoken=1";
    let expected = ("POST".to_owned(), "/auth/websso/".to_owned(), "a=b?c".to_owned(), b"token=1".to_vec());
    assert_eq!(read(post), Some(Ok(expected.clone())));
    // What comes after it is another request, which is not looked at.
    assert_eq!(read(&[post.as_slice(), b"GET / HTTP/1.1\r\n\r\n"].concat()), Some(Ok(expected)));

    let get = read(b"GET / HTTP/1.0\r\n\r\n").unwrap().unwrap();
    assert_eq!(get, ("GET".to_owned(), "/".to_owned(), String::new(), Vec::new()));
}

#[test]
fn a_part_of_a_request_is_not_complete() {
    let post = b"POST / HTTP/1.1\r\ncontent-length: 7\r\n\r\ntoken=1";
    for length in 0..post.len() {
        assert_eq!(read(&post[..length]), None);
    }
}

#[test]
fn a_malformed_request_is_refused() {
    for request in [
        "GET  / HTTP/1.1\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/1.1 x\r\n\r\n",
        "get / HTTP/1.1\r\n\r\n",
        "GeT / HTTP/1.1\r\n\r\n",
        "GETGETGETGETGETGET / HTTP/1.1\r\n\r\n",
        " GET / HTTP/1.1\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\n\r\n",
        "GET http://127.0.0.1:1/ HTTP/1.1\r\n\r\n",
        "GET * HTTP/1.1\r\n\r\n",
        "CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n",
        "GET /a#b HTTP/1.1\r\n\r\n",
        "GET /\u{e9} HTTP/1.1\r\n\r\n",
        "GET /\\a HTTP/1.1\r\n\r\n",
        "GET /\ta HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\n: no name\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : h\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\nx: y\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\rx: y\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\0\r\n\r\n",
        "GET / HTTP/1.1\nhost: h\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
        "POST / HTTP/1.1\r\ncontent-length: 1, 1\r\n\r\nx",
        "POST / HTTP/1.1\r\ncontent-length: +1\r\n\r\nx",
        "POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\nx",
        "POST / HTTP/1.1\r\ncontent-length: 0x1\r\n\r\nx",
        "POST / HTTP/1.1\r\ncontent-length:\r\n\r\nx",
        "\u{16}\u{3}\u{1}",
        "\0",
    ] {
        assert_eq!(status(request.as_bytes()), Some(400), "{request}");
    }
    assert_eq!(status(b"GET / HTTP/2\r\n\r\n"), Some(505));
    assert_eq!(status(b"GET /\xff HTTP/1.1\r\n\r\n"), Some(400));
}

#[test]
fn a_body_has_a_length() {
    assert_eq!(status(b"POST / HTTP/1.1\r\n\r\n"), Some(411));
    assert_eq!(status(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"), Some(411));
    let both = b"POST / HTTP/1.1\r\ncontent-length: 5\r\nTransfer-Encoding: identity\r\n\r\n";
    assert_eq!(status(both), Some(411));
}

#[test]
fn a_request_is_bounded() {
    for length in ["65537", "99999999999999999999999999"] {
        let request = format!("POST / HTTP/1.1\r\ncontent-length: {length}\r\n\r\n");
        assert_eq!(status(request.as_bytes()), Some(413), "{length}");
    }
    let largest_body = format!("POST / HTTP/1.1\r\ncontent-length: 65536\r\n\r\n{}", "x".repeat(65_536));
    assert!(read_in_parts(largest_body.as_bytes(), 5000).unwrap().is_ok());

    let head = |len: usize| {
        let start = "GET / HTTP/1.1\r\nx: ";
        format!("{start}{}\r\n\r\n", "x".repeat(len - start.len() - 4))
    };
    assert!(read_in_parts(head(MAX_HEAD).as_bytes(), 1000).unwrap().is_ok());
    for part in [1000, usize::MAX] {
        let too_long = read_in_parts(head(MAX_HEAD + 1).as_bytes(), part);
        assert_eq!(too_long, Some(Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)));
    }

    let headers = |count| format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(count));
    assert!(read_in_parts(headers(100).as_bytes(), 64).unwrap().is_ok());
    assert_eq!(status(headers(101).as_bytes()), Some(431));
}

#[test]
fn a_header_is_unique_and_ascii() {
    let head = b"GET / HTTP/1.1\r\nHost: h\r\nx: 1\r\nX: 1\r\ny: \xe9";
    let head = Head::read(head).unwrap();
    assert_eq!(head.header("host"), Ok(Some("h")));
    assert_eq!(head.header("z"), Ok(None));
    assert_eq!(head.header("x"), Err(StatusCode::BAD_REQUEST));
    assert_eq!(head.header("y"), Err(StatusCode::BAD_REQUEST));
}
