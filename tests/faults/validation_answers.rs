//! Responses of Keystone to the question about a token, and faults of the connection.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::{io::AsyncWriteExt, time::Instant};
use tower::BoxError;
use tower_keystone::{Transport, ValidateTokenLayer};

use crate::{
    login_responses::Endless,
    support::*,
    validation::*,
    wire::{RawServer, acceptor, over_tls, read_request, until_closed},
};

cases![
    paused d01_a_document_of_a_user_is_accepted_with_each_status_and_content_type,
    paused d02_a_document_of_an_expired_token_is_a_401,
    paused d03_a_404_of_keystone_is_a_401_and_another_one_a_503,
    paused d04_a_401_about_an_account_that_cannot_log_in_again_is_a_503,
    paused d05_every_other_status_is_a_503_at_once,
    paused d06_a_431_is_about_the_token,
    paused d07_a_refused_connection_is_repeated_three_times,
    paused d07_a_connection_that_works_again_is_enough,
    paused d08_a_response_that_never_comes_is_a_503_within_the_timeout,
    paused d08_a_slow_response_within_the_timeout_is_used,
    real_time d09_a_tls_failure_is_a_503_and_not_repeated,
    paused d10_no_redirect_leads_to_another_origin,
    paused d10_a_redirect_without_end_or_target_is_a_503,
    paused d11_a_body_without_a_token_document_is_a_503,
    paused d12_half_a_document_is_a_503,
    paused d12_a_body_that_breaks_off_is_repeated_and_then_a_503,
    real_time d12_a_connection_that_ends_in_the_body_is_a_503,
    paused d13_a_chunk_that_never_ends_is_a_503_within_the_timeout,
    paused d14_five_thousand_nested_arrays_are_a_503,
    paused d15_a_huge_body_is_read_up_to_a_limit,
    paused d16_retry_after_is_passed_on_within_limits,
    paused d17_a_document_without_a_user_or_of_another_version_is_a_503,
    paused d18_the_response_is_about_the_token_that_was_asked_about,
];

async fn d01_a_document_of_a_user_is_accepted_with_each_status_and_content_type() {
    let body = json!({ "token": user("alice", &[]) }).to_string();
    for status in [200, 201, 203] {
        for content_type in ["application/json", "text/html", "application/json; charset=latin1", "x"] {
            let body = body.clone();
            let script =
                move |_: &Asked, _| with_body(status, &[("content-type", content_type)], body.clone());
            for service in services(script) {
                service.expect(ALICE, CONFIRMED).await;
                service.expect(ALICE, CONFIRMED).await;
                assert_eq!(service.keystone.questions(), 1);
            }
        }
    }
}

async fn d02_a_document_of_an_expired_token_is_a_401() {
    for (expires_at, expected) in [
        ("2027-01-15T07:59:59Z", INVALID),
        ("2027-01-15T07:59:59.999999Z", INVALID),
        ("2027-01-15T08:00:00Z", CONFIRMED),
        ("2027-01-15T09:59:59+02:00", INVALID),
    ] {
        for service in
            services(move |_, _| document(&with(user("alice", &[]), "expires_at", json!(expires_at))))
        {
            service.expect(ALICE, expected).await;
            assert_eq!(service.keystone.questions(), 1, "{expires_at}");
        }
    }
}

async fn d03_a_404_of_keystone_is_a_401_and_another_one_a_503() {
    for (body, expected) in [
        (
            r#"{"error": {"code": 404, "message": "Could not find token: canary-alice", "title": "Not Found"}}"#,
            INVALID,
        ),
        ("", UNAVAILABLE),
        ("<html>canary</html>", UNAVAILABLE),
        ("{}", UNAVAILABLE),
        (r#"{"message": "no route canary"}"#, UNAVAILABLE),
    ] {
        for service in services(move |_, _| with_body(404, &[("content-type", "application/json")], body)) {
            service.expect(ALICE, expected).await;
            assert_eq!(service.keystone.questions(), 1, "{body}");
        }
    }
    for service in services(|_, _| breaking_off(404, br#"{"error": {"#)) {
        service.expect(ALICE, UNAVAILABLE).await;
        assert_eq!(service.keystone.questions(), 1);
    }
}

async fn d04_a_401_about_an_account_that_cannot_log_in_again_is_a_503() {
    for service in services(|_, _| status(401)) {
        for request in 1..=3 {
            service.expect(ALICE, UNAVAILABLE).await;
            assert_eq!(service.keystone.questions(), 1, "{request}");
        }
        service.keystone.set(|asked, _| known(asked));
        service.expect(ALICE, CONFIRMED).await;
    }
}

async fn d05_every_other_status_is_a_503_at_once() {
    let others = (200..600).filter(|status| !matches!(status, 200 | 201 | 203 | 401 | 404 | 431));
    for code in others {
        let body = json!({ "token": user("alice", &["admin"]) }).to_string();
        for service in services(move |_, _| with_body(code, &[], body.clone())) {
            let start = Instant::now();
            service.expect(ALICE, UNAVAILABLE).await;
            assert_eq!(service.keystone.questions(), 1, "{code}");
            assert!(start.elapsed() < millis(10), "{code}");
        }
    }
}

async fn d06_a_431_is_about_the_token() {
    for service in services(|_, _| with_body(431, &[("content-type", "text/html")], "<html>canary")) {
        service.expect(ALICE, INVALID).await;
        assert_eq!(service.keystone.questions(), 1);
    }
}

async fn d07_a_refused_connection_is_repeated_three_times() {
    for service in services(|_, _| Reply::refused()) {
        let start = Instant::now();
        service.expect(ALICE, UNAVAILABLE).await;
        assert_eq!(service.keystone.questions(), 4);
        assert_eq!(start.elapsed().as_millis() / 10, 350);
        let service = service.with(|layer| layer.connect_retries(0));
        service.expect(ALICE, UNAVAILABLE).await;
        assert_eq!(service.keystone.questions(), 1);
    }
}

async fn d07_a_connection_that_works_again_is_enough() {
    let script = |asked: &Asked, before| if before < 3 { Reply::refused() } else { known(asked) };
    for service in services(script) {
        service.expect(ALICE, CONFIRMED).await;
        service.expect(ALICE, CONFIRMED).await;
        assert_eq!(service.keystone.questions(), 4);
    }
}

async fn d08_a_response_that_never_comes_is_a_503_within_the_timeout() {
    for (timeout, limit) in [(None, seconds(10)), (Some(millis(300)), millis(300))] {
        for service in services(|_, _| Reply::Hang) {
            let service = service.with(|layer| match timeout {
                Some(timeout) => layer.validation_timeout(timeout),
                None => layer,
            });
            let start = Instant::now();
            service.expect(ALICE, UNAVAILABLE).await;
            assert!(
                start.elapsed() >= limit && start.elapsed() < limit + millis(10),
                "{:?}",
                start.elapsed()
            );
            assert_eq!(service.keystone.questions(), 1);
            assert_eq!(service.layer.metrics().snapshot().in_flight, 0);
        }
    }
    // The repeats are part of the timeout.
    for service in services(|_, _| Reply::refused().after(seconds(4))) {
        let start = Instant::now();
        service.expect(ALICE, UNAVAILABLE).await;
        assert!(start.elapsed() < seconds(11), "{:?}", start.elapsed());
    }
}

async fn d08_a_slow_response_within_the_timeout_is_used() {
    for service in services(|asked, _| known(asked).after(millis(9_900))) {
        service.expect(ALICE, CONFIRMED).await;
        assert_eq!(service.keystone.questions(), 1);
    }
}

async fn d09_a_tls_failure_is_a_503_and_not_repeated() {
    let untrusted = RawServer::serve(|stream, _| async move {
        acceptor().accept(stream).await?;
        Ok(())
    })
    .await;
    let plain = RawServer::serve(|mut stream, _| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await?;
        until_closed(&mut stream).await
    })
    .await;
    for server in [untrusted, plain] {
        let url = format!("https://localhost:{}/v3", server.address.port());
        for (number, service) in
            services_with(|_, _| Reply::Hang, |_, _| ValidateTokenLayer::new(own_plugin(&url), over_tls()))
                .enumerate()
        {
            service.expect(ALICE, UNAVAILABLE).await;
            assert_eq!(server.connections(), number + 1);
        }
    }
}

async fn d10_no_redirect_leads_to_another_origin() {
    for code in [301, 302, 303, 307, 308] {
        for location in [
            "https://evil.example.org/v3/auth/tokens",
            "http://keystone.test/v3/auth/tokens",
            "https://keystone.test:8443/v3/auth/tokens",
            "//evil.example.org/v3/auth/tokens",
            "https://keystone.test@evil.example.org/v3/auth/tokens",
        ] {
            for service in services(move |_, _| with_body(code, &[("location", location)], "canary")) {
                // The stub fails if it receives a request for another origin.
                service.expect(ALICE, UNAVAILABLE).await;
                assert_eq!(service.keystone.questions(), 1, "{code} {location}");
            }
        }
    }
}

async fn d10_a_redirect_without_end_or_target_is_a_503() {
    for service in
        services(|_, _| with_body(307, &[("location", "https://keystone.test/v3/auth/tokens")], ""))
    {
        service.expect(ALICE, UNAVAILABLE).await;
        let questions = service.keystone.questions();
        assert!((2..=31).contains(&questions), "{questions}");
    }
    for location in [&[][..], &[("location", "")], &[("location", "::::")]] {
        for service in services(move |_, _| with_body(302, location, "")) {
            service.expect(ALICE, UNAVAILABLE).await;
        }
    }
}

async fn d11_a_body_without_a_token_document_is_a_503() {
    for body in [
        "",
        " ",
        "<html>canary</html>",
        "canary",
        "null",
        "1",
        "[]",
        "{}",
        r#""canary""#,
        r#"{"token": null}"#,
        r#"{"token": []}"#,
        r#"{"token": "canary"}"#,
        r#"{"error": {"message": "canary"}}"#,
        r#"{"token": {"user": {"id": "u"}, "expires_at": "2027-01-15T12:00:00Z"}} canary"#,
        "\u{0}",
    ] {
        for code in [200, 201, 203] {
            for service in
                services(move |_, _| with_body(code, &[("content-type", "application/json")], body))
            {
                service.expect(ALICE, UNAVAILABLE).await;
                assert_eq!(service.keystone.questions(), 1, "{body}");
            }
        }
    }
}

async fn d12_half_a_document_is_a_503() {
    let body = json!({ "token": user("alice", &["admin"]) }).to_string();
    for length in (1..body.len()).step_by(17).chain([body.len() - 1]) {
        let half = body[..length].to_owned();
        for service in services(move |_, _| with_body(200, &[], half.clone())) {
            service.expect(ALICE, UNAVAILABLE).await;
            assert_eq!(service.keystone.questions(), 1, "{length}");
        }
    }
}

/// A body that starts with these bytes, and then breaks off, or never ends.
struct Unfinished {
    start: Option<&'static [u8]>,
    then: Then,
}

enum Then {
    Break(io::ErrorKind),
    /// Sends a byte after each pause, or nothing.
    Never(Option<Pin<Box<tokio::time::Sleep>>>),
}

const PAUSE: Duration = Duration::from_millis(100);

impl Body for Unfinished {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(start) = self.start.take() {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(start)))));
        }
        match &mut self.then {
            Then::Break(kind) => Poll::Ready(Some(Err(io::Error::from(*kind).into()))),
            Then::Never(None) => Poll::Pending,
            Then::Never(Some(pause)) => {
                ready!(pause.as_mut().poll(cx));
                pause.set(tokio::time::sleep(PAUSE));
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b" ")))))
            }
        }
    }
}

fn unfinished(status: u16, start: &'static [u8], then: Then) -> Reply {
    let body = Unfinished { start: Some(start), then }.boxed_unsync();
    Reply::Respond(Response::builder().status(status).body(body).unwrap())
}

fn breaking_off(status: u16, start: &'static [u8]) -> Reply {
    unfinished(status, start, Then::Break(io::ErrorKind::ConnectionReset))
}

async fn d12_a_body_that_breaks_off_is_repeated_and_then_a_503() {
    for service in services(|_, _| breaking_off(200, br#"{"token": {"#)) {
        service.expect(ALICE, UNAVAILABLE).await;
        assert_eq!(service.keystone.questions(), 4);
    }
    for service in services(|asked, before| match before {
        0 => breaking_off(200, br#"{"token": {"#),
        _ => known(asked),
    }) {
        service.expect(ALICE, CONFIRMED).await;
        assert_eq!(service.keystone.questions(), 2);
    }
}

async fn d12_a_connection_that_ends_in_the_body_is_a_503() {
    let half: [&[u8]; 3] = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"token\": {",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"tok",
        b"HTTP/1.1 200 OK\r\ncontent-le",
    ];
    for bytes in half {
        let server = RawServer::serve(move |mut stream, _| async move {
            read_request(&mut stream).await?;
            stream.write_all(bytes).await
        })
        .await;
        let url = format!("{}/v3", server.url());
        for service in services_with(
            |_, _| Reply::Hang,
            |_, _| {
                let transport = Transport::hyper().build();
                ValidateTokenLayer::new(own_plugin(&url), transport).connect_retries(0)
            },
        ) {
            service.expect(ALICE, UNAVAILABLE).await;
        }
        assert_eq!(server.connections(), 2);
    }
}

async fn d13_a_chunk_that_never_ends_is_a_503_within_the_timeout() {
    for is_slow in [false, true] {
        for code in [200, 404] {
            let script = move |_: &Asked, _| {
                let pause = is_slow.then(|| Box::pin(tokio::time::sleep(PAUSE)));
                unfinished(code, b"{", Then::Never(pause))
            };
            for service in services(script) {
                let start = Instant::now();
                service.expect(ALICE, UNAVAILABLE).await;
                assert_eq!(service.keystone.questions(), 1);
                assert!(start.elapsed() < millis(10_010), "{:?}", start.elapsed());
            }
        }
    }
}

async fn d14_five_thousand_nested_arrays_are_a_503() {
    for (open, close) in [("[", "]"), (r#"{"token":"#, "}"), (r#"{"token":{"user":["#, "]}}")] {
        for depth in [5_000, 100_000] {
            for end in ["", close] {
                let body = Bytes::from(open.repeat(depth) + &end.repeat(depth));
                for service in services(move |_, _| with_body(200, &[], body.clone())) {
                    service.expect(ALICE, UNAVAILABLE).await;
                    assert_eq!(service.keystone.questions(), 1);
                }
            }
        }
    }
}

async fn d15_a_huge_body_is_read_up_to_a_limit() {
    for code in [200, 404, 500] {
        let script = move |_: &Asked, _| {
            let body = Endless::new(1 << 30).boxed_unsync();
            Reply::Respond(Response::builder().status(code).body(body).unwrap())
        };
        for service in services(script) {
            let peak = peak_memory_from_now();
            service.expect(ALICE, UNAVAILABLE).await;
            assert!(peak() < 10 << 20, "{} bytes", peak());
            assert_eq!(service.keystone.questions(), 1);
        }
    }
}

async fn d16_retry_after_is_passed_on_within_limits() {
    for (sent, expected) in
        [("7", "7"), ("0", "1"), ("3600", "60"), ("canary", "5"), ("-1", "5"), ("99999999999999999999", "5")]
    {
        for code in [429, 503] {
            for service in services(move |_, _| with_body(code, &[("retry-after", sent)], "canary")) {
                service.expect(ALICE, UNAVAILABLE).await;
                let request = http::Request::get("/").header(ALICE[0].0, ALICE[0].1).body(()).unwrap();
                let (response, seen) = service.send(request).await;
                let seconds = match seen {
                    None => response.headers()["retry-after"].to_str().unwrap().to_owned(),
                    Some(seen) => {
                        let rejection =
                            tower_keystone::Caller::from_extensions(&seen.extensions).unwrap_err();
                        rejection.retry_after().unwrap().as_secs().to_string()
                    }
                };
                if sent.starts_with("9999") {
                    assert!(matches!(&*seconds, "5" | "60"), "{seconds}");
                } else {
                    assert_eq!(seconds, expected, "{sent}");
                }
            }
        }
    }
}

async fn d17_a_document_without_a_user_or_of_another_version_is_a_503() {
    let good = user("alice", &["admin"]);
    let v2 = json!({"access": {
        "token": {"id": "canary-alice", "expires": "2027-01-15T12:00:00Z"},
        "user": {"id": "u", "name": "alice", "roles": []},
    }});
    let mut documents = vec![v2];
    for (name, value) in [
        ("user", json!(null)),
        ("user", json!({})),
        ("user", json!("alice")),
        ("user", json!({"id": null})),
        ("user", json!({"name": "alice"})),
        ("expires_at", json!("soon")),
        ("expires_at", json!(1_800_000_000)),
        ("expires_at", json!({})),
    ] {
        documents.push(json!({ "token": with(good.clone(), name, value) }));
    }
    for document in documents {
        let body = document.to_string();
        for service in services(move |_, _| with_body(200, &[], body.clone())) {
            service.expect(ALICE, UNAVAILABLE).await;
            assert_eq!(service.keystone.questions(), 1);
        }
    }
}

async fn d18_the_response_is_about_the_token_that_was_asked_about() {
    let body = json!({ "token": user("alice", &[]) }).to_string();
    for header in ["canary-other", ""] {
        let body = body.clone();
        for service in services(move |_, _| with_body(200, &[("x-subject-token", header)], body.clone())) {
            let request = http::Request::get("/").header(ALICE[0].0, ALICE[0].1).body(()).unwrap();
            let seen = service.expect_request("d18", request, CONFIRMED).await.unwrap();
            let caller = tower_keystone::Caller::from_extensions(&seen.extensions).unwrap();
            assert_eq!(caller.access_info().auth_token(), Some("canary-alice"));
        }
    }
}
