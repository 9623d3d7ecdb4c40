//! The store behind the cache, in which processes share what they have asked Keystone about tokens.

use std::{future::Future, sync::Arc, time::Duration};

use http::HeaderValue;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tracing::warn;

use super::{Asker, ValidatorSettings, keystone::Keystone};
use crate::{
    Secret,
    store::{SharedTokens, StoreAway, StoredValidation, ValidationEntry, Version},
};

/// Maximum number of records that are read and written at the same time.
const MAX_OPERATIONS: usize = 64;

/// Maximum time for which an answer of the store is awaited before Keystone is asked. Requests wait only a second
/// longer than for Keystone alone.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// Maximum number of records that are being written or wait for it. Further ones are left out: the other replicas then
/// ask Keystone, at the latest after the lifetime of what they know.
const MAX_WAITING_WRITES: usize = 1_024;

/// The validations that several processes share.
pub(super) struct SecondLevel {
    tokens: SharedTokens,
    /// What the answer of Keystone depends on, besides the token.
    context: Secret,
    operations: Arc<Semaphore>,
    waiting_writes: Arc<Semaphore>,
}

impl SecondLevel {
    /// Returns `None` if validations are not cached, and if there is no store or no key.
    pub(super) fn new(settings: &ValidatorSettings, keystone: &Keystone) -> Option<Self> {
        let tokens = settings.store.clone().filter(|_| !settings.token_cache_time.is_zero())?;
        if !tokens.is_sealed() {
            warn!(
                "validated tokens are not shared: the store has no key, so everybody who can write to it could make up \
                 identities"
            );
            return None;
        }
        let (asker, interface) = match &settings.asker {
            Asker::Plugin(_) => ("account", settings.interface.as_str()),
            Asker::TokenItself(_) => ("token", "auth"),
        };
        let auth_url = keystone.auth_url().map(ToString::to_string);
        let context = (asker, auth_url, interface, &settings.region_name, settings.include_service_catalog);
        // The strings in it are quoted and escaped.
        let context = Secret::new(format!("{context:?}\n"));
        let operations = Arc::new(Semaphore::new(MAX_OPERATIONS));
        Some(Self {
            tokens,
            context,
            operations,
            waiting_writes: Arc::new(Semaphore::new(MAX_WAITING_WRITES)),
        })
    }

    /// Returns the entry of a token.
    pub(super) fn entry(&self, token: &HeaderValue) -> ValidationEntry {
        let (context, token) = (self.context.expose(), token.to_str().unwrap_or_default());
        let mut subject = String::with_capacity(context.len() + token.len());
        subject.extend([context, token]);
        self.tokens.validation(&Secret::new(subject))
    }

    /// Reads an entry. It waits no longer than for an answer after the first contact. If the answer is late, it is
    /// still awaited in the background, so that the first contact is made.
    pub(super) async fn get(
        &self,
        entry: &ValidationEntry,
    ) -> Option<(Option<Version>, Option<StoredValidation>)> {
        let deadline = Instant::now() + self.tokens.timeout().min(MAX_WAIT);
        let permit = timeout_at(deadline, Arc::clone(&self.operations).acquire_owned()).await.ok()?;
        let entry = entry.clone();
        let mut answer = Box::pin(async move {
            let _permit = permit;
            entry.get().await
        });
        match timeout_at(deadline, &mut answer).await {
            Ok(answer) => answer.ok(),
            Err(_) => {
                tokio::spawn(answer);
                None
            }
        }
    }

    /// Writes an entry in the background, unless too many wait for it.
    pub(super) fn write(&self, writing: impl Future<Output = Result<(), StoreAway>> + Send + 'static) {
        let Ok(place) = Arc::clone(&self.waiting_writes).try_acquire_owned() else { return };
        let operations = Arc::clone(&self.operations);
        tokio::spawn(async move {
            let _place = place;
            // It is never closed.
            let _permit = operations.acquire().await;
            let _ = writing.await;
        });
    }
}
