//! Builds the identity plugin of a case.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use http::Uri;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, AuthMethod, Credentials, Error, FixedEndpointPlugin, GenericCredentials,
    IdentityPlugin, RenewalPolicy, RenewingPlugin, Scope, Secret, ServiceTokenAuthWrapper, Transport, User,
    V2Credentials, V3Credentials,
    identity::{AuthRefFuture, PrepareFuture},
};

use crate::{Incomplete, clock::FrozenClock, comparison::CallError};

#[path = "federated_plugins.rs"]
mod federated;

/// A plugin as described in the data.
#[derive(Clone, Default, Deserialize)]
pub(crate) struct PluginSpec {
    pub(crate) kind: String,
    #[serde(default)]
    parameters: Parameters,
    /// Methods that are added after construction.
    #[serde(default)]
    add_methods: Vec<Parameters>,
    /// The auth state that is restored before the calls.
    #[serde(default)]
    pub(crate) auth_state: Value,
    #[serde(default)]
    unscoped_auth_state: Value,
}

type Parameters = BTreeMap<String, Box<RawValue>>;

impl PluginSpec {
    /// Returns a parameter, unless it is null.
    pub(crate) fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Incomplete> {
        let Some(value) = self.parameters.get(name) else { return Ok(None) };
        serde_json::from_str(value.get())
            .map_err(|_| Incomplete::NotExpressible(format!("the parameter `{name}` of another kind")))
    }

    /// Returns a parameter if it is a text.
    pub(crate) fn text(&self, name: &str) -> Option<Box<str>> {
        self.get(name).ok().flatten()
    }

    /// Returns all parameters that are texts.
    pub(crate) fn texts(&self) -> impl Iterator<Item = String> {
        self.parameters.values().filter_map(|value| serde_json::from_str(value.get()).ok())
    }

    /// Replaces a parameter by the result of `change`, if there is one.
    pub(crate) fn change(
        &mut self,
        name: &str,
        change: impl FnOnce(&RawValue) -> Option<Box<RawValue>>,
    ) -> bool {
        let changed = self.parameters.get(name).and_then(|value| change(value));
        changed.is_some_and(|changed| self.parameters.insert(name.to_owned(), changed).is_some())
    }

    /// Sets a parameter.
    pub(crate) fn set(&mut self, name: &str, value: impl Serialize) -> bool {
        let value = serde_json::value::to_raw_value(&value);
        value.is_ok_and(|value| self.parameters.insert(name.to_owned(), value).is_none_or(|_| true))
    }

    /// Returns a parameter if it is a flag.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).ok().flatten()
    }

    /// Removes a parameter.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        self.parameters.remove(name).is_some()
    }

    /// Returns whether one of the methods replaces another one.
    pub(crate) fn has_duplicate_method(&self) -> bool {
        let own: Option<Vec<Parameters>> = self.get("auth_methods").ok().flatten();
        let own = own.iter().flatten().chain(&self.add_methods).filter_map(|method| method.get("method"));
        let mut names: Vec<_> = own.map(|name| name.get().trim_matches('"').replace('_', "")).collect();
        match &*self.kind {
            "v3multifactor" => {
                names.extend(self.method_names().iter().map(|name| name.replacen("v3", "", 1)))
            }
            kind => names.push(kind.replacen("v3", "", 1)),
        }
        let all = names.len();
        names.sort();
        names.dedup();
        names.len() < all
    }

    /// Returns all parameters.
    pub(crate) fn parameters_json(&self) -> Value {
        let parameters = [&self.parameters].into_iter().chain(&self.add_methods).flatten();
        let values = parameters.filter_map(|(_, value)| serde_json::from_str::<Value>(value.get()).ok());
        values.chain([self.auth_state.clone()]).collect()
    }

    /// Returns the names of the methods, if they are listed by name.
    pub(crate) fn method_names(&self) -> Vec<String> {
        self.get("auth_methods").ok().flatten().unwrap_or_default()
    }

    fn secret(&self, name: &str) -> Result<Secret, Incomplete> {
        let missing = || Incomplete::NotExpressible(format!("credentials whose `{name}` is null"));
        match self.get::<Box<str>>(name)? {
            None if self.parameters.contains_key(name) && !self.is_fixed() => Err(missing()),
            secret => Ok(Secret::new(&*secret.unwrap_or_default())),
        }
    }

    /// Returns whether the plugin has a fixed endpoint.
    fn is_fixed(&self) -> bool {
        matches!(&*self.kind, "noauth" | "token_endpoint" | "http_basic")
    }

    fn uri(&self, name: &str) -> Result<Uri, CallError> {
        let text: Box<str> = self.get(name)?.unwrap_or_default();
        Ok(text.parse().map_err(|error: http::uri::InvalidUri| Error::plugin(false, error))?)
    }

    /// Returns the description of a method that has its own parameters.
    fn for_method(parameters: Parameters) -> Self {
        let method = Self { kind: String::new(), parameters, ..Self::default() };
        Self { kind: method.text("method").unwrap_or_default().into(), ..method }
    }
}

/// A plugin, by the operations that it supports.
pub(crate) enum Plugin {
    RenewingPlugin(RenewingPlugin<AnyCredentials>),
    AccessInfo(AccessInfoPlugin, AccessInfo),
    Other(Arc<dyn IdentityPlugin>),
}

impl Plugin {
    /// Creates the described plugin.
    pub(crate) fn new(
        spec: &PluginSpec,
        transport: &Transport,
        clock: FrozenClock,
    ) -> Result<Self, CallError> {
        if !spec.unscoped_auth_state.is_null() {
            return Err(Incomplete::NotExpressible("an unscoped auth state".to_owned()).into());
        }
        let fixed = |plugin: FixedEndpointPlugin| Self::Other(Arc::new(plugin));
        Ok(match &*spec.kind {
            "access_info" => {
                let body: Box<RawValue> = spec.get("body")?.unwrap_or_default();
                let access_info = match (auth_state(&spec.auth_state), spec.get::<Box<str>>("token")?) {
                    (Some(state), _) => AccessInfo::from_auth_state(&state)?,
                    (None, Some(token)) => AccessInfo::new(&*token, body.get())?,
                    (None, None) => AccessInfo::from_body(body.get())?,
                };
                let plugin = AccessInfoPlugin::new(access_info.clone());
                let plugin = match spec.get::<Box<str>>("auth_url")? {
                    Some(_) => plugin.auth_url(spec.uri("auth_url")?),
                    None => plugin,
                };
                Self::AccessInfo(plugin, access_info)
            }
            "noauth" => fixed(FixedEndpointPlugin::no_auth(spec.uri("endpoint")?)?),
            "token_endpoint" => {
                let token = spec.secret("token")?;
                fixed(FixedEndpointPlugin::admin_token(spec.uri("endpoint")?, &token)?)
            }
            "http_basic" => {
                let username: Box<str> = spec.get("username")?.unwrap_or_default();
                let password = spec.secret("password")?;
                fixed(FixedEndpointPlugin::http_basic(spec.uri("endpoint")?, &username, &password)?)
            }
            "service_token" => {
                let part = |name: &str| -> Result<_, CallError> {
                    let part: Option<PluginSpec> = spec.get(name)?;
                    let missing = || Incomplete::Malformed(format!("a service_token without {name}"));
                    Ok(Self::new(&part.ok_or_else(missing)?, transport, clock)?.shared())
                };
                Self::Other(Arc::new(ServiceTokenAuthWrapper::new(part("user_auth")?, part("service_auth")?)))
            }
            "v3tokenlessauth" => Self::Other(Arc::new(federated::tokenless(spec)?)),
            _ => {
                let credentials = match federated::credentials(spec, transport, clock)? {
                    Some(credentials) => credentials,
                    None => AnyCredentials { credentials: credentials(spec)?, unscoped_cache_id: None },
                };
                let plugin = RenewingPlugin::new(credentials, transport.clone())
                    .policy(single_attempt_policy())
                    .clock(clock);
                if let Some(state) = auth_state(&spec.auth_state) {
                    plugin.set_auth_state(Some(&state))?;
                }
                Self::RenewingPlugin(plugin)
            }
        })
    }

    /// Returns the plugin for a layer.
    pub(crate) fn shared(&self) -> Arc<dyn IdentityPlugin> {
        match self {
            Self::RenewingPlugin(plugin) => Arc::new(plugin.clone()),
            Self::AccessInfo(plugin, _) => Arc::new(plugin.clone()),
            Self::Other(plugin) => Arc::clone(plugin),
        }
    }
}

/// Returns a state as text. The data contains it as text or as an object.
pub(crate) fn auth_state(state: &Value) -> Option<Secret> {
    match state {
        Value::Null => None,
        Value::String(raw) => Some(Secret::from(raw.clone())),
        state => Some(Secret::from(state.to_string())),
    }
}

/// Returns a policy with one login attempt per call, as in keystoneauth: a failed call returns the first error, and the
/// next call tries again.
fn single_attempt_policy() -> RenewalPolicy {
    let mut policy = RenewalPolicy::default();
    policy.fail_fast = true;
    // The client of the session can take long for its own retries.
    policy.attempt_timeout = Duration::from_secs(3600);
    policy.wait_timeout = Duration::from_secs(3600);
    policy.initial_backoff = BACKOFF;
    policy.max_backoff = BACKOFF;
    policy.permanent_failure_delays = vec![Duration::ZERO];
    policy.permanent_failure_delays_after_success = vec![Duration::ZERO];
    policy.permanent_failure_delays_without_lockout = vec![Duration::ZERO];
    policy.min_renewal_interval = Duration::ZERO;
    policy.max_rejections = usize::MAX;
    policy.jitter = 0.0;
    policy
}

/// Back-off after a failed attempt. keystoneauth has none.
pub(crate) const BACKOFF: Duration = Duration::from_millis(250);

fn credentials(spec: &PluginSpec) -> Result<Box<dyn Credentials>, CallError> {
    let auth_url = spec.uri("auth_url")?;
    let mut methods = match &*spec.kind {
        "v2password" | "v2token" if spec.add_methods.is_empty() => return v2(spec, auth_url),
        "password" | "token" if spec.add_methods.is_empty() => return generic(spec, auth_url),
        "v2password" | "v2token" | "password" | "token" => {
            return Err(Incomplete::Malformed(format!("methods for a {}", spec.kind)).into());
        }
        "v3multifactor" => {
            let names: Vec<String> = spec.get("auth_methods")?.unwrap_or_default();
            names.iter().map(|name| method(name, spec)).collect::<Result<_, _>>()?
        }
        "v3auth" => methods_with_parameters(spec.get("auth_methods")?.unwrap_or_default())?,
        kind => vec![method(kind, spec)?],
    };
    methods.extend(methods_with_parameters(spec.add_methods.clone())?);
    let mut methods = methods.into_iter();
    let Some(first) = methods.next() else {
        return Err(Incomplete::NotExpressible("credentials without a method".to_owned()).into());
    };
    let auth = V3Credentials::new(auth_url, first).scope(scope(spec)?);
    let auth = methods.fold(auth, V3Credentials::and);
    Ok(match spec.get("include_catalog")? {
        Some(false) => Box::new(auth.without_catalog()),
        _ => Box::new(auth),
    })
}

/// Returns methods that each have their own parameters.
fn methods_with_parameters(methods: Vec<Parameters>) -> Result<Vec<AuthMethod>, Incomplete> {
    let spec = methods.into_iter().map(PluginSpec::for_method);
    spec.map(|spec| method(&spec.kind, &spec)).collect()
}

fn v2(spec: &PluginSpec, auth_url: Uri) -> Result<Box<dyn Credentials>, CallError> {
    let mut auth = match &*spec.kind {
        "v2token" => V2Credentials::token(auth_url, spec.secret("token")?),
        _ => {
            let mut user = User::new();
            if let Some(username) = spec.get::<Box<str>>("username")? {
                user = user.username(username);
            }
            if let Some(user_id) = spec.get::<Box<str>>("user_id")? {
                user = user.user_id(user_id);
            }
            V2Credentials::password(auth_url, user, spec.secret("password")?)
        }
    };
    if let Some(id) = spec.get::<Box<str>>("tenant_id")? {
        auth = auth.tenant_id(id);
    }
    if let Some(name) = spec.get::<Box<str>>("tenant_name")? {
        auth = auth.tenant_name(name);
    }
    if let Some(id) = spec.get::<Box<str>>("trust_id")? {
        auth = auth.trust_id(id);
    }
    Ok(Box::new(auth))
}

fn generic(spec: &PluginSpec, auth_url: Uri) -> Result<Box<dyn Credentials>, CallError> {
    let auth = match &*spec.kind {
        "token" => GenericCredentials::token(auth_url, spec.secret("token")?),
        _ => GenericCredentials::password(auth_url, user(spec)?, spec.secret("password")?),
    };
    let mut auth = auth.scope(scope(spec)?);
    if let Some(id) = spec.get::<Box<str>>("default_domain_id")? {
        auth = auth.default_domain_id(id);
    }
    if let Some(name) = spec.get::<Box<str>>("default_domain_name")? {
        auth = auth.default_domain_name(name);
    }
    Ok(Box::new(auth))
}

fn method(name: &str, spec: &PluginSpec) -> Result<AuthMethod, Incomplete> {
    Ok(match name.strip_prefix("v3").unwrap_or(name) {
        "password" => AuthMethod::password(user(spec)?, spec.secret("password")?),
        "totp" => AuthMethod::totp(user(spec)?, spec.secret("passcode")?),
        "token" => AuthMethod::token(spec.secret("token")?),
        "receipt" => AuthMethod::receipt(spec.secret("receipt")?),
        "applicationcredential" | "application_credential" => AuthMethod::application_credential_from_parts(
            spec.get::<Box<str>>("application_credential_id")?,
            spec.get::<Box<str>>("application_credential_name")?,
            user(spec)?,
            spec.secret("application_credential_secret")?,
        ),
        // As one of several methods, it is an application credential with other parameter names.
        "oauth2clientcredential" => AuthMethod::application_credential(
            spec.get::<Box<str>>("oauth2_client_id")?.unwrap_or_default(),
            spec.secret("oauth2_client_secret")?,
        ),
        other => return Err(Incomplete::Malformed(format!("the method {other}"))),
    })
}

type Setter<T> = fn(T, Box<str>) -> T;

fn user(spec: &PluginSpec) -> Result<User, Incomplete> {
    let setters: [(&str, Setter<User>); 4] = [
        ("user_id", User::user_id),
        ("username", User::username),
        ("user_domain_id", User::user_domain_id),
        ("user_domain_name", User::user_domain_name),
    ];
    setters.into_iter().try_fold(User::new(), |user, (name, set)| {
        Ok(match spec.get(name)? {
            Some(text) => set(user, text),
            None => user,
        })
    })
}

fn scope(spec: &PluginSpec) -> Result<Scope, Incomplete> {
    let setters: [(&str, Setter<Scope>); 8] = [
        ("project_id", Scope::project_id),
        ("project_name", Scope::project_name),
        ("project_domain_id", Scope::project_domain_id),
        ("project_domain_name", Scope::project_domain_name),
        ("domain_id", Scope::domain_id),
        ("domain_name", Scope::domain_name),
        ("system_scope", Scope::system_scope),
        ("trust_id", Scope::trust_id),
    ];
    // Generic plugins also accept the old names of project parameters.
    let is_generic = matches!(&*spec.kind, "password" | "token");
    let mut scope = Scope::new();
    for (name, set) in setters {
        let mut text: Option<Box<str>> = spec.get(name)?;
        if is_generic
            && matches!(name, "project_id" | "project_name")
            && text.as_deref().unwrap_or_default().is_empty()
        {
            text = spec.get(&name.replace("project", "tenant"))?;
        }
        if let Some(text) = text {
            scope = set(scope, text);
        }
    }
    Ok(if spec.get("unscoped")? == Some(true) { scope.unscoped() } else { scope })
}

/// Credentials of any type.
pub(crate) struct AnyCredentials {
    credentials: Box<dyn Credentials>,
    pub(crate) unscoped_cache_id: Option<String>,
}

impl Credentials for AnyCredentials {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        self.credentials.get_auth_ref(transport)
    }

    fn auth_url(&self) -> &Uri {
        self.credentials.auth_url()
    }

    fn cache_id(&self) -> Option<String> {
        self.credentials.cache_id()
    }

    fn prepare(&self, transport: Transport) -> PrepareFuture {
        self.credentials.prepare(transport)
    }
}

impl fmt::Debug for AnyCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyCredentials")
    }
}
