//! The identity headers of keystonemiddleware, for applications that read them.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::{Caller, IdentityStatus, Validation};
use crate::{AccessInfo, EndpointFilter, ServiceCatalog};

/// Inserts the headers that describe the user and the service of a request.
///
/// A value that cannot stand in a header is left out. So is a role whose name contains a comma, because the names are
/// separated by commas.
pub(super) fn insert(headers: &mut HeaderMap, validation: &Validation) {
    insert_status(headers, HeaderName::from_static("x-identity-status"), validation.status());
    if validation.service_status() != IdentityStatus::Absent {
        let name = HeaderName::from_static("x-service-identity-status");
        insert_status(headers, name, validation.service_status());
    }
    if let Ok(user) = validation.caller().map(Caller::access_info) {
        insert_identity(headers, user, USER_NAMES);
        insert_user(headers, user);
    }
    if let Some(service) = validation.service() {
        insert_identity(headers, service, SERVICE_NAMES);
    }
}

/// The names of the headers that describe a user, and of those that describe a service.
type Names = [&'static str; 11];

const USER_NAMES: Names = [
    "x-project-id",
    "x-project-name",
    "x-project-domain-id",
    "x-project-domain-name",
    "x-domain-id",
    "x-domain-name",
    "x-user-id",
    "x-user-name",
    "x-user-domain-id",
    "x-user-domain-name",
    "x-roles",
];
const SERVICE_NAMES: Names = [
    "x-service-project-id",
    "x-service-project-name",
    "x-service-project-domain-id",
    "x-service-project-domain-name",
    "x-service-domain-id",
    "x-service-domain-name",
    "x-service-user-id",
    "x-service-user-name",
    "x-service-user-domain-id",
    "x-service-user-domain-name",
    "x-service-roles",
];

fn insert_identity(headers: &mut HeaderMap, access_info: &AccessInfo, names: Names) {
    let roles = roles(access_info);
    let values = [
        access_info.project_id(),
        access_info.project_name(),
        access_info.project_domain_id(),
        access_info.project_domain_name(),
        access_info.domain_id(),
        access_info.domain_name(),
        access_info.user_id(),
        access_info.username(),
        access_info.user_domain_id(),
        access_info.user_domain_name(),
        Some(&*roles),
    ];
    for (name, value) in names.into_iter().zip(values) {
        insert_text(headers, name, value);
    }
}

/// Inserts the headers that exist only for a user.
fn insert_user(headers: &mut HeaderMap, access_info: &AccessInfo) {
    let is_admin_project = if access_info.is_admin_project() { "True" } else { "False" };
    insert_text(headers, "x-is-admin-project", Some(is_admin_project));
    insert_text(headers, "x-role", Some(&roles(access_info)));
    insert_text(headers, "x-user", access_info.username());
    insert_text(headers, "x-tenant", access_info.project_name());
    insert_text(headers, "x-tenant-id", access_info.project_id());
    insert_text(headers, "x-tenant-name", access_info.project_name());
    insert_text(headers, "openstack-system-scope", access_info.system_scoped().then_some("all"));
    if access_info.has_service_catalog() {
        let catalog = v2_catalog(access_info.service_catalog()).to_string();
        insert_text(headers, "x-service-catalog", Some(&escape_non_ascii(&catalog)));
    }
}

fn insert_status(headers: &mut HeaderMap, name: HeaderName, status: IdentityStatus) {
    let status = if status == IdentityStatus::Confirmed { "Confirmed" } else { "Invalid" };
    headers.insert(name, HeaderValue::from_static(status));
}

/// Inserts a header in ISO 8859-1, if the value can stand in one.
fn insert_text(headers: &mut HeaderMap, name: &'static str, value: Option<&str>) {
    if let Some(value) = value.and_then(header_value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

fn header_value(text: &str) -> Option<HeaderValue> {
    let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
    HeaderValue::from_bytes(&bytes.ok()?).ok()
}

fn roles(access_info: &AccessInfo) -> String {
    let names = access_info.role_names().filter(|name| !name.contains(',') && header_value(name).is_some());
    names.collect::<Vec<_>>().join(",")
}

/// A service in the catalog of the Identity API v2.0, which has one endpoint for each region.
struct V2Service<'a> {
    service_type: &'a str,
    name: Option<&'a str>,
    id: Option<&'a str>,
    regions: Vec<(Option<&'a str>, Map<String, Value>)>,
}

/// Returns a catalog in the form of the Identity API v2.0.
fn v2_catalog(catalog: &ServiceCatalog) -> Value {
    let mut services: Vec<V2Service<'_>> = Vec::new();
    for (_, endpoints) in catalog.endpoints_data(&EndpointFilter::default().any_interface()) {
        for endpoint in endpoints {
            let (service_type, name, id) =
                (endpoint.service_type(), endpoint.service_name(), endpoint.service_id());
            let service = find_or_push(
                &mut services,
                |service| (service.service_type, service.name, service.id) == (service_type, name, id),
                || V2Service { service_type, name, id, regions: Vec::new() },
            );
            let region_name = endpoint.region_name();
            let (_, region) = find_or_push(
                &mut service.regions,
                |(name, _)| *name == region_name,
                || {
                    (
                        region_name,
                        region_name.map(|name| ("region".into(), name.into())).into_iter().collect(),
                    )
                },
            );
            if let Some(interface) = endpoint.interface() {
                let name = format!("{}URL", interface.as_str().to_lowercase());
                region.insert(name, endpoint.url().into());
            }
        }
    }
    services.into_iter().map(V2Service::into_json).collect()
}

impl V2Service<'_> {
    fn into_json(self) -> Value {
        let regions = self.regions.into_iter().map(|(_, region)| Value::Object(region)).collect();
        let name = self.name.map(|name| ("name", name.into()));
        let members = [("type", self.service_type.into()), ("endpoints", regions)].into_iter().chain(name);
        Value::Object(members.map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

fn find_or_push<T>(list: &mut Vec<T>, is_it: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> &mut T {
    let index = list.iter().position(is_it).unwrap_or_else(|| {
        list.push(make());
        list.len() - 1
    });
    &mut list[index]
}

/// Escapes the characters of a JSON text that are not ASCII.
fn escape_non_ascii(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        match character.is_ascii() {
            true => escaped.push(character),
            false => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    escaped.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn access_info(token: Value) -> AccessInfo {
        AccessInfo::new("t", json!({"token": token}).to_string()).unwrap()
    }

    fn user_headers(token: Value) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let access_info = access_info(token);
        insert_identity(&mut headers, &access_info, USER_NAMES);
        insert_user(&mut headers, &access_info);
        headers
    }

    #[test]
    fn a_catalog_has_one_endpoint_for_each_region() {
        let endpoint = |interface: &str, region: &str, url: &str| json!({"interface": interface, "region": region, "region_id": region, "url": url});
        let headers = user_headers(json!({"user": {"id": "u"}, "catalog": [
            {"type": "compute", "name": "nova\u{e9}", "id": "s1", "endpoints": [
                endpoint("public", "R1", "https://p1"),
                endpoint("public", "R2", "https://p2"),
                endpoint("Internal", "R1", "https://i1"),
                json!({"interface": "admin", "url": "https://a"}),
            ]},
            {"type": "compute", "name": "other", "id": "s2", "endpoints": [endpoint("public", "R1", "https://o")]},
        ]}));
        let catalog = headers["x-service-catalog"].to_str().unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(catalog).unwrap(),
            json!([
                {"type": "compute", "name": "nova\u{e9}", "endpoints": [
                    {"region": "R1", "publicURL": "https://p1", "internalURL": "https://i1"},
                    {"region": "R2", "publicURL": "https://p2"},
                    {"adminURL": "https://a"},
                ]},
                {"type": "compute", "name": "other", "endpoints": [{"region": "R1", "publicURL": "https://o"}]},
            ])
        );
        assert_eq!(user_headers(json!({"catalog": []}))["x-service-catalog"], "[]");
        assert!(!user_headers(json!({})).contains_key("x-service-catalog"));
    }

    #[test]
    fn a_value_that_cannot_stand_in_a_header_is_left_out() {
        let roles = ["member", "ops,admin", "a\r\nX-Roles: admin", "r\u{f4}le", "\u{65e5}", "reader"];
        let roles: Vec<_> = roles.iter().map(|name| json!({"name": name})).collect();
        let headers = user_headers(json!({
            "user": {"id": "u\n", "name": "J\u{fc}rgen"},
            "project": {"id": "p", "name": "\u{65e5}\u{672c}", "domain": {"id": "d"}},
            "roles": roles,
        }));
        assert_eq!(headers["x-roles"].as_bytes(), b"member,r\xf4le,reader");
        assert_eq!(headers["x-roles"], headers["x-role"]);
        assert_eq!(headers["x-user-name"].as_bytes(), b"J\xfcrgen");
        assert_eq!(
            (&headers["x-project-id"], &headers["x-project-domain-id"]),
            (&headers["x-tenant-id"], &"d".parse().unwrap())
        );
        for absent in [
            "x-user-id",
            "x-project-name",
            "x-tenant",
            "x-tenant-name",
            "x-project-domain-name",
            "x-domain-id",
        ] {
            assert!(!headers.contains_key(absent), "{absent}");
        }
    }

    #[test]
    fn the_properties_of_a_user_have_headers() {
        let headers = user_headers(json!({"user": {"id": "u", "name": "alice"}, "system": {"all": true}}));
        assert_eq!(
            (&headers["openstack-system-scope"], &headers["x-is-admin-project"]),
            (&"all".parse().unwrap(), &"True".parse().unwrap())
        );
        assert_eq!(
            (&headers["x-user"], &headers["x-roles"]),
            (&"alice".parse().unwrap(), &"".parse().unwrap())
        );
        let headers = user_headers(json!({"is_admin_project": false, "system": {}}));
        assert_eq!(headers["x-is-admin-project"], "False");
        assert!(!headers.contains_key("openstack-system-scope"));
    }
}
