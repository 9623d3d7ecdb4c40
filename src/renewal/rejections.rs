//! Decides which rejections of a token (401) are a reason to log in again.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::Duration,
};

use super::{Now, RenewalPolicy};
use crate::{ServiceAccess, endpoint::Origin};

/// Maximum number of origins that are tracked. The least recently used one is evicted.
const MAX_ORIGINS: usize = 32;

/// Maximum number of dropped tokens that are tracked per origin.
const MAX_DROPS: usize = 64;

/// Maximum of [`OriginRejections::tolerated_in_a_row`].
const MAX_TOLERATED_IN_A_ROW: u32 = 8;

/// The origins that have rejected tokens. Each one is counted separately.
#[derive(Debug, Default)]
pub(super) struct Rejections(VecDeque<OriginRejections>);

/// The rejections by one origin.
#[derive(Debug)]
struct OriginRejections {
    origin: Origin,
    /// When a token was dropped because this origin rejected it, oldest first.
    dropped_at: VecDeque<Now>,
    /// Whether the origin has accepted a token before.
    has_accepted: bool,
    /// The token that was rejected last.
    last_rejected: Weak<ServiceAccess>,
    /// How often in a row `last_rejected` was rejected.
    in_a_row: u32,
    /// How many rejections in a row are no sign of a revoked token.
    ///
    /// It is the largest number after which the origin accepted the same token again. It is more than 0 if some
    /// replicas of the service, or some services behind the same origin, reject every token.
    tolerated_in_a_row: u32,
    /// When a token was last dropped because it seemed to be revoked.
    revoked_at: Option<Now>,
}

impl Rejections {
    /// Records that `origin` has rejected a token, and returns whether to drop the token.
    ///
    /// `was_accepted` says whether the origin has accepted the token since its last rejection.
    ///
    /// If the origin has rejected too many tokens, another one would not help. Then the token is dropped only if it
    /// seems to be revoked: the origin has accepted tokens before, and has now rejected this one at least twice in a
    /// row, and more often than is usual for this origin.
    pub(super) fn record(
        &mut self,
        access: &Arc<ServiceAccess>,
        origin: &Origin,
        was_accepted: bool,
        now: Now,
        policy: &RenewalPolicy,
    ) -> bool {
        if policy.max_rejections == 0 {
            return false;
        }
        let mut rejections = self.take(origin);
        while rejections.dropped_at.front().is_some_and(|&at| now.since(at) >= policy.rejection_window) {
            rejections.dropped_at.pop_front();
        }
        rejections.record(access, was_accepted);
        let is_over_limit = rejections.dropped_at.len() >= policy.max_rejections;
        let drops = !is_over_limit || rejections.seems_revoked(now, policy);
        if drops {
            rejections.revoked_at = if is_over_limit { Some(now) } else { rejections.revoked_at };
            rejections.dropped_at.push_back(now);
            if rejections.dropped_at.len() > MAX_DROPS {
                rejections.dropped_at.pop_front();
            }
        }
        self.0.push_back(rejections);
        drops
    }

    /// Removes and returns the entry of an origin, or returns a new one.
    ///
    /// A new entry that evicts another one takes over its count. So rejections by more than [`MAX_ORIGINS`] origins
    /// cause no more logins than those by [`MAX_ORIGINS`].
    fn take(&mut self, origin: &Origin) -> OriginRejections {
        let index = self.0.iter().position(|rejections| rejections.origin == *origin);
        if let Some(rejections) = index.and_then(|index| self.0.remove(index)) {
            return rejections;
        }
        let evicted = if self.0.len() < MAX_ORIGINS { None } else { self.0.pop_front() };
        let (dropped_at, revoked_at) =
            evicted.map(|rejections| (rejections.dropped_at, rejections.revoked_at)).unwrap_or_default();
        OriginRejections {
            origin: origin.clone(),
            dropped_at,
            has_accepted: false,
            last_rejected: Weak::new(),
            in_a_row: 0,
            tolerated_in_a_row: 0,
            revoked_at,
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl OriginRejections {
    /// Records a rejection.
    fn record(&mut self, access: &Arc<ServiceAccess>, was_accepted: bool) {
        if !std::ptr::eq(self.last_rejected.as_ptr(), Arc::as_ptr(access)) {
            (self.last_rejected, self.in_a_row) = (Arc::downgrade(access), 0);
        }
        if was_accepted {
            self.has_accepted = true;
            self.tolerated_in_a_row = self.tolerated_in_a_row.max(self.in_a_row).min(MAX_TOLERATED_IN_A_ROW);
            self.in_a_row = 0;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
    }

    /// Returns whether the token that was rejected last seems to be revoked.
    ///
    /// Returns true at most once in every `rejection_window / max_rejections`, or 1 s if that is longer.
    fn seems_revoked(&self, now: Now, policy: &RenewalPolicy) -> bool {
        let interval = policy.rejection_window / u32::try_from(policy.max_rejections).unwrap_or(u32::MAX);
        let is_due =
            self.revoked_at.is_none_or(|last| now.since(last) >= interval.max(Duration::from_secs(1)));
        self.has_accepted && self.in_a_row > self.tolerated_in_a_row.max(1) && is_due
    }
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::*;
    use crate::renewal::{Clock, SystemClock};

    fn origin(number: usize) -> Origin {
        let url: Uri = format!("https://service-{number}.example.com").parse().unwrap();
        Origin::from_uri(&url).unwrap()
    }

    fn access() -> Arc<ServiceAccess> {
        Arc::new(ServiceAccess::fixed(Uri::from_static("https://nova.example.com")).unwrap())
    }

    #[test]
    fn the_number_of_tracked_origins_and_tokens_is_limited() {
        let now = SystemClock.now();
        let mut rejections = Rejections::default();
        let policy = RenewalPolicy { max_rejections: usize::MAX, ..RenewalPolicy::default() };
        for number in 0..1_000 {
            for _ in 0..200 {
                assert!(rejections.record(&access(), &origin(number), false, now, &policy));
            }
        }
        assert_eq!(rejections.0.len(), MAX_ORIGINS);
        assert!(rejections.0.iter().all(|origin| origin.dropped_at.len() == MAX_DROPS));
    }

    #[test]
    fn a_token_that_seems_revoked_is_dropped_at_most_every_twenty_seconds() {
        let (start, policy, nova) = (SystemClock.now(), RenewalPolicy::default(), origin(1));
        let at = |seconds| start.after(Duration::from_secs(seconds));
        for (has_accepted, expected) in [(true, true), (false, false)] {
            let mut rejections = Rejections::default();
            let mut reject = |access: &Arc<ServiceAccess>, was_accepted, seconds| {
                rejections.record(access, &nova, was_accepted, at(seconds), &policy)
            };
            for _ in 0..3 {
                assert!(reject(&access(), has_accepted, 0));
            }
            let used = access();
            assert!(!reject(&used, has_accepted, 30), "another replica may accept it");
            assert!(!reject(&used, has_accepted, 31), "it was accepted in between");
            assert_eq!(reject(&used, false, 32), expected);
            let used = access();
            assert!(!reject(&used, false, 33) && !reject(&used, false, 34) && !reject(&used, false, 51));
            assert_eq!(reject(&used, false, 52), expected);
        }
    }

    #[test]
    fn more_origins_than_are_tracked_drop_no_more_tokens() {
        let (start, policy) = (SystemClock.now(), RenewalPolicy::default());
        for origins in [32, 33, 50, 500] {
            let mut rejections = Rejections::default();
            let mut dropped = 0;
            for second in 0..600 {
                let (now, origin) =
                    (start.after(Duration::from_secs(second) / 10), origin(second as usize % origins));
                dropped += usize::from(rejections.record(&access(), &origin, false, now, &policy));
            }
            assert_eq!(dropped, MAX_ORIGINS * policy.max_rejections, "{origins}");
        }
    }

    #[test]
    fn an_origin_is_counted_anew_after_its_window() {
        let (start, policy, nova) = (SystemClock.now(), RenewalPolicy::default(), origin(1));
        let mut rejections = Rejections::default();
        let mut dropped = 0;
        for second in 0..180 {
            let now = start.after(Duration::from_secs(second));
            dropped += usize::from(rejections.record(&access(), &nova, false, now, &policy));
        }
        assert_eq!(dropped, 9);
    }
}
