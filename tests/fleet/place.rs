//! The stores of the tests, and how a process opens them.

use std::{
    env, fs,
    path::PathBuf,
    process,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tower_keystone::{
    SharedTokens, StoreKey,
    store::{FileStore, MemcachedStore, RedisStore},
};

use crate::{memcached_process::Memcached, valkey::Valkey};

/// The key of all processes.
const KEY: [u8; 32] = [7; 32];

/// A store that a test uses, and the server behind it.
pub(crate) enum Place {
    File(Directory),
    Valkey(Valkey),
    Memcached(Memcached),
}

impl Place {
    pub(crate) fn file() -> Self {
        Self::File(Directory::new())
    }

    /// Returns `None` if the tests with real servers are skipped.
    pub(crate) fn valkey() -> Option<Self> {
        Valkey::start().map(Self::Valkey)
    }

    pub(crate) fn memcached() -> Self {
        Self::Memcached(Memcached::start())
    }

    /// Returns the settings with which a process opens the store.
    pub(crate) fn settings(&self) -> Value {
        match self {
            Self::File(directory) => json!({"kind": "file", "address": directory.0}),
            Self::Valkey(valkey) => json!({"kind": "valkey", "address": valkey.url()}),
            Self::Memcached(memcached) => json!({"kind": "memcached", "address": memcached.address()}),
        }
    }

    /// Empties the store.
    pub(crate) fn clear(&mut self) {
        if let Self::File(directory) = self {
            *directory = Directory::new();
        } else {
            self.kill();
            self.start_again();
        }
    }

    /// Kills the server. What it has is lost.
    pub(crate) fn kill(&mut self) {
        match self {
            Self::File(_) => panic!("there is no server"),
            Self::Valkey(valkey) => valkey.kill(),
            Self::Memcached(memcached) => memcached.kill(),
        }
    }

    /// Starts the server again at the same address, after it was killed.
    pub(crate) fn start_again(&mut self) {
        match self {
            Self::File(_) => panic!("there is no server"),
            Self::Valkey(valkey) => valkey.start_again(),
            Self::Memcached(memcached) => memcached.start_again(),
        }
    }

    /// Stops the server: it accepts connections, but does not answer.
    pub(crate) fn stop(&self) {
        match self {
            Self::File(_) => panic!("there is no server"),
            Self::Valkey(valkey) => valkey.suspend(),
            Self::Memcached(memcached) => memcached.stop(),
        }
    }

    /// Continues the server.
    pub(crate) fn resume(&self) {
        match self {
            Self::File(_) => panic!("there is no server"),
            Self::Valkey(valkey) => valkey.resume(),
            Self::Memcached(memcached) => memcached.go_on(),
        }
    }
}

/// A directory that is removed when this is dropped.
pub(crate) struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(env::temp_dir().join(format!("tower-keystone-fleet-{}-{number}", process::id())))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Opens the store with these settings. Each answer of it is awaited for this time.
pub(crate) fn open(settings: &Value, timeout: Duration) -> SharedTokens {
    let key = StoreKey::new(KEY);
    let address = settings["address"].as_str().unwrap();
    let tokens = match settings["kind"].as_str().unwrap() {
        "file" => SharedTokens::new(FileStore::open(address).unwrap(), key),
        "valkey" => SharedTokens::new(RedisStore::new(address).unwrap().answer_timeout(timeout), key),
        _ => SharedTokens::new(MemcachedStore::builder().server(address).build().unwrap(), key),
    };
    tokens.answer_timeout(timeout)
}
