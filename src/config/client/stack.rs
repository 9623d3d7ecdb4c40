use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use tower::{
    retry::Retry,
    timeout::{Timeout, TimeoutLayer},
    util::{Either, option_layer},
};
use tower_layer::Layer;

use crate::{
    Auth, CloudConfig, ErrorContext, ErrorContextLayer, HttpsClient, IdentityPlugin, ReauthPolicy,
    RetryPolicy, Transport,
    config::service_defaults::{ServiceDefaults, ServiceRetryPolicy},
};

/// The layers of a [`CloudClient`](super::CloudClient).
pub(super) type Stack<B> = ServiceDefaults<
    ErrorContext<
        Retry<ReauthPolicy<B>, Retry<ServiceRetryPolicy<B>, Auth<Arc<dyn IdentityPlugin>, Attempt<B>>>>,
    >,
>;

/// Sends one request.
type Attempt<B> = Either<Timeout<HttpsClient<B>>, HttpsClient<B>>;

/// Builds the stack, and the plugin that it uses. `keystone` sends the logins and the discovery requests.
pub(super) fn stack<B>(
    config: &CloudConfig,
    https: HttpsClient<B>,
    keystone: HttpsClient,
    reauth: ReauthPolicy<B>,
    retry: RetryPolicy<B>,
) -> (Stack<B>, Arc<dyn IdentityPlugin>) {
    let timeout = config.api_timeout();
    let transport = Transport::new(attempt::<Full<Bytes>>(keystone, timeout));
    let plugin = config.plugin(transport.clone());
    let layer = config.layer_with_plugin(Arc::clone(&plugin), transport);
    let authenticated = layer.layer(attempt(https, timeout));
    let retried = Retry::new(reauth, Retry::new(ServiceRetryPolicy::new(retry), authenticated));
    (config.service_layer().layer(ErrorContextLayer::new().layer(retried)), plugin)
}

/// Returns the middleware that adds the tokens.
pub(super) fn auth_mut<B>(stack: &mut Stack<B>) -> &mut Auth<Arc<dyn IdentityPlugin>, Attempt<B>> {
    let reauth = stack.get_mut().get_mut();
    reauth.get_mut().get_mut()
}

fn attempt<B>(https: HttpsClient<B>, timeout: Option<Duration>) -> Attempt<B> {
    option_layer(timeout.map(TimeoutLayer::new)).layer(https)
}
