//! Reads the properties of a token document once, as slices of its text.

use std::time::SystemTime;

use super::{
    IdentityVersion,
    borrowed_value::BorrowedValue,
    members::Members,
    text::{Slice, TextBuilder},
    timestamp,
};

/// The properties of a token document. Those of v3 and v2.0 documents are stored in the same fields.
///
/// The slices are slices of the text of the access info.
pub(super) struct PropertySlices {
    pub(super) expires: Time,
    pub(super) issued: Time,
    pub(super) user_id: Slice,
    pub(super) username: Slice,
    pub(super) user_domain_id: Slice,
    pub(super) user_domain_name: Slice,
    pub(super) project_id: Slice,
    pub(super) project_name: Slice,
    pub(super) project_domain_id: Slice,
    pub(super) project_domain_name: Slice,
    pub(super) audit_id: Slice,
    pub(super) audit_chain_id: Slice,
    pub(super) role_ids: Box<[Slice]>,
    pub(super) role_names: Box<[Slice]>,
    rare: Option<Box<RareSlices>>,
    pub(super) project_is_domain: Option<bool>,
    pub(super) is_federated: bool,
    pub(super) is_admin_project: bool,
    pub(super) domain_scoped: bool,
    pub(super) system_scoped: bool,
    pub(super) trust_scoped: bool,
}

/// The properties that few tokens have.
#[derive(PartialEq)]
pub(super) struct RareSlices {
    pub(super) domain_id: Slice,
    pub(super) domain_name: Slice,
    pub(super) trust_id: Slice,
    pub(super) trustee_user_id: Slice,
    pub(super) trustor_user_id: Slice,
    pub(super) application_credential_id: Slice,
    pub(super) oauth_access_token_id: Slice,
    pub(super) oauth_consumer_id: Slice,
    pub(super) oauth2_credential_thumbprint: Slice,
    /// The JSON texts of values that are parsed each time they are asked for.
    pub(super) system: Slice,
    pub(super) application_credential: Slice,
    pub(super) oauth2_credential: Slice,
    pub(super) bind: Slice,
    pub(super) access_rules: Option<Box<[AccessRuleSlices]>>,
    pub(super) service_providers: Option<Box<[ServiceProviderSlices]>>,
}

/// A time of the document.
#[derive(Clone, Copy)]
pub(super) enum Time {
    Missing,
    Invalid,
    At(SystemTime),
}

#[derive(PartialEq)]
pub(super) struct AccessRuleSlices {
    pub(super) id: Slice,
    pub(super) service: Slice,
    pub(super) method: Slice,
    pub(super) path: Slice,
}

#[derive(PartialEq)]
pub(super) struct ServiceProviderSlices {
    pub(super) id: Slice,
    pub(super) auth_url: Slice,
    pub(super) sp_url: Slice,
}

impl PropertySlices {
    pub(super) fn read(version: IdentityVersion, members: &Members<'_>, text: &mut TextBuilder<'_>) -> Self {
        match version {
            IdentityVersion::V3 => Self::read_v3(members, text),
            IdentityVersion::V2 => Self::read_v2(members, text),
        }
    }

    /// Returns the size of the lists, in bytes.
    #[cfg(feature = "validate")]
    pub(super) fn memory_size(&self) -> usize {
        size_of_val(&*self.role_ids)
            + size_of_val(&*self.role_names)
            + self.rare.as_deref().map_or(0, |rare| {
                size_of_val(rare)
                    + rare.access_rules.as_deref().map_or(0, size_of_val)
                    + rare.service_providers.as_deref().map_or(0, size_of_val)
            })
    }

    fn read_v3(members: &Members<'_>, text: &mut TextBuilder<'_>) -> Self {
        let is_truthy = |path: &[&str]| members.value(path).is_some_and(BorrowedValue::is_truthy);
        let audit_ids = members.list(&["audit_ids"]);
        let roles = members.list(&["roles"]);
        let role_ids = slices(roles.iter().map(|role| role.get("id")), text);
        let role_names = slices(roles.iter().map(|role| role.get("name")), text);
        let mut slice = |path: &[&str]| text.insert(members.text(path));
        Self {
            expires: Time::read(members.value(&["expires_at"])),
            issued: Time::read(members.value(&["issued_at"])),
            user_id: slice(&["user", "id"]),
            username: slice(&["user", "name"]),
            user_domain_id: slice(&["user", "domain", "id"]),
            user_domain_name: slice(&["user", "domain", "name"]),
            project_id: slice(&["project", "id"]),
            project_name: slice(&["project", "name"]),
            project_domain_id: slice(&["project", "domain", "id"]),
            project_domain_name: slice(&["project", "domain", "name"]),
            audit_id: text.insert(audit_id(audit_ids)),
            audit_chain_id: text.insert(audit_chain_id(audit_ids)),
            role_ids,
            role_names,
            project_is_domain: members.value(&["is_domain"]).and_then(BorrowedValue::as_bool),
            is_federated: members.value(&["user", "OS-FEDERATION"]).is_some(),
            is_admin_project: members.value(&["is_admin_project"]).is_none_or(BorrowedValue::is_truthy),
            domain_scoped: is_truthy(&["domain"]),
            system_scoped: is_truthy(&["system", "all"]),
            trust_scoped: is_truthy(&["OS-TRUST:trust"]),
            rare: RareSlices::read_v3(members, text).boxed(),
        }
    }

    fn read_v2(members: &Members<'_>, text: &mut TextBuilder<'_>) -> Self {
        let audit_ids = members.list(&["token", "audit_ids"]);
        let user_name = members.text(&["user", "name"]).filter(|name| !name.is_empty());
        let role_names = members.list(&["user", "roles"]).iter().map(|role| role.get("name"));
        Self {
            expires: Time::read(members.value(&["token", "expires"])),
            issued: Time::read(members.value(&["token", "issued_at"])),
            user_id: text.insert(members.text(&["user", "id"])),
            username: text.insert(user_name.or_else(|| members.text(&["user", "username"]))),
            user_domain_id: Slice::NONE,
            user_domain_name: Slice::NONE,
            project_id: text.insert(tenant(members, "id", "tenantId")),
            project_name: text.insert(tenant(members, "name", "tenantName")),
            project_domain_id: Slice::NONE,
            project_domain_name: Slice::NONE,
            audit_id: text.insert(audit_id(audit_ids)),
            audit_chain_id: text.insert(audit_chain_id(audit_ids)),
            role_ids: slices(members.list(&["metadata", "roles"]).iter().map(Some), text),
            role_names: slices(role_names, text),
            project_is_domain: Some(false),
            is_federated: false,
            is_admin_project: true,
            domain_scoped: false,
            system_scoped: false,
            trust_scoped: members.value(&["trust"]).is_some_and(BorrowedValue::is_truthy),
            rare: RareSlices::read_v2(members, text).boxed(),
        }
    }

    #[inline]
    pub(super) fn rare(&self) -> &RareSlices {
        self.rare.as_deref().unwrap_or(&RareSlices::NONE)
    }
}

impl RareSlices {
    const NONE: Self = Self {
        domain_id: Slice::NONE,
        domain_name: Slice::NONE,
        trust_id: Slice::NONE,
        trustee_user_id: Slice::NONE,
        trustor_user_id: Slice::NONE,
        application_credential_id: Slice::NONE,
        oauth_access_token_id: Slice::NONE,
        oauth_consumer_id: Slice::NONE,
        oauth2_credential_thumbprint: Slice::NONE,
        system: Slice::NONE,
        application_credential: Slice::NONE,
        oauth2_credential: Slice::NONE,
        bind: Slice::NONE,
        access_rules: None,
        service_providers: None,
    };

    fn boxed(self) -> Option<Box<Self>> {
        (self != Self::NONE).then(|| Box::new(self))
    }

    fn read_v3(members: &Members<'_>, text: &mut TextBuilder<'_>) -> Self {
        let access_rules = access_rules(members, text);
        let service_providers = service_providers(members, text);
        let json = ["system", "application_credential", "oauth2_credential", "bind"];
        let [system, application_credential, oauth2_credential, bind] =
            json.map(|name| text.insert(members.json(name)));
        let mut slice = |path: &[&str]| text.insert(members.text(path));
        Self {
            domain_id: slice(&["domain", "id"]),
            domain_name: slice(&["domain", "name"]),
            trust_id: slice(&["OS-TRUST:trust", "id"]),
            trustee_user_id: slice(&["OS-TRUST:trust", "trustee_user", "id"]),
            trustor_user_id: slice(&["OS-TRUST:trust", "trustor_user", "id"]),
            application_credential_id: slice(&["application_credential", "id"]),
            oauth_access_token_id: slice(&["OS-OAUTH1", "access_token_id"]),
            oauth_consumer_id: slice(&["OS-OAUTH1", "consumer_id"]),
            oauth2_credential_thumbprint: slice(&["oauth2_credential", "x5t#S256"]),
            system,
            application_credential,
            oauth2_credential,
            bind,
            access_rules,
            service_providers,
        }
    }

    fn read_v2(members: &Members<'_>, text: &mut TextBuilder<'_>) -> Self {
        Self {
            trust_id: text.insert(members.text(&["trust", "id"])),
            trustee_user_id: text.insert(members.text(&["trust", "trustee_user_id"])),
            bind: text.insert(members.inner_json("token", "bind")),
            ..Self::NONE
        }
    }
}

impl Time {
    fn read(value: Option<&BorrowedValue<'_>>) -> Self {
        match value {
            None | Some(BorrowedValue::Null) => Self::Missing,
            Some(value) => value.as_text().and_then(timestamp::parse).map_or(Self::Invalid, Self::At),
        }
    }
}

/// Returns the slices of the values that are texts.
fn slices<'v, 'a: 'v>(
    values: impl Iterator<Item = Option<&'v BorrowedValue<'a>>>,
    text: &mut TextBuilder<'_>,
) -> Box<[Slice]> {
    values.filter_map(|value| value?.as_text()).map(|string| text.insert(Some(string))).collect()
}

fn audit_id<'v>(audit_ids: &'v [BorrowedValue<'_>]) -> Option<&'v str> {
    audit_ids.first()?.as_text()
}

fn audit_chain_id<'v>(audit_ids: &'v [BorrowedValue<'_>]) -> Option<&'v str> {
    audit_ids.get(1)?.as_text().filter(|id| !id.is_empty())
}

/// Reads the access rules of the application credential. Rules that cannot be read become an empty list.
fn access_rules(members: &Members<'_>, text: &mut TextBuilder<'_>) -> Option<Box<[AccessRuleSlices]>> {
    let credential = members.value(&["application_credential"]).filter(|value| value.is_truthy())?;
    let rules = match credential.is_object() {
        true => credential.get("access_rules").filter(|rules| !rules.is_null())?.elements(),
        false => &[],
    };
    let rules = rules.iter().map(|rule| {
        let mut slice = |name| text.insert(rule.get(name).and_then(BorrowedValue::as_text));
        AccessRuleSlices {
            id: slice("id"),
            service: slice("service"),
            method: slice("method"),
            path: slice("path"),
        }
    });
    Some(rules.collect())
}

fn service_providers(
    members: &Members<'_>,
    text: &mut TextBuilder<'_>,
) -> Option<Box<[ServiceProviderSlices]>> {
    let providers = members.list(&["service_providers"]).iter();
    let providers = providers.filter(|provider| provider.get("id").is_some_and(|id| id.as_text().is_some()));
    let providers = providers.map(|provider| {
        let mut slice = |name| text.insert(provider.get(name).and_then(BorrowedValue::as_text));
        ServiceProviderSlices { id: slice("id"), auth_url: slice("auth_url"), sp_url: slice("sp_url") }
    });
    let providers: Box<[_]> = providers.collect();
    (!providers.is_empty()).then_some(providers)
}

/// Returns the id or the name of the project of a v2.0 document, which is a member of its `tenant` object.
///
/// Old documents have no `tenant`. They have the property in `user`, as `user_member`. If it is missing there, the
/// `tenantId` of the token is returned. As in keystoneauth, this id is then also returned as the name.
fn tenant<'v>(members: &'v Members<'_>, member: &str, user_member: &str) -> Option<&'v str> {
    if members.value(&["token", "tenant"]).is_some_and(BorrowedValue::is_object) {
        return members.text(&["token", "tenant", member]);
    }
    members.text(&["user", user_member]).or_else(|| members.text(&["token", "tenantId"]))
}
