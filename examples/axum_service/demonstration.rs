//! Shows the service with a cloud in memory, on loopback.

use bytes::Bytes;
use http::{Request, Response, header::WWW_AUTHENTICATE};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::json;
use tower_keystone::{
    BoxError, CloudConfig, Error,
    fixture::{Cloud, ServedCloud},
};

/// A Keystone and a nova, with an account for the service and a user.
pub(crate) struct InMemoryCloud {
    cloud: Cloud,
    _server: ServedCloud,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl InMemoryCloud {
    pub(crate) async fn start() -> Result<Self, BoxError> {
        let cloud = Cloud::new([("compute", "nova")])
            .service_user("inventory", "secret")
            .user("alice", "wonderland")
            .project("demo");
        cloud.respond("compute", Response::new(json!({"servers": [{"name": "web-1"}]}).to_string()));
        let server = cloud.serve().await?;
        Ok(Self { cloud, _server: server, client: Client::builder(TokioExecutor::new()).build_http() })
    }

    /// Returns the configuration of the service: the account `inventory`, which has the role `service`.
    pub(crate) fn config(&self) -> Result<CloudConfig, Error> {
        CloudConfig::builder().load_files(false).environment(self.cloud.environment()).build()
    }

    /// Calls the service at this URL.
    pub(crate) async fn call(&self, url: &str) -> Result<(), BoxError> {
        let keystone = self.cloud.keystone();
        let servers = format!("{url}/servers");
        println!("The health check needs no token: {}", self.get(&format!("{url}/healthcheck"), "").await?);
        println!("Without a token: {}", self.get(&servers, "").await?);

        let alice = keystone.issue("alice", Some("demo")).ok_or("alice is not a user")?;
        let token = alice.auth_token().unwrap_or_default();
        println!("With the token of alice: {}", self.get(&servers, token).await?);
        println!("Once more: {}", self.get(&servers, token).await?);
        println!("    Keystone was asked {} time(s) about a token.", keystone.validations());
        for request in self.cloud.received_requests("compute") {
            let is_for_alice = request.audit_id() == alice.audit_id();
            let has_service_token = request.service_audit_id().is_some();
            println!("    Nova: token of alice: {is_for_alice}, service token: {has_service_token}");
        }

        keystone.revoke(token);
        println!(
            "With the revoked token, still cached, rejected by nova: {}",
            self.get(&servers, token).await?
        );
        println!("Once more, not cached any more: {}", self.get(&servers, token).await?);
        println!("    Nova received {} requests.", self.cloud.requests_to("compute"));
        Ok(())
    }

    /// Sends a request with this token, and returns the response as text.
    async fn get(&self, url: &str, token: &str) -> Result<String, BoxError> {
        let mut request = Request::get(url);
        if !token.is_empty() {
            request = request.header("x-auth-token", token);
        }
        let (parts, body) = self.client.request(request.body(Full::default())?).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        let mut text = format!("{}\n    {}", parts.status, String::from_utf8_lossy(&body));
        if let Some(challenge) = parts.headers.get(WWW_AUTHENTICATE) {
            text += &format!("\n    WWW-Authenticate: {}", challenge.to_str()?);
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn the_service_is_short() {
        let is_code = |line: &&str| !line.is_empty() && !line.trim_start().starts_with("//");
        let lines = include_str!("main.rs").lines().filter(is_code).count();
        assert!(lines <= 60, "{lines} lines");
    }

    #[tokio::test]
    async fn the_service_calls_nova_on_behalf_of_callers_with_a_role() {
        let cloud = InMemoryCloud::start().await.unwrap();
        let keystone = cloud.cloud.keystone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = crate::app(&cloud.config().unwrap()).unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let servers = format!("{url}/servers");
        let status = async |url: &str, token: &str| cloud.get(url, token).await.unwrap()[..3].to_owned();

        assert_eq!(status(&format!("{url}/healthcheck"), "").await, "200");
        assert_eq!(status(&servers, "").await, "401");
        let service = keystone.issue("inventory", Some("service")).unwrap();
        assert_eq!(status(&servers, service.auth_token().unwrap()).await, "403");
        assert_eq!(cloud.cloud.requests_to("compute"), 0);

        let alice = keystone.issue("alice", Some("demo")).unwrap();
        let token = alice.auth_token().unwrap();
        assert_eq!(status(&servers, token).await, "200");
        let requests = cloud.cloud.received_requests("compute");
        assert_eq!(requests[0].audit_id(), alice.audit_id());
        assert!(requests[0].service_audit_id().is_some());

        keystone.revoke(token);
        assert_eq!(status(&servers, token).await, "401"); // nova rejects it
        assert_eq!(status(&servers, token).await, "401");
        assert_eq!(cloud.cloud.requests_to("compute"), 2);
    }
}
