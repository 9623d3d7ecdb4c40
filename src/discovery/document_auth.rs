//! The access that authenticates requests for version documents.

use std::{
    hash::{Hash, Hasher},
    sync::{Arc, Weak},
};

use crate::{ServiceAccess, endpoint::Origin};

/// An access whose token may be sent with requests for version documents.
#[derive(Clone, Copy)]
pub(super) struct DocumentAuth<'a> {
    pub(super) access: &'a Arc<ServiceAccess>,
    /// Whether the token is sent over https only.
    pub(super) https_only: bool,
}

impl DocumentAuth<'_> {
    pub(super) fn weak_access(self) -> WeakAccess {
        WeakAccess(Arc::downgrade(self.access))
    }

    /// Returns whether the token may be sent to `target`, for a document that was requested at the origin `requested`.
    ///
    /// The token may go to the requested origin, and to an origin of the service catalog that redirects lead to.
    pub(super) fn may_send_token_to(self, target: &Origin, requested: &Origin) -> bool {
        (target == requested || self.access.known_origin(target).is_some())
            && (target.is_https() || !self.https_only)
    }
}

/// Identifies an access without keeping it alive, so that caches and background tasks hold no token.
#[derive(Clone, Debug)]
pub(super) struct WeakAccess(Weak<ServiceAccess>);

impl WeakAccess {
    /// Returns the access if something else keeps it alive.
    pub(super) fn upgrade(&self) -> Option<Arc<ServiceAccess>> {
        self.0.upgrade()
    }

    pub(super) fn as_ptr(&self) -> *const ServiceAccess {
        self.0.as_ptr()
    }
}

impl PartialEq for WeakAccess {
    fn eq(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
    }
}

impl Eq for WeakAccess {}

impl Hash for WeakAccess {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ptr().hash(state);
    }
}
