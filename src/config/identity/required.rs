//! Which settings an auth type requires.

#[cfg(feature = "federation")]
use super::auth_types::Federated;
use super::{
    auth_types::{Kind, Method},
    members::{Member, Members},
    select::Selected,
};
use crate::{
    config::settings::Settings,
    error::{ConfigError, ConfigErrorKind, ConfigLocation},
};

/// Why a scope must not be set together with an application credential.
pub(super) const SCOPE_OF_APPLICATION_CREDENTIAL: &str =
    "Keystone rejects a scope beside an application credential";

/// A list of settings, one of which is required, and how an error names them.
#[derive(Clone, Copy)]
struct Requirement(&'static [&'static str], &'static str);

/// Checks that no required setting is missing. `is_promised` returns whether the user will be asked for a setting.
pub(super) fn check(
    members: &Members,
    selected: &Selected,
    settings: &Settings,
    is_promised: impl Fn(&str) -> bool,
) -> Result<(), ConfigError> {
    let mut missing = Vec::new();
    for (Requirement(any_of, label), reason) in requirements(members, selected) {
        let is_given = |name: &&str| members.get(name).is_some() || is_promised(name);
        if !any_of.iter().any(is_given) {
            missing.push((label, reason));
        }
    }
    let Some((_, reason)) = missing.first() else { return Ok(()) };
    let is_scope = reason.is_some_and(|reason| reason.name == "project_name");
    let hint_is_cause = is_scope && selected.methods.contains(&Method::ApplicationCredential);
    let error = ConfigError::new(ConfigErrorKind::MissingSettings {
        auth_type: selected.auth_type.name,
        names: missing.iter().map(|(label, _)| *label).collect(),
        in_environment: reason.is_some_and(|reason| matches!(reason.location, ConfigLocation::Variable(_))),
        hint: match hint_is_cause {
            true => Some(format!("remove it, because {SCOPE_OF_APPLICATION_CREDENTIAL}").into()),
            false => hint(selected, settings).map(Into::into),
        },
        hint_is_cause,
    });
    Err(match reason {
        Some(reason) => error.at(&reason.location).member(&reason.path),
        None => error,
    })
}

/// Returns the requirements, each with the setting that causes it, if there is one.
fn requirements<'a>(members: &'a Members, selected: &Selected) -> Vec<(Requirement, Option<&'a Member>)> {
    const AUTH_URL: Requirement = Requirement(&["auth_url"], "auth_url");
    const USER: Requirement = Requirement(&["username", "user_id"], "username or user_id");
    const TOKEN: Requirement = Requirement(&["token"], "token");
    const PASSWORD: Requirement = Requirement(&["password"], "password");
    const ENDPOINT: Requirement = Requirement(&["endpoint"], "endpoint");

    let kind = selected.auth_type.kind;
    let mut required = match kind {
        Kind::NoAuth => Vec::new(),
        Kind::AdminToken => vec![ENDPOINT, TOKEN],
        Kind::HttpBasic => vec![Requirement(&["username"], "username"), PASSWORD],
        Kind::V2(Method::Password) => vec![AUTH_URL, USER],
        Kind::V2(_) | Kind::Generic(_) | Kind::V3(_) | Kind::MultiFactor => vec![AUTH_URL],
        #[cfg(feature = "federation")]
        Kind::Federated(kind) => [vec![AUTH_URL], federated(kind, members)].concat(),
    };
    for method in &selected.methods {
        match method {
            Method::Password => required.push(PASSWORD),
            Method::Token => required.push(TOKEN),
            Method::Totp => required.push(Requirement(&["passcode"], "passcode")),
            Method::ApplicationCredential => required.extend([
                Requirement(
                    &["application_credential_id", "application_credential_name"],
                    "application_credential_id or application_credential_name",
                ),
                Requirement(&["application_credential_secret"], "application_credential_secret"),
            ]),
        }
    }
    let mut required: Vec<_> = required.into_iter().map(|requirement| (requirement, None)).collect();
    #[cfg(feature = "federation")]
    let is_federated = matches!(kind, Kind::Federated(_));
    #[cfg(not(feature = "federation"))]
    let is_federated = false;
    if is_federated || matches!(kind, Kind::V3(_) | Kind::MultiFactor) {
        // A name is unique within its domain only.
        for (name, domain) in [
            (
                "username",
                Requirement(&["user_domain_id", "user_domain_name"], "user_domain_id or user_domain_name"),
            ),
            (
                "project_name",
                Requirement(
                    &["project_domain_id", "project_domain_name"],
                    "project_domain_id or project_domain_name",
                ),
            ),
        ] {
            // A user of an identity provider has no domain.
            if let Some(reason) = members.get(name).filter(|_| !(is_federated && name == "username")) {
                required.push((domain, Some(reason)));
            }
        }
    }
    required
}

/// Returns the requirements of a federated login, besides the `auth_url`.
#[cfg(feature = "federation")]
fn federated(kind: Federated, members: &Members) -> Vec<Requirement> {
    const PROVIDER: [Requirement; 2] =
        [Requirement(&["identity_provider"], "identity_provider"), Requirement(&["protocol"], "protocol")];
    const CLIENT: [Requirement; 2] = [
        Requirement(&["client_id"], "client_id"),
        Requirement(
            &["access_token_endpoint", "discovery_endpoint"],
            "access_token_endpoint or discovery_endpoint",
        ),
    ];
    const USER: [Requirement; 2] =
        [Requirement(&["username"], "username"), Requirement(&["password"], "password")];
    const OAUTH2: [Requirement; 2] = [
        Requirement(&["oauth2_endpoint"], "oauth2_endpoint"),
        Requirement(&["oauth2_client_id"], "oauth2_client_id"),
    ];
    const SCOPE: Requirement = Requirement(
        &["project_id", "project_name", "domain_id", "domain_name"],
        "project_id or project_name or domain_id or domain_name",
    );

    let with = |others: &[Requirement]| [&PROVIDER, others].concat();
    match kind {
        Federated::ClientCredentials | Federated::Device => with(&CLIENT),
        Federated::Password => {
            let passcode = members.get("idp_otp_key").map(|_| Requirement(&["passcode"], "passcode"));
            [with(&CLIENT), USER.to_vec(), passcode.into_iter().collect()].concat()
        }
        Federated::AccessToken => with(&[Requirement(&["access_token"], "access_token")]),
        Federated::AuthorizationCode => [with(&CLIENT), vec![Requirement(&["code"], "code")]].concat(),
        #[cfg(feature = "browser")]
        Federated::WebSso => with(&[]),
        #[cfg(feature = "saml")]
        Federated::SamlPassword => {
            let url = Requirement(&["identity_provider_url"], "identity_provider_url");
            [with(&[url]), USER.to_vec()].concat()
        }
        Federated::OAuth2Client => {
            let secret = Requirement(&["oauth2_client_secret"], "oauth2_client_secret");
            [OAUTH2.to_vec(), vec![secret]].concat()
        }
        Federated::OAuth2Mtls => OAUTH2.to_vec(),
        Federated::Tokenless => vec![SCOPE],
    }
}

/// Returns what else to do, if the user may have meant an application credential.
fn hint(selected: &Selected, settings: &Settings) -> Option<&'static str> {
    let is_credential = |(name, _): &(&str, _)| name.starts_with("application_credential_");
    let (_, credential) = settings.top.iter().find(is_credential).filter(|_| selected.is_default)?;
    Some(match credential.location {
        ConfigLocation::Variable(_) => {
            "for an application credential, set OS_AUTH_TYPE=v3applicationcredential"
        }
        _ => "for an application credential, set auth_type: v3applicationcredential",
    })
}
