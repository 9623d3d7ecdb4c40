use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::Uri;

use super::{key::TokenKey, keystone::Keystone};
use crate::{AccessFuture, AccessInfo, IdentityPlugin, ServiceAccess, endpoint::Origin, renewal::Now};

/// Time between two validations of a token in the background if the first one has no result.
const REFRESH_PAUSE: Duration = Duration::from_secs(1);

/// A token that Keystone has confirmed.
///
/// It is the identity plugin of requests on behalf of its user.
pub(in crate::validate) struct ValidatedToken {
    access_info: AccessInfo,
    access: Arc<ServiceAccess>,
    /// When the token expires, by the time of day.
    expires: Option<SystemTime>,
    lifetime: Lifetime,
    /// The sooner one of the soft end of the lifetime and the expiry: most requests look at this moment only.
    fresh_until: Now,
    refresh: Refresh,
    is_restricted: bool,
    memory: usize,
    key: TokenKey,
    rejected: Weak<dyn RemoveRejected>,
    keystone: Arc<Keystone>,
}

/// Removes tokens from the cache that they are in.
pub(super) trait RemoveRejected: Send + Sync {
    /// Removes a token that a service has rejected.
    fn remove(&self, key: &TokenKey);
}

/// How long what Keystone has said about a token counts. It begins when the question is sent.
#[derive(Clone, Copy)]
pub(super) struct Lifetime {
    pub(super) asked_at: Now,
    /// From then on, a request that uses the token causes a validation in the background.
    pub(super) soft_end: Now,
    /// From then on, requests wait for a validation.
    pub(super) end: Now,
    /// From then on, requests do not use the token even if Keystone is unavailable.
    pub(super) grace_end: Now,
}

/// What may be done with a cached token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Keystone has confirmed it a short time ago.
    Use,
    /// It can be used, and has to be validated again in the background.
    UseAndRefresh,
    /// The token has expired.
    Expired,
    /// It has to be validated again.
    Validate,
}

impl Lifetime {
    /// Returns the lifetime of an answer to a question that was sent at this moment.
    ///
    /// `random` is from 0 to 1. It spreads the validations of many processes.
    pub(super) fn new(asked_at: Now, time: Duration, grace: Duration, random: f64) -> Self {
        let end = asked_at.after(time);
        Self {
            asked_at,
            soft_end: asked_at.after(time.mul_f64(0.75 + 0.1 * random)),
            end,
            grace_end: end.after(grace),
        }
    }
}

impl ValidatedToken {
    pub(super) fn new(
        access_info: AccessInfo,
        access: ServiceAccess,
        expires: Option<SystemTime>,
        lifetime: Lifetime,
        key: TokenKey,
        rejected: Weak<dyn RemoveRejected>,
        keystone: Arc<Keystone>,
    ) -> Self {
        let mut fresh_until = lifetime.soft_end;
        if let Some(expires) = expires {
            fresh_until.wall = fresh_until.wall.min(expires);
        }
        let memory = size_of::<Self>() + size_of::<ServiceAccess>() + access_info.memory_size();
        let is_restricted =
            access_info.application_credential_access_rules().is_some() || access_info.is_certificate_bound();
        let access = Arc::new(access);
        let refresh = Refresh::default();
        Self {
            access_info,
            access,
            expires,
            lifetime,
            fresh_until,
            refresh,
            is_restricted,
            memory,
            key,
            rejected,
            keystone,
        }
    }

    pub(in crate::validate) fn access_info(&self) -> &AccessInfo {
        &self.access_info
    }

    /// Returns whether the token can be used for some requests only: it has access rules, or is bound to a certificate.
    #[inline]
    pub(in crate::validate) fn is_restricted(&self) -> bool {
        self.is_restricted
    }

    /// Returns whether the token can be used without a closer look.
    #[inline]
    pub(super) fn is_fresh(&self, now: Now) -> bool {
        !now.has_reached(self.fresh_until)
    }

    /// Returns what may be done with the token.
    pub(super) fn judge(&self, allow_expired: bool, now: Now) -> Judgement {
        match () {
            () if self.has_expired(now) && allow_expired => Judgement::Validate,
            () if self.has_expired(now) => Judgement::Expired,
            () if !now.has_reached(self.lifetime.soft_end) => Judgement::Use,
            () if !now.has_reached(self.lifetime.end) => Judgement::UseAndRefresh,
            () if self.refresh.has_just_failed(now.since(self.lifetime.asked_at)) && self.is_usable(now) => {
                Judgement::UseAndRefresh
            }
            () => Judgement::Validate,
        }
    }

    /// Returns whether the token has expired. At the very moment of its expiry, it has not.
    pub(in crate::validate) fn has_expired(&self, now: Now) -> bool {
        self.expires.is_some_and(|expires| expires < now.wall)
    }

    /// Returns whether the token may be used if Keystone is unavailable.
    pub(super) fn is_usable(&self, now: Now) -> bool {
        !self.has_expired(now) && !now.has_reached(self.lifetime.grace_end)
    }

    /// Returns whether to validate the token in the background now. Only one caller gets true.
    pub(super) fn start_refresh(&self, now: Now) -> bool {
        self.refresh.start(now.since(self.lifetime.asked_at))
    }

    /// Records that a validation in the background has ended without a result, or was not started. The next one is made
    /// after a pause.
    pub(super) fn end_refresh(&self, now: Now) {
        self.refresh.end(now.since(self.lifetime.asked_at).saturating_add(REFRESH_PAUSE));
    }

    /// Records that Keystone was unavailable. The next validation in the background is made after `pause`.
    pub(super) fn fail_refresh(&self, now: Now, pause: Duration) {
        self.refresh.fail(now.since(self.lifetime.asked_at), pause);
    }

    /// Returns when Keystone was asked.
    #[cfg(feature = "store")]
    pub(super) fn asked_at(&self) -> Now {
        self.lifetime.asked_at
    }

    /// Returns how long Keystone's answer still counts if it does for this time, and if the token does not expire.
    #[cfg(feature = "store")]
    pub(super) fn time_left(&self, now: Now, time: Duration) -> Duration {
        let left = time.saturating_sub(now.since(self.lifetime.asked_at));
        match self.expires {
            Some(expires) => left.min(expires.duration_since(now.wall).unwrap_or_default()),
            None => left,
        }
    }

    /// Returns an estimate of the memory that the token takes, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }
}

#[cfg(test)]
struct NoCache;

#[cfg(test)]
impl RemoveRejected for NoCache {
    fn remove(&self, _key: &TokenKey) {}
}

#[cfg(test)]
impl ValidatedToken {
    /// Returns a token that is not cached.
    pub(in crate::validate) fn for_test(access_info: AccessInfo) -> Arc<Self> {
        use crate::renewal::{Clock, SystemClock};

        let access = ServiceAccess::from_auth_ref(access_info.clone()).unwrap();
        let expires = access_info.expires().unwrap();
        let lifetime = Lifetime::new(SystemClock.now(), Duration::ZERO, Duration::ZERO, 0.0);
        let client = tower::service_fn(|_: http::Request<bytes::Bytes>| {
            std::future::ready(Ok::<_, crate::BoxError>(http::Response::new(String::new())))
        });
        let asker = super::Asker::TokenItself("http://keystone.test".into());
        let settings = super::ValidatorSettings::new(asker, crate::Transport::new(client));
        let (keystone, key) = (Arc::new(Keystone::new(&settings)), super::key::KeyMaker::new().key(b""));
        let rejected = Weak::<NoCache>::new();
        Arc::new(Self::new(access_info, access, expires, lifetime, key, rejected, keystone))
    }
}

impl IdentityPlugin for ValidatedToken {
    fn access(&self) -> AccessFuture {
        AccessFuture::ready(Ok(Arc::clone(&self.access)))
    }

    /// Removes the token from the cache, and returns false, because the token cannot be renewed.
    fn invalidate(&self, _access: &Arc<ServiceAccess>, _origin: &Origin) -> bool {
        if let Some(rejected) = self.rejected.upgrade() {
            rejected.remove(&self.key);
        }
        false
    }

    fn auth_url(&self) -> Option<&Uri> {
        self.keystone.auth_url()
    }
}

/// The validation in the background.
#[derive(Default)]
struct Refresh {
    /// When it may be started, in milliseconds after the last question. [`IN_FLIGHT`] while it is made.
    next: AtomicU64,
    /// Until when the last failure says that Keystone is unavailable, in milliseconds after the last question.
    failed_until: AtomicU64,
}

/// For how many pauses a failure says that Keystone is unavailable. A token in steady use is validated once in a pause.
const PAUSES: u32 = 3;

const IN_FLIGHT: u64 = u64::MAX;

impl Refresh {
    fn start(&self, elapsed: Duration) -> bool {
        let next = self.next.load(Ordering::Relaxed);
        next <= millis(elapsed)
            && self.next.compare_exchange(next, IN_FLIGHT, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn end(&self, next: Duration) {
        let next = millis(next);
        let _ = self.next.compare_exchange(IN_FLIGHT, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn fail(&self, elapsed: Duration, pause: Duration) {
        let until = elapsed.saturating_add(pause.saturating_mul(PAUSES));
        self.failed_until.store(millis(until), Ordering::Relaxed);
        self.next.store(millis(elapsed.saturating_add(pause)), Ordering::Relaxed);
    }

    fn has_just_failed(&self, elapsed: Duration) -> bool {
        millis(elapsed) < self.failed_until.load(Ordering::Relaxed)
    }
}

/// Returns a duration in milliseconds, always less than [`IN_FLIGHT`].
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(IN_FLIGHT).min(IN_FLIGHT - 1)
}

/// Shows the access info, which does not show the token.
impl fmt::Debug for ValidatedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ValidatedToken").field(&self.access_info).finish()
    }
}
