//! Listens on a port of both loopback addresses.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

use crate::{
    Error,
    error::{FederatedLoginFailed, LoginStep},
    task::{catch_panic, runtime},
};

/// How often a free port is looked for that is free on both addresses.
const ATTEMPTS: usize = 16;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 128;

/// Listeners on `127.0.0.1` and on `[::1]`, on the same port. Dropping them closes the port.
///
/// Neither socket sets `SO_REUSEADDR` or `SO_REUSEPORT`: if another program has the port on one of the addresses, it
/// would receive the half of the requests to `localhost` that goes there.
///
/// The listener on `[::1]` is left out only if no other program can have one, or the browser cannot be sent there.
pub(super) struct Loopback {
    v4: TcpListener,
    v6: Option<TcpListener>,
    port: u16,
}

impl Loopback {
    /// Binds the port on both addresses. Port 0 stands for a port that is free on both.
    ///
    /// `host` is the host that the browser is sent to: `localhost` or `127.0.0.1`.
    pub(super) async fn bind(host: &str, port: u16) -> Result<Self, Error> {
        runtime()?;
        let mut attempts = 1;
        loop {
            let v4 = listen(TcpSocket::new_v4(), (Ipv4Addr::LOCALHOST, port).into())?;
            let v4 = v4.map_err(|error| failed("127.0.0.1", port, error))?;
            let bound = v4.local_addr().map_err(|error| failed("127.0.0.1", port, error))?.port();
            match listen(TcpSocket::new_v6(), (Ipv6Addr::LOCALHOST, bound).into())? {
                Ok(v6) => return Ok(Self { v4, v6: Some(v6), port: bound }),
                Err(error) if is_without_v6(host, &error).await => {
                    return Ok(Self { v4, v6: None, port: bound });
                }
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse && port == 0 && attempts < ATTEMPTS =>
                {
                    attempts += 1;
                }
                Err(error) => return Err(failed("[::1]", bound, error)),
            }
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        for listener in [Some(&self.v4), self.v6.as_ref()].into_iter().flatten() {
            if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                return Poll::Ready(accepted.map(|(stream, _)| stream));
            }
        }
        Poll::Pending
    }
}

/// Binds a socket and listens. The outer error is that of a runtime without I/O.
fn listen(socket: io::Result<TcpSocket>, address: SocketAddr) -> Result<io::Result<TcpListener>, Error> {
    let bound = socket.and_then(|socket| socket.bind(address).map(|()| socket));
    catch_panic(|| bound.and_then(|socket| socket.listen(BACKLOG))).map_err(|_| Error::NoRuntime)
}

/// Returns whether a login can do without a listener on `[::1]`, after it failed with this error.
///
/// If the address does not exist on this machine, no program can listen there. If sockets of IPv6 cannot be made,
/// perhaps only this program must not make them. Then the name `localhost` must not stand for `[::1]`.
async fn is_without_v6(host: &str, error: &io::Error) -> bool {
    if error.kind() == io::ErrorKind::AddrNotAvailable {
        return true;
    }
    if error.raw_os_error() != Some(ADDRESS_FAMILY_NOT_SUPPORTED) {
        return false;
    }
    host == "127.0.0.1" || is_kernel_without_v6() || is_v4_only(host).await
}

/// Returns whether the kernel has no IPv6 at all, as far as it is known. Many such machines have `::1` in `/etc/hosts`.
fn is_kernel_without_v6() -> bool {
    let exists = |path| Path::new(path).exists();
    cfg!(target_os = "linux") && exists("/proc/net/tcp") && !exists("/proc/net/if_inet6")
}

async fn is_v4_only(host: &str) -> bool {
    lookup_host((host, 0)).await.is_ok_and(|mut addresses| addresses.all(|address| address.is_ipv4()))
}

/// `EAFNOSUPPORT`, for which the standard library has no [`io::ErrorKind`].
const ADDRESS_FAMILY_NOT_SUPPORTED: i32 = if cfg!(windows) {
    10047
} else if cfg!(any(target_os = "linux", target_os = "android")) {
    97
} else {
    47
};

fn failed(address: &str, port: u16, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens on this port, or did until a minute ago; end it, or set another port"
        }
        io::ErrorKind::PermissionDenied => "this program must not listen on this port; set one from 1024 on",
        _ => "the operating system does not let this program listen there",
    };
    FederatedLoginFailed::new(LoginStep::Browser, format!("http://{address}:{port}").into(), hint, false)
        .with_source(Arc::new(error))
        .into()
}

#[cfg(test)]
pub(super) mod tests;
