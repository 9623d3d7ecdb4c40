use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How many messages are remembered, the oldest of which is forgotten.
const MOST: usize = 64;

/// What was logged a short while ago by any of the plugins that share a transport, so that a pool of a thousand does not
/// log the same a thousand times.
#[derive(Default)]
pub(crate) struct LogThrottle(Mutex<VecDeque<(u64, Instant)>>);

impl LogThrottle {
    /// Returns whether this was not logged within `window`, and enters that it is now.
    pub(crate) fn is_news(&self, what: impl Hash, now: Instant, window: Duration) -> bool {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        let hash = hasher.finish();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: Instant| now.saturating_duration_since(at) < window;
        if told.iter().any(|&(known, at)| known == hash && is_recent(at)) {
            return false;
        }
        told.retain(|(known, _)| *known != hash);
        if told.len() == MOST {
            told.pop_front();
        }
        told.push_back((hash, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_told_once_in_its_window_and_memory_is_bounded() {
        let (told, start) = (LogThrottle::default(), Instant::now());
        let minute = Duration::from_secs(60);
        assert!(told.is_news("outage", start, minute) && told.is_news("skew", start, 60 * minute));
        let soon = start + minute / 2;
        assert!(!told.is_news("outage", soon, minute) && !told.is_news("skew", soon, 60 * minute));
        let later = start + minute;
        assert!(told.is_news("outage", later, minute) && !told.is_news("skew", later, 60 * minute));
        for number in 0..1_000 {
            assert!(told.is_news(number, later, minute));
        }
        assert_eq!(told.0.lock().unwrap().len(), MOST);
    }
}
