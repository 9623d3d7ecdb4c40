//! OpenStack authentication as tower middleware: tokens, endpoints and what to do about a 401.
//!
//! [`AuthLayer`] wraps any `Service<http::Request<B>>` that is `Clone` (put a `Buffer` around one that is not). It gives
//! each request the URL of its service, found in the service catalog, and an `X-Auth-Token` from an identity plugin:
//!
//! ```
//! use http::Request;
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_keystone::{AccessInfo, AccessInfoPlugin, AuthLayer, EndpointFilter};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keystone::BoxError> {
//! # let cloud = tower_keystone::fixture::Cloud::new([("compute", "nova")]).user("alice", "pw").project("demo");
//! # let obtained = cloud.keystone().issue("alice", Some("demo")).ok_or("no such user")?;
//! # let (token, document) = (obtained.auth_token().unwrap_or_default(), obtained.body());
//! # type Body = http_body_util::Empty<bytes::Bytes>;
//! # let client = tower::service_fn(move |request: Request<Body>| cloud.clone().oneshot(request));
//! # let body = Body::new();
//! // A token and its document, obtained by somebody else.
//! let access_info = AccessInfo::new(token, document)?;
//!
//! let mut nova = ServiceBuilder::new()
//!     .layer(
//!         AuthLayer::new(AccessInfoPlugin::new(access_info))
//!             .endpoint(EndpointFilter::new("compute").region("RegionOne")),
//!     )
//!     .service(client); // any Service<Request<B>> + Clone, any B
//!
//! let request = Request::get("/servers/detail").body(body)?;
//! let servers = nova.ready().await?.call(request).await?;
//! assert_eq!(servers.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! With credentials in place of a token, [`RenewingPlugin`] logs in by itself, with the first request and before its token
//! expires. A [`Transport`] sends its logins through a client, such as that of the requests:
//!
//! ```
//! # use tower_keystone::fixture::Cloud;
//! use tower_keystone::{AuthLayer, AuthMethod, EndpointFilter, RenewingPlugin, Scope, Transport, User, V3Credentials};
//!
//! # fn main() -> Result<(), tower_keystone::BoxError> {
//! # let client = tower::util::BoxCloneService::<http::Request<http_body_util::Full<bytes::Bytes>>, _, _>::new(Cloud::new([]));
//! let alice = User::new().username("alice").user_domain_name("Default");
//! let auth_url = "https://keystone.example.com/v3";
//! let credentials = V3Credentials::new(auth_url, AuthMethod::password(alice, "wonderland"))
//!     .scope(Scope::new().project_name("demo").project_domain_name("Default"));
//! let plugin = RenewingPlugin::new(credentials, Transport::new(client.clone()));
//! let layer = AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute"));
//! # let _ = layer;
//! # Ok(())
//! # }
//! ```
//!
//! # Which plugin?
//!
//! | for | it is |
//! |---|---|
//! | a password, an application credential, a TOTP passcode, a token to exchange, or several | [`RenewingPlugin`] with [`V3Credentials`] |
//! | a password or a token, whichever version of its API Keystone has | [`RenewingPlugin`] with [`GenericCredentials`] |
//! | a Keystone that has v2.0 only | [`RenewingPlugin`] with [`V2Credentials`] |
//! | a token and its document that somebody else obtained | [`AccessInfoPlugin`] |
//! | that token, and a service which vouches for it | [`ServiceTokenAuthWrapper`] around two plugins |
//! | one service without Keystone: no authentication, an admin token, HTTP basic | [`FixedEndpointPlugin`] |
//! | whatever else a login takes | [`RenewingPlugin`] with your own [`Credentials`] |
//! | whatever else obtains tokens | your own [`IdentityPlugin`] |
//!
//! A [`PluginPool`] has one of them for each of many users or projects. See [`identity`] for examples.
//!
//! # The way of a request
//!
//! 1. [`Auth`] receives it. Being ready is the inner service's affair alone; whatever goes wrong with
//!    authentication is the error of this one request.
//! 2. Its [`EndpointFilter`] is taken out of its extensions. What that leaves open is taken from the layer's.
//!    [`Microversion`] there asks for a microversion, [`Unauthenticated`] sends the request without a token.
//! 3. The [`IdentityPlugin`] is asked for its [`ServiceAccess`]. If it has a usable one, the request goes on in
//!    the same call: no box, no clone of the inner service, and one allocation, that of the joined URI. Otherwise
//!    the request gives the readiness of the inner service back and waits for the access. Then it polls a clone of
//!    the inner service ready, and looks whether the access is still the current one. No lock is held meanwhile.
//! 4. A relative URI is joined to the endpoint, an absolute one is left as it is. See [`endpoint`]. If the
//!    filter asks for a version, the endpoint is the one that [`discovery`] has found for it; the first such
//!    request waits for that.
//! 5. The origin guard: the token goes only to origins that the catalog, the one before it ([`RenewingPlugin`]), the
//!    plugin's `auth_url`, an endpoint override or [`AuthLayer::allow_origin`] names. All else is
//!    [`Error::OriginNotAllowed`].
//! 6. `X-Auth-Token` is inserted: a sensitive header value that was made when the access was. A request
//!    that comes with an `X-Auth-Token` of its own keeps it, unless [`AuthLayer::overwrite_token`] is on.
//!    A `Host` header of the caller gives way to the endpoint's host, and is
//!    [`Error::HostNotAllowed`] beside an absolute URI of another host.
//! 7. A 401 to a request that carried our token is reported to the plugin, with the origin that refused it
//!    ([`invalidate`](IdentityPlugin::invalidate)). The response gets a [`TokenRejected`] into its extensions,
//!    which says whether to send the request once more. With [`AccessInfoPlugin`] a 401 is final.
//!    [`RenewingPlugin`] holds credentials and can log in again: see [`renewal`].
//!
//! # What a request costs
//!
//! With a current token, one allocation more than the inner service, and none with an absolute URI. Compared with a
//! layer that is written by hand for one endpoint and one token, a relative URI takes 1.2 times the instructions with
//! [`AccessInfoPlugin`], and with [`RenewingPlugin`] 1.2 times those of such a layer whose token ends; however many services
//! the catalog has. Over HTTP on loopback that is less than a tenth of what the client itself executes;
//! `cargo bench --bench cost` counts all of it.
//!
//! # What is logged
//!
//! By [tracing](https://docs.rs/tracing). Single requests are not logged: their errors say what went wrong.
//!
//! - a warning when no good token can be had from Keystone any more, with the `auth_url`, the error and whether
//!   that can pass by itself, and an info when it is over. Requests may notice neither, since the token at hand
//!   serves meanwhile;
//! - a warning with each token if the clocks of Keystone and of this machine differ by more than 30 s;
//! - a warning for each endpoint of the catalog that was to be used and cannot be, once for all tokens of a plugin.
//!
//! # The order of layers
//!
//! From the outside in:
//!
//! - **`Buffer`, `LoadShed`**: anywhere. An error of authentication never comes from `poll_ready`.
//! - **`Retry`**: outside the layer. Each attempt has its endpoint and its token found anew. [`ReauthPolicy`] sends
//!   a refused request once more, with its extensions, unless its [`TokenRejected`] is final; [`RetryPolicy`] sends one
//!   again that found no connection or no server with time for it. See [`retry`] for the order of the two.
//! - **[`RaiseForStatus`]**: outside of what retries, for those who want statuses of 400 and above as errors.
//! - **[`ErrorContext`]**: the outermost, for those who want errors that say which service and origin a request was for.
//! - **`Timeout`**: outside the layer it bounds the wait for a token too, inside it does not. One outside should be
//!   longer than [`RenewalPolicy::wait_timeout`] (30 s): else a request that waits for a Keystone which is down ends
//!   with `Elapsed`, which does not say why. It ends with the head of the response: it cuts an upload that takes
//!   longer, and does not limit a download. Inside of the retries it bounds one attempt, outside of them also the
//!   pauses, which a `Retry-After` can make 300 s long.
//! - **`ConcurrencyLimit`, `Buffer`**: outside the layer, a request that waits for its token holds its permit.
//!   Inside the layer it holds none, so that the login can go through the same limit.
//! - **`RateLimit`**: inside the layer, with a `Buffer` around it, since it cannot be cloned and all clones of
//!   the stack are to share it.
//! - **`SetRequestId`** (tower-http): outside of what retries, so that all attempts have the same id.
//!   **`SetRequestHeader`**, for a user agent say: anywhere.
//! - **`FollowRedirect`** (tower-http) inside the layer, with `RedirectPolicy` (feature `follow-redirect`): another
//!   origin gets no token. With tower-http's own policy it would, since that strips `Authorization` and cookies
//!   only; `FilterCredentials::new().remove_all()` or `SameOrigin` prevent it. The same holds for a client that
//!   follows redirects by itself.
//! - **`FollowRedirect` outside the layer**: a redirect comes through the layer again, as an absolute URI,
//!   and the origin guard decides. Redirects are followed only from absolute URIs. Across origins tower-http's
//!   default policy drops the extensions; `RedirectPolicy` keeps those of this crate, and
//!   `FilterCredentials::new()` with `allow_extension::<Unauthenticated>()` keeps a request unauthenticated on
//!   its way.
//! - **`Trace`**: inside the layer it sees the URI that was resolved, outside it the one that was asked for.
//!   The token is sensitive and is not printed.
//!
//! The example `session_stack` has most of them in one stack, in which a span shows the ids of a request.
//!
//! # Errors
//!
//! The error type is [`BoxError`], as in tower: the inner service's errors pass unchanged, and
//! [`Error::find`] finds ours under whatever other layers put around them, and in an `anyhow::Error` or `eyre::Report`: see
//! [`error`].
//!
//! # Features
//!
//! - `fixture`: the module `fixture`, a cloud in memory for tests.
//! - `follow-redirect`: `RedirectPolicy`, with which tower-http's `FollowRedirect` leaves the token at home.
//! - `hyper`: `Transport::hyper`, a ready-made way to Keystone over HTTP/1.1; TLS is the caller's choice.
//!
//! The default has no HTTP client and no TLS. [`RenewingPlugin`] runs its logins as tasks of tokio, and so does
//! discovery with its requests. Those who know the Python library find its names in
//! [`coming_from_keystoneauth`].

#![forbid(unsafe_code)]
#![warn(missing_debug_implementations, missing_docs, unreachable_pub, clippy::await_holding_lock)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod access;
pub mod auth;
pub mod coming_from_keystoneauth;
pub mod discovery;
pub mod endpoint;
pub mod error;
pub mod error_context;
#[cfg(feature = "fixture")]
#[cfg_attr(docsrs, doc(cfg(feature = "fixture")))]
pub mod fixture;
pub mod identity;
mod json;
pub mod plugin;
pub mod raise_for_status;
#[cfg(feature = "follow-redirect")]
#[cfg_attr(docsrs, doc(cfg(feature = "follow-redirect")))]
pub mod redirect;
pub mod renewal;
pub mod retry;
pub mod secret;
mod task;
pub mod transport;
mod version;

#[doc(inline)]
pub use access::{AccessInfo, EndpointData, ServiceCatalog};
#[doc(inline)]
pub use auth::{Auth, AuthLayer, Microversion, TokenRejected, Unauthenticated};
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
#[cfg(feature = "hyper")]
#[cfg_attr(docsrs, doc(cfg(feature = "hyper")))]
#[doc(inline)]
pub use transport::HyperTransport;
#[doc(inline)]
pub use transport::Transport;

/// Keeps the README's code compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
