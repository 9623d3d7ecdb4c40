use std::sync::Arc;

use http::Uri;
use tower_keystone::{AccessFuture, IdentityPlugin, ServiceAccess, endpoint::Origin};

/// The plugin of a layer that must not be asked for anything.
#[derive(Clone, Copy)]
pub(crate) struct Untouched;

impl IdentityPlugin for Untouched {
    fn access(&self) -> AccessFuture {
        panic!("the plugin of the layer was asked for its access")
    }

    fn invalidate(&self, _: &Arc<ServiceAccess>, _: &Origin) -> bool {
        panic!("a 401 was reported to the plugin of the layer")
    }

    fn auth_url(&self) -> Option<&Uri> {
        panic!("the plugin of the layer was asked for its auth_url")
    }
}
