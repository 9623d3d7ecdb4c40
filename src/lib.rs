//! OpenStack Keystone authentication as [tower](https://docs.rs/tower) middleware, for clients and for services.
//! [`AuthLayer`] wraps an HTTP client: it logs in to Keystone, finds the endpoint of each request in the service
//! catalog, and sends the request with a token. Its behaviour follows Python's keystoneauth1. `ValidateTokenLayer`
//! (feature `validate`) wraps a service: it validates the token of each incoming request, as Python's
//! keystonemiddleware does. See [services](#services).
//!
//! ```
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::Full;
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_keystone::{
//!     AuthLayer, AuthMethod, EndpointFilter, ReauthPolicy, RenewingPlugin, Scope, Transport, User, V3Credentials,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keystone::BoxError> {
//! # let cloud = tower_keystone::fixture::Cloud::new([("compute", "nova")]).user("alice", "wonderland");
//! # let cloud = cloud.project("demo");
//! # let client = tower::util::BoxCloneService::<Request<Full<Bytes>>, _, _>::new(cloud.clone());
//! let auth_url = "https://keystone.example.com/v3";
//! # let auth_url = cloud.keystone().auth_url();
//! // Or AuthMethod::application_credential(id, secret), which needs no scope.
//! let method = AuthMethod::password(User::new().username("alice").user_domain_name("Default"), "wonderland");
//! let credentials = V3Credentials::new(auth_url, method)
//!     .scope(Scope::new().project_name("demo").project_domain_name("Default"));
//! // Logs in with the first request, over the same client, and again before the token expires.
//! let plugin = RenewingPlugin::new(credentials, Transport::new(client.clone()));
//!
//! let mut nova = ServiceBuilder::new()
//!     .retry(ReauthPolicy::new()) // sends a request once more if its token was rejected (401)
//!     .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute").region("RegionOne")))
//!     .service(client); // any Service<http::Request<B>> + Clone, with any request body B
//!
//! let request = Request::get("/servers/detail").body(Full::<Bytes>::default())?;
//! let servers = nova.ready().await?.call(request).await?;
//! assert_eq!(servers.status(), 200);
//! # assert_eq!(cloud.keystone().logins(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! The inner service must be `Clone`. Wrap it in tower's `Buffer` if it is not. This crate has no HTTP client by
//! default. [Configuration](#configuration) describes the client that `clouds.yaml` configures. If you know
//! keystoneauth, [`coming_from_keystoneauth`] maps its names to those of this crate.
//!
//! # Configuration
//!
//! The feature `config` adds `CloudConfig`, which reads `clouds.yaml` and the `OS_*` variables, by the rules of
//! openstacksdk. It makes the credentials, the plugin or the layer. If the feature `rustls` is on, too, it makes a
//! client for all services of the cloud:
//!
//! ```no_run
//! use http::Request;
//! use http_body_util::Full;
//! use tower::ServiceExt;
//! use tower_keystone::{BoxError, CloudConfig};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), BoxError> {
//!     let nova = CloudConfig::from_env()?.client()?.service("compute")?;
//!     let response = nova.oneshot(Request::get("/servers").body(Full::default())?).await?;
//!     println!("{}", response.status());
//!     Ok(())
//! }
//! ```
//!
//! The module `config` describes the files, the variables and their precedence. The module `config::client` describes
//! the layers of the client.
//!
//! # Which plugin?
//!
//! The layer obtains tokens from an [`IdentityPlugin`]. Choose one by what you have:
//!
//! | you have | plugin |
//! |---|---|
//! | a password, an application credential, a TOTP passcode, a token to exchange for another, or several of these | [`RenewingPlugin`] with [`V3Credentials`] |
//! | a password or a token, for a Keystone whose API version you do not know | [`RenewingPlugin`] with [`GenericCredentials`] |
//! | a Keystone that supports only the v2.0 API | [`RenewingPlugin`] with [`V2Credentials`] |
//! | a token and its document, obtained elsewhere | [`AccessInfoPlugin`] |
//! | many users, whose requests one client sends | an [`Identity`] with any of these plugins in each request; see [below](#many-users) |
//! | the caller of your service, whose token `ValidateTokenLayer` has validated | the [`Identity`] that `Caller::identity` returns, in each request; see [services](#services) |
//! | the token of one user, and a service account that acts for the user | [`ServiceTokenAuthWrapper`] around two plugins |
//! | one service without Keystone: no authentication, an admin token, HTTP basic | [`FixedEndpointPlugin`] |
//! | no password at Keystone: single sign-on, the token of a CI platform, a certificate, a Kerberos ticket, another cloud | [`RenewingPlugin`] with credentials of the module `federation` (feature `federation`) |
//! | credentials of another kind | [`RenewingPlugin`] with your own [`Credentials`] |
//! | another source of tokens | your own [`IdentityPlugin`] |
//!
//! See [`identity`] for examples.
//!
//! [`AccessInfoPlugin`] is for a token that was obtained elsewhere, for example from a cache. It cannot renew the
//! token:
//!
//! ```
//! use tower_keystone::{AccessInfo, AccessInfoPlugin, AuthLayer, EndpointFilter, Error};
//!
//! fn compute(token: &str, document: &str) -> Result<AuthLayer<AccessInfoPlugin>, Error> {
//!     let plugin = AccessInfoPlugin::new(AccessInfo::new(token, document)?);
//!     Ok(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute").region("RegionOne")))
//! }
//! ```
//!
//! ## Many users
//!
//! An [`Identity`] in the extensions of a request replaces the plugin of the layer for this request, so one client
//! stack serves all users of a program, and nothing is built for each of them. In a service, `Caller::identity` is the
//! identity of an incoming request. An identity can also hold an [`AccessInfoPlugin`]. If the program logs in for its
//! users, a [`PluginPool`] holds an identity with a [`RenewingPlugin`] for each of them. With
//! [`AuthLayer::send_service_token`], the program adds the token of its own account as `X-Service-Token`.
//!
//! A request **without** an identity is sent with the token of the layer's plugin, which may be allowed more than the
//! user. If the layer sends requests for users only, refuse such a request with [`AuthLayer::require_identity`]: it then
//! fails with [`Error::NoIdentity`].
//!
//! # Services
//!
//! A service that takes part in an OpenStack cloud gets a token with each request, and has to ask Keystone whose it is.
//! The feature `validate` adds `ValidateTokenLayer`, a layer around the service. The feature `axum` adds extractors:
//!
//! ```
//! use axum::{Router, routing::get};
//! use tower_keystone::{Caller, IdentityPlugin, RequireLayer, Transport, ValidateTokenLayer};
//!
//! async fn servers(caller: Caller) -> String {
//!     format!("the servers of project {:?}", caller.access_info().project_id())
//! }
//!
//! /// `account` logs in with the service's own account.
//! fn app(account: impl IdentityPlugin, transport: Transport) -> Router {
//!     Router::new()
//!         .route("/servers", get(servers).route_layer(RequireLayer::any_role(["member", "reader"])))
//!         .layer(ValidateTokenLayer::new(account, transport))
//! }
//! # let _ = |account: tower_keystone::AccessInfoPlugin, transport| app(account, transport);
//! ```
//!
//! A request without a valid token gets a 401, a caller without the role gets a 403, and a request whose token cannot
//! be validated because Keystone is unavailable gets a 503. Valid tokens are cached for up to 300 s. The service calls
//! other services with the token of the caller: it inserts `Caller::identity` into the extensions of its requests. The
//! module `validate` describes all of this, and the order of the layers around a service. `coming_from_keystoneauth`
//! has a page for keystonemiddleware.
//!
//! # Request flow
//!
//! These are the steps of a request through [`AuthLayer`]. The module `validate` has those of an incoming request.
//!
//! 1. [`Auth`] receives the request. Its `poll_ready` only waits for the inner service. An authentication error is
//!    returned by the future of the request that it concerns.
//! 2. The layer reads and removes four extensions of the request. [`EndpointFilter`] selects the endpoint; values that
//!    it does not set are taken from [`AuthLayer::endpoint`]. [`Microversion`] requests a microversion of the API.
//!    [`Unauthenticated`] sends the request without a token. [`Identity`] replaces the plugin of the layer: where the
//!    next steps mention the plugin, they mean that of this request.
//! 3. The layer asks the [`IdentityPlugin`] for a [`ServiceAccess`]: the headers to send and the service catalog. If
//!    the plugin has a current one, the request is sent in the same call.
//! 4. Otherwise the request waits for the access. Meanwhile it holds no permit that `poll_ready` of the inner service
//!    has reserved, so the login can use the same client. When the access has arrived, the request polls a clone of the
//!    inner service until that is ready, and checks that the access is still current. No lock is held while it waits.
//! 5. If the filter requests a version, [`discovery`] finds the endpoint. The first such request waits for that. Later
//!    ones use the cached endpoint.
//! 6. A relative URI is joined to the endpoint. An absolute URI is used as it is. See [`endpoint`].
//! 7. Before the layer adds a token, it checks the origin (scheme, host and port). Only these origins are allowed;
//!    others are an [`Error::OriginNotAllowed`]:
//!    - the origins of the endpoints in the service catalog; with [`RenewingPlugin`], those in the catalog of the
//!      previous token too;
//!    - the origins of the plugin's `auth_url` and of an [endpoint override](EndpointFilter::endpoint_override);
//!    - the origins given to [`AuthLayer::allow_origin`].
//! 8. A `Host` header that the caller has set is removed if the request URI is relative. If the URI is absolute, the
//!    header must name the same host; otherwise the request fails with [`Error::HostNotAllowed`].
//! 9. The layer inserts `X-Auth-Token`. Its value is marked as sensitive. If the request already has an `X-Auth-Token`,
//!    it keeps that, unless [`AuthLayer::overwrite_token`] is set. With [`AuthLayer::send_service_token`], a request
//!    with an [`Identity`] also gets the token of the layer's plugin, as `X-Service-Token`.
//! 10. If the service rejects the token with a 401, the layer reports that and the origin to the plugin
//!     ([`invalidate`](IdentityPlugin::invalidate)). It inserts a [`TokenRejected`] into the extensions of the
//!     response, which says whether to send the request once more. With [`AccessInfoPlugin`] a 401 is final.
//!     [`RenewingPlugin`] can log in again: see [`renewal`].
//!
//! # Order of layers
//!
//! Around a client, from the outermost to the innermost:
//!
//! - **[`ErrorContext`]**: the outermost layer. Errors then name the service and the origin of the request.
//! - **[`RaiseForStatus`]**: outside of all retry layers. It turns statuses of 400 and above into errors.
//! - **`SetRequestId`** (tower-http): outside of the retry layers, so that all attempts have the same id.
//! - **`Retry`**: outside of [`AuthLayer`], so that each attempt gets a current token and endpoint. [`ReauthPolicy`]
//!   sends a request once more after a 401, with its extensions, unless its [`TokenRejected`] is final. [`RetryPolicy`]
//!   retries after a failure to connect, a 429 and a 503. See [`retry`] for the order of the two.
//! - **`Timeout`**: outside of `AuthLayer` it also limits the wait for a token, inside only the request itself.
//!   - A timeout outside must be longer than [`RenewalPolicy::wait_timeout`] (30 s). Otherwise a request that waits for
//!     an unreachable Keystone fails with `Elapsed`, which does not say why.
//!   - It ends when the head of the response arrives. It cancels an upload that takes longer, and does not limit a
//!     download.
//!   - Inside of the retry layers it limits one attempt. Outside of them it also limits the delays between attempts,
//!     which `Retry-After` can make up to 300 s long.
//! - **[`AuthLayer`]**
//! - **`FollowRedirect`** (tower-http): inside of `AuthLayer`, with `RedirectPolicy` (feature `follow-redirect`), which
//!   sends no token to another origin. The default policy of tower-http removes only `Authorization` and cookies, so it
//!   sends the token to any host that a redirect names. `FilterCredentials::new().remove_all()` or `SameOrigin` prevent
//!   that. An HTTP client that follows redirects by itself sends the token too: turn that off.
//! - **`RateLimit`**: inside of `AuthLayer`, with a `Buffer` around it. It is not `Clone`, and all clones of the stack
//!   must share it.
//!
//! These can be placed on either side of `AuthLayer`:
//!
//! - **`Buffer`, `LoadShed`**: anywhere, because authentication errors never come from `poll_ready`.
//! - **`ConcurrencyLimit`**: outside, a request that waits for its token holds its permit. Inside, it does not, so the
//!   login can go through the same limit.
//! - **`FollowRedirect`** outside: a redirected request passes through the layer again, with an absolute URI, and the
//!   layer checks its origin. If the URI of the request is relative, `FollowRedirect` cannot resolve the redirect, and
//!   returns the redirect response. On a redirect to another origin, the default policy of tower-http removes all
//!   extensions. If the origin is allowed, an [`Unauthenticated`] request or one with an [`Identity`] is then sent with
//!   the token of the layer's plugin. `RedirectPolicy` keeps [`EndpointFilter`], [`Identity`], [`Microversion`] and
//!   [`Unauthenticated`]. With tower-http's `FilterCredentials`, call `allow_extension` for each extension to keep.
//! - **`Trace`** (tower-http): inside it sees the resolved URI, outside the URI of the caller. The token is marked as
//!   sensitive and is not printed.
//! - **`SetRequestHeader`** (tower-http), for example for `User-Agent`: anywhere.
//!
//! The example `session_stack` combines most of these layers.
//!
//! # Errors
//!
//! The error type is [`BoxError`], as in tower. Errors of the inner service are returned unchanged. [`Error::find`]
//! finds an [`Error`] of this crate in a `BoxError`, an `anyhow::Error` or an `eyre::Report`, also if other layers have
//! wrapped it. See [`error`].
//!
//! # Logging
//!
//! The crate logs with [tracing](https://docs.rs/tracing). It does not log the single requests that it sends, because
//! their errors say what went wrong. It logs:
//!
//! - a warning when logins start to fail, with the `auth_url`, the error and whether the error is transient, and an
//!   info event when they succeed again. Requests need not fail meanwhile: they use the current token until it expires;
//! - a warning if the clocks of Keystone and of this machine differ by more than 30 s. The plugins that use clones of
//!   one [`Transport`] log this at most once an hour for each `auth_url`;
//! - with the feature `validate`, a warning when tokens of incoming requests cannot be validated, and an info event
//!   when they can again. Each validation, and each request that is rejected, is logged at level debug;
//! - a warning if a filter matches an endpoint in the catalog that cannot be used, for example because its URL is
//!   malformed. A plugin logs this once for each service, interface and reason;
//! - with the feature `store`, a warning when a store of tokens cannot be used, and an info event when it can again. A
//!   record that cannot be read is logged, too;
//! - with the feature `config`, a warning for each setting that is deprecated or has no effect, when a configuration is
//!   loaded.
//!
//! # Cost
//!
//! With a current token, the layer makes one allocation for each request, for the joined URI, and none if the URI is
//! absolute. It boxes no future and does not clone the inner service. For a relative URI it executes about 1.2 times
//! the instructions of a layer that is written by hand for one endpoint and one token, however many services the
//! catalog has. In the comparison with [`RenewingPlugin`], the handwritten layer also checks whether the token has
//! expired. Over HTTP on loopback, `AuthLayer` executes less than a tenth of what the client executes.
//! `cargo bench --bench cost` measures all of this.
//!
//! # Features
//!
//! None is enabled by default. Without features there is no HTTP client and no TLS.
//!
//! - `axum`: extractors for `Caller` and `Validation`, for services that are written with axum. Includes `validate`.
//! - `browser`: `BrowserLogin` and `WebSsoLogin`, logins of a person with the browser of this machine. Includes
//!   `federation`.
//! - `config`: `CloudConfig`, configuration by `clouds.yaml` and `OS_*` variables. If `rustls` is on, too, it makes a
//!   client for all services of a cloud.
//! - `federation`: the module `federation`, logins without a password at Keystone: OpenID Connect, OAuth 2.0, Keystone to
//!   Keystone, certificates and Kerberos.
//! - `fixture`: the module `fixture`, an OpenStack cloud in memory for tests.
//! - `follow-redirect`: `RedirectPolicy`, which keeps tower-http's `FollowRedirect` from sending the token to another
//!   origin.
//! - `hyper`: `Transport::hyper`, an HTTP/1.1 client for requests to Keystone. You choose the TLS library.
//! - `memcached`: `MemcachedStore`, a store of tokens in memcached. Includes `store`.
//! - `redis`: `RedisStore`, a store of tokens in Redis or Valkey. Includes `store`. `redis-cluster`, `redis-sentinel` and
//!   `redis-tls` add clusters, sentinels and TLS.
//! - `rustls`: `HttpsClient`, an HTTPS client for services and for requests to Keystone.
//! - `rustls-native-roots`: `HttpsClientBuilder::native_roots`, which trusts the CA certificates of the operating
//!   system.
//! - `saml`: `Grant::saml`, a login with a password at a SAML identity provider. Includes `federation`.
//! - `store`: the module `store` with `SharedTokens`: tokens that outlive a process and that many processes share, in
//!   memory or in files.
//! - `validate`: the module `validate` with `ValidateTokenLayer`, which validates the tokens of incoming requests, and
//!   `RequireLayer`, which checks roles and scopes.
//!
//! [`RenewingPlugin`], version discovery and `ValidateTokenLayer` run their requests in tasks of a tokio runtime.

#![forbid(unsafe_code)]
#![warn(missing_debug_implementations, missing_docs, unreachable_pub, clippy::await_holding_lock)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod access;
pub mod auth;
mod cache;
pub mod coming_from_keystoneauth;
#[cfg(feature = "config")]
#[cfg_attr(docsrs, doc(cfg(feature = "config")))]
pub mod config;
pub mod discovery;
pub mod endpoint;
pub mod error;
pub mod error_context;
#[cfg(feature = "federation")]
#[cfg_attr(docsrs, doc(cfg(feature = "federation")))]
pub mod federation;
#[cfg(feature = "fixture")]
#[cfg_attr(docsrs, doc(cfg(feature = "fixture")))]
pub mod fixture;
pub mod identity;
mod json;
#[cfg(test)]
#[allow(dead_code, reason = "tests/renewal uses the other items")]
#[path = "../tests/renewal/log.rs"]
mod log;
pub mod plugin;
pub mod raise_for_status;
#[cfg(feature = "follow-redirect")]
#[cfg_attr(docsrs, doc(cfg(feature = "follow-redirect")))]
pub mod redirect;
pub mod renewal;
pub mod retry;
pub mod secret;
#[cfg(feature = "store")]
#[cfg_attr(docsrs, doc(cfg(feature = "store")))]
pub mod store;
mod task;
pub mod transport;
#[cfg(feature = "validate")]
#[cfg_attr(docsrs, doc(cfg(feature = "validate")))]
pub mod validate;
mod version;

#[doc(inline)]
pub use access::{AccessInfo, EndpointData, ServiceCatalog};
#[doc(inline)]
pub use auth::{Auth, AuthLayer, Identity, Microversion, TokenRejected, Unauthenticated};
#[cfg(feature = "config")]
#[cfg_attr(docsrs, doc(cfg(feature = "config")))]
#[doc(inline)]
pub use config::CloudConfig;
#[doc(inline)]
pub use endpoint::{EndpointFilter, Interface, service_types};
#[doc(inline)]
pub use error::{BoxError, Error};
#[doc(inline)]
pub use error_context::{ErrorContext, ErrorContextLayer};
#[doc(inline)]
pub use identity::{
    AccessInfoPlugin, AuthMethod, AuthRefFuture, AuthUrl, Credentials, FixedEndpointPlugin,
    GenericCredentials, PluginPool, Scope, ServiceTokenAuthWrapper, User, V2Credentials, V3Credentials,
};
#[doc(inline)]
pub use plugin::{AccessFuture, IdentityPlugin, ServiceAccess};
#[doc(inline)]
pub use raise_for_status::{RaiseForStatus, RaiseForStatusLayer};
#[cfg(feature = "follow-redirect")]
#[cfg_attr(docsrs, doc(cfg(feature = "follow-redirect")))]
#[doc(inline)]
pub use redirect::RedirectPolicy;
#[doc(inline)]
pub use renewal::{RenewalPolicy, RenewingPlugin, SystemClock};
#[doc(inline)]
pub use retry::{ReauthPolicy, ReplayBody, RetryPolicy};
#[doc(inline)]
pub use secret::Secret;
#[cfg(feature = "store")]
#[cfg_attr(docsrs, doc(cfg(feature = "store")))]
#[doc(inline)]
pub use store::{SharedTokens, StoreKey, TokenStore};
#[cfg(feature = "hyper")]
#[cfg_attr(docsrs, doc(cfg(feature = "hyper")))]
#[doc(inline)]
pub use transport::HyperTransport;
#[doc(inline)]
pub use transport::Transport;
#[cfg(feature = "rustls")]
#[cfg_attr(docsrs, doc(cfg(feature = "rustls")))]
#[doc(inline)]
pub use transport::{HttpsClient, HttpsClientBuilder};
#[cfg(feature = "validate")]
#[cfg_attr(docsrs, doc(cfg(feature = "validate")))]
#[doc(inline)]
pub use validate::{
    Caller, IdentityStatus, PeerCertificate, Rejection, Require, RequireLayer, SentUri, ValidateToken,
    ValidateTokenLayer, Validation,
};

/// Compiles the examples in the README as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
