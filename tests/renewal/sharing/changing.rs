//! Credentials whose password changes.

use std::sync::{Arc, Mutex};

use http::Uri;
use tower_keystone::{AuthMethod, Credentials, Transport, User, V3Credentials, identity::AuthRefFuture};

/// Credentials whose password can be changed.
#[derive(Clone)]
pub(crate) struct Changing {
    pub(crate) password: Arc<Mutex<String>>,
    pub(crate) has_id: bool,
    pub(crate) auth_url: Uri,
}

impl Changing {
    pub(crate) fn new(has_id: bool) -> Self {
        let auth_url = Uri::from_static("https://keystone.test/v3");
        Self { password: Arc::new(Mutex::new("one".into())), has_id, auth_url }
    }

    pub(crate) fn current(&self) -> V3Credentials {
        let alice = User::new().username("alice").user_domain_name("Default");
        let password = self.password.lock().unwrap().clone();
        V3Credentials::new("https://keystone.test/v3", AuthMethod::password(alice, password))
    }
}

impl Credentials for Changing {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        self.current().get_auth_ref(transport)
    }

    fn auth_url(&self) -> &Uri {
        &self.auth_url
    }

    fn cache_id(&self) -> Option<String> {
        self.has_id.then(|| self.current().cache_id()).flatten()
    }
}
