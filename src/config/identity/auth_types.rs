//! The auth types, and the settings that each of them knows.

#[cfg(feature = "federation")]
mod federated;
mod unsupported;

#[cfg(feature = "federation")]
pub(super) use self::federated::Federated;
pub(super) use self::unsupported::{UNSUPPORTED, Unsupported};

#[cfg(feature = "federation")]
use self::federated::FEDERATED;
/// Without the feature, there is none of them.
#[cfg(not(feature = "federation"))]
const FEDERATED: &[AuthType] = &[];

/// An auth type that this crate supports.
#[derive(Debug)]
pub(super) struct AuthType {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// The settings, without those of the authentication methods.
    settings: &'static [&'static [Setting]],
}

/// The kind of credentials or plugin that is built for an auth type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A login with the API version that Keystone supports.
    Generic(Method),
    /// A login with the v2.0 API.
    V2(Method),
    /// A login with the v3 API.
    V3(Method),
    /// A login with the v3 API, and the methods that the setting `auth_methods` lists.
    MultiFactor,
    /// A login at an identity provider, with OAuth 2.0, or with a client certificate.
    #[cfg(feature = "federation")]
    Federated(Federated),
    /// A fixed token, without Keystone.
    AdminToken,
    /// HTTP basic authentication.
    HttpBasic,
    /// No authentication.
    NoAuth,
}

/// An authentication method of a login.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Method {
    Password,
    Token,
    Totp,
    ApplicationCredential,
}

/// A setting of an auth type.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) name: &'static str,
    /// The old name of the setting. The current name takes precedence.
    pub(super) old_name: Option<&'static str>,
    /// The prompt that asks the user for the setting if it is absent.
    pub(super) prompt: Option<&'static str>,
}

const fn setting(name: &'static str) -> Setting {
    Setting { name, old_name: None, prompt: None }
}

const fn renamed(name: &'static str, old_name: &'static str) -> Setting {
    Setting { name, old_name: Some(old_name), prompt: None }
}

const fn prompted(name: &'static str, prompt: &'static str) -> Setting {
    Setting { name, old_name: None, prompt: Some(prompt) }
}

const USERNAME: Setting = renamed("username", "user_name");
const PASSWORD: Setting = prompted("password", "Password: ");
const TOKEN: Setting = renamed("token", "auth_token");
const PASSCODE: Setting = prompted("passcode", "TOTP passcode: ");

const USER: &[Setting] =
    &[setting("user_id"), USERNAME, setting("user_domain_id"), setting("user_domain_name")];
const V2: &[Setting] = &[setting("auth_url"), setting("trust_id")];
const V2_USER: &[Setting] = &[setting("user_id"), USERNAME];
const V3: &[Setting] = &[
    setting("auth_url"),
    setting("system_scope"),
    setting("domain_id"),
    setting("domain_name"),
    setting("project_domain_id"),
    setting("project_domain_name"),
    setting("trust_id"),
];
const PROJECT: &[Setting] = &[renamed("project_id", "tenant_id"), renamed("project_name", "tenant_name")];
const TENANT: &[Setting] = &[renamed("tenant_id", "project_id"), renamed("tenant_name", "project_name")];
const DEFAULT_DOMAIN: &[Setting] = &[setting("default_domain_id"), setting("default_domain_name")];
const APPLICATION_CREDENTIAL: &[Setting] = &[
    setting("application_credential_id"),
    setting("application_credential_name"),
    setting("application_credential_secret"),
];

/// Settings for which the value outside `auth` takes precedence over the value in `auth`.
///
/// So variables can override files. If the auth type does not know one of them, this is an error even outside `auth`.
/// The project is one of these settings, too, but its names depend on the auth type.
const OUTER: &[Setting] = &[
    setting("domain_id"),
    setting("domain_name"),
    setting("user_domain_id"),
    setting("user_domain_name"),
    setting("project_domain_id"),
    setting("project_domain_name"),
    TOKEN,
    PASSCODE,
];

const SUPPORTED: &[AuthType] = &[
    AuthType {
        name: "password",
        kind: Kind::Generic(Method::Password),
        settings: &[V3, PROJECT, DEFAULT_DOMAIN],
    },
    AuthType { name: "token", kind: Kind::Generic(Method::Token), settings: &[V3, PROJECT, DEFAULT_DOMAIN] },
    AuthType { name: "v2password", kind: Kind::V2(Method::Password), settings: &[V2, TENANT] },
    // It has no tenant: keystoneauth does not know the settings of a project for this auth type.
    AuthType { name: "v2token", kind: Kind::V2(Method::Token), settings: &[V2] },
    AuthType { name: "v3password", kind: Kind::V3(Method::Password), settings: &[V3, PROJECT] },
    AuthType { name: "v3token", kind: Kind::V3(Method::Token), settings: &[V3, PROJECT] },
    AuthType { name: "v3totp", kind: Kind::V3(Method::Totp), settings: &[V3, PROJECT] },
    AuthType {
        name: "v3applicationcredential",
        kind: Kind::V3(Method::ApplicationCredential),
        settings: &[V3, PROJECT],
    },
    AuthType {
        name: "v3multifactor",
        kind: Kind::MultiFactor,
        settings: &[V3, PROJECT, &[setting("auth_methods")]],
    },
    AuthType {
        name: "admin_token",
        kind: Kind::AdminToken,
        settings: &[&[renamed("endpoint", "url"), TOKEN]],
    },
    AuthType { name: "none", kind: Kind::NoAuth, settings: &[&[setting("endpoint")]] },
    AuthType {
        name: "http_basic",
        kind: Kind::HttpBasic,
        settings: &[&[USERNAME, PASSWORD, setting("endpoint")]],
    },
];

/// The names of the supported auth types.
pub(super) const NAMES: &[&str] = &{
    let mut names = [""; SUPPORTED.len() + FEDERATED.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = match index < SUPPORTED.len() {
            true => SUPPORTED[index].name,
            false => FEDERATED[index - SUPPORTED.len()].name,
        };
        index += 1;
    }
    names
};

/// The auth types that `auth_methods` can list.
pub(super) const METHODS: &[&str] = &["v3password", "v3token", "v3totp", "v3applicationcredential"];

/// Returns the supported auth type of this name. `token_endpoint` is an old name.
pub(super) fn find(name: &str) -> Option<&'static AuthType> {
    let name = if name == "token_endpoint" { "admin_token" } else { name };
    all().find(|auth_type| auth_type.name == name)
}

/// Returns the supported auth types.
fn all() -> impl Iterator<Item = &'static AuthType> {
    SUPPORTED.iter().chain(FEDERATED)
}

/// Returns the names of the supported auth types that know this setting.
///
/// Those of federated logins are left out if others know it: a `username` is that of a user of Keystone, most often.
pub(super) fn that_know(name: &str) -> Vec<&'static str> {
    let knows = |auth_type: &&AuthType| {
        auth_type.settings(&auth_type.methods()).any(|setting| setting.is_called(name))
    };
    let names = |auth_types: &'static [AuthType]| -> Vec<_> {
        auth_types.iter().filter(knows).map(|auth_type| auth_type.name).collect()
    };
    let names_of_keystone = names(SUPPORTED);
    if names_of_keystone.is_empty() { names(FEDERATED) } else { names_of_keystone }
}

/// Returns the names of all settings, also the old ones. Some occur several times.
pub(super) fn setting_names() -> impl Iterator<Item = &'static str> {
    let settings = |auth_type: &AuthType| auth_type.settings(&auth_type.methods()).collect::<Vec<_>>();
    all().flat_map(settings).flat_map(|setting| [Some(setting.name), setting.old_name].into_iter().flatten())
}

impl Setting {
    /// Returns whether this is the name of the setting, or its old name.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.old_name == Some(name)
    }
}

impl AuthType {
    /// Returns the methods of the login, if the auth type determines them.
    pub(super) fn methods(&self) -> Vec<Method> {
        match self.kind {
            Kind::Generic(method) | Kind::V2(method) | Kind::V3(method) => vec![method],
            _ => Vec::new(),
        }
    }

    /// Returns the settings that this auth type knows.
    pub(super) fn settings(&self, methods: &[Method]) -> impl Iterator<Item = &'static Setting> {
        let of_methods = methods.iter().flat_map(|method| self.method_settings(*method));
        let mut settings: Vec<&'static Setting> = Vec::new();
        for setting in self.settings.iter().chain(of_methods).copied().flatten() {
            // Several methods may know the same setting.
            if settings.iter().all(|other| other.name != setting.name) {
                settings.push(setting);
            }
        }
        settings.into_iter()
    }

    /// Returns the settings for which the value outside `auth` takes precedence over the value in `auth`, in order.
    pub(super) fn outer_settings(&self) -> impl Iterator<Item = &'static Setting> {
        let project = if self.kind == Kind::V2(Method::Password) { TENANT } else { PROJECT };
        OUTER.iter().chain(project)
    }

    fn method_settings(&self, method: Method) -> &'static [&'static [Setting]] {
        match (self.kind, method) {
            (Kind::V2(_), Method::Password) => &[V2_USER, &[PASSWORD]],
            (_, Method::Password) => &[USER, &[PASSWORD]],
            (_, Method::Token) => &[&[TOKEN]],
            (_, Method::Totp) => &[USER, &[PASSCODE]],
            (_, Method::ApplicationCredential) => &[USER, APPLICATION_CREDENTIAL],
        }
    }
}
