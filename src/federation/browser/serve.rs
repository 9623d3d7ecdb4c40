//! Serves the connections of a browser until one of them brings what the login waits for.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Sleep, sleep, timeout},
};

use super::{
    loopback::Loopback,
    page::Page,
    request::{Request, RequestReader},
};

/// Maximum number of connections at a time. Another one takes the place of the oldest.
const MAX_CONNECTIONS: usize = 32;

/// How long a connection may take to send its request.
///
/// Browsers open connections in advance, so the limit is not short. Such connections keep nobody else from connecting.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the browser may take to read the response and to close the connection.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The delay after a connection that could not be accepted, for example because there are too many open files.
const ACCEPT_DELAY: Duration = Duration::from_millis(100);

/// Responds to requests until `judge` accepts one of them and the browser has its response.
///
/// `judge` returns the value that the login waits for and the page to show, or the status of the response to a request
/// that does not belong to the login.
///
/// When this is dropped or ends, the port and all connections are closed.
pub(super) async fn serve<T: Send>(
    loopback: Loopback,
    judge: impl Fn(&Request<'_>) -> Result<(T, Page), StatusCode> + Sync,
) -> T {
    let is_accepted = AtomicBool::new(false);
    let mut connections = VecDeque::new();
    let mut delay: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(value) = poll_connections(&mut connections, cx) {
                return Poll::Ready(value);
            }
            // Each connection was polled once before the next one can take its place.
            if is_accepted.load(Relaxed)
                || delay.as_mut().is_some_and(|delay| delay.as_mut().poll(cx).is_pending())
            {
                return Poll::Pending;
            }
            delay = None;
            match ready!(loopback.poll_accept(cx)) {
                Ok(stream) => {
                    if connections.len() == MAX_CONNECTIONS {
                        connections.pop_front();
                    }
                    connections.push_back(
                        Box::pin(handle(Connection(stream), &judge, &is_accepted)) as Handler<'_, T>
                    );
                }
                Err(_) => delay = Some(Box::pin(sleep(ACCEPT_DELAY))),
            }
        }
    })
    .await
}

/// Handles one connection. Resolves to the value if its request was accepted.
type Handler<'a, T> = Pin<Box<dyn Future<Output = Option<T>> + Send + 'a>>;

/// Polls all connections, and removes those that have ended.
fn poll_connections<T>(connections: &mut VecDeque<Handler<'_, T>>, cx: &mut Context<'_>) -> Poll<T> {
    let mut accepted = None;
    connections.retain_mut(|connection| match connection.as_mut().poll(cx) {
        Poll::Pending => true,
        Poll::Ready(value) => {
            accepted = accepted.take().or(value);
            false
        }
    });
    accepted.map_or(Poll::Pending, Poll::Ready)
}

/// Reads a request, responds to it, and waits until the browser has closed the connection.
async fn handle<T>(
    mut connection: Connection,
    judge: impl Fn(&Request<'_>) -> Result<(T, Page), StatusCode>,
    is_accepted: &AtomicBool,
) -> Option<T> {
    let mut reader = RequestReader::new();
    let received = timeout(REQUEST_TIMEOUT, connection.receive(&mut reader)).await.ok()?;
    let judged = match (received, reader.request()) {
        (Err(status), _) => Err(status),
        (Ok(()), Some(request)) => judge(&request),
        (Ok(()), None) => return None,
    };
    drop(reader);
    let (value, page) = match judged {
        Err(status) => (None, Page::refused(status)),
        Ok(_) if is_accepted.swap(true, Relaxed) => (None, Page::refused(StatusCode::CONFLICT)),
        Ok((value, page)) => (Some(value), page),
    };
    let _ = timeout(RESPONSE_TIMEOUT, connection.respond(page)).await;
    value
}

/// A connection of a browser, which is reset when it is dropped, unless the browser has closed it.
///
/// If this side closed it first, the port would be occupied for a minute afterwards (`TIME_WAIT`), because its socket
/// does not set `SO_REUSEADDR`.
struct Connection(TcpStream);

impl Connection {
    /// Reads until the reader has a request, or the browser sends no more. The error is the status of the response.
    async fn receive(&mut self, reader: &mut RequestReader) -> Result<(), StatusCode> {
        loop {
            match self.0.read_buf(&mut reader.room()).await {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) if reader.is_complete()? => return Ok(()),
                Ok(_) => {}
            }
        }
    }

    /// Sends a page, and discards what the browser still sends until it closes the connection.
    async fn respond(&mut self, page: Page) -> io::Result<()> {
        self.0.write_all(page.to_response().as_bytes()).await?;
        let mut discarded = [0; 1024];
        while self.0.read(&mut discarded).await? > 0 {}
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        #[allow(
            deprecated,
            reason = "the method that replaces it is not in all versions of tokio that can be used"
        )]
        let _ = self.0.set_linger(Some(Duration::ZERO));
    }
}

#[cfg(test)]
mod tests;
