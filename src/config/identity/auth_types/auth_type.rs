//! An auth type, and the settings that it knows.

use super::setting::{
    APPLICATION_CREDENTIAL, PASSCODE, PASSWORD, PROJECT, Setting, TENANT, TOKEN, USER, V2_USER, setting,
};

/// An auth type that this crate supports.
#[derive(Debug)]
pub(in crate::config::identity) struct AuthType {
    pub(in crate::config::identity) name: &'static str,
    pub(in crate::config::identity) kind: Kind,
    /// The settings, without those of the authentication methods.
    pub(super) settings: &'static [&'static [Setting]],
}

/// The kind of credentials or plugin that is built for an auth type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::config::identity) enum Kind {
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
pub(in crate::config::identity) enum Method {
    Password,
    Token,
    Totp,
    ApplicationCredential,
}

/// How an auth type of a federated login proves who logs in.
#[cfg(feature = "federation")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::config::identity) enum Federated {
    ClientCredentials,
    Password,
    AccessToken,
    AuthorizationCode,
    /// A person logs in with the browser of any device.
    Device,
    /// A person logs in with the browser of this machine.
    #[cfg(feature = "browser")]
    WebSso,
    #[cfg(feature = "saml")]
    SamlPassword,
    /// An application credential, with OAuth 2.0.
    OAuth2Client,
    /// A client certificate, with OAuth 2.0.
    OAuth2Mtls,
    /// A client certificate, without a token.
    Tokenless,
}

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

impl AuthType {
    /// Returns the methods of the login, if the auth type determines them.
    pub(in crate::config::identity) fn methods(&self) -> Vec<Method> {
        match self.kind {
            Kind::Generic(method) | Kind::V2(method) | Kind::V3(method) => vec![method],
            _ => Vec::new(),
        }
    }

    /// Returns the settings that this auth type knows.
    pub(in crate::config::identity) fn settings(
        &self,
        methods: &[Method],
    ) -> impl Iterator<Item = &'static Setting> {
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
    pub(in crate::config::identity) fn outer_settings(&self) -> impl Iterator<Item = &'static Setting> {
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
