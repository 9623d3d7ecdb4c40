use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use pin_project_lite::pin_project;
use tokio::net::TcpStream;

pin_project! {
    /// A connection to a server or a proxy, below the TLS connection to the server.
    pub(super) struct Stream {
        #[pin]
        io: MaybeHttpsStream<TokioIo<TcpStream>>,
        is_forwarded: bool,
    }
}

impl Stream {
    /// Wraps a connection, or a tunnel through a proxy, to the server of the request.
    pub(super) fn to_server(io: impl Into<MaybeHttpsStream<TokioIo<TcpStream>>>) -> Self {
        Self { io: io.into(), is_forwarded: false }
    }

    /// Wraps a connection to a proxy that forwards plain http. Requests on it have an absolute URI.
    pub(super) fn to_forwarding_proxy(io: MaybeHttpsStream<TokioIo<TcpStream>>) -> Self {
        Self { io, is_forwarded: true }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.is_forwarded)
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().io.poll_read(cx, buffer)
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.project().io.poll_write(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().io.poll_write_vectored(cx, data)
    }
}
