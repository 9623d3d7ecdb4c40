//! Stores that cannot be used.

use std::{
    future::{pending, ready},
    time::Duration,
};

use tower_keystone::store::{EntryName, LeaseOwner, StoreFuture, TokenStore, Version};

/// A store whose operations fail.
#[derive(Debug)]
pub struct Away;

/// A store that never answers.
#[derive(Debug)]
pub struct Hanging;

fn away<'a, T: Send + 'a>() -> StoreFuture<'a, T> {
    Box::pin(ready(Err("it is away".into())))
}

macro_rules! store {
    ($store:ty, $answer:expr) => {
        impl TokenStore for $store {
            fn get<'a>(&'a self, _: &'a EntryName) -> StoreFuture<'a, Option<Vec<u8>>> {
                $answer
            }

            fn publish<'a>(
                &'a self,
                _: &'a EntryName,
                _: Option<&'a Version>,
                _: &'a [u8],
                _: Duration,
            ) -> StoreFuture<'a, bool> {
                $answer
            }

            fn lease<'a>(
                &'a self,
                _: &'a EntryName,
                _: &'a LeaseOwner,
                _: Duration,
            ) -> StoreFuture<'a, bool> {
                $answer
            }

            fn extend<'a>(
                &'a self,
                _: &'a EntryName,
                _: &'a LeaseOwner,
                _: Duration,
            ) -> StoreFuture<'a, bool> {
                $answer
            }

            fn release<'a>(&'a self, _: &'a EntryName, _: &'a LeaseOwner) -> StoreFuture<'a, ()> {
                $answer
            }
        }
    };
}

store!(Away, away());
store!(Hanging, Box::pin(pending()));
