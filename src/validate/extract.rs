//! Extractors for axum.

use ::axum::{
    body::Body,
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::request::Parts;

use super::{Caller, IdentityStatus, JsonDocument, Rejection, Validation, rejection::respond_with};

/// Extracts the confirmed user of the request.
///
/// The rejection is 401 if the request has no valid token, and 503 if Keystone was unavailable. If no
/// [`ValidateTokenLayer`](crate::ValidateTokenLayer) has seen the request, it is 500, and an error is logged.
///
/// ```
/// use tower_keystone::Caller;
///
/// async fn whoami(caller: Caller) -> String {
///     format!("{:?}", caller.access_info().username())
/// }
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::get(whoami));
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        Self::from_extensions(&parts.extensions).cloned()
    }
}

/// Extracts the confirmed user of the request, or `None` if the request has no token.
///
/// The rejections are those of the extractor of [`Caller`]: an invalid token is 401, not `None`. A request without a
/// token reaches the handler only with [`delay_auth_decision`](crate::ValidateTokenLayer::delay_auth_decision).
///
/// ```
/// use tower_keystone::Caller;
///
/// async fn greet(caller: Option<Caller>) -> &'static str {
///     if caller.is_some() { "welcome back" } else { "welcome" }
/// }
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::get(greet));
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl<S: Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Rejection> {
        let validation = Validation::from_extensions(&parts.extensions)?;
        match validation.status() {
            IdentityStatus::Absent => Ok(None),
            _ => validation.caller().cloned().map(Some),
        }
    }
}

/// Extracts what the layer found out about the tokens of the request.
///
/// If no [`ValidateTokenLayer`](crate::ValidateTokenLayer) has seen the request, the rejection is 500, and an error is
/// logged.
///
/// ```
/// use tower_keystone::{IdentityStatus, Validation};
///
/// async fn status(validation: Validation) -> &'static str {
///     match validation.status() {
///         IdentityStatus::Confirmed => "known",
///         IdentityStatus::Invalid => "the token is not valid",
///         IdentityStatus::Absent => "anonymous",
///         IdentityStatus::Unavailable => "ask again later",
///     }
/// }
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::get(status));
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl<S: Sync> FromRequestParts<S> for Validation {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        Self::from_extensions(&parts.extensions).cloned()
    }
}

/// Responds with the JSON document, and with the rejection in the extensions of the response.
///
/// So a handler can return it as its error:
///
/// ```
/// use axum::extract::Path;
/// use tower_keystone::{Caller, Rejection};
///
/// async fn quota(caller: Caller, Path(project_id): Path<String>) -> Result<String, Rejection> {
///     caller.require_project(&project_id)?;
///     Ok(format!("the quota of {project_id}"))
/// }
/// # let _: axum::Router = axum::Router::new().route("/projects/{id}/quota", axum::routing::get(quota));
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        respond_with::<Body>(&JsonDocument, self)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ::axum::{
        Extension, Json, Router,
        body::to_bytes,
        extract::Path,
        handler::Handler,
        http::{HeaderValue, Request, StatusCode},
        routing::{any, get, post},
    };
    use serde_json::{Value, json};
    use tower::{ServiceBuilder, ServiceExt};

    use super::*;
    use crate::{AccessInfo, RequireLayer, log::Log, validate::token_validator::ValidatedToken};

    fn confirmed() -> Validation {
        let body = r#"{"token": {"user": {"id": "u", "name": "alice"}, "project": {"id": "p1"},
            "roles": [{"name": "member"}], "expires_at": "2026-01-15T13:00:00Z"}}"#;
        let user = ValidatedToken::for_test(AccessInfo::new("t", body).unwrap());
        Validation::for_test(Ok(Caller::new(user, None)))
    }

    fn not_confirmed(status: IdentityStatus) -> Validation {
        let rejection = match status {
            IdentityStatus::Unavailable => Rejection::unavailable(Duration::from_secs(3)),
            _ => Rejection::unauthorized(HeaderValue::from_static("Keystone")),
        };
        Validation::for_test(Err((status, rejection)))
    }

    async fn send(router: Router, request: Request<Body>) -> (u16, String) {
        let response = router.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        assert_eq!(response.headers().contains_key("www-authenticate"), status == 401);
        assert_eq!(response.headers().contains_key("retry-after"), status == 503);
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get_path(router: Router, path: &str) -> (u16, String) {
        send(router, Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Sends a request to a handler, with this validation in the extensions, and without any.
    async fn call<T: 'static>(handler: impl Handler<T, ()>, validation: Option<Validation>) -> (u16, String) {
        let router = Router::new().route("/", any(handler));
        let router = match validation {
            Some(validation) => router.layer(Extension(validation)),
            None => router,
        };
        get_path(router, "/").await
    }

    async fn required(caller: Caller) -> String {
        caller.access_info().username().unwrap_or_default().to_owned()
    }

    async fn optional(caller: Option<Caller>) -> String {
        caller
            .map_or_else(|| "nobody".to_owned(), |caller| caller.access_info().username().unwrap().to_owned())
    }

    async fn status(validation: Validation) -> String {
        format!("{:?}", validation.status())
    }

    #[tokio::test]
    async fn each_extractor_has_its_answer_for_each_status() {
        use IdentityStatus::{Absent, Invalid, Unavailable};
        let ok = |text: &str| (200, text.to_owned());
        assert_eq!(call(required, Some(confirmed())).await, ok("alice"));
        assert_eq!(call(optional, Some(confirmed())).await, ok("alice"));
        assert_eq!(call(status, Some(confirmed())).await, ok("Confirmed"));
        for (without_caller, required_status, optional_status) in
            [(Absent, 401, 200), (Invalid, 401, 401), (Unavailable, 503, 503)]
        {
            let validation = || Some(not_confirmed(without_caller));
            assert_eq!(call(required, validation()).await.0, required_status);
            assert_eq!(call(optional, validation()).await.0, optional_status);
            assert_eq!(call(status, validation()).await, ok(&format!("{without_caller:?}")));
        }
        assert_eq!(call(optional, Some(not_confirmed(Absent))).await, ok("nobody"));
    }

    #[tokio::test]
    async fn without_the_layer_no_one_is_anonymous() {
        let (log, _guard) = Log::with_max_level(tracing::Level::DEBUG);
        let check = |(code, body): (u16, String)| {
            let document: Value = serde_json::from_str(&body).unwrap();
            assert_eq!((code, &document["error"]["code"]), (500, &json!(500)));
            let log = log.take();
            assert!(log.contains("ERROR") && log.contains("ValidateTokenLayer"), "{log}");
        };
        check(call(required, None).await);
        check(call(optional, None).await);
        check(call(status, None).await);
        let guard = RequireLayer::all_roles([""; 0]);
        check(call(required.layer(guard), None).await);
    }

    #[tokio::test]
    async fn the_log_names_what_a_caller_lacks() {
        let (log, _guard) = Log::with_max_level(tracing::Level::DEBUG);
        let layers = ServiceBuilder::new()
            .layer(Extension(confirmed()))
            .layer(RequireLayer::any_role(["auditor", "admin"]));
        let router = Router::new().route("/", get(async || "let through")).layer(layers);
        let (code, body) = get_path(router, "/").await;
        assert_eq!(code, 403);
        assert!(!body.contains("auditor"));
        let log = log.take();
        assert!(log.contains("DEBUG") && log.contains(r#"any of the roles ["auditor", "admin"]"#), "{log}");
        assert!(log.contains(r#"roles=["member"] user_id="u" project_id="p1""#), "{log}");
    }

    #[tokio::test]
    async fn the_log_names_the_segment_that_is_not_the_project_of_the_caller() {
        let (log, _guard) = Log::with_max_level(tracing::Level::DEBUG);
        let router = Router::new()
            .route("/v1/{project_id}/servers/{id}", get(async || "let through"))
            .route_layer(RequireLayer::project_in_path("/v1/{project_id}/servers/{id}"))
            .layer(Extension(confirmed()));
        assert_eq!(get_path(router, "/v1/p1/servers/s1").await.0, 403);
        let log = log.take();
        assert!(log.contains(r#"path_segment="s1" "#) && log.contains(r#"project_id="p1""#), "{log}");
    }

    #[tokio::test]
    async fn a_handler_can_reject_with_the_question_mark() {
        async fn quota(caller: Caller, Path(project_id): Path<String>) -> Result<&'static str, Rejection> {
            caller.require_project(&project_id)?;
            Ok("10")
        }
        let router = Router::new().route("/projects/{id}/quota", get(quota)).layer(Extension(confirmed()));
        assert_eq!(get_path(router.clone(), "/projects/p1/quota").await.0, 200);
        let (code, body) = get_path(router, "/projects/p2/quota").await;
        assert_eq!(
            (code, serde_json::from_str::<Value>(&body).unwrap()["error"]["code"].clone()),
            (403, json!(403))
        );
    }

    #[tokio::test]
    async fn a_rejection_is_in_the_extensions_of_its_response() {
        let response = Rejection::forbidden().into_response();
        assert_eq!(response.extensions().get(), Some(&Rejection::forbidden()));
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(response.headers()["content-type"], "application/json");
    }

    #[tokio::test]
    async fn a_requirement_is_checked_before_the_body_is_read() {
        async fn create(Json(_): Json<Vec<u8>>) -> &'static str {
            "created"
        }
        let request = |body: &str| {
            let request = Request::post("/").header("content-type", "application/json");
            request.body(Body::from(body.to_owned())).unwrap()
        };
        let router = |role: &str| {
            Router::new()
                .route("/", post(create).route_layer(RequireLayer::any_role([role])))
                .layer(Extension(confirmed()))
        };
        assert_eq!(send(router("member"), request("[1]")).await.0, 200);
        assert_eq!(send(router("member"), request("{}")).await.0, 422);
        assert_eq!(send(router("admin"), request("{}")).await.0, 403);
    }

    #[tokio::test]
    async fn nested_routers_see_the_sent_path() {
        let guard = || RequireLayer::project_in_path("/api/v1/{project_id}");
        let routes =
            || Router::new().route("/{project_id}/servers", get(async || "servers").route_layer(guard()));
        let on_routes =
            || Router::new().route("/{project_id}/servers", get(async || "servers")).route_layer(guard());
        for router in [
            Router::new().nest("/api/v1", routes()),
            Router::new().nest("/api", Router::new().nest("/v1", routes())),
            Router::new().nest_service("/api/v1", routes()),
            Router::new().nest("/api/v1", on_routes()),
            Router::new().nest("/api", Router::new().nest("/v1", on_routes())),
            Router::new()
                .nest("/api/v1", Router::new().route("/{id}/servers", get(async || "servers")))
                .layer(guard()),
        ] {
            let router = router.layer(Extension(confirmed()));
            assert_eq!(get_path(router.clone(), "/api/v1/p1/servers").await.0, 200);
            assert_eq!(get_path(router.clone(), "/api/v1/p2/servers").await.0, 403);
            assert_eq!(get_path(router, "/api/v1/%701/servers").await.0, 200);
        }
    }

    #[tokio::test]
    async fn only_the_guarded_routes_have_requirements() {
        let router = Router::new()
            .route("/guarded", get(async || "guarded").route_layer(RequireLayer::any_role(["admin"])))
            .route("/open", get(async || "open"))
            .layer(Extension(confirmed()))
            .route("/healthcheck", get(async || "OK"));
        assert_eq!(get_path(router.clone(), "/guarded").await.0, 403);
        assert_eq!(get_path(router.clone(), "/open").await.0, 200);
        assert_eq!(get_path(router.clone(), "/healthcheck").await.0, 200);
        assert_eq!(get_path(router, "/unknown").await.0, 404);
    }

    #[tokio::test]
    async fn a_requirement_outside_of_the_validation_finds_no_caller() {
        let router = Router::new()
            .route("/", get(async || "let through"))
            .layer(Extension(confirmed()))
            .layer(RequireLayer::any_role(["member"]));
        assert_eq!(get_path(router, "/").await.0, 500);
    }
}
