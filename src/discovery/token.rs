//! Whose token documents are asked for with, and what comes of it.

use std::{
    hash::{Hash, Hasher},
    sync::{Arc, Weak},
};

use crate::{Error, IdentityPlugin, ServiceAccess, endpoint::Origin};

/// An access whose token may be sent for documents.
#[derive(Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) access: &'a Arc<ServiceAccess>,
    /// Whether it may be sent over https only.
    pub(super) https_only: bool,
}

impl Token<'_> {
    pub(super) fn whose(self) -> Whose {
        Whose(Arc::downgrade(self.access))
    }

    /// Whether the token may be sent to `place`, where a service that lives at `home` has redirected to.
    pub(super) fn may_go_to(self, place: &Origin, home: &Origin) -> bool {
        (place == home || self.access.known_origin(place).is_some()) && (place.is_https() || !self.https_only)
    }
}

/// Which access, without holding it: what is remembered, and tasks, keep no token.
#[derive(Clone, Debug)]
pub(super) struct Whose(Weak<ServiceAccess>);

impl Whose {
    /// The access, if it is in use still.
    pub(super) fn access(&self) -> Option<Arc<ServiceAccess>> {
        self.0.upgrade()
    }

    pub(super) fn as_ptr(&self) -> *const ServiceAccess {
        self.0.as_ptr()
    }
}

impl PartialEq for Whose {
    fn eq(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
    }
}

impl Eq for Whose {}

impl Hash for Whose {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ptr().hash(state);
    }
}

/// What came of asking services, and the origins that refused the token that they had asked for.
pub(crate) struct Asked<T> {
    pub(crate) found: Result<T, Error>,
    pub(crate) refused_by: Vec<Origin>,
}

impl<T> Asked<T> {
    pub(super) fn failed(error: Error) -> Self {
        Self { found: Err(error), refused_by: Vec::new() }
    }

    /// Tells the plugin who refused the token, and whether another one can be had.
    pub(crate) fn tell<P>(&self, plugin: &P, used: &Arc<ServiceAccess>) -> bool
    where
        P: IdentityPlugin + ?Sized,
    {
        let mut renewable = false;
        for by in &self.refused_by {
            renewable |= plugin.invalidate(used, by);
        }
        renewable
    }
}
