//! Keeping a token fresh: when to renew, what to do meanwhile, and one flight for all who wait.
//!
//! [`RenewingPlugin`] makes a plugin of [`Credentials`](crate::Credentials):
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
//! # The ages of a token
//!
//! The lifetime of a token is the smaller of `expires_at - issued_at` and `expires_at - Date`, where `Date` is the header
//! of Keystone's response. These are readings of Keystone's own clock, and the lifetime counts from the moment when the
//! token was asked for, so it does not matter what the clock of this machine shows. An `issued_at` or a `Date` that is
//! not before `expires_at` is ignored. Without a `Date`, so is an `issued_at` that is an hour or more behind the clock of
//! this machine, if the token is still valid by that clock; then the clock of this machine counts.
//!
//! Both clocks of this machine tell the age of a token: the later one counts.
//!
//! | age | what a request gets |
//! |---|---|
//! | fresh | the token |
//! | soft: the last tenth, at least 120 s and at most half of it | the token; a new one is fetched in the background |
//! | hard: the last 10 s | the new token, which it waits for; the old one if that fails, or takes half of the time left |
//! | expired, refused or never had | the new token, or the error of fetching it |
//!
//! # When Keystone fails
//!
//! A failure never displaces a token that is still good. One that can pass by itself
//! ([`Error::is_transient`](crate::Error::is_transient)) is tried again after a pause that doubles and is
//! jittered, and when the token gets hard or expires at the latest, or after as long as Keystone asks; while
//! requests wait, for up to 30 s in all. If a token ends in a pause of which no request knew, a new one is
//! asked for at once, or when Keystone's time is up.
//!
//! Any other failure, such as a wrong password, is what all requests get until a pause is over. The pauses follow the risk
//! of locking the account:
//!
//! | credentials | pauses |
//! |---|---|
//! | a password that has not brought a token yet | 30 s, 5 min, then 30 min each |
//! | credentials that have brought a token before | 30 s, 2 min, then 10 min each |
//! | application credentials and tokens, which lock no account | 30 s, then 60 s each |
//!
//! A failure says nothing of other credentials: if [`Credentials::cache_id`](crate::Credentials::cache_id) has changed since,
//! because a secret was rotated in place, they are tried at once (three times in 30 minutes at most).
//! [`RenewingPlugin::reset`] forgets a failure. Every figure can be set in [`RenewalPolicy`].
//!
//! The first failed attempt is logged as a warning, with the `auth_url` and the cause, and the end of the outage as
//! information. Plugins whose [`Transport`](crate::Transport)s are clones of one do not repeat within a minute what another
//! one has logged.
//!
//! # Failing fast
//!
//! A command line program had rather tell its user at once that Keystone cannot be reached than wait for 30 s. With
//! [`RenewalPolicy::fail_fast`] requests get the first failure, as in keystoneauth:
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
//! # When a service refuses a token
//!
//! A 401 drops the token, if it is still the current one, and the next request gets a new one. Refusals are counted for
//! each origin: one that has refused three new tokens within a minute causes no further login in that minute, while those
//! of other origins still do. The request that was refused may be sent once more in any case, with whatever token is
//! current: another replica of the service may accept it.
//!
//! A flight belongs to no request: it runs in a task of its own, its outcome is shared, and dropping any of
//! those who wait for it changes nothing. It ends at its next pause if the plugin is dropped or reset. Whoever has
//! waited gets the access that is current when the future is polled.
//!
//! A flight needs a tokio runtime with time enabled: that of the call, or else that of the first poll. If that is shut
//! down under it, or nobody drives it for as long as a flight can take, whoever waits starts another one. In a program
//! that blocks on a runtime only now and then, a renewal in the background goes on only while it does; one that is
//! overdue is waited for.

mod clock;
mod failure;
mod lifetime;
mod plugin;
mod policy;
mod reentrancy;
mod rejections;
mod renewal_task;
mod report;
mod shared;
mod state;
mod wait;

pub use clock::{Clock, Now, SystemClock};
pub use plugin::RenewingPlugin;
pub use policy::RenewalPolicy;
