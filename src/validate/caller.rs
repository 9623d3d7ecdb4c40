use std::{fmt, sync::Arc};

use super::{Rejection, token_validator::ValidatedToken};
use crate::{AccessInfo, auth::Identity};

/// The confirmed user of a request, and the service that sent the request for the user, if there is one.
///
/// Clones share the access info.
#[derive(Clone)]
#[must_use]
pub struct Caller {
    user: Arc<ValidatedToken>,
    service: Option<Arc<ValidatedToken>>,
}

impl Caller {
    pub(super) fn new(user: Arc<ValidatedToken>, service: Option<Arc<ValidatedToken>>) -> Self {
        Self { user, service }
    }

    /// Returns the access info of the user's token.
    pub fn access_info(&self) -> &AccessInfo {
        self.user.access_info()
    }

    /// Returns the access info of the service token, if the request has a confirmed one.
    pub fn service(&self) -> Option<&AccessInfo> {
        self.service.as_deref().map(ValidatedToken::access_info)
    }

    /// Returns the identity for requests on behalf of the user: a request extension for [`Auth`](crate::Auth).
    pub fn identity(&self) -> Identity {
        Identity::from_arc(Arc::clone(&self.user) as _)
    }

    /// Returns an error if the token of the user is not scoped to this project.
    ///
    /// # Errors
    ///
    /// A rejection with status 403.
    pub fn require_project(&self, project_id: &str) -> Result<(), Rejection> {
        match self.access_info().project_id() == Some(project_id) {
            true => Ok(()),
            false => Err(Rejection::forbidden()),
        }
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("user", self.access_info()).field("service", &self.service()).finish()
    }
}
