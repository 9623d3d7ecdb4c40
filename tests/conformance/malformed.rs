//! Removes the members of a document that have the wrong type.

use serde_json::{Value, value::RawValue};
use tower_keystone::discovery::Version;

use crate::json::Json;

/// Returns the required type of a member, by its name and the name of its parent.
type KindOf = fn(member: &str, parent: &str) -> Kind;

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Flag,
    Object,
    Version,
    VersionOrObject,
    Objects,
    Versions,
    Texts,
    Any,
}

impl Kind {
    fn matches(self, json: &Json) -> bool {
        match self {
            Self::Text => matches!(json, Json::Scalar(Value::String(_))),
            Self::Flag => matches!(json, Json::Scalar(Value::Bool(_))),
            Self::Object => matches!(json, Json::Object(_)),
            Self::Version => {
                json.text().is_some_and(|text| text.is_empty() || text.parse::<Version>().is_ok())
            }
            Self::VersionOrObject => Self::Version.matches(json) || Self::Object.matches(json),
            Self::Objects | Self::Texts => matches!(json, Json::List(_)),
            // A list, or an object with a list.
            Self::Versions => match json {
                Json::Object(members) => {
                    members.iter().any(|(name, values)| name == "values" && Self::Objects.matches(values))
                }
                other => Self::Objects.matches(other),
            },
            Self::Any => true,
        }
    }

    fn of_elements(self) -> Self {
        match self {
            Self::Objects | Self::Versions => Self::Object,
            _ => Self::Any,
        }
    }
}

/// Returns the token document without its malformed members, or `None` if it has none.
pub(crate) fn token_without_malformed(document: &RawValue) -> Option<Box<RawValue>> {
    without_malformed(document, kind_in_token)
}

/// Returns the version document without its malformed members, or `None` if it has none.
pub(crate) fn versions_without_malformed(document: &RawValue) -> Option<Box<RawValue>> {
    without_malformed(document, kind_in_versions)
}

/// Returns the token document without the URLs that have a query or a fragment.
pub(crate) fn token_without_queries(document: &RawValue) -> Option<Box<RawValue>> {
    without(document, &|name, value| {
        (name == "url" || name.ends_with("URL")) && value.text().is_some_and(|url| url.contains(['?', '#']))
    })
}

/// Returns the token document without empty names and ids.
pub(crate) fn token_without_empty_names(document: &RawValue) -> Option<Box<RawValue>> {
    without(document, &|name, value| matches!(name, "name" | "id") && value.text() == Some(""))
}

fn without(document: &RawValue, dropped: &dyn Fn(&str, &Json) -> bool) -> Option<Box<RawValue>> {
    let mut json: Json = serde_json::from_str(document.get()).ok()?;
    json.drop_members(dropped).then(|| json.raw()).flatten()
}

fn kind_in_token(member: &str, parent: &str) -> Kind {
    match member {
        "token"
        | "access"
        | "user"
        | "domain"
        | "project"
        | "tenant"
        | "OS-TRUST:trust"
        | "trust"
        | "trustor_user"
        | "trustee_user"
        | "system"
        | "application_credential"
        | "OS-OAUTH1"
        | "oauth2_credential"
        | "metadata" => Kind::Object,
        "roles" if parent == "metadata" => Kind::Texts,
        "catalog" | "serviceCatalog" | "endpoints" | "roles" | "service_providers" => Kind::Objects,
        "audit_ids" | "methods" => Kind::Texts,
        "is_domain" | "is_admin_project" | "all" => Kind::Flag,
        "id" | "name" | "type" | "url" | "region" | "region_id" | "interface" | "expires_at" | "expires"
        | "issued_at" | "tenantId" | "tenantName" | "username" | "sp_url" | "auth_url"
        | "trustee_user_id" | "access_token_id" | "consumer_id" | "x5t#S256" => Kind::Text,
        url if url.ends_with("URL") => Kind::Text,
        _ => Kind::Any,
    }
}

fn kind_in_versions(member: &str, _parent: &str) -> Kind {
    match member {
        "versions" => Kind::Versions,
        "values" | "links" => Kind::Objects,
        "version" => Kind::VersionOrObject,
        "id" | "min_version" | "max_version" | "next_min_version" => Kind::Version,
        "status" | "href" | "rel" | "not_before" => Kind::Text,
        _ => Kind::Any,
    }
}

fn without_malformed(document: &RawValue, kind_of: KindOf) -> Option<Box<RawValue>> {
    let mut json: Json = serde_json::from_str(document.get()).ok()?;
    let has_malformed =
        if Kind::Object.matches(&json) { json.drop_malformed("", Kind::Any, kind_of) } else { json.empty() };
    has_malformed.then(|| json.raw()).flatten()
}

impl Json {
    /// Removes the members, and the elements of lists, that are null or have the wrong type.
    fn drop_malformed(&mut self, name: &str, kind: Kind, kind_of: KindOf) -> bool {
        let mut has_malformed = false;
        match self {
            Self::Scalar(_) => {}
            // In a list of texts, the position is significant, so the element becomes null.
            Self::List(elements) if matches!(kind, Kind::Texts) => {
                for element in elements.iter_mut().filter(|element| !Kind::Text.matches(element)) {
                    *element = Self::Scalar(Value::Null);
                    has_malformed = true;
                }
            }
            Self::List(elements) => elements.retain_mut(|element| {
                let is_kept =
                    kind.of_elements().matches(element) && (name != "endpoints" || element.has_url());
                has_malformed |= !is_kept || element.drop_malformed(name, Kind::Any, kind_of);
                is_kept
            }),
            Self::Object(members) => members.retain_mut(|(member, value)| {
                let kind = kind_of(member, name);
                // An object without a list, in place of a list, counts as an empty list.
                if let (Kind::Versions, Self::Object(lists)) = (kind, &*value)
                    && !lists.iter().any(|(name, _)| name == "values")
                {
                    *value = Self::List(Vec::new());
                    has_malformed = true;
                }
                let is_kept = kind.matches(value);
                has_malformed |= !is_kept || value.drop_malformed(member, kind, kind_of);
                is_kept
            }),
        }
        has_malformed
    }

    fn drop_members(&mut self, is_dropped: &dyn Fn(&str, &Self) -> bool) -> bool {
        let mut dropped = false;
        match self {
            Self::Scalar(_) => {}
            Self::List(elements) => {
                elements.iter_mut().for_each(|element| dropped |= element.drop_members(is_dropped));
            }
            Self::Object(members) => members.retain_mut(|(name, value)| {
                let is_kept = !is_dropped(name, value);
                dropped |= !is_kept || value.drop_members(is_dropped);
                is_kept
            }),
        }
        dropped
    }

    fn has_url(&self) -> bool {
        let is_url = |name: &str| name == "url" || name.ends_with("URL");
        matches!(self, Self::Object(members) if members.iter().any(|(name, _)| is_url(name)))
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Scalar(value) => value.as_str(),
            _ => None,
        }
    }

    /// Replaces the document by an empty one.
    fn empty(&mut self) -> bool {
        *self = Self::Object(Vec::new());
        true
    }
}
