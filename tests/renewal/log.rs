//! Captures what the crate logs.

use std::{
    io,
    sync::{Arc, LazyLock, Mutex},
};

use tracing::{Dispatch, Level, Subscriber, subscriber::DefaultGuard};

/// The log output of the current thread.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn new() -> (Self, DefaultGuard) {
        Self::with_max_level(Level::INFO)
    }

    pub(crate) fn with_max_level(level: Level) -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        (log, subscribe(subscriber))
    }

    /// Returns and forgets what was logged since the last call.
    pub(crate) fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }

    /// Returns and forgets the lines that this crate has logged since the last call.
    pub(crate) fn take_lines(&self) -> Vec<String> {
        self.take().lines().filter(|line| line.contains("tower_keystone::")).map(str::to_owned).collect()
    }
}

/// Sets the subscriber of the current thread.
pub(crate) fn subscribe(subscriber: impl Subscriber + Send + Sync) -> DefaultGuard {
    // While there is only one subscriber, tracing asks the subscriber of the first thread that reaches an event
    // whether the event is enabled, and caches the result for all threads. A second subscriber prevents this.
    static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));
    LazyLock::force(&SECOND);
    tracing::subscriber::set_default(subscriber)
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
