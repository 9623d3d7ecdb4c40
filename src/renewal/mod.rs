//! Token renewal: when a token is renewed, and what requests do meanwhile.
//!
//! [`RenewingPlugin`] turns [`Credentials`](crate::Credentials) into an identity plugin:
//!
//! ```
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_keystone::{
//!     AuthLayer, AuthMethod, EndpointFilter, RenewingPlugin, Scope, Transport, User, V3Credentials, fixture::Cloud,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keystone::BoxError> {
//! # let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
//! # let auth_url = cloud.keystone().auth_url();
//! # let client = tower::util::BoxCloneService::<http::Request<http_body_util::Full<bytes::Bytes>>, _, _>::new(cloud.clone());
//! let alice = User::new().username("alice").user_domain_name("Default");
//! let credentials = V3Credentials::new(auth_url, AuthMethod::password(alice, "wonderland"))
//!     .scope(Scope::new().project_name("demo").project_domain_name("Default"));
//! let plugin = RenewingPlugin::new(credentials, Transport::new(client.clone()));
//!
//! let nova = ServiceBuilder::new()
//!     .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")))
//!     .service(client);
//! let response = nova.oneshot(Request::get("/servers").body(Full::<Bytes>::default())?).await?;
//! assert_eq!(response.status(), 200);
//! # assert_eq!(cloud.keystone().logins(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Phases of a token
//!
//! | phase | when | what a request does |
//! |---|---|---|
//! | fresh | before the renewal is due | uses the token |
//! | due | in the last 120 s of the lifetime, or its last tenth if that is longer, but at most its last half; jitter makes this time up to 20 % longer | uses the token; a new one is obtained in the background |
//! | expiring | in the last 10 s | waits for the new token; uses the old one if the renewal fails or takes longer than half of the time left |
//! | expired, or no token | after the expiry, after a rejection, or before the first login | waits for the new token, or gets the error of the login |
//!
//! The lifetime of a token is the smaller one of `expires_at - issued_at` and `expires_at - Date`, where `Date` is the
//! header of Keystone's response. All three times come from Keystone's clock, and the lifetime counts from the moment
//! when the token was requested. So a wrong clock of this machine does no harm.
//!
//! An implausible time is ignored:
//!
//! - an `issued_at` or a `Date` that is not before `expires_at`;
//! - an `issued_at` less than 10 s before `expires_at`, if the `Date` is at least 60 s before `expires_at`;
//! - a `Date` more than 7 days before `expires_at`, if there is no usable `issued_at`;
//! - an `issued_at` an hour or more behind the clock of this machine, if there is no usable `Date`, and the token has
//!   not expired by that clock;
//! - an `issued_at` more than 7 days before `expires_at`, if there is no usable `Date`, and the token has expired by
//!   the clock of this machine.
//!
//! If neither `issued_at` nor `Date` can be used, the lifetime is the time from the clock of this machine to
//! `expires_at`. If the token has expired by that clock, the lifetime is [`RenewalPolicy::default_lifetime`] if one of
//! the 7-day limits applied; otherwise the token counts as expired.
//!
//! The age of a token is measured by both the time of day and the monotonic clock of this machine. The larger value
//! counts.
//!
//! # When a login fails
//!
//! A failed login never replaces a token that is still valid.
//!
//! A *transient* failure ([`Error::is_transient`](crate::Error::is_transient)) is retried after a delay:
//!
//! - The delay doubles with each failure and has jitter. It ends early when the token enters the phase *expiring* or
//!   *expired*.
//! - If Keystone asks for a longer delay (`Retry-After`), that applies, up to 300 s.
//! - While requests wait for a token, there are several attempts, for up to 30 s in all. Then the requests get the
//!   error. If Keystone asks for a delay of 30 s or more, they get it at once.
//! - When the waiting requests have got the error, further requests without a valid token get it too, until the delay
//!   is over.
//! - If the login failed while there still was a valid token, and that token expires or is rejected during the delay,
//!   the next request logs in at once. If Keystone has asked for a delay, the request first waits for the rest of it,
//!   or gets the error if the rest is 30 s or more.
//!
//! After a *permanent* failure, such as a wrong password, no login is made until a delay is over. Requests that have no
//! valid token get the error meanwhile. The delays depend on the risk that failed logins lock the account:
//!
//! | credentials | delays |
//! |---|---|
//! | a password that has not worked yet | 30 s, 5 min, then 30 min each |
//! | credentials that have obtained a token before | 30 s, 2 min, then 10 min each |
//! | application credentials and tokens, which lock no account | 30 s, then 60 s each |
//!
//! If [`Credentials::cache_id`](crate::Credentials::cache_id) has changed since the failure, because a secret was
//! replaced, the new credentials are tried at once, at most three times in 30 minutes. [`RenewingPlugin::reset`] clears
//! a failure.
//!
//! All times and limits can be set in [`RenewalPolicy`].
//!
//! The first failed login of an outage is logged as a warning with the `auth_url` and the cause, and so is the first
//! permanent failure after transient ones. The end of the outage is logged at level info. If several plugins use clones
//! of one [`Transport`](crate::Transport), a plugin does not log what another one has logged within the last minute.
//!
//! # Failing fast
//!
//! A command line program should tell its user at once that Keystone cannot be reached, rather than wait for 30 s. With
//! [`RenewalPolicy::fail_fast`] requests get the first error, as in keystoneauth:
//!
//! ```
//! # use tower_keystone::{AuthMethod, Transport, User, V3Credentials, fixture::Cloud};
//! use tower_keystone::{RenewalPolicy, RenewingPlugin};
//!
//! # let cloud = Cloud::new([]);
//! # let auth_url: http::Uri = cloud.keystone().auth_url().parse().unwrap();
//! # let credentials = V3Credentials::new(auth_url, AuthMethod::password(User::new(), "wonderland"));
//! # let transport = cloud.transport();
//! let mut policy = RenewalPolicy::default();
//! policy.fail_fast = true;
//! let plugin = RenewingPlugin::new(credentials, transport).policy(policy);
//! # let _ = plugin;
//! ```
//!
//! # When a service rejects a token
//!
//! If a service returns 401, the token of the request is dropped, unless a newer one has replaced it already. The next
//! request logs in.
//!
//! Rejections are counted per origin. If an origin has rejected three new tokens within a minute, it causes no further
//! login in that minute, unless the token seems to be revoked ([`RenewalPolicy::max_rejections`]). Rejections by other
//! origins still cause logins.
//!
//! In any case, [`ReauthPolicy`](crate::ReauthPolicy) can send the rejected request once more, with the token that is
//! current then. If the rejected token was not dropped, that is the same token, which another replica of the service
//! may accept.
//!
//! # Shared tokens
//!
//! With the feature `store`, plugins, processes and machines can share one token: a fleet logs in once per lifetime of
//! its token. The method `RenewingPlugin::store` takes the store (see the module `store`):
//!
#![cfg_attr(feature = "store", doc = "```")]
#![cfg_attr(not(feature = "store"), doc = "```ignore")]
//! # use tower_keystone::{AuthMethod, RenewingPlugin, User, V3Credentials, fixture::Cloud};
//! use tower_keystone::store::{MemoryStore, SharedTokens, StoreKey};
//!
//! # let cloud = Cloud::new([]);
//! # let auth_url: http::Uri = cloud.keystone().auth_url().parse().unwrap();
//! # let credentials = V3Credentials::new(auth_url, AuthMethod::password(User::new(), "wonderland"));
//! # let transport = cloud.transport();
//! let tokens = SharedTokens::new(MemoryStore::new(), StoreKey::random());
//! let plugin = RenewingPlugin::new(credentials, transport).store(tokens);
//! # let _ = plugin;
//! ```
//!
//! A renewal first looks into the store. If there is no usable token, one process takes a lease and logs in. The others
//! wait until its token is in the store. They need no longer than without a store, plus 20 s at most:
//!
//! - If the process with the lease dies, the lease ends after 4 s, and another process logs in.
//! - If the lease does not end, a process logs in without it after 12 to 20 s ([`RenewalPolicy::wait_timeout`] minus
//!   [`RenewalPolicy::attempt_timeout`], minus a random time of up to 8 s or half of the difference). If the second of
//!   these timeouts is not shorter than the first one, no process waits for another one.
//! - If the store does not answer in time, or with an error, the renewal goes on without it. No request fails because of
//!   the store, and a request with a fresh token does not ask it.
//!
//! What else is shared:
//!
//! - *Failed logins*: during the delay after one, no process logs in. While a request waits, its process tries again
//!   when the delay is over. The other processes get [`Error::SharedLoginFailed`](crate::Error). After a failure, a
//!   process looks into the store again after 5 s at most. [`RenewingPlugin::reset`] and [`RenewingPlugin::renew`]
//!   ignore the delay once. Plugins that share a token by a name (`RenewingPlugin::stored_as`) share the failures of the
//!   same secret only.
//! - *Rejected tokens*: a token that a service has rejected is removed from the store. All processes together remove at
//!   most [`RenewalPolicy::max_rejections`] tokens within [`RenewalPolicy::rejection_window`]. Above that, the rejected
//!   token stays in use.
//!
//! The lifetime of a token from the store counts from its `issued_at`. It is renewed in the background only by plugins
//! that are older than 10 s, so that a program that ends soon does not begin a login.
//!
//! # Renewal tasks and runtimes
//!
//! There is at most one renewal at a time, and all requests that wait for a token share its result. It runs in a task
//! of its own, so dropping a waiting request does not affect it. The future of a waiting request returns the access
//! that is current when the future is polled, so it never returns a token that was dropped meanwhile. If the plugin is
//! dropped or reset, the renewal makes no further attempt.
//!
//! A renewal needs a tokio runtime with time enabled. It uses the runtime in which
//! [`access`](crate::IdentityPlugin::access) is called or, if there is none, the one in which the future is first
//! polled. If that runtime is shut down, or is not driven for as long as a renewal can take (40 s:
//! [`RenewalPolicy::wait_timeout`] plus [`RenewalPolicy::attempt_timeout`]), a waiting request starts another renewal.
//!
//! If a program calls `block_on` only now and then, a renewal in the background makes progress only during those calls.
//! If it has not finished after 40 s, the next request starts another renewal and waits for that one.

mod clock;
mod current_access;
mod failure;
pub(crate) mod lifetime;
mod policy;
mod reentrancy;
mod rejections;
mod renewal_task;
mod renewing_plugin;
mod report;
mod shared;
#[cfg(feature = "store")]
mod sharing;
mod spawn;
mod state;
mod wait;

pub use clock::{Clock, Now, SystemClock};
pub use policy::RenewalPolicy;
pub use renewing_plugin::RenewingPlugin;
#[cfg(all(feature = "federation", feature = "store"))]
pub(crate) use sharing::LeaseGuard;
#[cfg(shuttle)] // for the model checker
pub use sharing::protocol;
