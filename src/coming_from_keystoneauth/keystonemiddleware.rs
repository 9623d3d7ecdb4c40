//! Maps the options and names of Python's keystonemiddleware to those of the server layer.
//!
//! keystonemiddleware's `auth_token` is the reference for [`ValidateTokenLayer`]. The tests replay the cases that were
//! recorded with it, and send the same requests to a service behind each of the two.
//!
//! # A configuration
//!
//! These options:
//!
//! ```ini
//! [keystone_authtoken]
//! www_authenticate_uri = https://keystone.example.com/v3
//! auth_type = password
//! auth_url = http://keystone.internal:5000/v3
//! username = inventory
//! user_domain_name = Default
//! password = secret
//! project_name = service
//! project_domain_name = Default
//! region_name = RegionOne
//! token_cache_time = 60
//! service_type = inventory
//! ```
//!
//! are this code. The password is that of the program's own configuration:
//!
//! ```
//! use std::time::Duration;
//!
//! use tower_keystone::{
//!     AuthMethod, BoxError, RenewingPlugin, Scope, Secret, Transport, User, V3Credentials, ValidateTokenLayer,
//! };
//!
//! fn validate(password: Secret, transport: Transport) -> Result<ValidateTokenLayer, BoxError> {
//!     let account = User::new().username("inventory").user_domain_name("Default");
//!     let project = Scope::new().project_name("service").project_domain_name("Default");
//!     let method = AuthMethod::password(account, password);
//!     let credentials = V3Credentials::new("http://keystone.internal:5000/v3", method).scope(project);
//!     let plugin = RenewingPlugin::new(credentials, transport.clone());
//!     Ok(ValidateTokenLayer::new(plugin, transport)
//!         .www_authenticate_uri("https://keystone.example.com/v3".parse()?)
//!         .region("RegionOne")
//!         .token_cache_time(Duration::from_secs(60))
//!         .service_type("inventory"))
//! }
//! # let _ = validate;
//! ```
//!
//! With the feature `config`, `CloudConfig::plugin` takes the account from a `clouds.yaml` or from `OS_*` variables.
//!
//! # Options of `[keystone_authtoken]`
//!
//! | option | this crate |
//! |---|---|
//! | `www_authenticate_uri` | [`www_authenticate_uri`](ValidateTokenLayer::www_authenticate_uri) |
//! | `auth_type`, `auth_section`, `auth_url`, `username`, `password`, `project_name` and the other options of the account | the plugin given to [`ValidateTokenLayer::new`]; see [which plugin](crate#which-plugin) |
//! | `auth_version` | none: the layer uses the Identity API v3 |
//! | `interface` | [`interface`](ValidateTokenLayer::interface); the default is `internal`, too |
//! | `region_name` | [`region`](ValidateTokenLayer::region) |
//! | `delay_auth_decision` | [`delay_auth_decision`](ValidateTokenLayer::delay_auth_decision) |
//! | `include_service_catalog = False` | [`without_catalog`](ValidateTokenLayer::without_catalog) |
//! | `service_type` | [`service_type`](ValidateTokenLayer::service_type) |
//! | `service_token_roles` | [`service_token_roles`](ValidateTokenLayer::service_token_roles); the default is `service`, too |
//! | `service_token_roles_required` | [`service_token_roles_required`](ValidateTokenLayer::service_token_roles_required); the default is true, too |
//! | `token_cache_time` | [`token_cache_time`](ValidateTokenLayer::token_cache_time); the default is 300 s, too; [`Duration::ZERO`](std::time::Duration::ZERO) turns the cache off, as `-1` does |
//! | `http_connect_timeout` | [`validation_timeout`](ValidateTokenLayer::validation_timeout) for the whole validation; a timeout for connecting is a setting of the HTTP client |
//! | `http_request_max_retries` | [`connect_retries`](ValidateTokenLayer::connect_retries); the default is 3, too |
//! | `cafile`, `certfile`, `keyfile`, `insecure` | settings of the HTTP client in the [`Transport`]; with `HttpsClientBuilder` (feature `rustls`) `ca_file`, `client_certificate` and `accept_invalid_certificates`; in a `clouds.yaml` `cacert`, `cert`, `key` and `verify` |
//! | `memcached_servers`, `cache` | `ValidateTokenLayer::store` (feature `store`), behind a cache in the memory of the process |
//! | `memcache_security_strategy`, `memcache_secret_key` | `StoreKey`; entries are always sealed (`ENCRYPT`) |
//! | `memcache_use_advanced_pool`, `memcache_pool_dead_retry`, `memcache_pool_maxsize`, `memcache_pool_socket_timeout`, `memcache_pool_unused_timeout`, `memcache_pool_conn_get_timeout` | none: `SharedTokens::answer_timeout` limits each answer, and a store that does not answer is asked again after 20 ms to 30 s |
//! | `memcache_username`, `memcache_password` | `MemcachedBuilder::username_and_password`, for servers that run with `-Y` |
//! | `memcache_tls_enabled`, `memcache_tls_cafile`, `memcache_tls_certfile`, `memcache_tls_keyfile`, `memcache_tls_allowed_ciphers`, `memcache_sasl_enabled` | none; `RedisStore` has TLS (feature `redis-tls`) |
//! | `enforce_token_bind` | none: Keystone issues no tokens that are bound to Kerberos; for client certificates see [`require_certificate_bound_tokens`](ValidateTokenLayer::require_certificate_bound_tokens) |
//! | `oslo_config_config`, `oslo_config_project`, `oslo_config_file`, `log_name` (in `api-paste.ini`) | none: the program configures the layer, and its `tracing` subscriber selects the events to log |
//!
//! Settings without a counterpart there: [`unknown_token_cache_time`](ValidateTokenLayer::unknown_token_cache_time),
//! [`outage_grace`](ValidateTokenLayer::outage_grace), [`cache_capacity`](ValidateTokenLayer::cache_capacity),
//! [`max_validations`](ValidateTokenLayer::max_validations),
//! [`max_token_length`](ValidateTokenLayer::max_token_length),
//! [`identity_headers`](ValidateTokenLayer::identity_headers),
//! [`self_validating`](ValidateTokenLayer::self_validating).
//!
//! # Middleware
//!
//! | keystonemiddleware | this crate |
//! |---|---|
//! | `auth_token` | [`ValidateTokenLayer`] |
//! | `oauth2_token` | [`bearer_tokens`](ValidateTokenLayer::bearer_tokens) |
//! | `oauth2_mtls_token` | [`bearer_tokens`](ValidateTokenLayer::bearer_tokens) and [`require_certificate_bound_tokens`](ValidateTokenLayer::require_certificate_bound_tokens) |
//! | `external_oauth2_token` | none: only Keystone's tokens are validated |
//! | `audit` | none |
//! | `fixture.AuthTokenFixture` | the module `fixture` (feature `fixture`), an in-memory Keystone |
//!
//! # Headers of a request
//!
//! A handler gets the identity from the [`Caller`] or the [`Validation`], not from headers:
//!
//! | header | this crate |
//! |---|---|
//! | `X-Identity-Status` | [`Validation::status`], which also tells `Absent` and `Unavailable` |
//! | `X-Service-Identity-Status` | [`Validation::service_status`] |
//! | `X-User-Id`, `X-User-Name`, `X-User-Domain-Id`, `X-User-Domain-Name` | [`user_id`](AccessInfo::user_id), [`username`](AccessInfo::username), [`user_domain_id`](AccessInfo::user_domain_id), [`user_domain_name`](AccessInfo::user_domain_name) of [`Caller::access_info`] |
//! | `X-Project-Id`, `X-Project-Name`, `X-Project-Domain-Id`, `X-Project-Domain-Name` | [`project_id`](AccessInfo::project_id), [`project_name`](AccessInfo::project_name), [`project_domain_id`](AccessInfo::project_domain_id), [`project_domain_name`](AccessInfo::project_domain_name) |
//! | `X-Domain-Id`, `X-Domain-Name` | [`domain_id`](AccessInfo::domain_id), [`domain_name`](AccessInfo::domain_name) |
//! | `OpenStack-System-Scope` | [`system_scoped`](AccessInfo::system_scoped) |
//! | `X-Roles` | [`role_names`](AccessInfo::role_names) |
//! | `X-Is-Admin-Project` | [`is_admin_project`](AccessInfo::is_admin_project), which is true if Keystone has no admin project |
//! | `X-Service-Catalog` | [`service_catalog`](AccessInfo::service_catalog) |
//! | `X-Service-User-Id`, `X-Service-Project-Id`, `X-Service-Roles` and so on | the same methods of [`Caller::service`] |
//! | `X-User`, `X-Tenant`, `X-Tenant-Id`, `X-Tenant-Name`, `X-Role` (deprecated) | as `X-User-Name`, `X-Project-Id`, `X-Project-Name` and `X-Roles` |
//!
//! [`ValidateTokenLayer::identity_headers`] sets these headers for an application that reads them.
//!
//! # Keys of the WSGI environment
//!
//! | key | this crate |
//! |---|---|
//! | `keystone.token_info` | [`AccessInfo::body`], the document of the token |
//! | `keystone.token_auth` as a plugin | [`Caller::identity`] in the extensions of a request; [`send_service_token`](crate::AuthLayer::send_service_token) adds the token of this service |
//! | `keystone.token_auth.user`, `keystone.token_auth.service` | [`Caller::access_info`], [`Caller::service`] |
//! | `has_user_token`, `has_service_token` of it | [`Validation::status`], [`Validation::service_status`] |
//!
//! # Rules of oslo.policy
//!
//! There is no policy file. The program states its requirements as layers of the module
//! [`require`](crate::validate::require), or in its handlers:
//!
//! | rule | this crate |
//! |---|---|
//! | `role:member or role:reader` | [`RequireLayer::any_role(["member", "reader"])`](RequireLayer::any_role) |
//! | `role:member and role:auditor` | [`RequireLayer::all_roles(["member", "auditor"])`](RequireLayer::all_roles) |
//! | `project_id:%(project_id)s` | [`RequireLayer::project_in_path`] or [`Caller::require_project`] |
//! | `system_scope:all`, `scope_types=['system']` | [`RequireLayer::system`] |
//! | `scope_types=['project']`, `scope_types=['domain']` | [`RequireLayer::project`], [`RequireLayer::domain`] |
//! | `user_id:%(user_id)s`, `domain_id:%(domain_id)s`, `not`, `or` of different checks | [`RequireLayer::that`] with a closure, or a line in the handler |
//! | `rule:a and rule:b` | [`RequireLayer::and`] |
//! | `@` (always), `!` (never) | no layer; [`RequireLayer::any_role::<&str>([])`](RequireLayer::any_role) |
//! | the target of a check is read from a database | in the handler: `return Err(Rejection::forbidden())` |
//!
//! Names of roles are compared exactly, including their case. A role that another role implies is in the token already.
//!
//! # Behaviour to know
//!
//! - The identity is in the extensions of the request. Headers are added only with `identity_headers`.
//! - A 503 has `Retry-After`. With `delay_auth_decision`, an outage of Keystone is the status `Unavailable`.
//! - Unknown tokens are cached for 10 s. If a client uses a token before Keystone knows it, set
//!   [`unknown_token_cache_time`](ValidateTokenLayer::unknown_token_cache_time) to zero.
//! - A token in steady use is validated again in the background before its time in the cache ends.
//! - A header with several different tokens, and a token with more than 8,192 characters, is a 401.
//! - Only a confirmed service token with one of the service roles lifts access rules.
//! - In the path of an access rule, `*`, `**` and `{name}` are wildcards, and all other characters match themselves.
//! - Keystone is not asked on another origin: a redirect to one is not followed.

#[cfg(doc)]
use crate::*;
