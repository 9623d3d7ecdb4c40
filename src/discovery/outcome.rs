use std::sync::Arc;

use crate::{Error, IdentityPlugin, ServiceAccess, endpoint::Origin};

/// The result of a discovery, and the origins that rejected the token during it.
pub(crate) struct Outcome<T> {
    pub(crate) result: Result<T, Error>,
    pub(crate) rejected_by: Vec<Origin>,
}

impl<T> Outcome<T> {
    pub(super) fn error(error: Error) -> Self {
        Self { result: Err(error), rejected_by: Vec::new() }
    }

    /// Reports to the plugin which origins rejected the token of this access.
    ///
    /// Returns whether the plugin can provide another token, so that it is worth repeating the discovery.
    pub(crate) fn report_rejections<P>(&self, plugin: &P, access: &Arc<ServiceAccess>) -> bool
    where
        P: IdentityPlugin + ?Sized,
    {
        let mut can_retry = false;
        for origin in &self.rejected_by {
            can_retry |= plugin.invalidate(access, origin);
        }
        can_retry
    }
}
