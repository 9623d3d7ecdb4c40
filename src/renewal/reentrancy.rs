//! Detects credentials that request a token from their own plugin: they would wait for themselves.

use std::cell::Cell;

thread_local! {
    /// The plugin whose credentials are running on this thread, or 0.
    static RUNNING: Cell<usize> = const { Cell::new(0) };
}

/// Runs code of the credentials of a plugin, which is identified by its address.
pub(super) fn run_credentials<T>(plugin: usize, credentials: impl FnOnce() -> T) -> T {
    struct Restore(usize);
    impl Drop for Restore {
        fn drop(&mut self) {
            RUNNING.set(self.0);
        }
    }
    let _restore = Restore(RUNNING.replace(plugin));
    credentials()
}

/// Returns whether the caller is code of the credentials of this plugin.
pub(super) fn is_in_credentials(plugin: usize) -> bool {
    RUNNING.get() == plugin
}
