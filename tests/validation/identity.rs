//! The identity headers of a request, and the same values from the typed extension.

use http::HeaderMap;
use serde_json::{Map, Value};
use tower_keystone::{
    AccessInfo,
    validate::{IdentityStatus, Validation},
};

use crate::servers;

/// Names of the headers, each also with `x-service-` instead of `x-`.
const OF_BOTH: [&str; 12] = [
    "x-domain-id",
    "x-domain-name",
    "x-identity-status",
    "x-project-domain-id",
    "x-project-domain-name",
    "x-project-id",
    "x-project-name",
    "x-roles",
    "x-user-domain-id",
    "x-user-domain-name",
    "x-user-id",
    "x-user-name",
];

const OF_USER: [&str; 7] = [
    "openstack-system-scope",
    "x-is-admin-project",
    "x-role",
    "x-tenant",
    "x-tenant-id",
    "x-tenant-name",
    "x-user",
];

/// Returns the identity headers, also those with `_` in their names.
pub(crate) fn of_headers(headers: &HeaderMap) -> Value {
    let is_identity = |name: &str| {
        let name = name.replace('_', "-");
        let of_user = name.replacen("x-service-", "x-", 1);
        OF_BOTH.contains(&&*of_user) || OF_USER.contains(&&*name)
    };
    let names = headers.keys().map(|name| name.as_str()).filter(|name| is_identity(name));
    let value = |name: &str| {
        let values = headers.get_all(name).iter().map(|value| servers::latin1_text(value.as_bytes()));
        values.collect::<Vec<_>>().join(",").into()
    };
    names.map(|name| (name.to_owned(), value(name))).collect::<Map<_, _>>().into()
}

/// Returns the identity headers that follow from the typed values.
pub(crate) fn of_validation(validation: &Validation) -> Value {
    let mut all = Map::new();
    let mut set = |name: &str, value: Option<&str>| {
        all.extend(value.map(|value| (name.to_owned(), Value::from(value))));
    };
    let mut set_token = |prefix: &str, status: IdentityStatus, access_info: Option<&AccessInfo>| {
        let text = match status {
            IdentityStatus::Confirmed => "Confirmed",
            _ => "Invalid",
        };
        set(&format!("{prefix}identity-status"), Some(text));
        let Some(token) = access_info else { return };
        let is_project = token.project_scoped();
        let roles = token.role_names().collect::<Vec<_>>().join(",");
        for (name, value) in [
            ("user-id", token.user_id()),
            ("user-name", token.username()),
            ("user-domain-id", token.user_domain_id()),
            ("user-domain-name", token.user_domain_name()),
            ("project-id", token.project_id()),
            ("project-name", token.project_name()),
            ("project-domain-id", token.project_domain_id().filter(|_| is_project)),
            ("project-domain-name", token.project_domain_name().filter(|_| is_project)),
            ("domain-id", token.domain_id()),
            ("domain-name", token.domain_name()),
            ("roles", Some(&*roles)),
        ] {
            set(&format!("{prefix}{name}"), value);
        }
    };
    let user = validation.caller().ok().map(|caller| caller.access_info());
    set_token("x-", validation.status(), user);
    if validation.service_status() != IdentityStatus::Absent {
        set_token("x-service-", validation.service_status(), validation.service());
    }
    let Some(user) = user else { return all.into() };
    let is_admin_project = if user.is_admin_project() { "True" } else { "False" };
    let system_scope = user.system().filter(|system| system["all"] == true).map(|_| "all");
    let roles = all.get("x-roles").cloned();
    let mut set = |name: &str, value: Option<&str>| {
        all.extend(value.map(|value| (name.to_owned(), Value::from(value))));
    };
    set("x-is-admin-project", Some(is_admin_project));
    set("openstack-system-scope", system_scope);
    set("x-user", user.username());
    set("x-tenant", user.project_name());
    set("x-tenant-id", user.project_id());
    set("x-tenant-name", user.project_name());
    all.extend(roles.map(|roles| ("x-role".to_owned(), roles)));
    all.into()
}
