//! Maps the names of Python's keystoneauth1 to those of this crate, and lists the differences.
//!
//! keystoneauth1 is the reference for the behaviour of this crate, and most names are the same. Where a method of
//! keystoneauth sends a request to get a value, this crate often has a value that was fetched before. The tests replay
//! 2,807 cases that were recorded with keystoneauth.
#![cfg_attr(
    feature = "validate",
    doc = "\nThe module [`keystonemiddleware`] maps the options and names of the middleware for services."
)]
//!
//! # Plugins
//!
//! | keystoneauth1 | this crate |
//! |---|---|
//! | `BaseAuthPlugin` | [`IdentityPlugin`] |
//! | `identity.access.AccessInfoPlugin(auth_ref, auth_url)` | [`AccessInfoPlugin::new`] and [`auth_url`](AccessInfoPlugin::auth_url) |
//! | `get_access(session)` | [`IdentityPlugin::access`], without a session: a plugin has its own client for Keystone |
//! | `identity.v3.Password`, `Token`, `TOTP`, `ApplicationCredential`, `MultiFactor` | [`RenewingPlugin`] with [`V3Credentials`] and [`AuthMethod`] |
//! | `identity.v3.OidcClientCredentials`, `OidcPassword`, `OidcAccessToken`, `OidcAuthorizationCode`, `extras._saml2`, `extras.kerberos.MappedKerberos` | `FederatedCredentials` with a `Grant` (feature `federation`) |
//! | `identity.v3.OidcDeviceAuthorization`, `identity.v3.WebSSO` | `DeviceLogin`, `WebSsoLogin`: calls of their own, never made by a renewal (features `federation`, `browser`) |
//! | `identity.v3.Keystone2Keystone`, `OAuth2ClientCredential`, `OAuth2mTlsClientCredential`, `TokenlessAuth` | `Keystone2KeystoneCredentials`, `OAuth2ClientCredentials`, `OAuth2MtlsCredentials`, `TokenlessPlugin` (feature `federation`) |
//! | `identity.v2.Password`, `Token` | [`RenewingPlugin`] with [`V2Credentials`] |
//! | `identity.generic.Password`, `Token` (`password`, `token`) | [`RenewingPlugin`] with [`GenericCredentials`] |
//! | `noauth`, `http_basic`, `admin_token` | [`FixedEndpointPlugin`] |
//! | `ServiceTokenAuthWrapper` | [`AuthLayer::send_service_token`] and an [`Identity`] in each request, or [`ServiceTokenAuthWrapper`] for one user |
//! | `get_auth_ref(session)` | [`Credentials::get_auth_ref`], which always logs in; [`ServiceAccess::auth_ref`] returns the current one |
//! | `get_token(session)` | [`AccessInfo::auth_token`] |
//! | `get_headers(session)` | [`ServiceAccess::insert_headers`] |
//! | `get_endpoint(session, **filter)` | [`Discovery::endpoint`], or [`ServiceCatalog::url_for`] if the filter requests no version; the layer does this for each request |
//! | `get_endpoint_data(session, **filter)` | [`Discovery::endpoint_data`]; [`Endpoint::undiscovered`] for `skip_discovery` |
//! | `get_api_major_version(session, **filter)` | [`Discovery::api_major_version`] |
//! | `get_all_version_data(session)` | [`Discovery::all_version_data`], which queries several services at the same time |
//! | `get_user_id`, `get_project_id` | [`ServiceAccess::user_id`], [`ServiceAccess::project_id`] |
//! | `invalidate()` | [`IdentityPlugin::invalidate`], which takes the rejected access and the origin that rejected it |
//! | `get_auth_state()`, `set_auth_state(state)` | [`RenewingPlugin::auth_state`], [`RenewingPlugin::set_auth_state`]; for an access info [`AccessInfo::auth_state`], [`AccessInfo::from_auth_state`]; the format is the same |
//! | `get_cache_id()` | [`RenewingPlugin::cache_id`]; the same value, except for the cases in [deliberate differences](#deliberate-differences) |
//! | a store of auth states under their cache ids, by the program | the module `store` (feature `store`), in which many processes share one login |
//! | `cache: {auth: true}` in `clouds.yaml` (openstacksdk) | the same, with the features `config` and `store`; the tokens are in files |
//! | `AUTH_INTERFACE` | [`Interface::Auth`] |
//!
//! # Access infos and catalogs
//!
//! | keystoneauth1 | this crate |
//! |---|---|
//! | `access.create(resp=...)` | [`AccessInfo::from_response`] |
//! | `access.create(body=..., auth_token=...)` | [`AccessInfo::new`], [`AccessInfo::from_body`] |
//! | `AccessInfoV2`, `AccessInfoV3` | one type; [`AccessInfo::version`] returns the version |
//! | the properties of `AccessInfo` | methods of the same names; `None` for an absent value, where Python raises `KeyError` |
//! | `will_expire_soon(stale_duration=30)` | [`AccessInfo::will_expire_soon`] |
//! | `service_catalog.endpoint_data_for`, `url_for` | [`ServiceCatalog::endpoint_data_for`], [`url_for`](ServiceCatalog::url_for) |
//! | `get_urls`, `get_endpoints_data` | [`urls`](ServiceCatalog::urls), [`endpoints_data`](ServiceCatalog::endpoints_data) |
//! | `catalog`, `get_endpoints` (raw entries) | [`AccessInfo::body`], the unchanged document |
//! | `service_providers.get_auth_url(sp_id)` | [`AccessInfo::service_providers`] |
//! | `discover._SERVICE_TYPES` | [`service_types`] |
//!
//! # Versions
//!
//! | keystoneauth1 | this crate |
//! |---|---|
//! | `version`, `min_version`, `max_version` | [`EndpointFilter::version`], [`min_version`](EndpointFilter::min_version), [`max_version`](EndpointFilter::max_version) |
//! | `discover.LATEST`, `'2.latest'` | [`LATEST`](discovery::LATEST) as the major or minor part of a version |
//! | `allow={'allow_experimental': True}` | [`EndpointFilter::allow`] |
//! | `add_catalog_discover_hack` | [`Discovery::version_hack`] |
//! | `allow_version_hack=False` | [`EndpointFilter::no_version_hack`] |
//! | `EndpointData`, `get_versioned_data` | [`Endpoint`], [`Discovery::versioned_data`] |
//! | `Discover`, `get_discovery` | [`VersionDocument`](discovery::VersionDocument), [`Discovery::document`] |
//! | `version_data`, `raw_version_data`, `data_for`, `versioned_data_for` | methods of the same names |
//! | `normalize_version_number`, `version_match`, `version_between` | parsing a [`Version`](discovery::Version), [`is_match`](discovery::Version::is_match), [`VersionRange::contains`](discovery::VersionRange::contains) |
//! | a discovery cache in the plugin and one in the session | one cache for all clones of a [`Discovery`] |
//!
//! # Session and Adapter
//!
//! There is no session. Other tower layers do what `Session` does besides authentication. The example `session_stack`
//! combines them.
//!
//! | keystoneauth1 | this crate |
//! |---|---|
//! | `Session(auth=plugin)` | [`AuthLayer::new`] around any HTTP client |
//! | a session for each user, or `session.get(path, auth=plugin)` | one client, and an [`Identity`] in the extensions of each request |
//! | `Adapter(session, service_type=..., interface=..., region_name=...)` | [`AuthLayer::endpoint`] |
//! | `session.get(path, endpoint_filter={...})` | a request with an [`EndpointFilter`] in its extensions |
//! | `endpoint_override='https://.../%(project_id)s'` | [`EndpointFilter::endpoint_override`] |
//! | `microversion`, `default_microversion` | [`EndpointFilter::microversion`] |
//! | `microversion_service_type` | [`EndpointFilter::microversion_for`] |
//! | `authenticated=False` | [`Unauthenticated`] in the request's extensions |
//! | `allow_reauth` (a second attempt after a 401) | `tower::retry` with [`ReauthPolicy`] |
//! | `raise_exc=True` | [`RaiseForStatusLayer`], outside of the retry layers; without it, as with `raise_exc=False`, no status is an error |
//! | `redirect=...` | tower-http's `FollowRedirect` with `RedirectPolicy` (feature `follow-redirect`); see [the order of layers](crate#order-of-layers) |
//! | `connect_retries`, `status_code_retries`, `retriable_status_codes` and their delays | `tower::retry` with [`RetryPolicy`] |
//! | `timeout` | `tower::timeout`, tower-http's `Timeout` |
//! | `rate_limit`, `max_concurrency` | `tower::limit`: `RateLimit` in a `Buffer`, `ConcurrencyLimit` |
//! | `global_request_id` | tower-http's `SetRequestId` for the header `X-OpenStack-Request-ID`, or that header in the request |
//! | `user_agent`, `additional_headers` | tower-http's `SetRequestHeader`; its value is the whole `User-Agent`, as in `my-program/1.0 my-library/2.0` |
//! | logging of requests, and of the request id in a response | tower-http's `Trace`, inside of the layer; log the response header `X-OpenStack-Request-ID` in its `on_response` |
//! | `keystoneauth1.fixture` | the module `fixture` (feature `fixture`) |
//!
//! # Errors
//!
//! | keystoneauth1 | this crate |
//! |---|---|
//! | `InvalidResponse`, `ValueError("Unrecognized auth response")` | [`Error::InvalidResponse`] |
//! | `EmptyCatalog`, `EndpointNotFound` | [`Error::EmptyCatalog`], [`Error::EndpointNotFound`], which lists the other endpoints of the service type and why they do not match |
//! | `AuthorizationFailure` (no token to send) | [`Error::NoToken`] |
//! | `AuthorizationFailure` (no method, two scopes) | [`Error::AuthorizationFailure`] |
//! | `DiscoveryFailure`, or no endpoint | [`Error::DiscoveryFailure`], which lists the versions that were found |
//! | `ImpliedVersionMismatch` and its subclasses | [`Error::ImpliedVersionMismatch`] |
//! | `MissingAuthMethods` | [`Error::MissingAuthMethods`], with the receipt for [`AuthMethod::receipt`] |
//! | `HttpError` and its classes by status, from Keystone | [`Error::Keystone`] |
//! | `ConnectFailure` | [`Error::ConnectFailure`] |
//! | `HttpError` and its classes by status, from a service | [`Error::Service`], with [`RaiseForStatusLayer`] |
//! | `Unauthorized`, from a service | a response with status 401 and a [`TokenRejected`] in its extensions; with [`RaiseForStatusLayer`] an [`Error::Service`] with `token_renewable` |
//!
//! # Deliberate differences
//!
//! | keystoneauth1 | this crate | reason |
//! |---|---|---|
//! | `invalidate()` drops the current token | it drops the current token only if that is the rejected one | a late 401 would drop a new token |
//! | the token is sent to any absolute URL | only to known origins; [`AuthLayer::allow_origin`] adds more | until it expires, a token is as powerful as a password |
//! | redirects carry the token to any host | `RedirectPolicy` sends it to the same origin only; if `FollowRedirect` is outside of the layer, the layer checks the origin again | the same as above |
//! | credentials follow redirects to any host | only 307 and 308 within the origin of the `auth_url`; others fail with [`Error::LoginRedirected`] | the password is meant for the host of the `auth_url` |
//! | redirects from https to http, and 305, are followed | the redirect response is returned | encrypted requests stay encrypted; RFC 9110 deprecates 305 |
//! | a relative `Location` is an error | it is resolved | RFC 9110 |
//! | a redirected request gets the request id of the redirect response | it keeps its own request id | |
//! | the token of the plugin replaces an `X-Auth-Token` of the request | the request keeps its own; [`AuthLayer::overwrite_token`] replaces it | the caller has set the header on purpose |
//! | an expired access info is still used | the same; [`AccessInfoPlugin::refuse_expired`] refuses it locally | |
//! | a token is any string | at most 128 KiB of visible ASCII | other characters do not pass through an HTTP header unchanged |
//! | in v3 catalogs, `publicURL` means `public`: all letters U, R and L at the end of an interface are removed | only the suffix `URL` is removed | the name of an interface can end in one of these letters |
//! | `ValueError` if two aliases match and neither has an endpoint | [`Error::EndpointNotFound`] | no endpoint was found |
//! | one catalog entry without a URL breaks every lookup | the entry is skipped | |
//! | a lock is held during a login | no lock is held; requests use the current token meanwhile, and all waiting requests share one login | a slow Keystone would delay every request |
//! | a failed login is an error at once | a transient failure is retried for up to 30 s; with [`RenewalPolicy::fail_fast`](crate::RenewalPolicy::fail_fast) it is an error at once | a service should wait until Keystone is back; a command line program should report the failure |
//! | with a wrong password, each waiting request logs in | they share the failure of one login, and the next login is delayed | failed logins can lock the account |
//! | if Keystone returns 401 for its version document, a login with `generic.Password` waits for itself and does not end | the path of the `auth_url` determines the version | |
//! | a default domain id replaces a domain that is given by name | it is used only if no domain is given | another domain may have a user of the same name |
//! | the cache id does not depend on `system_scope`, `unscoped` and `include_catalog`, and a NUL byte in a value is not escaped | it depends on them, and the NUL byte is escaped | different credentials have different cache ids |
//! | `https://host` and `https://host/` have different cache ids | both have the id of `https://host` | it is the same URL |
//! | an unauthenticated service gets `X-Auth-Token: notused` | it gets no such header | `notused` is not a token |
//! | `Retry-After` must be a number of seconds, and has no limit | it can also be a date; at most 300 s | a server could ask to wait for years |
//! | `Retry-After: -1` raises `ValueError` | it is ignored, and the default delay is used | |
//! | delays are exact, and retries are not limited across requests | half of a delay is random, and all requests share a retry budget; [`RetryPolicy`] can use exact delays | otherwise all clients that failed at the same time would retry at the same time |
//! | a role without an id breaks `role_ids` | the role is skipped | |
//! | `max_version` without `min_version` matches no version | it matches the newest version up to that one | |
//! | `IndexError` for a version document without versions, `TypeError` if it has one malformed version | a descriptive error; a malformed version is skipped | |
//! | if a URL returns 401, its version document is requested with the token, over any redirect | the token is sent only to known origins, and redirects must stay within the origin or lead from http to https on the same host | |
//! | a version document is cached without limit, a failure is not cached | documents are cached for an hour, failures for ten seconds, transient failures for one | both can change |
//! | if the version document of a requested version cannot be fetched for now, requests go to the URL in the catalog | they fail with a transient error, which [`RetryPolicy`] retries | the service may have that version at another URL |
//! | `%(project_id)s` in an `endpoint_override` is replaced by requests, but not by `get_endpoint` and `get_endpoint_data` | it is always replaced | |
//! | with an `endpoint_override`, a request ignores the version, but `get_endpoint_data` looks for it | discovery looks for the version at the override URL, for requests too | keystoneauth documents that the version selects an API below an unversioned override |
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

#[cfg(feature = "validate")]
#[cfg_attr(docsrs, doc(cfg(feature = "validate")))]
pub mod keystonemiddleware;

#[cfg(doc)]
use crate::*;
