//! A service that calls Placement for its callers.

use std::time::Duration;

use axum::{Json, Router, routing::get};
use http::{Request, StatusCode, Uri};
use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt};
use tower_keystone::{
    AuthLayer, Caller, EndpointFilter, ReauthPolicy, RenewingPlugin, Transport, V3Credentials,
    ValidateTokenLayer,
};

use super::{application, world::token};
use crate::support::{Client, Real, body_of, json_of, past, providers, real};

/// A service that passes on what Placement responds to its callers.
struct Service {
    url: Uri,
    client: Client,
}

impl Service {
    async fn serve(real: &Real, own: RenewingPlugin<V3Credentials>) -> Self {
        let placement = ServiceBuilder::new()
            .retry(ReauthPolicy::new())
            .layer(
                AuthLayer::new(own.clone()).endpoint(EndpointFilter::new("placement")).send_service_token(),
            )
            .service(real.client());
        let handler = |caller: Caller| async move {
            let mut providers = providers();
            providers.extensions_mut().insert(caller.identity());
            let response = placement.oneshot(providers).await.expect("Placement answers");
            Json(json!({"placement": response.status().as_u16()}))
        };
        let layer = ValidateTokenLayer::new(own, real.transport())
            .www_authenticate_uri(real.auth_url())
            .validation_timeout(Duration::from_secs(600));
        let router = Router::new().route("/", get(handler)).layer(layer);
        Self { url: application::serve_router(router).await, client: real.client() }
    }

    /// Returns the status of Placement, or an error with the status of the service.
    async fn call(&self, token: &str, service_token: Option<&str>) -> Result<Value, StatusCode> {
        let mut request = Request::get(&self.url).header("x-auth-token", token);
        if let Some(service_token) = service_token {
            request = request.header("x-service-token", service_token);
        }
        let response = self.client.clone().oneshot(request.body(body_of("")).unwrap()).await.unwrap();
        match response.status() {
            StatusCode::OK => Ok(json_of(response).await["placement"].clone()),
            status => Err(status),
        }
    }
}

#[tokio::test]
async fn one_client_calls_placement_for_every_caller() {
    let Some(real) = real() else { return };
    let admin = real.admin().await;
    let (account, service) = (admin.person("service").await, admin.person("service").await);
    let logins = real.client();
    let own = RenewingPlugin::new(account.credentials(real.auth_url()), Transport::new(logins.clone()));
    let serving = Service::serve(real, own).await;
    let administrator = admin.person("admin").await;
    let member = admin.person("member").await;
    let service_token = token(real, service.credentials(real.auth_url())).await;

    // Placement decides by the roles of the caller, not by those of the service.
    let of_administrator = token(real, administrator.credentials(real.auth_url())).await;
    let of_member = token(real, member.credentials(real.auth_url())).await;
    let mut calls = Vec::new();
    for _ in 0..10 {
        let (granted, refused) =
            tokio::join!(serving.call(&of_administrator, None), serving.call(&of_member, None));
        calls.push((granted, refused));
    }
    assert_eq!(calls, vec![(Ok(json!(200)), Ok(json!(403))); 10]);

    // Placement also gets the token of the service: it would reject an expired token that comes alone.
    let short_lived = administrator.credentials(real.short_auth_url());
    let expired = real.login_with(&short_lived).await;
    past(expired.expires().unwrap().unwrap()).await;
    let expired = expired.auth_token().unwrap();
    assert_eq!(serving.call(expired, Some(&service_token)).await, Ok(json!(200)));
    assert_eq!(serving.call(expired, None).await, Err(StatusCode::UNAUTHORIZED));

    // The service still has the token in its cache. The 401 of Placement removes it there.
    admin.revoke(&of_administrator).await;
    assert_eq!(serving.call(&of_administrator, None).await, Ok(json!(401)));
    assert_eq!(serving.call(&of_administrator, None).await, Err(StatusCode::UNAUTHORIZED));
    assert_eq!(serving.call(&of_member, None).await, Ok(json!(403)));
    assert_eq!(logins.sent(), 1, "the token of the service is in use all the time");
}
