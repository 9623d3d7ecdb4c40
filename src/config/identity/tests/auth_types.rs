use serde_json::json;

use super::{Cloud, list, logged};
use crate::{config::value::Data, error::ConfigErrorKind};

/// Returns a cloud with all that the auth type requires.
fn complete(auth_type: &str) -> Cloud {
    let cloud = match auth_type {
        "none" => Cloud::new(),
        "admin_token" | "token_endpoint" => {
            Cloud::new().auth("endpoint", "https://nova.example.com").auth("token", "t")
        }
        "http_basic" => Cloud::new().auth("username", "alice").auth("password", "p"),
        "token" | "v2token" | "v3token" => Cloud::v3().auth("token", "t"),
        "v3totp" => Cloud::v3().auth("user_id", "u1").auth("passcode", "123456"),
        "v3applicationcredential" => credential(),
        #[cfg(feature = "federation")]
        federated if super::federated::is_federated(federated) => super::federated::complete(federated),
        "v3multifactor" => {
            Cloud::v3().auth("user_id", "u1").auth("password", "p").top("auth_methods", "v3password")
        }
        _ => Cloud::v3().auth("user_id", "u1").auth("password", "p"),
    };
    cloud.top("auth_type", auth_type)
}

fn credential() -> Cloud {
    Cloud::v3().auth("application_credential_id", "c1").auth("application_credential_secret", "s")
}

#[test]
fn every_supported_auth_type_builds() {
    let ConfigErrorKind::UnknownAuthType { known, .. } = complete("nonsense").error().kind else { panic!() };
    assert_eq!(
        known[..12],
        [
            "password",
            "token",
            "v2password",
            "v2token",
            "v3password",
            "v3token",
            "v3totp",
            "v3applicationcredential",
            "v3multifactor",
            "admin_token",
            "none",
            "http_basic",
        ]
    );
    for auth_type in known {
        assert_eq!(complete(auth_type).auth_type(), *auth_type);
    }
}

#[test]
fn old_names_of_auth_types_are_replaced() {
    assert_eq!(complete("token_endpoint").auth_type(), "admin_token");
    assert_eq!(complete("none").top("auth_type", "None").auth_type(), "none");
    assert_eq!(complete("none").top("auth_type", "").auth_type(), "none");
    assert_eq!(complete("none").insert(false, "auth_type", Data::Null, None).auth_type(), "none");
}

#[test]
fn an_empty_variable_is_no_auth_type() {
    assert_eq!(Cloud::alice().variable("auth_type", "").auth_type(), "password");
}

#[test]
fn unknown_auth_types_are_errors() {
    for (name, hint) in [
        ("Password", "did you mean password?"),
        ("v3aplicationcredentials", "did you mean v3applicationcredential?"),
        (" password", "did you mean password?"),
        ("noauth", "use one of password, token, "),
        ("multifactor", "did you mean v3multifactor?"),
    ] {
        let error = Cloud::alice().top("auth_type", name).error();
        assert!(
            matches!(&error.kind, ConfigErrorKind::UnknownAuthType { auth_type, .. } if **auth_type == *name),
            "{error}"
        );
        let text = error.to_string();
        assert!(
            text.starts_with(&format!(
                "clouds.yaml:5:7: auth_type: the auth type {name:?} is unknown; {hint}"
            )),
            "{text}"
        );
    }
}

#[test]
fn unsupported_auth_types_say_what_to_do() {
    for (auth_type, expected) in [
        ("v3kerberos", "AuthMethod::kerberos"),
        ("v3fedkerb", "Grant::header"),
        ("v3oauth1", "AuthMethod::oauth1"),
        ("v3keystone2keystone", "Keystone2KeystoneCredentials"),
        ("v3adfspassword", "v3oidcpassword"),
        #[cfg(not(feature = "federation"))]
        ("v3oidcpassword", "with the feature `federation`"),
        #[cfg(not(feature = "federation"))]
        ("v3tokenlessauth", "with the feature `federation`"),
        #[cfg(not(feature = "browser"))]
        ("v3websso", "with the feature `browser`"),
        #[cfg(not(feature = "saml"))]
        ("v3samlpassword", "with the feature `saml`"),
    ] {
        let error = Cloud::alice().top("auth_type", auth_type).error();
        let ConfigErrorKind::UnsupportedAuthType { auth_type: found, supported, hint, .. } = &error.kind
        else {
            panic!("{error}")
        };
        assert_eq!(*found, auth_type);
        assert!(supported.starts_with(&["password", "token"]));
        let text = error.to_string();
        assert!(hint.is_some_and(|hint| hint.contains(expected) && text.ends_with(hint)), "{text}");
        let start = format!("clouds.yaml:5:7: auth_type: the auth type {auth_type} cannot be used here; ");
        assert!(text.starts_with(&start), "{text}");
    }
}

#[test]
fn every_auth_type_of_keystoneauth_is_known() {
    for auth_type in [
        "admin_token",
        "http_basic",
        "none",
        "password",
        "token",
        "v2password",
        "v2token",
        "v3adfspassword",
        "v3applicationcredential",
        "v3fedkerb",
        "v3kerberos",
        "v3multifactor",
        "v3oauth1",
        "v3oauth2clientcredential",
        "v3oauth2mtlsclientcredential",
        "v3oidcaccesstoken",
        "v3oidcauthcode",
        "v3oidcclientcredentials",
        "v3oidcdeviceauthz",
        "v3oidcpassword",
        "v3password",
        "v3samlpassword",
        "v3token",
        "v3tokenlessauth",
        "v3totp",
        "v3websso",
    ] {
        if let Err(error) = Cloud::new().top("auth_type", auth_type).build() {
            assert!(!matches!(error.kind, ConfigErrorKind::UnknownAuthType { .. }), "{error}");
        }
    }
}

#[test]
fn the_default_is_a_password() {
    assert_eq!(Cloud::alice().auth_type(), "password");
}

#[test]
fn the_old_name_of_the_setting_is_ignored_with_a_warning() {
    let (auth_type, log) = logged(|| Cloud::alice().top("auth_plugin", "v3totp").auth_type());
    assert_eq!(auth_type, "password");
    assert!(log.contains("WARN"), "{log}");
    assert!(
        log.contains("clouds.yaml:5:7: the setting auth_plugin is ignored; rename it to auth_type"),
        "{log}"
    );
    let (_, log) =
        logged(|| Cloud::alice().top("auth_plugin", "v3totp").top("auth_type", "password").auth_type());
    assert_eq!(log, "");
}

#[tokio::test]
async fn the_scope_of_an_application_credential_is_sent_with_a_warning() {
    let cloud = credential().argument("project_id", "p1");
    assert_eq!(cloud.scope().await, json!({"project": {"id": "p1"}}));
    let (_, log) = logged(|| cloud.auth_type());
    assert!(
        log.contains("the argument project_id: project_id: remove it, because Keystone rejects a scope"),
        "{log}"
    );
    assert_eq!(logged(|| credential().auth_type()).1, "");
}

#[tokio::test]
async fn an_evident_application_credential_is_chosen() {
    assert_eq!(credential().auth_type(), "v3applicationcredential");
    let body = credential().login().await.1["identity"]["application_credential"].clone();
    assert_eq!(body, json!({"id": "c1", "secret": "s"}));

    let variables = Cloud::v3()
        .variable("application_credential_name", "ci")
        .variable("application_credential_secret", "s")
        .variable("username", "alice")
        .variable("user_domain_name", "Default");
    assert_eq!(variables.auth_type(), "v3applicationcredential");
    let body = variables.login().await.1["identity"]["application_credential"].clone();
    let user = json!({"name": "alice", "domain": {"name": "Default"}});
    assert_eq!(body, json!({"name": "ci", "user": user, "secret": "s"}));
}

#[test]
fn a_passcode_without_a_user_is_used_with_a_warning() {
    let cloud = Cloud::v3().auth("passcode", "123456").top("auth_type", "v3totp");
    let (_, log) = logged(|| cloud.auth_type());
    assert!(log.contains("clouds.yaml:2:7: auth.passcode: no user is configured for it"), "{log}");
}

#[test]
fn an_evident_token_is_chosen() {
    assert_eq!(Cloud::v3().auth("token", "t").auth_type(), "token");
    assert_eq!(Cloud::v3().variable("auth_token", "t").auth_type(), "token");
    assert_eq!(Cloud::v3().auth("token", "t").auth("password", "").auth_type(), "token");
}

#[test]
fn a_configured_auth_type_wins_over_an_evident_one() {
    assert_eq!(Cloud::v3().auth("token", "t").top("auth_type", "v3token").auth_type(), "v3token");
    let error = credential().top("auth_type", "password").error();
    assert!(matches!(error.kind, ConfigErrorKind::UnknownMember { auth_type: "password", .. }), "{error}");
}

#[test]
fn beside_a_password_nothing_is_evident() {
    // Nor is it evident which of an application credential and a token is meant.
    assert_eq!(
        credential().variable("token", "t").error().to_string(),
        "clouds.yaml:2:7: auth.application_credential_id: the auth type password does not know this setting; \
         remove it, or set auth_type: v3applicationcredential"
    );

    let error = credential().auth("password", "p").error();
    assert_eq!(
        error.to_string(),
        "clouds.yaml:2:7: auth.application_credential_id: the auth type password does not know this setting; \
         remove it, or set auth_type: v3applicationcredential"
    );
    // Outside `auth`, settings that an auth type does not know are ignored.
    let variables = Cloud::alice()
        .variable("application_credential_id", "c1")
        .variable("application_credential_secret", "s");
    assert_eq!(variables.auth_type(), "password");

    let error = Cloud::alice().top("token", "t").error();
    assert_eq!(
        error.to_string(),
        "clouds.yaml:5:7: token: the auth type password does not know this setting; remove it, or set auth_type to \
         one of token, v2token, v3token, admin_token"
    );
}

#[test]
fn an_application_credential_beside_a_password_is_not_evident() {
    let message = |cloud: Cloud| cloud.error().to_string();
    let cloud = Cloud::v3().auth("auth_url", "");
    let credential = "the auth type password requires auth_url; for an application credential, set";
    let file = cloud.clone().auth("password", "p").top("application_credential_id", "c1");
    assert_eq!(message(file), format!("{credential} auth_type: v3applicationcredential"));
    let variable = cloud.auth("password", "p").variable("application_credential_id", "c1");
    assert_eq!(message(variable.clone()), format!("{credential} OS_AUTH_TYPE=v3applicationcredential"));
    let configured = variable.top("auth_type", "password");
    assert_eq!(message(configured), "the auth type password requires auth_url");
}

#[test]
fn unknown_methods_of_a_multi_factor_login_are_errors() {
    let cloud = |methods: &[&str]| {
        Cloud::alice().top("auth_type", "v3multifactor").insert(false, "auth_methods", list(methods), None)
    };
    // Spaces are not removed, and the methods are auth types.
    for (methods, unknown) in [(["v3password", " v3totp"], " v3totp"), (["password", "totp"], "totp")] {
        let error = cloud(&methods).error();
        let ConfigErrorKind::UnknownAuthType { auth_type, known, .. } = &error.kind else {
            panic!("{error}")
        };
        assert_eq!((&**auth_type, known[0]), (unknown, "v3password"));
        assert!(error.to_string().starts_with("clouds.yaml:6:7: auth_methods: "), "{error}");
    }
    let error = cloud(&["v3password", "password"]).error();
    assert!(
        matches!(error.kind, ConfigErrorKind::UnsupportedAuthType { auth_type: "password", .. }),
        "{error}"
    );
}
