use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Maximum number of recent messages. When it is reached, the oldest one is evicted.
const MAX_MESSAGES: usize = 64;

/// Suppresses a log message if the same message was logged a short time ago.
///
/// All plugins that share a transport share its throttle, so a pool of 1,000 plugins logs an outage once and not 1,000
/// times.
#[derive(Default)]
pub(crate) struct LogThrottle(Mutex<VecDeque<(u64, Instant)>>);

impl LogThrottle {
    /// Returns whether to log this message now: false if it was logged within `window`.
    ///
    /// If it returns true, the message counts as logged at `now`.
    pub(crate) fn should_log(&self, message: impl Hash, now: Instant, window: Duration) -> bool {
        let mut hasher = DefaultHasher::new();
        message.hash(&mut hasher);
        let hash = hasher.finish();
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: Instant| now.saturating_duration_since(at) < window;
        if recent.iter().any(|&(logged, at)| logged == hash && is_recent(at)) {
            return false;
        }
        recent.retain(|(logged, _)| *logged != hash);
        if recent.len() == MAX_MESSAGES {
            recent.pop_front();
        }
        recent.push_back((hash, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_logged_once_in_its_window_and_memory_is_bounded() {
        let (throttle, start) = (LogThrottle::default(), Instant::now());
        let minute = Duration::from_secs(60);
        assert!(
            throttle.should_log("outage", start, minute) && throttle.should_log("skew", start, 60 * minute)
        );
        let soon = start + minute / 2;
        assert!(
            !throttle.should_log("outage", soon, minute) && !throttle.should_log("skew", soon, 60 * minute)
        );
        let later = start + minute;
        assert!(
            throttle.should_log("outage", later, minute) && !throttle.should_log("skew", later, 60 * minute)
        );
        for number in 0..1_000 {
            assert!(throttle.should_log(number, later, minute));
        }
        assert_eq!(throttle.0.lock().unwrap().len(), MAX_MESSAGES);
    }
}
