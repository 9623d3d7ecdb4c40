//! keystoneauth's names and ours.
//!
//! The reference for the behaviour of this crate is Python's keystoneauth1. Its nouns are kept where
//! there is one thing to name; where Python has a method that fetches, there is a value that was
//! fetched. What keystoneauth answered in 2,807 recorded cases is replayed in this crate's tests.
//!
//! # Plugins
//!
//! | keystoneauth1 | here |
//! |---|---|
//! | `BaseAuthPlugin` | [`IdentityPlugin`] |
//! | `identity.access.AccessInfoPlugin(auth_ref, auth_url)` | [`AccessInfoPlugin::new`] and [`auth_url`](AccessInfoPlugin::auth_url) |
//! | `get_access(session)` | [`IdentityPlugin::access`]; no session is handed in, a plugin has its own way to Keystone |
//! | `identity.v3.Password`, `Token`, `TOTP`, `ApplicationCredential`, `MultiFactor` | [`RenewingPlugin`] with [`V3Credentials`] and [`AuthMethod`] |
//! | `identity.v2.Password`, `Token` | [`RenewingPlugin`] with [`V2Credentials`] |
//! | `identity.generic.Password`, `Token` (`password`, `token`) | [`RenewingPlugin`] with [`GenericCredentials`] |
//! | `noauth`, `http_basic`, `admin_token` | [`FixedEndpointPlugin`] |
//! | `ServiceTokenAuthWrapper` | [`ServiceTokenAuthWrapper`] |
//! | `get_auth_ref(session)` | [`Credentials::get_auth_ref`], which always asks Keystone; [`ServiceAccess::auth_ref`] for what was obtained |
//! | `get_token(session)` | [`AccessInfo::auth_token`] |
//! | `get_headers(session)` | [`ServiceAccess::insert_headers`] |
//! | `get_endpoint(session, **filter)` | [`Discovery::endpoint`], without versions [`ServiceCatalog::url_for`]; the layer does it for each request |
//! | `get_endpoint_data(session, **filter)` | [`Discovery::endpoint_data`]; with `skip_discovery` [`Endpoint::undiscovered`] |
//! | `get_api_major_version(session, **filter)` | [`Discovery::api_major_version`] |
//! | `get_all_version_data(session)` | [`Discovery::all_version_data`], which asks several services at once |
//! | `get_user_id`, `get_project_id` | [`ServiceAccess::user_id`], [`ServiceAccess::project_id`] |
//! | `invalidate()` | [`IdentityPlugin::invalidate`], which is told what was refused |
//! | `get_auth_state()`, `set_auth_state(state)` | [`RenewingPlugin::auth_state`], [`RenewingPlugin::set_auth_state`]; on an access info [`AccessInfo::auth_state`], [`AccessInfo::from_auth_state`]; the text is the same |
//! | `get_cache_id()` | [`RenewingPlugin::cache_id`]; the same value, but where scopes or values could be mistaken for others, or the `auth_url` is a host with a slash |
//! | `AUTH_INTERFACE` | [`Interface::Auth`] |
//!
//! # Access infos and catalogs
//!
//! | keystoneauth1 | here |
//! |---|---|
//! | `access.create(resp=...)` | [`AccessInfo::from_response`] |
//! | `access.create(body=..., auth_token=...)` | [`AccessInfo::new`], [`AccessInfo::from_body`] |
//! | `AccessInfoV2`, `AccessInfoV3` | one type; [`AccessInfo::version`] tells |
//! | the properties of `AccessInfo` | methods of the same names; `None` for what is absent, where Python raises `KeyError` |
//! | `will_expire_soon(stale_duration=30)` | [`AccessInfo::will_expire_soon`] |
//! | `service_catalog.endpoint_data_for`, `url_for` | [`ServiceCatalog::endpoint_data_for`], [`url_for`](ServiceCatalog::url_for) |
//! | `get_urls`, `get_endpoints_data` | [`urls`](ServiceCatalog::urls), [`endpoints_data`](ServiceCatalog::endpoints_data) |
//! | `catalog`, `get_endpoints` (raw entries) | [`AccessInfo::body`] has the document as it came |
//! | `service_providers.get_auth_url(sp_id)` | [`AccessInfo::service_providers`] |
//! | `discover._SERVICE_TYPES` | [`service_types`] |
//!
//! # Versions
//!
//! | keystoneauth1 | here |
//! |---|---|
//! | `version`, `min_version`, `max_version` | [`EndpointFilter::version`], [`min_version`](EndpointFilter::min_version), [`max_version`](EndpointFilter::max_version) |
//! | `discover.LATEST`, `'2.latest'` | [`LATEST`](discovery::LATEST) for a part of a version |
//! | `allow={'allow_experimental': True}` | [`EndpointFilter::allow`] |
//! | `add_catalog_discover_hack` | [`Discovery::version_hack`] |
//! | `allow_version_hack=False` | [`EndpointFilter::no_version_hack`] |
//! | `EndpointData`, `get_versioned_data` | [`Endpoint`], [`Discovery::versioned_data`] |
//! | `Discover`, `get_discovery` | [`VersionDocument`](discovery::VersionDocument), [`Discovery::document`] |
//! | `version_data`, `raw_version_data`, `data_for`, `versioned_data_for` | methods of the same names |
//! | `normalize_version_number`, `version_match`, `version_between` | parsing a [`Version`](discovery::Version), [`is_match`](discovery::Version::is_match), [`VersionRange::contains`](discovery::VersionRange::contains) |
//! | a discovery cache on the plugin and one on the session | one for all clones of a [`Discovery`] |
//!
//! # Session and Adapter
//!
//! There is no session: what `Session` does beyond authentication, other tower layers do. The example
//! `session_stack` has them in one stack.
//!
//! | keystoneauth1 | here |
//! |---|---|
//! | `Session(auth=plugin)` | [`AuthLayer::new`] around any HTTP client |
//! | `Adapter(session, service_type=..., interface=..., region_name=...)` | [`AuthLayer::endpoint`] |
//! | `session.get(path, endpoint_filter={...})` | a request with an [`EndpointFilter`] in its extensions |
//! | `endpoint_override='https://.../%(project_id)s'` | [`EndpointFilter::endpoint_override`] |
//! | `microversion`, `default_microversion` | [`EndpointFilter::microversion`] |
//! | `microversion_service_type` | [`EndpointFilter::microversion_for`] |
//! | `authenticated=False` | [`Unauthenticated`] in the request's extensions |
//! | `allow_reauth`, the second attempt after a 401 | `tower::retry` with [`ReauthPolicy`] |
//! | `raise_exc=True` | [`RaiseForStatusLayer`], outside of what retries; without it, as with `raise_exc=False`, a status is no error |
//! | `redirect=...` | tower-http's `FollowRedirect` with `RedirectPolicy` (feature `follow-redirect`); mind [the order of layers](crate#order-of-layers) |
//! | `connect_retries`, `status_code_retries`, `retriable_status_codes`, their delays | `tower::retry` with [`RetryPolicy`] |
//! | `timeout` | `tower::timeout`, tower-http's `Timeout` |
//! | `rate_limit`, `max_concurrency` | `tower::limit`: `RateLimit` in a `Buffer`, `ConcurrencyLimit` |
//! | `global_request_id` | tower-http's `SetRequestId` with `X-OpenStack-Request-ID`, or that header in the request |
//! | `user_agent`, `additional_headers` | tower-http's `SetRequestHeader`; several parts of a user agent are one text |
//! | logging, the answer's request id | tower-http's `Trace`, inside the layer |
//! | `keystoneauth1.fixture` | the module `fixture`, with the feature of that name |
//!
//! # Errors
//!
//! | keystoneauth1 | here |
//! |---|---|
//! | `InvalidResponse`, `ValueError("Unrecognized auth response")` | [`Error::InvalidResponse`] |
//! | `EmptyCatalog`, `EndpointNotFound` | [`Error::EmptyCatalog`], [`Error::EndpointNotFound`], which tells the near misses |
//! | `AuthorizationFailure` (no token to send) | [`Error::NoToken`] |
//! | `AuthorizationFailure` (no method, two scopes) | [`Error::AuthorizationFailure`] |
//! | `DiscoveryFailure`, or no endpoint | [`Error::DiscoveryFailure`], which tells what there is instead |
//! | `ImpliedVersionMismatch` and its kinds | [`Error::ImpliedVersionMismatch`] |
//! | `MissingAuthMethods` | [`Error::MissingAuthMethods`], with the receipt for [`AuthMethod::receipt`] |
//! | `HttpError` and its classes by status, from Keystone | [`Error::Keystone`] |
//! | `ConnectFailure` | [`Error::ConnectFailure`] |
//! | `HttpError` and its classes by status, from a service | [`Error::Service`], with [`RaiseForStatusLayer`] |
//! | `Unauthorized`, from a service | the 401 itself, with a [`TokenRejected`] in its extensions; raised, the refusal is in the error |
//!
//! # Knowingly different
//!
//! | there | here | why |
//! |---|---|---|
//! | `invalidate()` drops whatever token is current | it compares with the one that was refused | a late 401 threw away the new token, and requests with it |
//! | the token goes to any absolute URL | to known origins only; [`AuthLayer::allow_origin`] names more | a token is worth as much as a password for an hour |
//! | redirects carry the token to any host | with `RedirectPolicy` to the same origin only; redirects that come through the layer again are for its guard | the same |
//! | credentials follow redirects to any host | 307 and 308 within the origin of the `auth_url`; others are [`Error::LoginRedirected`] | a password is for the host that was named |
//! | redirects from https to http, and 305, are followed | they are the answer | what was meant to be private stays so; RFC 9110 has deprecated 305 |
//! | a relative `Location` is an error, the next request gets the answer's request id | it is resolved; it keeps its own id | RFC 9110 |
//! | the layer's token overwrites an `X-Auth-Token` of the request | the request keeps its own; [`AuthLayer::overwrite_token`] | whoever sets a token by hand means it |
//! | an expired access info is used for ever | the same; [`AccessInfoPlugin::refuse_expired`] refuses it locally | |
//! | a token is any string | visible ASCII of at most 128 KiB | what a header would change on its way is no token |
//! | `publicURL` loses all of the letters U, R and L at its end on v3 | it loses the suffix `URL` | names such as `CUR` |
//! | two aliases match and neither has an endpoint: `ValueError` | [`Error::EndpointNotFound`] | it is one |
//! | one catalog entry without a URL breaks every lookup | it is passed over | |
//! | a lock is held while Keystone is asked | none; the old token serves meanwhile, and one flight serves all who wait | a slow Keystone made every request slow |
//! | a login that fails is an error at once | it is tried again for up to 30 s if it can pass by itself; with [`RenewalPolicy::fail_fast`](crate::RenewalPolicy::fail_fast) it is an error at once | services had rather wait than fail, command line programs the reverse |
//! | a wrong password: one login for each waiting request | one shared failure, then a pause | logins lock accounts |
//! | `generic.Password` waits for itself if Keystone's version document answers 401 | the path of the `auth_url` decides then | |
//! | a default domain with an id replaces a domain that is named | it stands in only where none is given | another domain's user of the same name may exist |
//! | an unauthenticated service gets `X-Auth-Token: notused` | it gets no header | it is not a token |
//! | `Retry-After` is waited for if it is whole seconds, however many | if it is a date too, and 300 s at most | nobody should wait for ten years |
//! | `Retry-After: -1` raises `ValueError` | it is no answer, the own delay holds | |
//! | delays are exact, retries unlimited over all requests | half of a delay is chance, and there is a budget; [`RetryPolicy`] can do without the first | many clients that failed together come back together |
//! | a role without an id breaks `role_ids` | it is left out | |
//! | a maximum without a minimum matches no version | the newest one that is not above it | what else could be meant |
//! | a document without versions: `IndexError`; one bad version in it: `TypeError` | an error that says so; the others are used | |
//! | a version document is got with a token from any URL that says 401, and over any redirect | with one on known origins only; redirects stay on theirs | |
//! | a version document is remembered for ever, a failure not at all | for an hour, and for ten seconds | both can pass |
//! | `%(project_id)s` is filled in on some paths | on all | |
//! | beside an `endpoint_override` a session ignores the version, discovery does not | it is looked for from the override, as the option's help there has it | an unversioned override and a version together name an endpoint |
//!
//! [`Discovery::endpoint`]: discovery::Discovery::endpoint
//! [`Discovery::endpoint_data`]: discovery::Discovery::endpoint_data
//! [`Discovery::api_major_version`]: discovery::Discovery::api_major_version
//! [`Discovery::all_version_data`]: discovery::Discovery::all_version_data
//! [`Discovery::versioned_data`]: discovery::Discovery::versioned_data
//! [`Discovery::version_hack`]: discovery::Discovery::version_hack
//! [`Discovery::document`]: discovery::Discovery::document
//! [`Discovery`]: discovery::Discovery
//! [`Endpoint`]: discovery::Endpoint
//! [`Endpoint::undiscovered`]: discovery::Endpoint::undiscovered
//! [`ServiceAccess::auth_ref`]: crate::ServiceAccess::auth_ref
//! [`ServiceAccess::insert_headers`]: crate::ServiceAccess::insert_headers
//! [`ServiceAccess::user_id`]: crate::ServiceAccess::user_id
//! [`ServiceAccess::project_id`]: crate::ServiceAccess::project_id

#[cfg(doc)]
use crate::*;
