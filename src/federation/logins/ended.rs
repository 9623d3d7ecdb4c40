use std::future::ready;

use crate::{
    Error, Transport,
    federation::{
        IdentityProvider,
        unscoped::{UnscopedFuture, UnscopedLogin},
    },
};

/// A login of a person that cannot be repeated without them.
pub(in crate::federation) struct EndedLogin {
    pub(in crate::federation) identity_provider: IdentityProvider,
    pub(in crate::federation) user_id: Option<Box<str>>,
}

impl UnscopedLogin for EndedLogin {
    fn log_in(&self, _: Transport) -> UnscopedFuture {
        Box::pin(ready(Err(Error::LoginEnded)))
    }

    fn cache_id(&self) -> Option<String> {
        Some(self.identity_provider.cache_id([("user_id", Some(self.user_id.as_deref()?))]))
    }

    fn public_id(&self) -> Option<String> {
        self.identity_provider.public_id("federated login", [("user_id", Some(self.user_id.as_deref()?))])
    }

    fn can_log_in(&self) -> bool {
        false
    }
}
