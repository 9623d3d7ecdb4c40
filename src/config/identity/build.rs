//! Builds the credentials or the plugin from the settings.

use std::sync::Arc;

use http::Uri;
use tracing::warn;

#[cfg(feature = "federation")]
use super::person::PersonalLogin;
use super::{
    auth_types::{Kind, Method},
    members::{Member, Members},
    required,
    select::Selected,
};
#[cfg(feature = "store")]
use crate::SharedTokens;
#[cfg(feature = "federation")]
use crate::federation::FederatedCredentials;
use crate::{
    AuthMethod, AuthUrl, Credentials, Error, FixedEndpointPlugin, GenericCredentials, IdentityPlugin, Scope,
    Secret, User, V2Credentials, V3Credentials,
    error::{ConfigError, ConfigLocation},
};

/// The settings that set a scope.
pub(super) const SCOPE: [&str; 6] =
    ["project_id", "project_name", "domain_id", "domain_name", "system_scope", "trust_id"];

/// How requests are authenticated.
#[derive(Clone)]
pub(crate) enum Identity {
    /// Keystone issues tokens for these credentials.
    Credentials(Arc<dyn Credentials>),
    /// Keystone issues tokens, and an identity provider vouches for the user.
    #[cfg(feature = "federation")]
    Federated(Box<FederatedCredentials>),
    /// A person has to log in first.
    #[cfg(feature = "federation")]
    Person(Box<PersonalLogin>),
    /// A plugin without tokens of Keystone.
    Fixed(Arc<dyn IdentityPlugin>),
}

impl Identity {
    /// Returns the credentials, or the plugin if Keystone issues no token.
    pub(in crate::config) fn credentials(&self) -> Result<Arc<dyn Credentials>, &Arc<dyn IdentityPlugin>> {
        match self {
            Self::Credentials(credentials) => Ok(Arc::clone(credentials)),
            #[cfg(feature = "federation")]
            Self::Federated(credentials) => Ok(Arc::new((**credentials).clone())),
            #[cfg(feature = "federation")]
            Self::Person(login) => Ok(Arc::new((**login).clone())),
            Self::Fixed(plugin) => Err(plugin),
        }
    }

    /// Shares the unscoped token and the refresh token of a federated login.
    #[cfg(feature = "store")]
    pub(in crate::config) fn store(self, tokens: Option<&SharedTokens>) -> Self {
        match (self, tokens) {
            #[cfg(feature = "federation")]
            (Self::Federated(credentials), Some(tokens)) => {
                Self::Federated(credentials.store(tokens.clone()).into())
            }
            (identity, _) => identity,
        }
    }
}

/// Builds the identity from complete settings. `http_hosts` are the hosts to which secrets of a federated login may be
/// sent over plain http.
pub(super) fn build(
    members: &Members,
    selected: &Selected,
    http_hosts: &[Box<str>],
) -> Result<Identity, ConfigError> {
    let builder = Builder { members, auth_type: selected.auth_type.name, http_hosts };
    let credentials: Arc<dyn Credentials> = match selected.auth_type.kind {
        Kind::Generic(method) => Arc::new(builder.generic(method)?),
        Kind::V2(method) => Arc::new(builder.v2(method)?),
        Kind::V3(_) | Kind::MultiFactor => Arc::new(builder.v3(&selected.methods)?),
        #[cfg(feature = "federation")]
        Kind::Federated(kind) => return builder.federated(kind),
        Kind::AdminToken | Kind::HttpBasic | Kind::NoAuth => {
            return builder.fixed(selected.auth_type.kind).map(Identity::Fixed);
        }
    };
    Ok(Identity::Credentials(credentials))
}

/// Calls the setters of a builder for the settings of the same names.
macro_rules! set {
    ($this:ident, $builder:expr, $($name:ident),*) => {{
        let mut builder = $builder;
        $(
            if let Some(text) = $this.text(stringify!($name)) {
                builder = builder.$name(text);
            }
        )*
        builder
    }};
}

pub(super) struct Builder<'a> {
    pub(super) members: &'a Members,
    auth_type: &'static str,
    #[cfg_attr(not(feature = "federation"), expect(dead_code, reason = "federated logins use it"))]
    pub(super) http_hosts: &'a [Box<str>],
}

impl Builder<'_> {
    fn generic(&self, method: Method) -> Result<GenericCredentials, ConfigError> {
        let auth_url = self.auth_url()?;
        let credentials = match method {
            Method::Token => GenericCredentials::token(auth_url, self.secret("token")?),
            _ => GenericCredentials::password(auth_url, self.user_with("password"), self.secret("password")?),
        };
        Ok(set!(self, credentials.scope(self.scope()), default_domain_id, default_domain_name))
    }

    fn v2(&self, method: Method) -> Result<V2Credentials, ConfigError> {
        let auth_url = self.auth_url()?;
        let credentials = match method {
            Method::Token => V2Credentials::token(auth_url, self.secret("token")?),
            _ => V2Credentials::password(auth_url, self.user(), self.secret("password")?),
        };
        Ok(set!(self, credentials, tenant_id, tenant_name, trust_id))
    }

    fn v3(&self, methods: &[Method]) -> Result<V3Credentials, ConfigError> {
        let auth_url = self.auth_url()?;
        let mut methods = methods.iter().map(|method| self.method(*method));
        let first = methods.next().unwrap_or_else(|| Err(self.missing("auth_methods")))?;
        let mut credentials = V3Credentials::new(auth_url, first).scope(self.scope());
        for method in methods {
            credentials = credentials.and(method?);
        }
        Ok(credentials)
    }

    fn method(&self, method: Method) -> Result<AuthMethod, ConfigError> {
        Ok(match method {
            Method::Password => AuthMethod::password(self.user_with("password"), self.secret("password")?),
            Method::Token => AuthMethod::token(self.secret("token")?),
            Method::Totp => AuthMethod::totp(self.user_with("passcode"), self.secret("passcode")?),
            Method::ApplicationCredential => {
                self.warn_about_scope();
                AuthMethod::application_credential_from_parts(
                    self.text("application_credential_id"),
                    self.text("application_credential_name"),
                    match self.text("application_credential_id") {
                        Some(_) => self.user(),
                        None => self.user_with("application_credential_name"),
                    },
                    self.secret("application_credential_secret")?,
                )
            }
        })
    }

    fn fixed(&self, kind: Kind) -> Result<Arc<dyn IdentityPlugin>, ConfigError> {
        let url = match self.members.get("endpoint") {
            None => None,
            Some(member) => {
                let url = member.text.expose().trim().parse::<Uri>();
                Some(url.map_err(|_| invalid(member, "the URL of an endpoint"))?)
            }
        };
        let plugin = match kind {
            Kind::AdminToken => {
                let url = url.ok_or_else(|| self.missing("endpoint"))?;
                FixedEndpointPlugin::admin_token(url, &self.secret("token")?)
            }
            Kind::HttpBasic => {
                let username = self.text("username").ok_or_else(|| self.missing("username"))?;
                FixedEndpointPlugin::http_basic_at(url, username, &self.secret("password")?)
            }
            _ => FixedEndpointPlugin::no_auth_at(url),
        };
        Ok(Arc::new(plugin.map_err(|error| self.fixed_error(&error))?))
    }

    /// Returns which setting a plugin without Keystone cannot use.
    fn fixed_error(&self, error: &Error) -> ConfigError {
        let (name, expected) = match error {
            Error::InvalidEndpoint { reason, .. } => {
                ("endpoint", format!("the URL of an endpoint, but {reason}"))
            }
            Error::InvalidToken { reason, .. } => ("token", format!("a token, but {reason}")),
            _ => ("username", "a username without a colon".into()),
        };
        match self.members.get(name) {
            Some(member) => invalid(member, expected),
            None => self.missing(name),
        }
    }

    /// Logs a warning if an application credential is used with a scope, which Keystone rejects.
    ///
    /// The scope is sent nevertheless. Without it, the token would be for another project than the requested one.
    pub(super) fn warn_about_scope(&self) {
        if let Some(Member { location, path, .. }) = self.members.first(&SCOPE) {
            warn!("{location}: {path}: remove it, because {}", required::SCOPE_OF_APPLICATION_CREDENTIAL);
        }
    }

    pub(super) fn auth_url(&self) -> Result<AuthUrl, ConfigError> {
        let member = self.members.get("auth_url").ok_or_else(|| self.missing("auth_url"))?;
        if member.text.expose().contains(['{', '}']) {
            return Err(invalid(
                member,
                "the URL of Keystone, but its braces do not contain the name of a setting",
            ));
        }
        let url = AuthUrl::from(member.text.expose());
        match url.invalid_reason() {
            None => Ok(url),
            Some(reason) => Err(invalid(member, format!("the URL of Keystone, but {reason}"))),
        }
    }

    /// Returns the user that this setting belongs to. Without its name or id, Keystone cannot find the user.
    fn user_with(&self, setting: &str) -> User {
        if let (None, Some(Member { location, path, .. })) =
            (self.members.first(&["user_id", "username"]), self.members.get(setting))
        {
            let settings = match location {
                ConfigLocation::Variable(_) => "OS_USERNAME and OS_USER_DOMAIN_NAME, or OS_USER_ID",
                _ => "username and user_domain_name, or user_id",
            };
            warn!("{location}: {path}: no user is configured for it; set {settings}");
        }
        self.user()
    }

    fn user(&self) -> User {
        set!(self, User::new(), user_id, username, user_domain_id, user_domain_name)
    }

    pub(super) fn scope(&self) -> Scope {
        set!(
            self,
            Scope::new(),
            project_id,
            project_name,
            project_domain_id,
            project_domain_name,
            domain_id,
            domain_name,
            system_scope,
            trust_id
        )
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        Some(self.members.get(name)?.text.expose())
    }

    pub(super) fn secret(&self, name: &'static str) -> Result<Secret, ConfigError> {
        self.members.get(name).map(|member| member.text.clone()).ok_or_else(|| self.missing(name))
    }

    pub(super) fn missing(&self, name: &'static str) -> ConfigError {
        ConfigError::missing_settings(self.auth_type, vec![name], None)
    }
}

pub(super) fn invalid(member: &Member, expected: impl Into<Box<str>>) -> ConfigError {
    ConfigError::invalid_value(expected).at(&member.location).member(&member.path)
}
