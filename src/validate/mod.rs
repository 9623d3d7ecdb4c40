//! The server layer: validates the token of each incoming request.
//!
//! [`ValidateTokenLayer`] wraps a `Service<http::Request<B>>` of any request body in [`ValidateToken`]. It asks
//! Keystone about the token of each request, caches the answer, and inserts a [`Validation`] into the extensions of the
//! request. The application reads the [`Caller`] from there. This program needs the features `fixture` and `validate`
//! of this crate, `util` of tower, and `macros` and `rt` of tokio:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_keystone::{
//!     AuthMethod, BoxError, Caller, RenewingPlugin, Scope, User, V3Credentials, ValidateTokenLayer,
//!     fixture::Cloud,
//! };
//!
//! async fn whoami(request: Request<Bytes>) -> Result<Response<Bytes>, BoxError> {
//!     let caller = match Caller::from_extensions(request.extensions()) {
//!         Ok(caller) => caller,
//!         Err(rejection) => return Ok(rejection.respond(|json| json)),
//!     };
//!     let name = caller.access_info().username().unwrap_or("someone");
//!     Ok(Response::new(format!("hello {name}").into()))
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), BoxError> {
//!     // A cloud in memory (feature `fixture`). Your program has an `auth_url` and `Transport::new(client)` instead.
//!     let cloud = Cloud::new([]).service_user("greeter", "hush").user("alice", "wonderland").project("demo");
//!     let (auth_url, transport) = (cloud.keystone().auth_url(), cloud.transport());
//!
//!     let account = User::new().username("greeter").user_domain_name("Default");
//!     let credentials = V3Credentials::new(auth_url, AuthMethod::password(account, "hush"))
//!         .scope(Scope::new().project_name("service").project_domain_name("Default"));
//!     let plugin = RenewingPlugin::new(credentials, transport.clone());
//!     let service = ServiceBuilder::new()
//!         .layer(
//!             ValidateTokenLayer::new(plugin, transport)
//!                 .www_authenticate_uri("https://keystone.example.com/v3".parse()?),
//!         )
//!         .service(service_fn(whoami));
//!
//!     let alice = cloud.keystone().issue("alice", Some("demo")).ok_or("no such user")?;
//!     let token = alice.auth_token().ok_or("no token")?;
//!     let request = Request::get("/").header("X-Auth-Token", token).body(Bytes::new())?;
//!     let response = service.clone().oneshot(request).await?;
//!     assert_eq!(response.body(), "hello alice");
//!
//!     let response = service.oneshot(Request::get("/").body(Bytes::new())?).await?;
//!     assert_eq!(response.status(), 401);
//!     assert_eq!(response.headers()["www-authenticate"], r#"Keystone uri="https://keystone.example.com/v3""#);
//!     Ok(())
//! }
//! ```
//!
//! With the feature `axum`, a handler takes a [`Caller`] as an argument. [Below](#order-of-layers) is an axum
//! application with all layers that it usually has.
//!
//! If the compiler only says that `Handler` is not implemented, axum's `debug_handler` names the argument. These are
//! the likely causes:
//!
//! - the feature `axum` of this crate is not enabled;
//! - the [`Caller`] comes after the argument that takes the body, which must be the last;
//! - the handler takes an `Option<Validation>`. There is always a [`Validation`], so take it without `Option`.
//!
//! # The account of the service
//!
//! The layer asks Keystone with the token of an account of the service. The account needs the role `service` (or
//! `admin`), usually in the project `service`. Any [`IdentityPlugin`](crate::IdentityPlugin) can supply its token, such
//! as a [`RenewingPlugin`](crate::RenewingPlugin), or `CloudConfig::plugin` with the account in a `clouds.yaml` or in
//! `OS_*` variables (feature `config`).
//!
//! A program without an account uses [`ValidateTokenLayer::self_validating`]. Keystone is then asked about each token
//! with the token itself.
//!
//! # What is read from a request
//!
//! - The token of the user: `X-Auth-Token`, or `X-Storage-Token` if the request has no `X-Auth-Token` header, not even an
//!   empty one. With [`bearer_tokens`](ValidateTokenLayer::bearer_tokens), `Authorization: Bearer` comes before both.
//! - The token of a service that sends the request for the user: `X-Service-Token`.
//! - An empty header is no token. Blanks around a token are ignored. A token that is longer than
//!   [`max_token_length`](ValidateTokenLayer::max_token_length), or a header with several different values, is a
//!   malformed token. Keystone is not asked about it.
//! - No method and no path is exempt. [Health checks](#health-checks) and other routes that need no token are added
//!   outside of the layer.
//! - The body is not read. A rejection does not wait until the client has sent it.
//!
//! The layer removes the headers in which keystonemiddleware passes the identity (`X-User-Id`, `X-Roles` and so on,
//! also with `_` in their names), because a client could send them. It does so for every request. The extensions are
//! the only source of identity. The tokens stay in the request, marked as sensitive.
//!
//! # What the client gets
//!
//! By default, every request needs a valid token. With
//! [`delay_auth_decision`](ValidateTokenLayer::delay_auth_decision), all requests are let through, and the application
//! decides by the [`status`](Validation::status) of the [`Validation`]:
//!
//! | cause | response | status with `delay_auth_decision` |
//! |---|---|---|
//! | no token | 401 | `Absent` |
//! | the token is malformed | 401 | `Invalid` |
//! | Keystone does not know the token: it is revoked, the user is disabled, it was never issued, and so on | 401 | `Invalid` |
//! | the token has expired | 401 | `Invalid` |
//! | the [access rules](#access-rules) of the token do not allow the request | 401 | `Invalid` |
//! | the token is bound to another [certificate](#certificate-bound-tokens) | 401 | `Invalid` |
//! | the [service token](#service-tokens) is not valid, or has none of the service roles | 401 | that of the token of the user; [`service_status`](Validation::service_status) is `Invalid` |
//! | Keystone cannot be reached, takes too long, returns an error or nonsense, or rejects the account of this service | 503 | `Unavailable` |
//! | too many requests wait for Keystone | 503 | `Unavailable` |
//! | a [`RequireLayer`] requires a role or a scope that the caller does not have | 403 | the same |
//! | the application or a [`RequireLayer`] asks for the caller, but no `ValidateTokenLayer` is around it | 500 | the same |
//!
//! - A **401** has `WWW-Authenticate: Keystone uri="..."` with the URL that
//!   [`www_authenticate_uri`](ValidateTokenLayer::www_authenticate_uri) sets. A 401 of the application gets this
//!   header, too, beside its own.
//! - A **503** has `Retry-After`: the time that Keystone names, from 1 to 60 s, or 5 s.
//! - The body is a JSON document like those of Keystone. The client does not learn the reason. It is logged at level
//!   debug.
//!
//! With `delay_auth_decision`, the extractor of [`Caller`] and [`Caller::from_extensions`] still return a 401 or a 503
//! if there is no confirmed user. The extractor of `Option<Caller>` returns `None` only if the request has no token.
//!
//! Any user of the cloud is a confirmed caller, with any role. [`RequireLayer`] checks roles and scopes: see
//! [`require`].
//!
//! # Requests on behalf of the caller
//!
//! [`Caller::identity`] is a request extension for [`Auth`](crate::Auth): the request is sent with the token and the
//! service catalog of the caller. One client serves all callers. With
//! [`send_service_token`](crate::AuthLayer::send_service_token), the token of the service's own account is added:
//!
//! ```
//! use http::Request;
//! use tower_keystone::{AuthLayer, Caller, EndpointFilter, IdentityPlugin};
//!
//! /// The layer of a client for nova, which is built once.
//! fn nova<P: IdentityPlugin>(account: P) -> AuthLayer<P> {
//!     AuthLayer::new(account).endpoint(EndpointFilter::new("compute")).send_service_token()
//! }
//!
//! /// A request to nova with the token of the caller.
//! fn servers_of(caller: &Caller) -> Result<Request<()>, http::Error> {
//!     Request::get("/servers").extension(caller.identity()).body(())
//! }
//! # let _ = (nova::<tower_keystone::AccessInfoPlugin>, servers_of);
//! ```
//!
//! If nova responds with 401, the token is removed from the cache, at most once in 10 s. The next request with it is
//! validated at Keystone. Pass the 401 on to the caller, who needs a new token. The example `axum_service` is a
//! complete program.
//!
//! # Service tokens
//!
//! A service that calls another one for a user sends the token of the user as `X-Auth-Token`, and its own as
//! `X-Service-Token`. If the service token has one of the
//! [`service_token_roles`](ValidateTokenLayer::service_token_roles) (by default `service`):
//!
//! - the token of the user may have expired, so that a long operation can end. Keystone limits for how long
//!   (`allow_expired_window`, 48 h by default). The token is then validated for each request and is not cached;
//! - the list of access rules of the user's token does not apply. The type of this service must still be set, and be in
//!   the catalog of the token.
//!
//! A service token without such a role is rejected, unless
//! [`service_token_roles_required`](ValidateTokenLayer::service_token_roles_required) is false. It then has no effect
//! except that [`Caller::service`] returns it. The service token is validated first. If it is rejected, Keystone is not
//! asked about the token of the user. A service token alone identifies no user.
//!
//! # Access rules
//!
//! An application credential can be restricted to certain requests. A rule names a method, a path and a type of
//! service. Set the type of your service with [`service_type`](ValidateTokenLayer::service_type); without it,
//! restricted tokens are rejected. A rule allows a request if:
//!
//! - the method and the service type are the same, in the same case, and without aliases;
//! - the path is the same as that of the request, without the query. In the path of a rule, `*` and `{name}` match one
//!   or more characters except `/`, and `**` matches any characters. All other characters match themselves.
//!
//! If the token has a service catalog, it must also list the service type. An empty list of rules allows nothing.
//!
//! Percent-encoded characters are decoded before paths are compared (`%2F` is `/`), and `.` and `..` are compared as they
//! are: refuse them if something behind this service resolves them. `GET` of `/v3/auth/tokens` is always allowed at a
//! service of the type `identity`.
//!
//! The path is the one that the client sent. axum's `nest` removes a prefix from the path of the request; with the
//! feature `axum`, the layer finds the original path. For other routers see [`SentUri`].
//!
//! # Certificate-bound tokens
//!
//! A token can be bound to a TLS client certificate (RFC 8705). It is then accepted only from a connection with this
//! certificate. The TLS acceptor of your server passes the certificate of the connection in the extension
//! [`PeerCertificate`]. A header cannot set it. With
//! [`require_certificate_bound_tokens`](ValidateTokenLayer::require_certificate_bound_tokens), tokens that are not
//! bound are rejected too.
//!
//! # Cache
//!
//! All clones of a layer share one cache in memory. Its keys are salted SHA-256 hashes of the tokens.
//!
//! - **Valid tokens** are cached for 300 s ([`token_cache_time`](ValidateTokenLayer::token_cache_time)), from the
//!   moment when Keystone is asked, and not beyond their expiry. The expiry is checked for each request.
//! - **Unknown tokens** are cached for 10 s
//!   ([`unknown_token_cache_time`](ValidateTokenLayer::unknown_token_cache_time)), in a cache of their own: no number
//!   of them evicts a valid token.
//! - **A token in steady use** is validated again in the background when 75 to 85 % of its time has passed. Its
//!   requests do not wait.
//! - **Requests with the same new token** share one validation. It goes on if the client of the first request
//!   disconnects.
//! - **At most 64 validations** are in flight, and 1,024 more wait
//!   ([`max_validations`](ValidateTokenLayer::max_validations)). A request that needs yet another one gets a 503.
//!   Background validations have a limit of their own.
//! - **The size** is limited to 20,000 tokens and 128 MiB ([`cache_capacity`](ValidateTokenLayer::cache_capacity)).
//!   Equal service catalogs are stored once.
//!
//! **A revoked token is accepted until its time in the cache ends**, at most 300 s. The same is true for a disabled
//! user or a removed role. A shorter time means more requests to Keystone. Zero turns the cache off. Keystone has a
//! cache of its own, which may add to this time.
//!
//! # A store for several replicas
//!
//! With `ValidateTokenLayer::store` (feature `store`), the replicas of a service share what they have validated. A
//! replica looks in the store before it asks Keystone, also before it validates a token again in the background:
//!
//! ```
//! # #[cfg(feature = "store")]
//! # {
//! use tower_keystone::{SharedTokens, StoreKey, ValidateTokenLayer, store::MemoryStore};
//!
//! /// `store` can be a `RedisStore` or a `MemcachedStore`. The key is another one than for the service's own tokens.
//! fn shared(layer: ValidateTokenLayer, store: MemoryStore, key: StoreKey) -> ValidateTokenLayer {
//!     layer.store(SharedTokens::new(store, key).name("nova validations"))
//! }
//! # let _ = shared;
//! # }
//! ```
//!
//! - **Everybody who has the key can make up an identity with any role.** Who can only write to the store can remove
//!   records, or put old ones back. Records are sealed, and each is bound to its token, to the URL of Keystone, and to
//!   the interface and the region.
//! - **A record counts from the moment when Keystone was asked**, for the `token_cache_time` of the replica that reads
//!   it. So a revoked token is accepted for no longer than with one replica. The clocks of the replicas are compared: if
//!   they differ, a token may be accepted longer by the difference, but never for more than twice the time. A record
//!   from the future is not used.
//! - **An unknown token** replaces the record. The other replicas reject the token for the
//!   `unknown_token_cache_time`, and then ask Keystone. Until its time in their cache ends, they may accept it.
//! - **Expired tokens**, and requests whose service token allows expired ones, always go to Keystone.
//! - **If the store is down or slow**, Keystone is asked. A request waits for the store for 50 ms at most
//!   (`SharedTokens::answer_timeout`, of which up to 500 ms count here). If more than 1,024 records wait to be written,
//!   further ones are left out. Nothing is written while Keystone is unavailable.
//!
//! # Outages of Keystone
//!
//! While Keystone is unavailable, cached tokens are accepted to the end of their time. Requests with other tokens get a
//! 503, at the latest after 10 s ([`validation_timeout`](ValidateTokenLayer::validation_timeout)). This includes the
//! login of the service's account, and up to three repeats if Keystone cannot be reached
//! ([`connect_retries`](ValidateTokenLayer::connect_retries)).
//!
//! With [`outage_grace`](ValidateTokenLayer::outage_grace), cached tokens are accepted longer during an outage, but not
//! beyond their expiry. A revocation may then be noticed that much later.
//!
//! # Metrics and logs
//!
//! [`ValidateTokenLayer::metrics`] returns a handle that can be kept, for example by the handler of `/metrics`:
//!
//! ```
//! use tower_keystone::validate::ValidationMetrics;
//!
//! fn text(metrics: &ValidationMetrics) -> String {
//!     let now = metrics.snapshot();
//!     format!(
//!         "hits {}, misses {}, unavailable {}, slowest validation {:?}, rejected expired tokens {}",
//!         now.hits, now.misses, now.unavailable, now.latency.max, now.rejections.expired_token,
//!     )
//! }
//! # let _ = text;
//! ```
//!
//! A warning is logged when validations start to fail, when the cause changes, and when there are too many validations.
//! A layer repeats a warning after a minute at the earliest. An info event is logged when validations succeed again. The
//! events of single requests have the level debug: each validation with the cause of its failure, and each rejection
//! with its reason. If the span of a request has the empty fields `user_id` and `project_id`, the layer records them.
//! Neither tokens nor response bodies are logged.
//!
//! # Order of layers
//!
//! From the outermost to the innermost:
//!
//! - **`SetSensitiveRequestHeaders`** (tower-http): for the tokens, so that no layer below prints them. `ValidateToken`
//!   marks them too, but only for the layers inside of it.
//! - **`SetRequestId`, `Trace`, `PropagateRequestId`** (tower-http): outside, so that a 401 and a 503 are traced.
//! - **`Cors`** (tower-http): outside. A preflight has no token, and the client can read a 401 only if it has the
//!   headers of CORS. Expose `WWW-Authenticate` and `Retry-After`.
//! - **`Compression`** (tower-http): anywhere.
//! - **`LoadShed`, `ConcurrencyLimit`**: outside, they also limit the requests that wait for Keystone. A limit for each
//!   client belongs there too: many requests with unknown tokens delay the first request of other users.
//! - **`Timeout`**: outside, and longer than the `validation_timeout` (10 s). Otherwise the client gets the error of
//!   the timeout instead of a 503 with `Retry-After`.
//! - **[`ValidateToken`]**
//! - **[`Require`]**: inside, for single routes.
//!
//! The [`Transport`](crate::Transport) of the layer must not share a concurrency limit with the application. Requests
//! that wait for Keystone could then hold all permits.
//!
//! In an axum application:
//!
//! ```
//! use std::time::Duration;
//!
//! use axum::{Router, body::Body, error_handling::HandleErrorLayer, routing::get};
//! use http::{HeaderName, HeaderValue, Request, StatusCode, header};
//! use tower::{BoxError, ServiceBuilder};
//! use tower_http::{
//!     cors::CorsLayer,
//!     request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
//!     sensitive_headers::SetSensitiveRequestHeadersLayer,
//!     trace::TraceLayer,
//! };
//! use tower_keystone::{Caller, RequireLayer, ValidateTokenLayer};
//! use tracing::{field::Empty, info_span};
//!
//! const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
//! const X_SERVICE_TOKEN: HeaderName = HeaderName::from_static("x-service-token");
//!
//! async fn servers(caller: Caller) -> String {
//!     format!("the servers of {:?}", caller.access_info().project_id())
//! }
//!
//! fn app(validate: ValidateTokenLayer) -> Router {
//!     let trace = TraceLayer::new_for_http().make_span_with(|request: &Request<Body>| {
//!         info_span!("request", method = %request.method(), user_id = Empty, project_id = Empty)
//!     });
//!     let cors = CorsLayer::new()
//!         .allow_origin(HeaderValue::from_static("https://dashboard.example.com"))
//!         .allow_headers([X_AUTH_TOKEN])
//!         .expose_headers([header::WWW_AUTHENTICATE, header::RETRY_AFTER]);
//!     let layers = ServiceBuilder::new()
//!         .layer(SetSensitiveRequestHeadersLayer::new([X_AUTH_TOKEN, X_SERVICE_TOKEN, header::AUTHORIZATION]))
//!         .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
//!         .layer(trace)
//!         .layer(PropagateRequestIdLayer::x_request_id())
//!         .layer(cors)
//!         .layer(HandleErrorLayer::new(async |_: BoxError| StatusCode::SERVICE_UNAVAILABLE))
//!         .load_shed()
//!         .concurrency_limit(1_000)
//!         .timeout(Duration::from_secs(60))
//!         .layer(validate);
//!     Router::new()
//!         .route("/servers", get(servers).route_layer(RequireLayer::any_role(["member", "reader"])))
//!         .layer(layers)
//!         .route("/healthcheck", get(|| async { "OK" })) // after the layers: needs no token
//! }
//! # let _ = app;
//! ```
//!
//! # Health checks
//!
//! axum's `Router::layer` applies to the routes that were added before it. So a route that is added afterwards needs no
//! token, as `/healthcheck` above. `health.merge(api)` has the same effect, for a router `api` with the layer. Do not
//! write `api.merge(health)`, which drops the layer for unknown paths.
//!
//! With `Router::layer`, an unknown path without a token is a 401. With `Router::route_layer`, it is a 404, and
//! Keystone is not asked.
//!
//! # Response bodies
//!
//! A rejection has a body. If the body type of your service is `From<Bytes>`, such as that of axum or `Full<Bytes>`,
//! the layer makes it. For other types, such as `BoxBody`, say how with
//! [`respond_with`](ValidateTokenLayer::respond_with). If the compiler says that `oneshot` exists but its trait bounds
//! were not satisfied, the body needs `respond_with`, or the service is not `Clone`. For gRPC, whose status is always
//! 200, use [`respond_with_raw`](ValidateTokenLayer::respond_with_raw):
//!
//! ```
//! use http_body_util::{BodyExt, Full};
//! use tower_keystone::ValidateTokenLayer;
//! # mod tonic {
//! #     pub struct Status;
//! #     impl Status {
//! #         pub fn unauthenticated(_: &str) -> Self { Self }
//! #         pub fn unavailable(_: &str) -> Self { Self }
//! #         pub fn into_http(self) -> http::Response<String> { http::Response::default() }
//! #     }
//! # }
//!
//! # fn example(layer: ValidateTokenLayer) {
//! # let other = layer.clone();
//! let boxed = layer.respond_with(|rejection| rejection.respond(|json| Full::new(json).boxed()));
//! # let layer = other;
//! let tonic = layer.respond_with_raw(|rejection| match rejection.status().as_u16() {
//!     503 => tonic::Status::unavailable("Keystone is unavailable").into_http(),
//!     _ => tonic::Status::unauthenticated("a valid token is required").into_http(),
//! });
//! # drop((boxed, tonic));
//! # }
//! ```
//!
//! # Tests of your service
//!
//! The module `fixture::writing_service_tests` (features `fixture` and `axum`) has tests to copy: a service in front of
//! an in-memory Keystone with roles, service tokens, access rules and outages. They need no network.
//!
//! # Applications that read headers
//!
//! [`identity_headers`](ValidateTokenLayer::identity_headers) adds the headers of keystonemiddleware (`X-User-Id`,
//! `X-Roles` and so on), for an application behind a proxy in Rust. The application must not be reachable in another
//! way, because it believes these headers.
//!
//! # Source files
//!
//! The source files of this module, in the order in which a request passes through them:
//!
//! 1. `service` receives the request. `layer` and `settings` hold the configuration, and `shared` what is made from it.
//! 2. `request` removes the identity headers, and reads the tokens, the certificate and the URI of the request.
//! 3. `validating` asks `token_validator` about both tokens. `pending_request` holds the request while it waits.
//! 4. `token_validator` has the answer in its `cache`, or waits for a validation `in_flight`: a `validation_task` looks
//!    in the `second_level`, or asks `keystone` and reads the `answer`.
//! 5. `decide` decides what the answers mean for the request, with `access_rules`. It does no I/O.
//! 6. `admit` inserts the `validation` with its `caller`, and the `identity_headers`, or makes a `rejection`. It logs
//!    the `reason`.
//! 7. `future` waits for the response of the inner service.
//!
//! `require` and `extract` read the extension that `admit` inserts.

mod access_rules;
mod admit;
mod caller;
mod decide;
#[cfg(feature = "axum")]
mod extract;
mod future;
mod identity_headers;
mod layer;
mod metrics;
mod pending_request;
mod percent_encoding;
mod reason;
mod rejection;
mod request;
pub mod require;
mod service;
mod settings;
mod shared;
mod token_validator;
mod validating;
mod validation;

pub use caller::Caller;
pub use future::ResponseFuture;
pub use layer::ValidateTokenLayer;
pub use metrics::{LatencySnapshot, MetricsSnapshot, RejectionCounts, ValidationMetrics};
pub use rejection::{JsonDocument, RawResponse, Rejection, Respond};
pub use request::{PeerCertificate, SentUri};
#[doc(inline)]
pub use require::{Require, RequireLayer};
pub use service::ValidateToken;
pub use validation::{IdentityStatus, Validation};
