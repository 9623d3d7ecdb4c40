use std::sync::Arc;

use http::Uri;

use crate::{AccessFuture, AccessInfo, IdentityPlugin, ServiceAccess, endpoint::Origin};

/// A token that Keystone has confirmed.
///
/// It is the identity plugin of requests on behalf of its user.
pub(in crate::validate) struct ValidatedToken {
    access_info: AccessInfo,
    access: Arc<ServiceAccess>,
}

impl ValidatedToken {
    pub(in crate::validate) fn access_info(&self) -> &AccessInfo {
        &self.access_info
    }
}

impl IdentityPlugin for ValidatedToken {
    fn access(&self) -> AccessFuture {
        AccessFuture::ready(Ok(Arc::clone(&self.access)))
    }

    /// Removes the token from the cache, and returns false, because the token cannot be renewed.
    fn invalidate(&self, _access: &Arc<ServiceAccess>, _origin: &Origin) -> bool {
        false
    }

    fn auth_url(&self) -> Option<&Uri> {
        None
    }
}
