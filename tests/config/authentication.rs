//! The first authentication of a cloud: its requests and headers, and the endpoint of a plugin without Keystone.

use std::sync::Arc;

use http::{HeaderMap, Request};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};
use tower_keystone::{IdentityPlugin, RenewalPolicy, RenewingPlugin, Transport, config::CloudConfig};

use crate::{
    comparison,
    servers::{self, Body, Servers},
};

/// The headers and endpoint of the first request or the error, and the requests that were sent for it.
pub(crate) struct Authentication {
    pub(crate) result: Result<Value, Value>,
    pub(crate) requests: Vec<Value>,
}

/// Authenticates with the plugin of the configuration.
pub(crate) async fn authenticate(config: &CloudConfig, servers: &Servers) -> Authentication {
    let transport = Transport::new(servers.clone());
    let plugin: Arc<dyn IdentityPlugin> = match config.credentials() {
        Some(credentials) => {
            // As in keystoneauth, a call makes one attempt, and returns its error.
            let mut policy = RenewalPolicy::default();
            policy.fail_fast = true;
            Arc::new(RenewingPlugin::new(credentials, transport.clone()).policy(policy))
        }
        None => config.plugin(transport.clone()),
    };
    let access = plugin.access().await;
    let (requests, _) = servers.take_sent(Instant::now());
    let result = match access {
        Ok(access) => {
            let mut headers = HeaderMap::new();
            access.insert_headers(&mut headers);
            let mut result = json!({"headers": servers::headers(&headers)});
            if config.credentials().is_none() {
                result["endpoint"] = fixed_endpoint(config, servers, transport).await;
            }
            Ok(result)
        }
        Err(error) => Err(comparison::error_to_json(&error)),
    };
    Authentication { result, requests }
}

/// Returns the endpoint that a request without a service is sent to, without its last `/`.
async fn fixed_endpoint(config: &CloudConfig, servers: &Servers, transport: Transport) -> Value {
    const PATH: &str = "/probe";
    let service = config.layer(transport).layer(servers.clone());
    let request = Request::builder().uri(PATH).body(Body::default()).expect("a request");
    // No server of the case responds to it.
    let _ = service.oneshot(request).await;
    let (requests, _) = servers.take_sent(Instant::now());
    let url = requests.first().and_then(|request| request["url"].as_str());
    url.and_then(|url| url.strip_suffix(PATH)).into()
}
