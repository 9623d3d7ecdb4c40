//! The properties of a token document, with the names that keystoneauth gives them.

use std::time::{Duration, SystemTime};

use serde_json::Value;

#[cfg(feature = "federation")]
use super::Bearer;
use super::{AccessInfo, IdentityVersion, property_slices::Time, text::Slice};
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
    /// If an OAuth 2.0 access token is sent beside the token and expires earlier, it returns that time.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTimestamp`] if the value in the document is not an ISO 8601 time.
    pub fn expires(&self) -> Result<Option<SystemTime>, Error> {
        let field = match self.version() {
            IdentityVersion::V3 => "expires_at",
            IdentityVersion::V2 => "expires",
        };
        let expires = time(self.properties().expires, field)?;
        #[cfg(feature = "federation")]
        if let Some(bearer_expires) = self.bearer().and_then(Bearer::expires) {
            return Ok(Some(expires.map_or(bearer_expires, |expires| expires.min(bearer_expires))));
        }
        Ok(expires)
    }

    /// Returns when the token was issued, or `Ok(None)` if the document has no `issued_at`.
    ///
    /// # Errors
    ///
    /// Those of [`expires`](Self::expires).
    pub fn issued(&self) -> Result<Option<SystemTime>, Error> {
        time(self.properties().issued, "issued_at")
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
}

/// # User and roles
impl AccessInfo {
    /// Returns the id of the user.
    pub fn user_id(&self) -> Option<&str> {
        self.text(self.properties().user_id)
    }

    /// Returns the name of the user.
    ///
    /// In a v2.0 document it is the `name` of the user or, if that is missing or empty, the `username`.
    pub fn username(&self) -> Option<&str> {
        self.text(self.properties().username)
    }

    /// Returns the id of the user's domain. v2.0 has none, and federated users often have none.
    pub fn user_domain_id(&self) -> Option<&str> {
        self.text(self.properties().user_domain_id)
    }

    /// Returns the name of the user's domain. v2.0 has none, and federated users often have none.
    pub fn user_domain_name(&self) -> Option<&str> {
        self.text(self.properties().user_domain_name)
    }

    /// Returns whether the user logged in through an identity provider (`OS-FEDERATION`).
    pub fn is_federated(&self) -> bool {
        self.properties().is_federated
    }

    /// Returns the ids of the roles that the user has in the scope of the token.
    pub fn role_ids(&self) -> impl Iterator<Item = &str> {
        self.properties().role_ids.iter().filter_map(|id| self.text(*id))
    }

    /// Returns the names of the roles that the user has in the scope of the token.
    pub fn role_names(&self) -> impl Iterator<Item = &str> {
        self.properties().role_names.iter().filter_map(|name| self.text(*name))
    }

    /// Returns whether the token is scoped to the admin project of the cloud.
    ///
    /// Keystone adds this property to the document only if an admin project is configured. Without the property, the
    /// result is `true`.
    pub fn is_admin_project(&self) -> bool {
        self.properties().is_admin_project
    }
}

/// # Scope
impl AccessInfo {
    /// Returns the id of the project that the token is scoped to.
    pub fn project_id(&self) -> Option<&str> {
        self.text(self.properties().project_id)
    }

    /// Returns the name of the project that the token is scoped to.
    pub fn project_name(&self) -> Option<&str> {
        self.text(self.properties().project_name)
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
        self.text(self.properties().project_domain_id)
    }

    /// Returns the name of the project's domain.
    pub fn project_domain_name(&self) -> Option<&str> {
        self.text(self.properties().project_domain_name)
    }

    /// Returns whether the project acts as a domain, or `None` if a v3 document has no `is_domain`.
    pub fn project_is_domain(&self) -> Option<bool> {
        self.properties().project_is_domain
    }

    /// Returns the id of the domain that the token is scoped to.
    pub fn domain_id(&self) -> Option<&str> {
        self.text(self.properties().rare().domain_id)
    }

    /// Returns the name of the domain that the token is scoped to.
    pub fn domain_name(&self) -> Option<&str> {
        self.text(self.properties().rare().domain_name)
    }

    /// Returns the system scope, which is always `{"all": true}` today.
    pub fn system(&self) -> Option<Value> {
        self.json(self.properties().rare().system)
    }

    /// Returns whether the token is scoped to a project.
    pub fn project_scoped(&self) -> bool {
        self.project_id().is_some_and(|id| !id.is_empty())
    }

    /// Returns whether the token is scoped to a domain.
    pub fn domain_scoped(&self) -> bool {
        self.properties().domain_scoped
    }

    /// Returns whether the token is scoped to the whole system.
    pub fn system_scoped(&self) -> bool {
        self.properties().system_scoped
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
        self.text(self.properties().rare().trust_id)
    }

    /// Returns whether the token was issued with a trust.
    pub fn trust_scoped(&self) -> bool {
        self.properties().trust_scoped
    }

    /// Returns the id of the trustee: the user that the trust delegates roles to.
    pub fn trustee_user_id(&self) -> Option<&str> {
        self.text(self.properties().rare().trustee_user_id)
    }

    /// Returns the id of the trustor: the user whose roles the trust delegates. v2.0 has none.
    pub fn trustor_user_id(&self) -> Option<&str> {
        self.text(self.properties().rare().trustor_user_id)
    }

    /// Returns the `application_credential` of the document: the credential that the user logged in with.
    pub fn application_credential(&self) -> Option<Value> {
        self.json(self.properties().rare().application_credential)
    }

    /// Returns the id of the application credential.
    pub fn application_credential_id(&self) -> Option<&str> {
        self.text(self.properties().rare().application_credential_id)
    }

    /// Returns the access rules of the application credential, or `None` if it has none and allows all requests.
    ///
    /// An empty iterator means that the token allows no request. It is also returned if the document has rules that
    /// cannot be read because they are not a list.
    pub fn application_credential_access_rules(&self) -> Option<impl Iterator<Item = AccessRule<'_>>> {
        let rules = self.properties().rare().access_rules.as_deref()?;
        Some(rules.iter().map(|rule| AccessRule {
            id: self.text(rule.id),
            service: self.text(rule.service),
            method: self.text(rule.method),
            path: self.text(rule.path),
        }))
    }

    /// Returns the id of the OAuth 1.0a access token that the token was issued for.
    pub fn oauth_access_token_id(&self) -> Option<&str> {
        self.text(self.properties().rare().oauth_access_token_id)
    }

    /// Returns the id of the OAuth 1.0a consumer.
    pub fn oauth_consumer_id(&self) -> Option<&str> {
        self.text(self.properties().rare().oauth_consumer_id)
    }

    /// Returns the `oauth2_credential` of the document: the client certificate that an OAuth 2.0 token is bound to.
    ///
    /// Keystone issues such tokens to clients that log in with OAuth 2.0 and mutual TLS. The object contains only the
    /// [thumbprint](Self::oauth2_credential_thumbprint) of the certificate.
    pub fn oauth2_credential(&self) -> Option<Value> {
        self.json(self.properties().rare().oauth2_credential)
    }

    /// Returns whether the token is bound to a client certificate, also if the `oauth2_credential` is malformed.
    #[cfg(feature = "validate")]
    pub(crate) fn is_certificate_bound(&self) -> bool {
        self.text(self.properties().rare().oauth2_credential).is_some_and(|json| json != "null")
    }

    /// Returns the thumbprint of the certificate that an OAuth 2.0 token is bound to (`x5t#S256`, RFC 8705).
    pub fn oauth2_credential_thumbprint(&self) -> Option<&str> {
        self.text(self.properties().rare().oauth2_credential_thumbprint)
    }

    /// Returns the `bind` of the document: the external authentication that the token is bound to.
    ///
    /// For example, a request with a token that is bound to a Kerberos principal also needs Kerberos authentication.
    pub fn bind(&self) -> Option<Value> {
        self.json(self.properties().rare().bind)
    }

    /// Returns the audit id: a random id to track the use of the token without exposing the token.
    pub fn audit_id(&self) -> Option<&str> {
        self.text(self.properties().audit_id)
    }

    /// Returns the audit id of the first token of the chain, or `None` if this token is the first one.
    ///
    /// A token that was issued in a login with another token belongs to the chain of that token. An empty id counts as
    /// missing.
    pub fn audit_chain_id(&self) -> Option<&str> {
        self.text(self.properties().audit_chain_id)
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
        let is_v3 = self.version() == IdentityVersion::V3;
        is_v3.then(|| {
            self.properties().rare().service_providers.iter().flatten().filter_map(|provider| {
                Some(ServiceProvider {
                    id: self.text(provider.id)?,
                    auth_url: self.text(provider.auth_url),
                    sp_url: self.text(provider.sp_url),
                })
            })
        })
    }
}

impl AccessInfo {
    fn json(&self, value: Slice) -> Option<Value> {
        serde_json::from_str(self.text(value)?).ok()
    }
}

fn time(time: Time, field: &'static str) -> Result<Option<SystemTime>, Error> {
    match time {
        Time::Missing => Ok(None),
        Time::Invalid => Err(Error::InvalidTimestamp { field }),
        Time::At(time) => Ok(Some(time)),
    }
}
