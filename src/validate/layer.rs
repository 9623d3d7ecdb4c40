use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{Extensions, Response, Uri};
use tower_layer::Layer;

use super::{
    JsonDocument, RawResponse, Rejection, ValidateToken, ValidationMetrics,
    settings::Settings,
    shared::Shared,
    token_validator::{Asker, TokenValidator, ValidatorSettings},
};
use crate::{AuthUrl, IdentityPlugin, Interface, Transport, renewal::Clock};

/// Maximum of [`ValidateTokenLayer::max_token_length`], in bytes: the maximum length of a token that can be sent.
const MAX_TOKEN_LENGTH: usize = 128 * 1024;

/// A layer that validates the token of each incoming request.
///
/// All clones of the layer, and all services that they create, share one cache. A setting that concerns the cache or
/// the requests to Keystone starts an empty one, so clone the layer after it is configured.
///
/// If the response body of the inner service is not `From<Bytes>`, call [`respond_with`](Self::respond_with). The inner
/// service must be `Clone`. If the compiler says that `oneshot` (or `call`) exists but its trait bounds were not
/// satisfied, one of these two is missing.
///
/// See the [module docs](super) for an example.
#[derive(Clone)]
pub struct ValidateTokenLayer<F = JsonDocument> {
    settings: Arc<Settings>,
    validator_settings: Arc<ValidatorSettings>,
    metrics: ValidationMetrics,
    /// Created when it is first needed.
    validator: Arc<OnceLock<TokenValidator>>,
    /// Created when the first service is created.
    shared: Arc<OnceLock<Arc<Shared>>>,
    respond: F,
}

impl ValidateTokenLayer {
    /// Creates a layer that asks Keystone with the token of `plugin`, the service's own account.
    ///
    /// The account needs the role `service`, or `admin`. A [`RenewingPlugin`](crate::RenewingPlugin) keeps its token
    /// valid. The endpoint of Keystone is in its service catalog.
    ///
    /// The layer does not use the region and the interface of the `CloudConfig` that a plugin comes from. Set them with
    /// [`region`](Self::region) and [`interface`](Self::interface).
    pub fn new(plugin: impl IdentityPlugin, transport: Transport) -> Self {
        Self::with_asker(Asker::Plugin(Arc::new(plugin)), transport)
    }

    /// Creates a layer that asks Keystone about each token with the token itself, without an account of its own.
    ///
    /// A 401 of Keystone then means that the token is not valid. Expired tokens are never accepted, also not with a
    /// service token.
    ///
    /// Keystone is asked at `auth_url`, so [`region`](Self::region) and [`interface`](Self::interface) have no effect.
    pub fn self_validating(auth_url: impl Into<AuthUrl>, transport: Transport) -> Self {
        Self::with_asker(Asker::TokenItself(auth_url.into()), transport)
    }

    fn with_asker(asker: Asker, transport: Transport) -> Self {
        Self {
            settings: Arc::default(),
            validator_settings: Arc::new(ValidatorSettings::new(asker, transport)),
            metrics: ValidationMetrics::new(),
            validator: Arc::default(),
            shared: Arc::default(),
            respond: JsonDocument,
        }
    }
}

impl<F> ValidateTokenLayer<F> {
    /// Sets the public URL of Keystone that a 401 names: keystonemiddleware's `www_authenticate_uri`.
    ///
    /// It is an absolute URL, such as `https://keystone.example.com/v3`. A warning is logged if it has no scheme
    /// (`keystone.example.com`, `/v3`), but it is sent as it is.
    ///
    /// Default: the `auth_url` of the service's own account, or the one given to
    /// [`self_validating`](Self::self_validating). Clients may not be able to reach it, so a warning is logged.
    #[must_use]
    pub fn www_authenticate_uri(self, uri: Uri) -> Self {
        self.update(|settings| settings.www_authenticate_uri = Some(uri))
    }

    /// Lets requests without a valid token through: keystonemiddleware's option of this name.
    ///
    /// The application decides by the [`Validation`](crate::Validation). It can tell a bad token from an outage of
    /// Keystone.
    #[must_use]
    pub fn delay_auth_decision(self) -> Self {
        self.update(|settings| settings.delay_auth_decision = true)
    }

    /// Sets the roles of which a service token needs one. Default: `service`. They are compared exactly.
    ///
    /// With such a role, a service token lets expired tokens of users through, for the time that Keystone allows, and
    /// lifts the list of their access rules.
    #[must_use]
    pub fn service_token_roles<R: Into<Box<str>>>(self, roles: impl IntoIterator<Item = R>) -> Self {
        let roles = roles.into_iter().map(Into::into).collect();
        self.update(|settings| settings.service_token_roles = roles)
    }

    /// Sets whether a request is rejected if its service token has none of these roles. Default: true.
    ///
    /// If it is false, any valid token counts as a service token, but only one with a role has the effects that
    /// [`service_token_roles`](Self::service_token_roles) describes.
    #[must_use]
    pub fn service_token_roles_required(self, required: bool) -> Self {
        self.update(|settings| settings.service_token_roles_required = required)
    }

    /// Sets the type of this service, such as `compute`, for access rules of application credentials.
    ///
    /// Without it, tokens with access rules are rejected. An access rule must name exactly this type.
    #[must_use]
    pub fn service_type(self, service_type: impl Into<Box<str>>) -> Self {
        self.update(|settings| settings.service_type = Some(service_type.into()))
    }

    /// Sets the maximum length of a token, in bytes. Default: 8,192. At most 131,072.
    ///
    /// A longer token is malformed: the response is a 401, and Keystone is not asked.
    #[must_use]
    pub fn max_token_length(self, length: usize) -> Self {
        self.update(|settings| settings.max_token_length = length.min(MAX_TOKEN_LENGTH))
    }

    /// Accepts tokens in `Authorization: Bearer` too.
    ///
    /// Such a token is used even if the request has an `X-Auth-Token`. The scheme must be spelt `Bearer`: with `bearer`
    /// or `BEARER`, the token is malformed and the response is a 401, also if the request has a valid `X-Auth-Token`. A
    /// header with another scheme, such as `Basic`, is ignored.
    #[must_use]
    pub fn bearer_tokens(self) -> Self {
        self.update(|settings| settings.bearer_tokens = true)
    }

    /// Requires that tokens are bound to the client certificate of the connection (RFC 8705).
    ///
    /// A bound token is always accepted only with a [`PeerCertificate`](crate::PeerCertificate) that matches. With this
    /// setting, a token that is not bound is rejected too.
    #[must_use]
    pub fn require_certificate_bound_tokens(self) -> Self {
        self.update(|settings| settings.require_certificate_bound_tokens = true)
    }

    /// Sets a function that returns the URI that the client sent, for routers that remove a prefix from the path.
    ///
    /// It is needed only for access rules and [`RequireLayer::project_in_path`](crate::RequireLayer::project_in_path).
    /// The layer inserts the result as [`SentUri`](crate::SentUri), whose docs list the alternatives.
    #[must_use]
    pub fn sent_uri(self, sent_uri: fn(&Extensions) -> Option<&Uri>) -> Self {
        self.update(|settings| settings.sent_uri = Some(sent_uri))
    }

    /// Passes the identity to the inner service in headers too, as keystonemiddleware does.
    ///
    /// A value that cannot stand in a header is left out, and so is a role with a comma in its name: the names in
    /// `X-Roles` are separated by commas.
    #[must_use]
    pub fn identity_headers(self) -> Self {
        self.update(|settings| settings.identity_headers = true)
    }

    /// Sets the interface of the endpoint that tokens are validated at. Default: internal.
    ///
    /// The interface of a `CloudConfig` is not used. A layer that is [`self_validating`](Self::self_validating) has no
    /// catalog, and ignores this setting.
    #[must_use]
    pub fn interface(self, interface: impl Into<Interface>) -> Self {
        self.update_validator(|settings| settings.interface = interface.into())
    }

    /// Sets the region of the endpoint that tokens are validated at. Default: any region.
    ///
    /// The region of a `CloudConfig` is not used: pass its `region_name()` here. A layer that is
    /// [`self_validating`](Self::self_validating) has no catalog, and ignores this setting.
    #[must_use]
    pub fn region(self, region_name: impl Into<Box<str>>) -> Self {
        self.update_validator(|settings| settings.region_name = Some(region_name.into()))
    }

    /// Asks Keystone for no service catalog: keystonemiddleware's `include_service_catalog=False`.
    #[must_use]
    pub fn without_catalog(self) -> Self {
        self.update_validator(|settings| settings.include_service_catalog = false)
    }

    /// Sets how long a valid token is cached. Default: 300 s. Zero turns the cache off.
    #[must_use]
    pub fn token_cache_time(self, time: Duration) -> Self {
        self.update_validator(|settings| settings.token_cache_time = time)
    }

    /// Sets how long an unknown token is cached. Default: 10 s, and never longer than a valid one.
    #[must_use]
    pub fn unknown_token_cache_time(self, time: Duration) -> Self {
        self.update_validator(|settings| settings.unknown_token_cache_time = time)
    }

    /// Sets how much longer a cached token is accepted while Keystone is unavailable. Default: zero.
    #[must_use]
    pub fn outage_grace(self, grace: Duration) -> Self {
        self.update_validator(|settings| settings.outage_grace = grace)
    }

    /// Shares validations with other processes through a store, which is a second level behind the cache.
    ///
    /// A token that one replica of a service has validated is not validated again by the others: see the
    /// [module docs](super#a-store-for-several-replicas).
    ///
    /// Everybody who has the key of the store can make up an identity with any role. So use another key and another
    /// [name](crate::SharedTokens::name) than for the tokens of the program itself, and not the `SharedTokens` of the
    /// account. This is not checked. A store without a key is not used: a warning is logged.
    /// [Older keys](crate::SharedTokens::also_read_with) have no effect here.
    #[cfg(feature = "store")]
    #[cfg_attr(docsrs, doc(cfg(feature = "store")))]
    #[must_use]
    pub fn store(self, store: crate::SharedTokens) -> Self {
        self.update_validator(|settings| settings.store = Some(store))
    }

    /// Sets the bounds of the cache of valid tokens: their number, and their memory in bytes.
    #[must_use]
    pub fn cache_capacity(self, tokens: usize, bytes: usize) -> Self {
        self.update_validator(|settings| {
            (settings.max_cached_tokens, settings.max_cached_bytes) = (tokens, bytes)
        })
    }

    /// Sets how many validations may be in flight, and how many more may wait. Default: 64 and 1,024.
    #[must_use]
    pub fn max_validations(self, in_flight: usize, waiting: usize) -> Self {
        self.update_validator(|settings| {
            (settings.max_in_flight, settings.max_waiting) = (in_flight, waiting)
        })
    }

    /// Sets how long a request waits for a validation. Default: 10 s.
    #[must_use]
    pub fn validation_timeout(self, timeout: Duration) -> Self {
        self.update_validator(|settings| settings.validation_timeout = timeout)
    }

    /// Sets how often a validation is sent again if Keystone cannot be reached. Default: 3.
    #[must_use]
    pub fn connect_retries(self, retries: u32) -> Self {
        self.update_validator(|settings| settings.connect_retries = retries)
    }

    /// Sets the clock.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        self.update_validator(|settings| settings.clock = Arc::new(clock))
    }

    /// Sets how a rejection becomes a response, for response bodies that are not `From<Bytes>`.
    ///
    /// The function chooses the body, and can add headers. The layer sets the status, `WWW-Authenticate` and
    /// `Retry-After` afterwards, and inserts the [`Rejection`] into the extensions.
    ///
    /// It makes the responses of this layer only: a 403 of [`RequireLayer`](crate::RequireLayer) is made by
    /// [that layer's `respond_with`](crate::RequireLayer::respond_with), and the extractors of axum respond with
    /// Keystone's JSON document.
    ///
    /// The type of a closure has no name. A function that returns the layer returns
    /// `ValidateTokenLayer<impl Fn(Rejection) -> Response<Body> + Clone>`, for the body type of its service:
    ///
    /// ```
    /// use std::convert::Infallible;
    ///
    /// use bytes::Bytes;
    /// use http::Response;
    /// use http_body_util::{Full, combinators::BoxBody};
    /// use tower_keystone::{Rejection, ValidateTokenLayer};
    ///
    /// type Body = BoxBody<Bytes, Infallible>;
    ///
    /// fn boxed(layer: ValidateTokenLayer) -> ValidateTokenLayer<impl Fn(Rejection) -> Response<Body> + Clone> {
    ///     layer.respond_with(|rejection| rejection.respond(|json| BoxBody::new(Full::new(json))))
    /// }
    /// # let _ = boxed;
    /// ```
    pub fn respond_with<R, G>(self, respond: G) -> ValidateTokenLayer<G>
    where
        G: Fn(Rejection) -> Response<R>,
    {
        self.with_respond(respond)
    }

    /// Sets how a rejection becomes a response, which is then sent as it is.
    ///
    /// Use it for protocols that have their own way to say that a request is rejected, such as gRPC, whose status is
    /// always 200. The function is responsible for the status and the headers.
    pub fn respond_with_raw<R, G>(self, respond: G) -> ValidateTokenLayer<RawResponse<G>>
    where
        G: Fn(Rejection) -> Response<R>,
    {
        self.with_respond(RawResponse(respond))
    }

    fn with_respond<G>(self, respond: G) -> ValidateTokenLayer<G> {
        ValidateTokenLayer {
            settings: self.settings,
            validator_settings: self.validator_settings,
            metrics: self.metrics,
            validator: self.validator,
            shared: self.shared,
            respond,
        }
    }

    /// Returns a handle to the metrics of all services that this layer creates.
    ///
    /// It stays the handle of the layer when more settings follow. A clone of the layer shares the metrics as long as it
    /// shares the cache.
    pub fn metrics(&self) -> ValidationMetrics {
        self.metrics.clone()
    }

    fn validator(&self) -> &TokenValidator {
        self.validator.get_or_init(|| TokenValidator::new(&self.validator_settings, self.metrics.clone()))
    }

    fn shared(&self) -> &Arc<Shared> {
        self.shared
            .get_or_init(|| Arc::new(Shared::new(Arc::clone(&self.settings), self.validator().clone())))
    }

    fn update(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self.shared = Arc::default();
        self
    }

    fn update_validator(mut self, change: impl FnOnce(&mut ValidatorSettings)) -> Self {
        change(Arc::make_mut(&mut self.validator_settings));
        if Arc::get_mut(&mut self.validator).is_none() {
            // The cache and the metrics stay with a clone of this layer.
            self.metrics = ValidationMetrics::new();
        }
        self.validator = Arc::default();
        self.shared = Arc::default();
        self
    }
}

impl<S, F: Clone> Layer<S> for ValidateTokenLayer<F> {
    type Service = ValidateToken<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        ValidateToken::new(Arc::clone(self.shared()), self.respond.clone(), inner)
    }
}

impl<F> fmt::Debug for ValidateTokenLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidateTokenLayer").field("settings", &self.settings).finish_non_exhaustive()
    }
}
