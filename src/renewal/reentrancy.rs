//! Credentials that ask the plugin which asks them: they would wait for themselves.

use std::cell::Cell;

thread_local! {
    /// The plugin whose credentials are being polled.
    static ASKING: Cell<usize> = const { Cell::new(0) };
}

/// Runs code of the credentials of this plugin, which is known by its address.
pub(super) fn for_plugin<T>(plugin: usize, credentials: impl FnOnce() -> T) -> T {
    struct Restore(usize);
    impl Drop for Restore {
        fn drop(&mut self) {
            ASKING.set(self.0);
        }
    }
    let _restore = Restore(ASKING.replace(plugin));
    credentials()
}

/// Whether it is the credentials of this plugin that run.
pub(super) fn is_for(plugin: usize) -> bool {
    ASKING.get() == plugin
}
