//! Builds the identity plugin of a case.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use http::Uri;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, AuthMethod, Credentials, Error, FixedEndpointPlugin, GenericCredentials,
    IdentityPlugin, RenewalPolicy, RenewingPlugin, Scope, Secret, ServiceTokenAuthWrapper, Transport, User,
    V2Credentials, V3Credentials, identity::AuthRefFuture,
};

use crate::{Unanswered, comparison::Failed, servers::FrozenClock};

/// The kinds that are not built: federation, OAuth 2.0, and X.509 in place of a token.
const NOT_BUILT: [&str; 9] = [
    "v3keystone2keystone",
    "v3oauth2clientcredential",
    "v3oauth2mtlsclientcredential",
    "v3oidcaccesstoken",
    "v3oidcauthorizationcode",
    "v3oidcclientcredentials",
    "v3oidcdeviceauthorization",
    "v3oidcpassword",
    "v3tokenlessauth",
];

/// A plugin as the data names it.
#[derive(Clone, Default, Deserialize)]
pub(crate) struct Described {
    pub(crate) kind: String,
    #[serde(default)]
    parameters: Parameters,
    /// Methods that are appended after construction.
    #[serde(default)]
    add_methods: Vec<Parameters>,
    /// What is installed before the calls.
    #[serde(default)]
    pub(crate) auth_state: Value,
    #[serde(default)]
    unscoped_auth_state: Value,
}

type Parameters = BTreeMap<String, Box<RawValue>>;

impl Described {
    /// A parameter; one that is null counts as not given.
    pub(crate) fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Unanswered> {
        let Some(value) = self.parameters.get(name) else { return Ok(None) };
        serde_json::from_str(value.get())
            .map_err(|_| Unanswered::NotExpressible(format!("the parameter `{name}` of another kind")))
    }

    /// A parameter that is a text, and nothing where it is none.
    pub(crate) fn text(&self, name: &str) -> Option<Box<str>> {
        self.get(name).ok().flatten()
    }

    /// All parameters that are texts.
    pub(crate) fn texts(&self) -> impl Iterator<Item = String> {
        self.parameters.values().filter_map(|value| serde_json::from_str(value.get()).ok())
    }

    /// Replaces a parameter by what `change` makes of it, if it makes anything.
    pub(crate) fn change(
        &mut self,
        name: &str,
        change: impl FnOnce(&RawValue) -> Option<Box<RawValue>>,
    ) -> bool {
        let changed = self.parameters.get(name).and_then(|value| change(value));
        changed.is_some_and(|changed| self.parameters.insert(name.to_owned(), changed).is_some())
    }

    /// Gives a parameter another value.
    pub(crate) fn set(&mut self, name: &str, value: impl Serialize) -> bool {
        let value = serde_json::value::to_raw_value(&value);
        value.is_ok_and(|value| self.parameters.insert(name.to_owned(), value).is_none_or(|_| true))
    }

    /// A parameter that is a flag, and nothing where it is none.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).ok().flatten()
    }

    /// Takes a parameter away.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        self.parameters.remove(name).is_some()
    }

    /// Whether one of its methods takes the place of another one.
    pub(crate) fn has_a_method_twice(&self) -> bool {
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

    /// All that it says.
    pub(crate) fn said(&self) -> Value {
        let parameters = [&self.parameters].into_iter().chain(&self.add_methods).flatten();
        let values = parameters.filter_map(|(_, value)| serde_json::from_str::<Value>(value.get()).ok());
        values.chain([self.auth_state.clone()]).collect()
    }

    /// The names of its methods, where there are several by name.
    pub(crate) fn method_names(&self) -> Vec<String> {
        self.get("auth_methods").ok().flatten().unwrap_or_default()
    }

    fn secret(&self, name: &str) -> Result<Secret, Unanswered> {
        let missing = || Unanswered::NotExpressible(format!("credentials whose `{name}` is null"));
        match self.get::<Box<str>>(name)? {
            None if self.parameters.contains_key(name) && !self.is_fixed() => Err(missing()),
            secret => Ok(Secret::new(&*secret.unwrap_or_default())),
        }
    }

    /// Whether it is of a kind for a fixed endpoint.
    fn is_fixed(&self) -> bool {
        matches!(&*self.kind, "noauth" | "token_endpoint" | "http_basic")
    }

    fn uri(&self, name: &str) -> Result<Uri, Failed> {
        let text: Box<str> = self.get(name)?.unwrap_or_default();
        Ok(text.parse().map_err(|error: http::uri::InvalidUri| Error::plugin(false, error))?)
    }

    /// A method that has its own parameters, by its name.
    fn of_method(parameters: Parameters) -> Self {
        let method = Self { kind: String::new(), parameters, ..Self::default() };
        Self { kind: method.text("method").unwrap_or_default().into(), ..method }
    }
}

/// A plugin, by what can be asked of it.
pub(crate) enum Plugin {
    RenewingPlugin(RenewingPlugin<AnyCredentials>),
    AccessInfo(AccessInfoPlugin, AccessInfo),
    Other(Arc<dyn IdentityPlugin>),
}

impl Plugin {
    /// The plugin that is described; the error is that of its constructor.
    pub(crate) fn new(
        described: &Described,
        transport: &Transport,
        clock: FrozenClock,
    ) -> Result<Self, Failed> {
        if NOT_BUILT.contains(&&*described.kind) {
            return Err(Unanswered::NotBuilt(format!("the plugin {}", described.kind)).into());
        }
        if !described.unscoped_auth_state.is_null() {
            return Err(Unanswered::NotExpressible("an unscoped auth state".to_owned()).into());
        }
        let fixed = |plugin: FixedEndpointPlugin| Self::Other(Arc::new(plugin));
        Ok(match &*described.kind {
            "access_info" => {
                let body: Box<RawValue> = described.get("body")?.unwrap_or_default();
                let access_info =
                    match (auth_state(&described.auth_state), described.get::<Box<str>>("token")?) {
                        (Some(state), _) => AccessInfo::from_auth_state(&state)?,
                        (None, Some(token)) => AccessInfo::new(&*token, body.get())?,
                        (None, None) => AccessInfo::from_body(body.get())?,
                    };
                let plugin = AccessInfoPlugin::new(access_info.clone());
                let plugin = match described.get::<Box<str>>("auth_url")? {
                    Some(_) => plugin.auth_url(described.uri("auth_url")?),
                    None => plugin,
                };
                Self::AccessInfo(plugin, access_info)
            }
            "noauth" => fixed(FixedEndpointPlugin::no_auth(described.uri("endpoint")?)?),
            "token_endpoint" => {
                let token = described.secret("token")?;
                fixed(FixedEndpointPlugin::admin_token(described.uri("endpoint")?, &token)?)
            }
            "http_basic" => {
                let username: Box<str> = described.get("username")?.unwrap_or_default();
                let password = described.secret("password")?;
                fixed(FixedEndpointPlugin::http_basic(described.uri("endpoint")?, &username, &password)?)
            }
            "service_token" => {
                let part = |name: &str| -> Result<_, Failed> {
                    let part: Option<Described> = described.get(name)?;
                    let missing = || Unanswered::Malformed(format!("a service_token without {name}"));
                    Ok(Self::new(&part.ok_or_else(missing)?, transport, clock)?.shared())
                };
                Self::Other(Arc::new(ServiceTokenAuthWrapper::new(part("user_auth")?, part("service_auth")?)))
            }
            _ => {
                let credentials = AnyCredentials(credentials(described)?);
                let plugin =
                    RenewingPlugin::new(credentials, transport.clone()).policy(one_go()).clock(clock);
                if let Some(state) = auth_state(&described.auth_state) {
                    plugin.set_auth_state(Some(&state))?;
                }
                Self::RenewingPlugin(plugin)
            }
        })
    }

    /// The plugin as a layer takes it.
    pub(crate) fn shared(&self) -> Arc<dyn IdentityPlugin> {
        match self {
            Self::RenewingPlugin(plugin) => Arc::new(plugin.clone()),
            Self::AccessInfo(plugin, _) => Arc::new(plugin.clone()),
            Self::Other(plugin) => Arc::clone(plugin),
        }
    }
}

/// A state as a plugin takes it: raw text, or what the data shows parsed.
pub(crate) fn auth_state(state: &Value) -> Option<Secret> {
    match state {
        Value::Null => None,
        Value::String(raw) => Some(Secret::from(raw.clone())),
        state => Some(Secret::from(state.to_string())),
    }
}

/// One go at Keystone for each question, as the reference makes it: the first failure is the answer, and the next
/// question another go. What these figures do is tested with renewal.
fn one_go() -> RenewalPolicy {
    let mut policy = RenewalPolicy::default();
    policy.fail_fast = true;
    // The client of the session may take its time for retries.
    policy.attempt_timeout = Duration::from_secs(3600);
    policy.wait_timeout = Duration::from_secs(3600);
    policy.initial_backoff = PAUSE;
    policy.max_backoff = PAUSE;
    policy.permanent_failure_delays = vec![Duration::ZERO];
    policy.permanent_failure_delays_after_success = vec![Duration::ZERO];
    policy.permanent_failure_delays_without_lockout = vec![Duration::ZERO];
    policy.min_renewal_interval = Duration::ZERO;
    policy.max_rejections = usize::MAX;
    policy.jitter = 0.0;
    policy
}

/// The pause after an attempt that failed, for which the reference has none.
pub(crate) const PAUSE: Duration = Duration::from_millis(250);

fn credentials(described: &Described) -> Result<Box<dyn Credentials>, Failed> {
    let auth_url = described.uri("auth_url")?;
    let mut methods = match &*described.kind {
        "v2password" | "v2token" if described.add_methods.is_empty() => return v2(described, auth_url),
        "password" | "token" if described.add_methods.is_empty() => return generic(described, auth_url),
        "v2password" | "v2token" | "password" | "token" => {
            return Err(Unanswered::Malformed(format!("methods for a {}", described.kind)).into());
        }
        "v3multifactor" => {
            let names: Vec<String> = described.get("auth_methods")?.unwrap_or_default();
            names.iter().map(|name| method(name, described)).collect::<Result<_, _>>()?
        }
        "v3auth" => own_methods(described.get("auth_methods")?.unwrap_or_default())?,
        kind => vec![method(kind, described)?],
    };
    methods.extend(own_methods(described.add_methods.clone())?);
    let mut methods = methods.into_iter();
    let Some(first) = methods.next() else {
        return Err(Unanswered::NotExpressible("credentials without a method".to_owned()).into());
    };
    let auth = V3Credentials::new(auth_url, first).scope(scope(described)?);
    let auth = methods.fold(auth, V3Credentials::and);
    Ok(match described.get("include_catalog")? {
        Some(false) => Box::new(auth.without_catalog()),
        _ => Box::new(auth),
    })
}

/// Methods that have their own parameters each.
fn own_methods(methods: Vec<Parameters>) -> Result<Vec<AuthMethod>, Unanswered> {
    let described = methods.into_iter().map(Described::of_method);
    described.map(|described| method(&described.kind, &described)).collect()
}

fn v2(described: &Described, auth_url: Uri) -> Result<Box<dyn Credentials>, Failed> {
    let mut auth = match &*described.kind {
        "v2token" => V2Credentials::token(auth_url, described.secret("token")?),
        _ => {
            let mut user = User::new();
            if let Some(username) = described.get::<Box<str>>("username")? {
                user = user.username(username);
            }
            if let Some(user_id) = described.get::<Box<str>>("user_id")? {
                user = user.user_id(user_id);
            }
            V2Credentials::password(auth_url, user, described.secret("password")?)
        }
    };
    if let Some(id) = described.get::<Box<str>>("tenant_id")? {
        auth = auth.tenant_id(id);
    }
    if let Some(name) = described.get::<Box<str>>("tenant_name")? {
        auth = auth.tenant_name(name);
    }
    if let Some(id) = described.get::<Box<str>>("trust_id")? {
        auth = auth.trust_id(id);
    }
    Ok(Box::new(auth))
}

fn generic(described: &Described, auth_url: Uri) -> Result<Box<dyn Credentials>, Failed> {
    let auth = match &*described.kind {
        "token" => GenericCredentials::token(auth_url, described.secret("token")?),
        _ => GenericCredentials::password(auth_url, user(described)?, described.secret("password")?),
    };
    let mut auth = auth.scope(scope(described)?);
    if let Some(id) = described.get::<Box<str>>("default_domain_id")? {
        auth = auth.default_domain_id(id);
    }
    if let Some(name) = described.get::<Box<str>>("default_domain_name")? {
        auth = auth.default_domain_name(name);
    }
    Ok(Box::new(auth))
}

fn method(name: &str, described: &Described) -> Result<AuthMethod, Unanswered> {
    Ok(match name.strip_prefix("v3").unwrap_or(name) {
        "password" => AuthMethod::password(user(described)?, described.secret("password")?),
        "totp" => AuthMethod::totp(user(described)?, described.secret("passcode")?),
        "token" => AuthMethod::token(described.secret("token")?),
        "receipt" => AuthMethod::receipt(described.secret("receipt")?),
        "applicationcredential" | "application_credential" => AuthMethod::application_credential_from_parts(
            described.get::<Box<str>>("application_credential_id")?,
            described.get::<Box<str>>("application_credential_name")?,
            user(described)?,
            described.secret("application_credential_secret")?,
        ),
        // As one of several methods it is an application credential by another name.
        "oauth2clientcredential" => AuthMethod::application_credential(
            described.get::<Box<str>>("oauth2_client_id")?.unwrap_or_default(),
            described.secret("oauth2_client_secret")?,
        ),
        other => return Err(Unanswered::NotBuilt(format!("the method {other}"))),
    })
}

type Setter<T> = fn(T, Box<str>) -> T;

fn user(described: &Described) -> Result<User, Unanswered> {
    let setters: [(&str, Setter<User>); 4] = [
        ("user_id", User::user_id),
        ("username", User::username),
        ("user_domain_id", User::user_domain_id),
        ("user_domain_name", User::user_domain_name),
    ];
    setters.into_iter().try_fold(User::new(), |user, (name, set)| {
        Ok(match described.get(name)? {
            Some(text) => set(user, text),
            None => user,
        })
    })
}

fn scope(described: &Described) -> Result<Scope, Unanswered> {
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
    // These know a project by its old name too.
    let is_generic = matches!(&*described.kind, "password" | "token");
    let mut scope = Scope::new();
    for (name, set) in setters {
        let mut text: Option<Box<str>> = described.get(name)?;
        if is_generic
            && matches!(name, "project_id" | "project_name")
            && text.as_deref().unwrap_or_default().is_empty()
        {
            text = described.get(&name.replace("project", "tenant"))?;
        }
        if let Some(text) = text {
            scope = set(scope, text);
        }
    }
    Ok(if described.get("unscoped")? == Some(true) { scope.unscoped() } else { scope })
}

/// Credentials of any type.
pub(crate) struct AnyCredentials(Box<dyn Credentials>);

impl Credentials for AnyCredentials {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        self.0.get_auth_ref(transport)
    }

    fn auth_url(&self) -> &Uri {
        self.0.auth_url()
    }

    fn cache_id(&self) -> Option<String> {
        self.0.cache_id()
    }
}

impl fmt::Debug for AnyCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyCredentials")
    }
}
