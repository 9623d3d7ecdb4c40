use std::net::IpAddr;

use tokio::net::TcpStream;

use super::*;

/// Listens on a port that no program is given by chance, so that it can be taken a second time.
pub(in super::super) async fn bind_quiet_port() -> Loopback {
    loop {
        if let Ok(loopback) = Loopback::bind("localhost", fastrand::u16(10_000..30_000)).await {
            return loopback;
        }
    }
}

/// Returns the text of the error.
async fn failure(port: u16) -> String {
    let error = Loopback::bind("localhost", port).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::FederatedLoginFailed(_)) && !error.is_transient(), "{error:?}");
    error.to_string()
}

/// A listener of another program. The standard library sets `SO_REUSEADDR`, as many servers do.
fn occupy(address: IpAddr, port: u16) -> Option<std::net::TcpListener> {
    std::net::TcpListener::bind((address, port)).ok()
}

/// A socket of another program that has taken a port without listening yet, and that shares its port as far as it can.
fn reserve(address: IpAddr, port: u16) -> Option<TcpSocket> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }.unwrap();
    socket.set_reuseaddr(true).unwrap();
    #[cfg(target_os = "linux")]
    socket.set_reuseport(true).unwrap();
    socket.bind((address, port).into()).ok().map(|()| socket)
}

/// Returns the loopback addresses of this machine. Some machines have no `[::1]`.
fn addresses() -> Vec<IpAddr> {
    let all = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
    all.into_iter().filter(|address| occupy(*address, 0).is_some()).collect()
}

#[tokio::test]
async fn a_free_port_is_the_same_on_both_addresses() {
    let loopback = Loopback::bind("localhost", 0).await.unwrap();
    assert_eq!(loopback.v4.local_addr().unwrap(), (Ipv4Addr::LOCALHOST, loopback.port()).into());
    let v6 = loopback.v6.as_ref().map(|v6| v6.local_addr().unwrap());
    let expected = SocketAddr::from((Ipv6Addr::LOCALHOST, loopback.port()));
    assert_eq!(v6, addresses().contains(&expected.ip()).then_some(expected));

    for address in addresses() {
        let client = TcpStream::connect((address, loopback.port())).await.unwrap();
        let accepted = std::future::poll_fn(|cx| loopback.poll_accept(cx)).await.unwrap();
        assert_eq!(accepted.peer_addr().unwrap(), client.local_addr().unwrap());
    }
}

#[tokio::test]
async fn a_port_that_is_occupied_on_one_address_is_an_error() {
    for address in addresses().into_iter().chain([Ipv4Addr::UNSPECIFIED.into()]) {
        let shown = if address.is_ipv6() { "http://[::1]:" } else { "http://127.0.0.1:" };
        let port = bind_quiet_port().await.port();
        let other = occupy(address, port).unwrap();
        let error = failure(port).await;
        assert!(error.contains(&format!("{shown}{port}")), "{error}");
        assert!(error.contains("another program listens on this port"), "{error}");

        // The half that was free is free again.
        drop(other);
        let other = reserve(address, port).unwrap();
        assert!(failure(port).await.contains("another program listens on this port"));
        drop(other);
        drop(Loopback::bind("localhost", port).await.unwrap());
    }
}

#[tokio::test]
async fn nobody_can_take_the_port_while_it_is_used() {
    let loopback = bind_quiet_port().await;
    // Elsewhere all addresses can be taken, but connections to loopback still arrive here.
    let all = cfg!(target_os = "linux").then_some(Ipv4Addr::UNSPECIFIED.into());
    for address in addresses().into_iter().chain(all) {
        assert!(occupy(address, loopback.port()).is_none(), "{address}");
        assert!(reserve(address, loopback.port()).is_none(), "{address}");
    }
    assert!(failure(loopback.port()).await.contains("another program"));
    let port = loopback.port();
    drop(loopback);
    for address in addresses() {
        assert!(occupy(address, port).is_some(), "{address}");
    }
}

#[tokio::test]
async fn only_an_address_that_nobody_can_use_is_left_out() {
    for (error, is_without) in [
        (io::ErrorKind::AddrNotAvailable.into(), true),
        (io::ErrorKind::AddrInUse.into(), false),
        (io::ErrorKind::PermissionDenied.into(), false),
        (io::Error::other("too many open files"), false),
    ] {
        assert_eq!(is_without_v6("localhost", &error).await, is_without, "{error}");
        assert_eq!(is_without_v6("127.0.0.1", &error).await, is_without, "{error}");
    }
    // If this program must not make sockets of IPv6, the address that the browser is sent to decides.
    let no_sockets = io::Error::from_raw_os_error(ADDRESS_FAMILY_NOT_SUPPORTED);
    assert!(is_without_v6("127.0.0.1", &no_sockets).await);
    if addresses().len() == 2 {
        assert!(!is_without_v6("::1", &no_sockets).await);
    }
}

#[test]
fn a_runtime_without_io_is_an_error() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let bound = runtime.block_on(Loopback::bind("localhost", 0)).map(|_| ());
    assert!(matches!(bound, Err(Error::NoRuntime)), "{bound:?}");
    let without_time = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let bound = without_time.block_on(Loopback::bind("localhost", 0)).map(|_| ());
    assert!(matches!(bound, Err(Error::NoRuntime)), "{bound:?}");
}
