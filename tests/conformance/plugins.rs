//! The identity plugin of a case.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use http::Uri;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, AuthMethod, Credentials, Error, FixedEndpointPlugin, GenericAuth,
    IdentityPlugin, RenewalPolicy, Renewing, Scope, Secret, ServiceTokenAuthWrapper, Transport, User, V2Auth,
    V3Auth, identity::AuthRefFuture,
};

use crate::servers::{FrozenClock, Servers};

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
#[derive(Deserialize)]
pub(crate) struct Described {
    pub(crate) kind: String,
    parameters: BTreeMap<String, Box<RawValue>>,
}

impl Described {
    pub(crate) fn is_not_built(&self) -> bool {
        NOT_BUILT.contains(&&*self.kind)
    }

    /// A parameter; one that is null counts as not given.
    pub(crate) fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let value = self.parameters.get(name)?;
        serde_json::from_str::<Option<T>>(value.get()).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn text(&self, name: &str) -> Option<Box<str>> {
        self.get(name)
    }

    /// All parameters that are texts.
    pub(crate) fn texts(&self) -> impl Iterator<Item = String> {
        self.parameters.values().filter_map(|value| serde_json::from_str(value.get()).ok())
    }

    fn secret(&self, name: &str) -> Secret {
        Secret::new(&*self.text(name).unwrap_or_default())
    }

    fn uri(&self, name: &str) -> Result<Uri, Error> {
        let text = self.text(name).unwrap_or_default();
        text.parse().map_err(|error: http::uri::InvalidUri| Error::plugin(false, error))
    }
}

/// A plugin, by what can be asked of it.
pub(crate) enum Plugin {
    Renewing(Renewing<AnyCredentials>),
    AccessInfo(AccessInfoPlugin, AccessInfo),
    Other(Arc<dyn IdentityPlugin>),
}

impl Plugin {
    /// The plugin that is described; the error is that of its constructor.
    pub(crate) fn new(described: &Described, servers: &Servers) -> Result<Self, Error> {
        let fixed = |plugin: Result<FixedEndpointPlugin, Error>| {
            plugin.map(|plugin| Self::Other(Arc::new(plugin) as Arc<dyn IdentityPlugin>))
        };
        match &*described.kind {
            "access_info" => {
                let body: Box<RawValue> = described.get("body").expect("an access info has a body");
                let access_info = match described.text("token") {
                    Some(token) => AccessInfo::new(&*token, body.get())?,
                    None => AccessInfo::from_body(body.get())?,
                };
                let plugin = AccessInfoPlugin::new(access_info.clone());
                let plugin = match described.text("auth_url") {
                    Some(_) => plugin.auth_url(described.uri("auth_url")?),
                    None => plugin,
                };
                Ok(Self::AccessInfo(plugin, access_info))
            }
            "noauth" => fixed(FixedEndpointPlugin::no_auth(described.uri("endpoint")?)),
            "token_endpoint" => {
                let token = described.secret("token");
                fixed(FixedEndpointPlugin::admin_token(described.uri("endpoint")?, &token))
            }
            "http_basic" => {
                let (username, password) = (described.text("username"), described.secret("password"));
                let username = username.unwrap_or_default();
                fixed(FixedEndpointPlugin::http_basic(described.uri("endpoint")?, &username, &password))
            }
            "service_token" => {
                let part = |name: &str| -> Result<_, Error> {
                    let part: Described = described.get(name).expect("both plugins are there");
                    Ok(Self::new(&part, servers)?.shared())
                };
                let both = ServiceTokenAuthWrapper::new(part("user_auth")?, part("service_auth")?);
                Ok(Self::Other(Arc::new(both)))
            }
            _ => {
                let transport = Transport::new(servers.clone());
                let credentials = AnyCredentials(credentials(described)?);
                Ok(Self::Renewing(
                    Renewing::new(credentials, transport).policy(one_go()).clock(FrozenClock::new()),
                ))
            }
        }
    }

    /// The plugin as a layer takes it.
    pub(crate) fn shared(&self) -> Arc<dyn IdentityPlugin> {
        match self {
            Self::Renewing(plugin) => Arc::new(plugin.clone()),
            Self::AccessInfo(plugin, _) => Arc::new(plugin.clone()),
            Self::Other(plugin) => Arc::clone(plugin),
        }
    }
}

/// One go at Keystone for each question, as the reference makes it: no second attempt, for which there
/// is no time. What these figures do is tested with renewal.
fn one_go() -> RenewalPolicy {
    let mut policy = RenewalPolicy::default();
    policy.load_timeout = Duration::from_millis(1);
    policy.first_pause = Duration::from_millis(2);
    policy.definite_pauses = vec![Duration::ZERO];
    policy.least_interval = Duration::ZERO;
    policy
}

fn credentials(described: &Described) -> Result<Box<dyn Credentials>, Error> {
    let auth_url = described.uri("auth_url")?;
    let v3 = |methods: Vec<AuthMethod>| -> Box<dyn Credentials> {
        let mut methods = methods.into_iter();
        let first = methods.next().expect("one method at least");
        let auth = V3Auth::new(auth_url.clone(), first).scope(scope(described));
        let auth = methods.fold(auth, V3Auth::and);
        match described.get("include_catalog") {
            Some(false) => Box::new(auth.without_catalog()),
            _ => Box::new(auth),
        }
    };
    Ok(match &*described.kind {
        "v2password" | "v2token" => v2(described, auth_url),
        "password" | "token" => generic(described, auth_url),
        "v3multifactor" => {
            let names: Vec<String> = described.get("auth_methods").unwrap_or_default();
            v3(names.iter().map(|name| method(name, described)).collect())
        }
        "v3auth" => {
            let methods: Vec<BTreeMap<String, Box<RawValue>>> =
                described.get("auth_methods").unwrap_or_default();
            let described = methods.into_iter().map(|parameters| {
                let described = Described { kind: String::new(), parameters };
                method(&described.text("method").unwrap_or_default(), &described)
            });
            v3(described.collect())
        }
        kind => v3(vec![method(kind, described)]),
    })
}

fn v2(described: &Described, auth_url: Uri) -> Box<dyn Credentials> {
    let mut auth = match &*described.kind {
        "v2token" => V2Auth::token(auth_url, described.secret("token")),
        _ => {
            let (username, user_id) = (described.text("username"), described.text("user_id"));
            V2Auth::password_of(auth_url, username, user_id, described.secret("password"))
        }
    };
    if let Some(id) = described.text("tenant_id") {
        auth = auth.tenant_id(id);
    }
    if let Some(name) = described.text("tenant_name") {
        auth = auth.tenant_name(name);
    }
    if let Some(id) = described.text("trust_id") {
        auth = auth.trust_id(id);
    }
    Box::new(auth)
}

fn generic(described: &Described, auth_url: Uri) -> Box<dyn Credentials> {
    let auth = match &*described.kind {
        "token" => GenericAuth::token(auth_url, described.secret("token")),
        _ => GenericAuth::password(auth_url, user(described), described.secret("password")),
    };
    let mut auth = auth.scope(scope(described));
    if let Some(id) = described.text("default_domain_id") {
        auth = auth.default_domain_id(id);
    }
    if let Some(name) = described.text("default_domain_name") {
        auth = auth.default_domain_name(name);
    }
    Box::new(auth)
}

fn method(name: &str, described: &Described) -> AuthMethod {
    let text = |name| described.text(name);
    match name.strip_prefix("v3").unwrap_or(name) {
        "password" => AuthMethod::password(user(described), described.secret("password")),
        "totp" => AuthMethod::totp(user(described), described.secret("passcode")),
        "token" => AuthMethod::token(described.secret("token")),
        "receipt" => AuthMethod::receipt(described.secret("receipt")),
        "applicationcredential" | "application_credential" => AuthMethod::application_credential_of(
            text("application_credential_id"),
            text("application_credential_name"),
            user(described),
            described.secret("application_credential_secret"),
        ),
        // As one of several methods it is an application credential by another name.
        "oauth2clientcredential" => AuthMethod::application_credential(
            text("oauth2_client_id").unwrap_or_default(),
            described.secret("oauth2_client_secret"),
        ),
        other => panic!("no such method: {other}"),
    }
}

type Setter<T> = fn(T, Box<str>) -> T;

fn user(described: &Described) -> User {
    let setters: [(&str, Setter<User>); 4] = [
        ("user_id", User::user_id),
        ("username", User::username),
        ("user_domain_id", User::user_domain_id),
        ("user_domain_name", User::user_domain_name),
    ];
    setters.into_iter().fold(User::new(), |user, (name, set)| match described.text(name) {
        Some(text) => set(user, text),
        None => user,
    })
}

fn scope(described: &Described) -> Scope {
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
    let text = |name: &str| match &*described.kind {
        // These know a project by its old name too.
        "password" | "token" if name == "project_id" || name == "project_name" => {
            let project = described.text(name).filter(|text| !text.is_empty());
            project.or_else(|| described.text(&name.replace("project", "tenant")))
        }
        _ => described.text(name),
    };
    let scope = setters.into_iter().fold(Scope::new(), |scope, (name, set)| match text(name) {
        Some(text) => set(scope, text),
        None => scope,
    });
    if described.get("unscoped") == Some(true) { scope.unscoped() } else { scope }
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
