//! The auth types of logins at Keystone, and those without a login.

use super::{
    auth_type::{AuthType, Kind, Method},
    setting::{PASSWORD, PROJECT, Setting, TENANT, TOKEN, USERNAME, V2, V3, renamed, setting},
};

const DEFAULT_DOMAIN: &[Setting] = &[setting("default_domain_id"), setting("default_domain_name")];

pub(super) const KEYSTONE: &[AuthType] = &[
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
