use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

use crate::{BoxError, Error};

/// Resolves host names with the resolver of the operating system, to IPv4 addresses only if `ipv4_only` is set.
#[derive(Clone)]
pub(super) struct Resolver {
    system: GaiResolver,
    ipv4_only: bool,
}

impl Resolver {
    pub(super) fn new(ipv4_only: bool) -> Self {
        Self { system: GaiResolver::new(), ipv4_only }
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.system.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (resolving, ipv4_only) = (self.system.call(name), self.ipv4_only);
        Box::pin(async move { usable(resolving.await?, ipv4_only) })
    }
}

fn usable(
    addresses: impl Iterator<Item = SocketAddr>,
    ipv4_only: bool,
) -> Result<vec::IntoIter<SocketAddr>, BoxError> {
    let addresses: Vec<_> = addresses.filter(|address| address.is_ipv4() || !ipv4_only).collect();
    if ipv4_only && addresses.is_empty() {
        return Err(NO_IPV4_ADDRESS.into());
    }
    Ok(addresses.into_iter())
}

const NO_IPV4_ADDRESS: Error = Error::InvalidEndpoint {
    what: "the host",
    reason: "it has no IPv4 address, and force_ipv4 allows no other; use another host, or allow IPv6",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ipv4_addresses_are_usable_if_ipv4_is_forced() {
        let (ipv4, ipv6): (SocketAddr, SocketAddr) =
            ("192.0.2.1:0".parse().unwrap(), "[2001:db8::1]:0".parse().unwrap());
        let usable = |addresses: &[SocketAddr], ipv4_only| {
            usable(addresses.iter().copied(), ipv4_only).map(Iterator::collect::<Vec<_>>)
        };
        assert_eq!(usable(&[ipv6, ipv4], false).unwrap(), [ipv6, ipv4]);
        assert_eq!(usable(&[ipv6, ipv4], true).unwrap(), [ipv4]);
        let error = usable(&[ipv6], true).unwrap_err();
        assert!(error.to_string().contains("has no IPv4 address"), "{error}");
    }
}
