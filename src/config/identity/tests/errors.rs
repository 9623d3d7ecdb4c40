use std::{io, sync::Arc};

use super::{Cloud, ConfiguredIdentity, Prompt, list, login, prompt};
use crate::{
    Secret,
    error::{ConfigError, ConfigErrorKind},
};

fn missing(error: &ConfigError) -> Vec<&'static str> {
    match &error.kind {
        ConfigErrorKind::MissingSettings { names, .. } => names.clone(),
        _ => panic!("{error}"),
    }
}

#[test]
fn missing_settings_are_named_all_at_once() {
    let typed = |auth_type: &str| Cloud::new().top("auth_type", auth_type);
    let names = |cloud: Cloud| missing(&cloud.error());
    assert_eq!(names(Cloud::new()), ["auth_url", "password"]);
    assert_eq!(names(typed("v2password")), ["auth_url", "username or user_id", "password"]);
    assert_eq!(names(typed("v3token")), ["auth_url", "token"]);
    assert_eq!(
        names(typed("v3totp").top("username", "alice")),
        ["auth_url", "passcode", "user_domain_id or user_domain_name"]
    );
    assert_eq!(
        names(typed("v3applicationcredential")),
        [
            "auth_url",
            "application_credential_id or application_credential_name",
            "application_credential_secret"
        ]
    );
    assert_eq!(names(typed("admin_token")), ["endpoint", "token"]);
    assert_eq!(names(typed("http_basic")), ["username", "password"]);
    assert_eq!(names(typed("v3multifactor").auth("password", "p")), ["auth_methods"]);
    assert_eq!(Cloud::new().error().to_string(), "the auth type password requires auth_url and password");
}

#[test]
fn names_without_a_domain_are_errors_in_v3() {
    let cloud = Cloud::v3().top("auth_type", "v3password").auth("username", "alice").auth("password", "p");
    let error = cloud.error();
    assert_eq!(
        error.to_string(),
        "clouds.yaml:3:7: auth.username: the auth type v3password requires user_domain_id or user_domain_name"
    );
    let error = cloud.auth("user_domain_id", "default").variable("project_name", "p1").error();
    assert_eq!(
        error.to_string(),
        "the variable OS_PROJECT_NAME: project_name: the auth type v3password requires OS_PROJECT_DOMAIN_ID \
         or OS_PROJECT_DOMAIN_NAME"
    );
    // The generic auth types leave this to Keystone.
    let generic = Cloud::v3().auth("username", "alice").auth("password", "p").auth("project_name", "p1");
    assert_eq!(generic.auth_type(), "password");
}

#[test]
fn unknown_members_say_where_they_belong() {
    let hint = |name: &str| {
        let error = Cloud::alice().auth(name, "x").error();
        assert_eq!(error.member.as_deref(), Some(&*format!("auth.{name}")));
        match error.kind {
            ConfigErrorKind::UnknownMember { hint, .. } => hint,
            _ => panic!("{error}"),
        }
    };
    for name in ["verify", "region_name", "interface", "cacert", "auth_type", "identity_api_version"] {
        assert_eq!(&*hint(name), "move it out of auth, one level up");
    }
    assert_eq!(&*hint("project"), "write project_id or project_name");
    assert_eq!(&*hint("tenant"), "write project_id or project_name");
    assert_eq!(&*hint("user"), "write user_id or username");
    assert_eq!(&*hint("default_domain"), "write default_domain_id or default_domain_name");
    assert_eq!(&*hint("os_password"), "write password");
    assert_eq!(&*hint("paswrd"), "write password");
    assert!(hint("pswrd").starts_with("the auth type knows "));
    assert_eq!(&*hint("AUTH_URI"), "write auth_url");
    assert_eq!(&*hint("passcode"), "remove it, or set auth_type: v3totp");
    assert_eq!(&*hint("auth_methods"), "remove it, or set auth_type: v3multifactor");
    assert!(hint("access_key").starts_with("the auth type knows auth_url, system_scope, "));
}

#[test]
fn other_top_level_settings_are_ignored() {
    assert_eq!(Cloud::alice().top("foo", "bar").top("verify", "x").auth_type(), "password");
}

#[test]
fn a_list_is_no_text() {
    let error = Cloud::alice().insert(true, "project_name", list(&["a"]), None).error();
    assert_eq!(error.to_string(), "clouds.yaml:5:7: auth.project_name: expected a text");
}

#[test]
fn an_invalid_auth_url_is_an_error() {
    let error = Cloud::alice().auth("auth_url", "keystone.example.com/v3").error();
    assert_eq!(
        error.to_string(),
        "clouds.yaml:5:7: auth.auth_url: expected the URL of Keystone, but it must start with https:// or http://"
    );
}

#[test]
fn an_auth_url_with_braces_is_an_error() {
    for url in ["https://h/{", "https://h/{{x}}", "https://{region_name[0]}.h/v3", "https://h/}"] {
        let error = Cloud::alice().auth("auth_url", url).error().to_string();
        assert!(error.starts_with("clouds.yaml:5:7: auth.auth_url: "), "{error}");
        assert!(error.contains("its braces do not contain the name of a setting"), "{error}");
    }
}

#[tokio::test]
async fn the_user_is_asked_for_a_missing_password() {
    let (ask, prompts) = prompt();
    let cloud = Cloud::v3().auth("user_id", "u1").auth("password", "");
    let identity = ConfiguredIdentity::new(&cloud.settings, Some(&ask), &[]).unwrap();
    assert_eq!(login(&identity).await.1["identity"]["password"]["user"]["password"], "secret");
    assert_eq!(*prompts.lock().unwrap(), ["Password: "]);

    let present = cloud.auth("password", "p");
    ConfiguredIdentity::new(&present.settings, Some(&ask), &[]).unwrap();
    assert_eq!(prompts.lock().unwrap().len(), 1);
}

#[test]
fn the_user_is_asked_for_what_the_methods_lack() {
    let (ask, prompts) = prompt();
    let cloud = Cloud::v3()
        .auth("user_id", "u1")
        .top("auth_type", "v3multifactor")
        .top("auth_methods", "v3password,v3totp");
    ConfiguredIdentity::new(&cloud.settings, Some(&ask), &[]).unwrap();
    assert_eq!(*prompts.lock().unwrap(), ["Password: ", "TOTP passcode: "]);
}

#[test]
fn the_user_is_not_asked_if_more_is_missing() {
    let (ask, prompts) = prompt();
    let error = ConfiguredIdentity::new(&Cloud::new().settings, Some(&ask), &[]).map(|_| ()).unwrap_err();
    assert_eq!(missing(&error), ["auth_url"]);
    assert!(prompts.lock().unwrap().is_empty());
}

#[test]
fn answers_can_be_empty_or_fail() {
    let error = |ask: Prompt| {
        let cloud = Cloud::v3().auth("user_id", "u1");
        ConfiguredIdentity::new(&cloud.settings, Some(&ask), &[]).map(|_| ()).unwrap_err()
    };
    assert_eq!(missing(&error(Arc::new(|_: &str| Ok(Secret::new(""))))), ["password"]);
    let failed = error(Arc::new(|_: &str| Err(io::Error::other("there is no terminal"))));
    assert_eq!(
        failed.to_string(),
        "auth.password: asking the user for the password failed: there is no terminal"
    );
}

#[test]
fn errors_contain_no_secret() {
    let clouds = [
        Cloud::alice().auth("password", "canary").auth("project", "canary"),
        Cloud::v3().top("auth_type", "v3password").auth("username", "canary").auth("password", "canary"),
        Cloud::alice().auth("auth_url", "https://canary:canary@h/?canary"),
        Cloud::new().top("auth_type", "none").auth("endpoint", "canary:canary"),
        Cloud::new().top("auth_type", "none").auth("endpoint", "canary canary"),
        Cloud::new().top("auth_type", "http_basic").auth("username", "canary:x").auth("password", "canary"),
        Cloud::new().top("auth_type", "admin_token").auth("endpoint", "https://h").auth("token", "canary\n"),
        Cloud::alice().auth("token", "canary").auth("no_such_member", "canary"),
    ];
    for cloud in clouds {
        let error = cloud.error();
        assert!(
            !error.to_string().contains("canary") || error.to_string().contains("canary_free"),
            "{error}"
        );
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}

#[test]
fn a_part_of_an_application_credential_names_the_other_part() {
    let id = Cloud::v3().auth("application_credential_id", "i");
    assert_eq!(
        id.error().to_string(),
        "the auth type v3applicationcredential requires application_credential_secret"
    );
    let secret = Cloud::v3().auth("application_credential_secret", "canary").error();
    assert_eq!(missing(&secret), ["application_credential_id or application_credential_name"]);
}

#[test]
fn a_scope_beside_an_application_credential_is_to_be_removed() {
    let credential =
        Cloud::v3().auth("application_credential_id", "i").auth("application_credential_secret", "canary");
    let error = credential.clone().auth("project_name", "p").error().to_string();
    assert_eq!(
        error,
        "clouds.yaml:4:7: auth.project_name: remove it, because Keystone rejects a scope beside an application \
         credential"
    );
}

#[test]
fn a_user_of_an_application_credential_needs_a_domain() {
    let credential =
        Cloud::v3().auth("application_credential_name", "i").auth("application_credential_secret", "canary");
    assert_eq!(
        credential.auth("username", "alice").error().to_string(),
        "clouds.yaml:4:7: auth.username: the auth type v3applicationcredential requires user_domain_id or \
         user_domain_name"
    );
}

#[test]
fn a_variable_of_another_auth_type_says_which_variable_to_set() {
    let error = Cloud::alice().variable("passcode", "canary").error().to_string();
    assert_eq!(
        error,
        "the variable OS_PASSCODE: passcode: the auth type password does not know this setting; remove it, or set \
         OS_AUTH_TYPE=v3totp"
    );
}
