//! The properties of a token document, by keystoneauth's names.
//!
//! A property is `None` where the document does not have it, or has something of another kind there.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::{AccessInfo, IdentityVersion, timestamp};
use crate::Error;

/// A cloud that the user can reach through this one (Keystone to Keystone federation).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceProvider<'a> {
    /// Its id: keystoneauth's `sp_id`.
    pub id: &'a str,
    /// Where one authenticates there: `get_auth_url`.
    pub auth_url: Option<&'a str>,
    /// Where the assertion goes: `get_sp_url`.
    pub sp_url: Option<&'a str>,
}

/// # When
impl AccessInfo {
    /// When the token expires. `Ok(None)` where the document does not say.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTimestamp`] if it says something that is no time.
    pub fn expires(&self) -> Result<Option<SystemTime>, Error> {
        match self.version() {
            IdentityVersion::V3 => self.time("expires_at", &["expires_at"]),
            IdentityVersion::V2 => self.time("expires", &["token", "expires"]),
        }
    }

    /// When the token was issued. `Ok(None)` where the document does not say.
    ///
    /// # Errors
    ///
    /// Those of [`expires`](Self::expires).
    pub fn issued(&self) -> Result<Option<SystemTime>, Error> {
        self.time("issued_at", &self.token_path("issued_at"))
    }

    /// Whether the token will have expired `stale_duration` from now by the clock of this machine.
    ///
    /// keystoneauth's default is 30 seconds; its plugins ask with 120. A token without an expiry
    /// does not expire.
    ///
    /// # Errors
    ///
    /// Those of [`expires`](Self::expires).
    pub fn will_expire_soon(&self, stale_duration: Duration) -> Result<bool, Error> {
        self.will_expire_soon_at(SystemTime::now(), stale_duration)
    }

    /// [`will_expire_soon`](Self::will_expire_soon) for a clock that shows `now`.
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

/// # Who
impl AccessInfo {
    /// The id of the user.
    pub fn user_id(&self) -> Option<&str> {
        self.text(&["user", "id"])
    }

    /// The name of the user; in old v2.0 documents, which have none or an empty one, `username` has it.
    pub fn username(&self) -> Option<&str> {
        let name = self.text(&["user", "name"]);
        let old_name = || self.text(&["user", "username"]);
        self.v3(|| name).or_else(|| self.v2(|| name.filter(|name| !name.is_empty()).or_else(old_name)))
    }

    /// The id of the user's domain. None in v2.0 and, often, for federated users.
    pub fn user_domain_id(&self) -> Option<&str> {
        self.v3(|| self.text(&["user", "domain", "id"]))
    }

    /// The name of the user's domain. None in v2.0 and, often, for federated users.
    pub fn user_domain_name(&self) -> Option<&str> {
        self.v3(|| self.text(&["user", "domain", "name"]))
    }

    /// Whether the user came by way of an identity provider (`OS-FEDERATION`).
    pub fn is_federated(&self) -> bool {
        self.v3(|| self.value(&["user", "OS-FEDERATION"])).is_some()
    }

    /// The ids of the roles on the scope.
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

    /// The names of the roles on the scope.
    pub fn role_names(&self) -> impl Iterator<Item = &str> {
        match self.version() {
            IdentityVersion::V3 => self.list(&["roles"]),
            IdentityVersion::V2 => self.list(&["user", "roles"]),
        }
        .iter()
        .filter_map(|role| role.get("name")?.as_str())
    }

    /// Whether the scope is the cloud's administrative project. Keystone says so only if one is
    /// configured; without a word of it every project counts as one.
    pub fn is_admin_project(&self) -> bool {
        self.v3(|| self.value(&["is_admin_project"])).is_none_or(truthy)
    }
}

/// # What for
impl AccessInfo {
    /// The id of the project that the token is scoped to.
    pub fn project_id(&self) -> Option<&str> {
        match self.version() {
            IdentityVersion::V3 => self.text(&["project", "id"]),
            IdentityVersion::V2 => self.tenant("id", "tenantId"),
        }
    }

    /// The name of the project that the token is scoped to.
    pub fn project_name(&self) -> Option<&str> {
        match self.version() {
            IdentityVersion::V3 => self.text(&["project", "name"]),
            IdentityVersion::V2 => self.tenant("name", "tenantName"),
        }
    }

    /// What a v2.0 document says of the tenant: in its `tenant`, if it has one. What it says elsewhere is what v2.0
    /// wrote before it had tenants with names.
    fn tenant(&self, member: &str, of_user: &str) -> Option<&str> {
        if self.value(&["token", "tenant"]).is_some_and(Value::is_object) {
            return self.text(&["token", "tenant", member]);
        }
        self.text(&["user", of_user]).or_else(|| self.text(&["token", "tenantId"]))
    }

    /// The old name of [`project_id`](Self::project_id).
    pub fn tenant_id(&self) -> Option<&str> {
        self.project_id()
    }

    /// The old name of [`project_name`](Self::project_name).
    pub fn tenant_name(&self) -> Option<&str> {
        self.project_name()
    }

    /// The id of the project's domain.
    pub fn project_domain_id(&self) -> Option<&str> {
        self.v3(|| self.text(&["project", "domain", "id"]))
    }

    /// The name of the project's domain.
    pub fn project_domain_name(&self) -> Option<&str> {
        self.v3(|| self.text(&["project", "domain", "name"]))
    }

    /// Whether the project acts as a domain; `None` where the document does not say.
    pub fn project_is_domain(&self) -> Option<bool> {
        match self.version() {
            IdentityVersion::V3 => self.value(&["is_domain"])?.as_bool(),
            IdentityVersion::V2 => Some(false),
        }
    }

    /// The id of the domain that the token is scoped to.
    pub fn domain_id(&self) -> Option<&str> {
        self.v3(|| self.text(&["domain", "id"]))
    }

    /// The name of the domain that the token is scoped to.
    pub fn domain_name(&self) -> Option<&str> {
        self.v3(|| self.text(&["domain", "name"]))
    }

    /// What of the system the token is scoped to: today always `{"all": true}`.
    pub fn system(&self) -> Option<&Value> {
        self.v3(|| self.value(&["system"]))
    }

    /// Whether the token is scoped to a project.
    pub fn project_scoped(&self) -> bool {
        self.project_id().is_some_and(|id| !id.is_empty())
    }

    /// Whether the token is scoped to a domain.
    pub fn domain_scoped(&self) -> bool {
        self.v3(|| self.value(&["domain"])).is_some_and(truthy)
    }

    /// Whether the token is scoped to the whole system.
    pub fn system_scoped(&self) -> bool {
        self.v3(|| self.value(&["system", "all"])).is_some_and(truthy)
    }

    /// Whether the token is scoped at all: to a project, a domain or the system.
    pub fn scoped(&self) -> bool {
        self.project_scoped() || self.domain_scoped() || self.system_scoped()
    }
}

/// # By what right
impl AccessInfo {
    /// The id of the trust that the token was issued under.
    pub fn trust_id(&self) -> Option<&str> {
        match self.version() {
            IdentityVersion::V3 => self.text(&["OS-TRUST:trust", "id"]),
            IdentityVersion::V2 => self.text(&["trust", "id"]),
        }
    }

    /// Whether the token was issued under a trust.
    pub fn trust_scoped(&self) -> bool {
        let path = match self.version() {
            IdentityVersion::V3 => "OS-TRUST:trust",
            IdentityVersion::V2 => "trust",
        };
        self.value(&[path]).is_some_and(truthy)
    }

    /// The user who is trusted.
    pub fn trustee_user_id(&self) -> Option<&str> {
        match self.version() {
            IdentityVersion::V3 => self.text(&["OS-TRUST:trust", "trustee_user", "id"]),
            IdentityVersion::V2 => self.text(&["trust", "trustee_user_id"]),
        }
    }

    /// The user who trusts. None in v2.0.
    pub fn trustor_user_id(&self) -> Option<&str> {
        self.v3(|| self.text(&["OS-TRUST:trust", "trustor_user", "id"]))
    }

    /// The application credential that the token was got with, as the document has it.
    pub fn application_credential(&self) -> Option<&Value> {
        self.v3(|| self.value(&["application_credential"]))
    }

    /// The id of the application credential.
    pub fn application_credential_id(&self) -> Option<&str> {
        self.v3(|| self.text(&["application_credential", "id"]))
    }

    /// The access rules of the application credential, if it is bound to any.
    pub fn application_credential_access_rules(&self) -> Option<&[Value]> {
        let rules = self.v3(|| self.value(&["application_credential", "access_rules"]))?;
        rules.as_array().map(Vec::as_slice)
    }

    /// The id of the OAuth 1.0a access token that the token was got with.
    pub fn oauth_access_token_id(&self) -> Option<&str> {
        self.v3(|| self.text(&["OS-OAUTH1", "access_token_id"]))
    }

    /// The id of the OAuth 1.0a consumer.
    pub fn oauth_consumer_id(&self) -> Option<&str> {
        self.v3(|| self.text(&["OS-OAUTH1", "consumer_id"]))
    }

    /// What an OAuth 2.0 token (mutual TLS) is bound to, as the document has it.
    pub fn oauth2_credential(&self) -> Option<&Value> {
        self.v3(|| self.value(&["oauth2_credential"]))
    }

    /// The thumbprint of the certificate that an OAuth 2.0 token is bound to (`x5t#S256`, RFC 8705).
    pub fn oauth2_credential_thumbprint(&self) -> Option<&str> {
        self.v3(|| self.text(&["oauth2_credential", "x5t#S256"]))
    }

    /// What else the token is bound to, as the document has it.
    pub fn bind(&self) -> Option<&Value> {
        self.value(&self.token_path("bind"))
    }

    /// The audit id of the token.
    pub fn audit_id(&self) -> Option<&str> {
        self.list(&self.token_path("audit_ids")).first()?.as_str()
    }

    /// The audit id of the token that a chain of tokens began with. An empty one is none.
    pub fn audit_chain_id(&self) -> Option<&str> {
        self.list(&self.token_path("audit_ids")).get(1)?.as_str().filter(|id| !id.is_empty())
    }

    /// The audit id that the whole chain shares: [`audit_chain_id`](Self::audit_chain_id) or, for the
    /// first of it, [`audit_id`](Self::audit_id).
    pub fn initial_audit_id(&self) -> Option<&str> {
        self.audit_chain_id().or_else(|| self.audit_id())
    }

    /// The clouds that the user can go on to; `None` in v2.0, which knows of none.
    pub fn service_providers(&self) -> Option<impl Iterator<Item = ServiceProvider<'_>>> {
        self.v3(|| Some(self.list(&["service_providers"]))).map(|listed| {
            listed.iter().filter_map(|provider| {
                let text = |name| provider.get(name)?.as_str();
                Some(ServiceProvider { id: text("id")?, auth_url: text("auth_url"), sp_url: text("sp_url") })
            })
        })
    }
}

impl AccessInfo {
    /// Where v2.0 has one more level for what is said of the token itself.
    fn token_path<'a>(&self, name: &'a str) -> Vec<&'a str> {
        match self.version() {
            IdentityVersion::V3 => vec![name],
            IdentityVersion::V2 => vec!["token", name],
        }
    }

    fn v3<T>(&self, read: impl FnOnce() -> Option<T>) -> Option<T> {
        matches!(self.version(), IdentityVersion::V3).then(read).flatten()
    }

    fn v2<T>(&self, read: impl FnOnce() -> Option<T>) -> Option<T> {
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

/// Python's reading of a value as a condition, which keystoneauth's answers rest on.
fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(value) => value.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}
