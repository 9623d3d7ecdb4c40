//! Which refusals of a token are a reason to log in again.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::Duration,
};

use super::{Now, RenewalPolicy};
use crate::{ServiceAccess, endpoint::Origin};

/// How many origins are remembered, the least recent of which is forgotten.
const ORIGINS: usize = 32;

/// How many dropped tokens are remembered of an origin.
const DROPPED: usize = 64;

/// The most refusals in a row that count as usual.
const MOST_USUAL: u32 = 8;

/// The origins that have refused tokens. Each counts by itself.
#[derive(Debug, Default)]
pub(super) struct Refusals(VecDeque<Refuser>);

/// An origin whose refusals have dropped tokens.
#[derive(Debug)]
struct Refuser {
    origin: Origin,
    /// When they did, the latest last.
    dropped: VecDeque<Now>,
    /// Whether it accepted one of them before.
    has_accepted: bool,
    /// The token that it refused last, and how often in a row.
    refused: Weak<ServiceAccess>,
    in_a_row: u32,
    /// How often in a row it has refused a token at most, and accepted it afterwards: some of its replicas, or of the
    /// services behind it, refuse every token.
    usual: u32,
    /// When a token was dropped last because it looked revoked.
    revoked: Option<Now>,
}

impl Refusals {
    /// Decides whether a token is dropped that `origin` refuses.
    ///
    /// If the origin has refused too many of them, another one is of no use, unless it looks revoked: the origin accepted
    /// tokens before, and has refused this one twice in a row, and more often than is usual there.
    pub(super) fn drops(
        &mut self,
        used: &Arc<ServiceAccess>,
        origin: &Origin,
        accepted: bool,
        now: Now,
        policy: &RenewalPolicy,
    ) -> bool {
        if policy.max_rejections == 0 {
            return false;
        }
        let mut refuser = self.take(origin);
        while refuser.dropped.front().is_some_and(|&at| now.since(at) >= policy.rejection_window) {
            refuser.dropped.pop_front();
        }
        refuser.enter(used, accepted);
        let is_over_count = refuser.dropped.len() >= policy.max_rejections;
        let drops = !is_over_count || refuser.looks_revoked(now, policy);
        if drops {
            refuser.revoked = if is_over_count { Some(now) } else { refuser.revoked };
            refuser.dropped.push_back(now);
            if refuser.dropped.len() > DROPPED {
                refuser.dropped.pop_front();
            }
        }
        self.0.push_back(refuser);
        drops
    }

    /// Takes out what is known of an origin. One that replaces another takes over its count, so that more origins than
    /// are remembered cause no more logins than those.
    fn take(&mut self, origin: &Origin) -> Refuser {
        let known = self.0.iter().position(|refuser| refuser.origin == *origin);
        if let Some(refuser) = known.and_then(|index| self.0.remove(index)) {
            return refuser;
        }
        let replaced = if self.0.len() < ORIGINS { None } else { self.0.pop_front() };
        let (dropped, revoked) =
            replaced.map(|refuser| (refuser.dropped, refuser.revoked)).unwrap_or_default();
        Refuser {
            origin: origin.clone(),
            dropped,
            has_accepted: false,
            refused: Weak::new(),
            in_a_row: 0,
            usual: 0,
            revoked,
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Refuser {
    /// Enters a refusal.
    fn enter(&mut self, used: &Arc<ServiceAccess>, accepted: bool) {
        if !std::ptr::eq(self.refused.as_ptr(), Arc::as_ptr(used)) {
            (self.refused, self.in_a_row) = (Arc::downgrade(used), 0);
        }
        if accepted {
            self.has_accepted = true;
            self.usual = self.usual.max(self.in_a_row).min(MOST_USUAL);
            self.in_a_row = 0;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
    }

    /// Whether the token that was refused last looks revoked. One does only in as much time as there is for each token in
    /// the window.
    fn looks_revoked(&self, now: Now, policy: &RenewalPolicy) -> bool {
        let each = policy.rejection_window / u32::try_from(policy.max_rejections).unwrap_or(u32::MAX);
        let is_due = self.revoked.is_none_or(|last| now.since(last) >= each.max(Duration::from_secs(1)));
        self.has_accepted && self.in_a_row > self.usual.max(1) && is_due
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
    fn origins_and_tokens_are_remembered_within_bounds() {
        let now = SystemClock.now();
        let mut refusals = Refusals::default();
        let policy = RenewalPolicy { max_rejections: usize::MAX, ..RenewalPolicy::default() };
        for number in 0..1_000 {
            for _ in 0..200 {
                assert!(refusals.drops(&access(), &origin(number), false, now, &policy));
            }
        }
        assert_eq!(refusals.0.len(), ORIGINS);
        assert!(refusals.0.iter().all(|refuser| refuser.dropped.len() == DROPPED));
    }

    #[test]
    fn a_token_that_looks_revoked_is_dropped_every_twenty_seconds_at_most() {
        let (start, policy, nova) = (SystemClock.now(), RenewalPolicy::default(), origin(1));
        let at = |seconds| start.after(Duration::from_secs(seconds));
        for (has_accepted, expected) in [(true, true), (false, false)] {
            let mut refusals = Refusals::default();
            let mut refused = |used: &Arc<ServiceAccess>, accepted, seconds| {
                refusals.drops(used, &nova, accepted, at(seconds), &policy)
            };
            for _ in 0..3 {
                assert!(refused(&access(), has_accepted, 0));
            }
            let used = access();
            assert!(!refused(&used, has_accepted, 30), "another replica may accept it");
            assert!(!refused(&used, has_accepted, 31), "it has accepted it in between");
            assert_eq!(refused(&used, false, 32), expected);
            let used = access();
            assert!(!refused(&used, false, 33) && !refused(&used, false, 34) && !refused(&used, false, 51));
            assert_eq!(refused(&used, false, 52), expected);
        }
    }

    #[test]
    fn more_origins_than_are_remembered_drop_no_more_tokens() {
        let (start, policy) = (SystemClock.now(), RenewalPolicy::default());
        for origins in [32, 33, 50, 500] {
            let mut refusals = Refusals::default();
            let mut dropped = 0;
            for second in 0..600 {
                let (now, origin) =
                    (start.after(Duration::from_secs(second) / 10), origin(second as usize % origins));
                dropped += usize::from(refusals.drops(&access(), &origin, false, now, &policy));
            }
            assert_eq!(dropped, ORIGINS * policy.max_rejections, "{origins}");
        }
    }

    #[test]
    fn an_origin_that_is_forgotten_for_its_window_counts_anew() {
        let (start, policy, nova) = (SystemClock.now(), RenewalPolicy::default(), origin(1));
        let mut refusals = Refusals::default();
        let mut dropped = 0;
        for second in 0..180 {
            let now = start.after(Duration::from_secs(second));
            dropped += usize::from(refusals.drops(&access(), &nova, false, now, &policy));
        }
        assert_eq!(dropped, 9);
    }
}
