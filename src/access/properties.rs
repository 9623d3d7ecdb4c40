//! The properties of a token document, with the names that keystoneauth gives them.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::{AccessInfo, IdentityVersion, timestamp};
use crate::Error;

/// Another cloud that the user can log in to through this one (Keystone to Keystone federation).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceProvider<'a> {
    /// The id of the service provider: keystoneauth's `sp_id`.
    pub id: &'a str,
    /// The URL to authenticate at: keystoneauth's `get_auth_url`.
    pub auth_url: Option<&'a str>,
    /// The URL to send the SAML assertion to: keystoneauth's `get_sp_url`.
    pub sp_url: Option<&'a str>,
}

/// A rule that allows requests with the token of an application credential.
///
/// Each member is `None` if the document does not contain it as a text. A rule without a service, a method or a path
/// allows no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessRule<'a> {
    /// The id of the rule.
    pub id: Option<&'a str>,
    /// The type of the service, such as `compute`.
    pub service: Option<&'a str>,
    /// The HTTP method.
    pub method: Option<&'a str>,
    /// The path of the request, or a pattern of it.
    pub path: Option<&'a str>,
}

/// # Lifetime
impl AccessInfo {
    /// Returns when the token expires, or `Ok(None)` if the document has no expiry.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTimestamp`] if the value in the document is not an ISO 8601 time.
    pub fn expires(&self) -> Result<Option<SystemTime>, Error> {
        match self.version() {
            IdentityVersion::V3 => self.time("expires_at", &["expires_at"]),
            IdentityVersion::V2 => self.time("expires", &["token", "expires"]),
        }
    }

    /// Returns when the token was issued, or `Ok(None)` if the document has no `issued_at`.
    ///
    /// # Errors
    ///
    /// Those of [`expires`](Self::expires).
    pub fn issued(&self) -> Result<Option<SystemTime>, Error> {
        self.time("issued_at", &self.token_path("issued_at"))
    }

    /// Returns whether the token expires within `stale_duration` from now, by the clock of this machine.
    ///
    /// The default `stale_duration` of keystoneauth is 30 seconds. The plugins of keystoneauth use 120 seconds. A token
    /// without an expiry never expires.
    ///
    /// # Errors
    ///
    /// Those of [`expires`](Self::expires).
    pub fn will_expire_soon(&self, stale_duration: Duration) -> Result<bool, Error> {
        self.will_expire_soon_at(SystemTime::now(), stale_duration)
    }

    /// Returns whether the token expires within `stale_duration` from `now`.
    ///
    /// See [`will_expire_soon`](Self::will_expire_soon).
    ///
    /// # Errors
    ///
    /// Those of [`expires`](Self::expires).
    pub fn will_expire_soon_at(&self, now: SystemTime, stale_duration: Duration) -> Result<bool, Error> {
        let Some(expires) = self.expires()? else { return Ok(false) };
        Ok(now.checked_add(stale_duration).is_none_or(|soon| expires < soon))
    }

    fn time(&self, field: &'static str, path: &[&str]) -> Result<Option<SystemTime>, Error> {
        match self.value(path) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => {
                timestamp::parse(text).map(Some).ok_or(Error::InvalidTimestamp { field })
            }
            Some(_) => Err(Error::InvalidTimestamp { field }),
        }
    }
}

/// # User and roles
impl AccessInfo {
    /// Returns the id of the user.
    pub fn user_id(&self) -> Option<&str> {
        self.text(&["user", "id"])
    }

    /// Returns the name of the user.
    ///
    /// In a v2.0 document it is the `name` of the user or, if that is missing or empty, the `username`.
    pub fn username(&self) -> Option<&str> {
        let name = self.text(&["user", "name"]);
        let old_name = || self.text(&["user", "username"]);
        self.if_v3(|| name).or_else(|| self.if_v2(|| name.filter(|name| !name.is_empty()).or_else(old_name)))
    }

    /// Returns the id of the user's domain. v2.0 has none, and federated users often have none.
    pub fn user_domain_id(&self) -> Option<&str> {
        self.if_v3(|| self.text(&["user", "domain", "id"]))
    }

    /// Returns the name of the user's domain. v2.0 has none, and federated users often have none.
    pub fn user_domain_name(&self) -> Option<&str> {
        self.if_v3(|| self.text(&["user", "domain", "name"]))
    }

    /// Returns whether the user logged in through an identity provider (`OS-FEDERATION`).
    pub fn is_federated(&self) -> bool {
        self.if_v3(|| self.value(&["user", "OS-FEDERATION"])).is_some()
    }

    /// Returns the ids of the roles that the user has in the scope of the token.
    pub fn role_ids(&self) -> impl Iterator<Item = &str> {
        match self.version() {
            IdentityVersion::V3 => self.list(&["roles"]),
            IdentityVersion::V2 => self.list(&["metadata", "roles"]),
        }
        .iter()
        .filter_map(|role| match self.version() {
            IdentityVersion::V3 => role.get("id")?.as_str(),
            IdentityVersion::V2 => role.as_str(),
        })
    }

    /// Returns the names of the roles that the user has in the scope of the token.
    pub fn role_names(&self) -> impl Iterator<Item = &str> {
        match self.version() {
            IdentityVersion::V3 => self.list(&["roles"]),
            IdentityVersion::V2 => self.list(&["user", "roles"]),
        }
        .iter()
        .filter_map(|role| role.get("name")?.as_str())
    }

    /// Returns whether the token is scoped to the admin project of the cloud.
    ///
    /// Keystone adds this property to the document only if an admin project is configured. Without the property, the
    /// result is `true`.
    pub fn is_admin_project(&self) -> bool {
        self.if_v3(|| self.value(&["is_admin_project"])).is_none_or(is_truthy)
    }
}

/// # Scope
impl AccessInfo {
    /// Returns the id of the project that the token is scoped to.
    pub fn project_id(&self) -> Option<&str> {
        match self.version() {
            IdentityVersion::V3 => self.text(&["project", "id"]),
            IdentityVersion::V2 => self.tenant("id", "tenantId"),
        }
    }

    /// Returns the name of the project that the token is scoped to.
    pub fn project_name(&self) -> Option<&str> {
        match self.version() {
            IdentityVersion::V3 => self.text(&["project", "name"]),
            IdentityVersion::V2 => self.tenant("name", "tenantName"),
        }
    }

    /// Returns the same as [`project_id`](Self::project_id). "Tenant" is the old name of a project.
    pub fn tenant_id(&self) -> Option<&str> {
        self.project_id()
    }

    /// Returns the same as [`project_name`](Self::project_name). "Tenant" is the old name of a project.
    pub fn tenant_name(&self) -> Option<&str> {
        self.project_name()
    }

    /// Returns the id of the project's domain.
    pub fn project_domain_id(&self) -> Option<&str> {
        self.if_v3(|| self.text(&["project", "domain", "id"]))
    }

    /// Returns the name of the project's domain.
    pub fn project_domain_name(&self) -> Option<&str> {
        self.if_v3(|| self.text(&["project", "domain", "name"]))
    }

    /// Returns whether the project acts as a domain, or `None` if a v3 document has no `is_domain`.
    pub fn project_is_domain(&self) -> Option<bool> {
        match self.version() {
            IdentityVersion::V3 => self.value(&["is_domain"])?.as_bool(),
            IdentityVersion::V2 => Some(false),
        }
    }

    /// Returns the id of the domain that the token is scoped to.
    pub fn domain_id(&self) -> Option<&str> {
        self.if_v3(|| self.text(&["domain", "id"]))
    }

    /// Returns the name of the domain that the token is scoped to.
    pub fn domain_name(&self) -> Option<&str> {
        self.if_v3(|| self.text(&["domain", "name"]))
    }

    /// Returns the system scope, which is always `{"all": true}` today.
    pub fn system(&self) -> Option<&Value> {
        self.if_v3(|| self.value(&["system"]))
    }

    /// Returns whether the token is scoped to a project.
    pub fn project_scoped(&self) -> bool {
        self.project_id().is_some_and(|id| !id.is_empty())
    }

    /// Returns whether the token is scoped to a domain.
    pub fn domain_scoped(&self) -> bool {
        self.if_v3(|| self.value(&["domain"])).is_some_and(is_truthy)
    }

    /// Returns whether the token is scoped to the whole system.
    pub fn system_scoped(&self) -> bool {
        self.if_v3(|| self.value(&["system", "all"])).is_some_and(is_truthy)
    }

    /// Returns whether the token has a scope: a project, a domain or the system.
    pub fn scoped(&self) -> bool {
        self.project_scoped() || self.domain_scoped() || self.system_scoped()
    }
}

/// # Trust, credentials and audit ids
impl AccessInfo {
    /// Returns the id of the trust that the token was issued with.
    pub fn trust_id(&self) -> Option<&str> {
        match self.version() {
            IdentityVersion::V3 => self.text(&["OS-TRUST:trust", "id"]),
            IdentityVersion::V2 => self.text(&["trust", "id"]),
        }
    }

    /// Returns whether the token was issued with a trust.
    pub fn trust_scoped(&self) -> bool {
        let path = match self.version() {
            IdentityVersion::V3 => "OS-TRUST:trust",
            IdentityVersion::V2 => "trust",
        };
        self.value(&[path]).is_some_and(is_truthy)
    }

    /// Returns the id of the trustee: the user that the trust delegates roles to.
    pub fn trustee_user_id(&self) -> Option<&str> {
        match self.version() {
            IdentityVersion::V3 => self.text(&["OS-TRUST:trust", "trustee_user", "id"]),
            IdentityVersion::V2 => self.text(&["trust", "trustee_user_id"]),
        }
    }

    /// Returns the id of the trustor: the user whose roles the trust delegates. v2.0 has none.
    pub fn trustor_user_id(&self) -> Option<&str> {
        self.if_v3(|| self.text(&["OS-TRUST:trust", "trustor_user", "id"]))
    }

    /// Returns the `application_credential` of the document: the credential that the user logged in with.
    pub fn application_credential(&self) -> Option<&Value> {
        self.if_v3(|| self.value(&["application_credential"]))
    }

    /// Returns the id of the application credential.
    pub fn application_credential_id(&self) -> Option<&str> {
        self.if_v3(|| self.text(&["application_credential", "id"]))
    }

    /// Returns the access rules of the application credential, or `None` if it has none and allows all requests.
    ///
    /// An empty iterator means that the token allows no request. It is also returned if the document has rules that
    /// cannot be read because they are not a list.
    pub fn application_credential_access_rules(&self) -> Option<impl Iterator<Item = AccessRule<'_>>> {
        let rules = self.if_v3(|| self.value(&["application_credential", "access_rules"]))?;
        let rules = (!rules.is_null()).then(|| rules.as_array().map_or(&[][..], Vec::as_slice))?;
        Some(rules.iter().map(|rule| {
            let text = |name| rule.get(name)?.as_str();
            AccessRule {
                id: text("id"),
                service: text("service"),
                method: text("method"),
                path: text("path"),
            }
        }))
    }

    /// Returns the id of the OAuth 1.0a access token that the token was issued for.
    pub fn oauth_access_token_id(&self) -> Option<&str> {
        self.if_v3(|| self.text(&["OS-OAUTH1", "access_token_id"]))
    }

    /// Returns the id of the OAuth 1.0a consumer.
    pub fn oauth_consumer_id(&self) -> Option<&str> {
        self.if_v3(|| self.text(&["OS-OAUTH1", "consumer_id"]))
    }

    /// Returns the `oauth2_credential` of the document: the client certificate that an OAuth 2.0 token is bound to.
    ///
    /// Keystone issues such tokens to clients that log in with OAuth 2.0 and mutual TLS. The object contains only the
    /// [thumbprint](Self::oauth2_credential_thumbprint) of the certificate.
    pub fn oauth2_credential(&self) -> Option<&Value> {
        self.if_v3(|| self.value(&["oauth2_credential"]))
    }

    /// Returns the thumbprint of the certificate that an OAuth 2.0 token is bound to (`x5t#S256`, RFC 8705).
    pub fn oauth2_credential_thumbprint(&self) -> Option<&str> {
        self.if_v3(|| self.text(&["oauth2_credential", "x5t#S256"]))
    }

    /// Returns the `bind` of the document: the external authentication that the token is bound to.
    ///
    /// For example, a request with a token that is bound to a Kerberos principal also needs Kerberos authentication.
    pub fn bind(&self) -> Option<&Value> {
        self.value(&self.token_path("bind"))
    }

    /// Returns the audit id: a random id to track the use of the token without exposing the token.
    pub fn audit_id(&self) -> Option<&str> {
        self.list(&self.token_path("audit_ids")).first()?.as_str()
    }

    /// Returns the audit id of the first token of the chain, or `None` if this token is the first one.
    ///
    /// A token that was issued in a login with another token belongs to the chain of that token. An empty id counts as
    /// missing.
    pub fn audit_chain_id(&self) -> Option<&str> {
        self.list(&self.token_path("audit_ids")).get(1)?.as_str().filter(|id| !id.is_empty())
    }

    /// Returns the audit id that all tokens of a chain share.
    ///
    /// It is the [`audit_chain_id`](Self::audit_chain_id) or, for the first token of a chain, the
    /// [`audit_id`](Self::audit_id).
    pub fn initial_audit_id(&self) -> Option<&str> {
        self.audit_chain_id().or_else(|| self.audit_id())
    }

    /// Returns the clouds that the user can log in to through this one, or `None` for v2.0.
    pub fn service_providers(&self) -> Option<impl Iterator<Item = ServiceProvider<'_>>> {
        self.if_v3(|| Some(self.list(&["service_providers"]))).map(|providers| {
            providers.iter().filter_map(|provider| {
                let text = |name| provider.get(name)?.as_str();
                Some(ServiceProvider { id: text("id")?, auth_url: text("auth_url"), sp_url: text("sp_url") })
            })
        })
    }
}

impl AccessInfo {
    /// Returns the path to a property of the token itself. In v2.0 it is one level deeper.
    fn token_path<'a>(&self, name: &'a str) -> Vec<&'a str> {
        match self.version() {
            IdentityVersion::V3 => vec![name],
            IdentityVersion::V2 => vec!["token", name],
        }
    }

    /// Returns the id or the name of the project of a v2.0 document, which is a member of its `tenant` object.
    ///
    /// Old documents have no `tenant`. They have the property in `user`, as `user_member`. If it is missing there, the
    /// `tenantId` of the token is returned. As in keystoneauth, this id is then also returned as the name.
    fn tenant(&self, member: &str, user_member: &str) -> Option<&str> {
        if self.value(&["token", "tenant"]).is_some_and(Value::is_object) {
            return self.text(&["token", "tenant", member]);
        }
        self.text(&["user", user_member]).or_else(|| self.text(&["token", "tenantId"]))
    }

    fn if_v3<T>(&self, read: impl FnOnce() -> Option<T>) -> Option<T> {
        matches!(self.version(), IdentityVersion::V3).then(read).flatten()
    }

    fn if_v2<T>(&self, read: impl FnOnce() -> Option<T>) -> Option<T> {
        matches!(self.version(), IdentityVersion::V2).then(read).flatten()
    }

    fn value(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.members().get(*first)?, |value, name| value.get(name))
    }

    fn text(&self, path: &[&str]) -> Option<&str> {
        self.value(path)?.as_str()
    }

    fn list(&self, path: &[&str]) -> &[Value] {
        self.value(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

/// Returns whether Python counts a value as true, as keystoneauth does for these properties.
fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(value) => value.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}
