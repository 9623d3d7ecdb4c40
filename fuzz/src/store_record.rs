//! Reading records of a store.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::Uri;
use tower_keystone::{
    AccessInfo, AuthRefFuture, Credentials, Error, Transport,
    store::{EntryName, LeaseOwner, SharedTokens, StoreFuture, StoreKey, TokenStore, Version},
};

use crate::auth_state;

/// The input is what a store returns for every entry.
///
/// Only one token was ever sealed with the key for the identity. No other may be found.
pub fn run(input: &[u8]) {
    let store = Constant(input.to_vec());
    let credentials = Fuzz(Uri::from_static("https://keystone.example.com/v3"));
    for shared in [
        SharedTokens::new(store.clone(), StoreKey::new([7; 32])),
        SharedTokens::new(store.clone(), StoreKey::new([9; 32])).also_read_with(StoreKey::new([7; 32])),
    ] {
        if let Some(token) = find(&shared, &credentials) {
            assert_eq!(token.auth_token(), Some("gAAAA-fuzz"));
            auth_state::look_at(&token);
        }
    }
    let other_key = SharedTokens::new(store.clone(), StoreKey::new([9; 32]));
    let other_store = SharedTokens::new(store, StoreKey::new([7; 32])).name("other");
    assert!(find(&other_key, &credentials).is_none() && find(&other_store, &credentials).is_none());
}

fn find(shared: &SharedTokens, credentials: &Fuzz) -> Option<AccessInfo> {
    let mut future = pin!(shared.access_info(credentials));
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(found) => found.expect("the store answers"),
        Poll::Pending => panic!("the store answers at once"),
    }
}

/// A store that returns the same record for every name.
#[derive(Clone, Debug)]
struct Constant(Vec<u8>);

impl TokenStore for Constant {
    fn get<'a>(&'a self, _: &'a EntryName) -> StoreFuture<'a, Option<Vec<u8>>> {
        Box::pin(async { Ok(Some(self.0.clone())) })
    }

    fn publish<'a>(
        &'a self,
        _: &'a EntryName,
        seen: Option<&'a Version>,
        _: &'a [u8],
        _: Duration,
    ) -> StoreFuture<'a, bool> {
        assert_eq!(seen, Some(&Version::from_record(&self.0)));
        Box::pin(async { Ok(true) })
    }

    fn lease<'a>(&'a self, _: &'a EntryName, _: &'a LeaseOwner, _: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async { Ok(true) })
    }

    fn extend<'a>(&'a self, _: &'a EntryName, _: &'a LeaseOwner, _: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async { Ok(true) })
    }

    fn release<'a>(&'a self, _: &'a EntryName, _: &'a LeaseOwner) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// Credentials with the id `fuzz`.
struct Fuzz(Uri);

impl Credentials for Fuzz {
    fn get_auth_ref(&self, _: Transport) -> AuthRefFuture {
        Box::pin(async { Err(Error::NoToken) })
    }

    fn auth_url(&self) -> &Uri {
        &self.0
    }

    fn cache_id(&self) -> Option<String> {
        Some("fuzz".into())
    }
}
