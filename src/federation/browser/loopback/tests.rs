use std::net::IpAddr;

use tokio::net::TcpStream;

use super::*;

/// Listens on a port that no program is given by chance, so that it can be taken a second time.
pub(in super::super) async fn bind_quiet_port() -> Loopback {
    loop {
        if let Ok(loopback) = Loopback::bind(fastrand::u16(10_000..30_000)).await {
            return loopback;
        }
    }
}

/// Returns the text of the error.
async fn failure(port: u16) -> String {
    let error = Loopback::bind(port).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::FederatedLoginFailed(_)) && !error.is_transient(), "{error:?}");
    error.to_string()
}

/// A listener of another program. The standard library sets `SO_REUSEADDR`, as many servers do.
fn occupy(address: IpAddr, port: u16) -> Option<std::net::TcpListener> {
    std::net::TcpListener::bind((address, port)).ok()
}

#[tokio::test]
async fn a_free_port_is_the_same_on_both_addresses() {
    let loopback = Loopback::bind(0).await.unwrap();
    assert_eq!(loopback.v4.local_addr().unwrap(), (Ipv4Addr::LOCALHOST, loopback.port()).into());
    let v6 = loopback.v6.as_ref().expect("the tests need IPv6 on loopback");
    assert_eq!(v6.local_addr().unwrap(), (Ipv6Addr::LOCALHOST, loopback.port()).into());

    for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        let client = TcpStream::connect((address, loopback.port())).await.unwrap();
        let accepted = std::future::poll_fn(|cx| loopback.poll_accept(cx)).await.unwrap();
        assert_eq!(accepted.peer_addr().unwrap(), client.local_addr().unwrap());
    }
}

#[tokio::test]
async fn a_port_that_is_occupied_on_one_address_is_an_error() {
    for (address, shown) in [
        (IpAddr::from(Ipv4Addr::LOCALHOST), "http://127.0.0.1:"),
        (Ipv6Addr::LOCALHOST.into(), "http://[::1]:"),
        (Ipv4Addr::UNSPECIFIED.into(), "http://127.0.0.1:"),
    ] {
        let port = bind_quiet_port().await.port();
        let other = occupy(address, port).unwrap();
        let error = failure(port).await;
        assert!(error.contains(&format!("{shown}{port}")), "{error}");
        assert!(error.contains("another program listens on this port"), "{error}");

        // The half that was free is free again.
        drop(other);
        drop(Loopback::bind(port).await.unwrap());
    }
}

#[tokio::test]
async fn nobody_can_take_the_port_while_it_is_used() {
    let loopback = Loopback::bind(0).await.unwrap();
    for address in
        [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into(), IpAddr::from(Ipv4Addr::UNSPECIFIED)]
    {
        assert!(occupy(address, loopback.port()).is_none(), "{address}");
    }
    assert!(failure(loopback.port()).await.contains("another program"));
    let port = loopback.port();
    drop(loopback);
    assert!(occupy(Ipv6Addr::LOCALHOST.into(), port).is_some());
    assert!(occupy(Ipv4Addr::LOCALHOST.into(), port).is_some());
}

#[tokio::test]
async fn only_an_address_that_does_not_exist_is_left_out() {
    for (error, cannot_be_taken_by_others) in [
        (io::ErrorKind::AddrNotAvailable.into(), true),
        (io::ErrorKind::AddrInUse.into(), false),
        (io::ErrorKind::PermissionDenied.into(), false),
        (io::Error::other("too many open files"), false),
    ] {
        assert_eq!(cannot_be_taken(&error).await, cannot_be_taken_by_others, "{error}");
    }
    // Here `localhost` decides, and it stands for 127.0.0.1 alone or for both.
    let no_sockets = io::Error::from_raw_os_error(ADDRESS_FAMILY_NOT_SUPPORTED);
    let addresses: Vec<_> = lookup_host(("localhost", 0)).await.unwrap().collect();
    assert_eq!(cannot_be_taken(&no_sockets).await, addresses.iter().all(SocketAddr::is_ipv4));
}

#[test]
fn a_runtime_without_io_is_an_error() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let bound = runtime.block_on(Loopback::bind(0)).map(|_| ());
    assert!(matches!(bound, Err(Error::NoRuntime)), "{bound:?}");
    let without_time = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let bound = without_time.block_on(Loopback::bind(0)).map(|_| ());
    assert!(matches!(bound, Err(Error::NoRuntime)), "{bound:?}");
}
