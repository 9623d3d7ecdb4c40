use serde_json::{Value as Json, json};

use super::{Cloud, list};
use crate::config::value::Data;

#[tokio::test]
async fn members_of_auth_win_over_top_level_settings() {
    let cloud = Cloud::alice().top("username", "bob").top("password", "other").top("user_name", "carol");
    assert_eq!(
        cloud.user().await,
        json!({"name": "alice", "domain": {"id": "default"}, "password": "wonderland"})
    );
}

#[tokio::test]
async fn top_level_settings_are_moved_into_auth() {
    let cloud = Cloud::new()
        .top("auth_url", "https://keystone.example.com/v3")
        .top("username", "alice")
        .top("user_domain_id", "default")
        .top("password", "wonderland")
        .top("project_id", "p1");
    assert_eq!(
        cloud.login().await,
        (
            "/v3/auth/tokens".into(),
            json!({
                "identity": {
                    "methods": ["password"],
                    "password": {
                        "user": {"name": "alice", "domain": {"id": "default"}, "password": "wonderland"},
                    },
                },
                "scope": {"project": {"id": "p1"}},
            })
        )
    );
}

#[tokio::test]
async fn projects_and_domains_win_outside_auth() {
    let cloud = Cloud::alice()
        .auth("project_name", "inner")
        .auth("project_domain_name", "inner")
        .top("project_name", "outer")
        .top("project_domain_name", "outer")
        .top("user_domain_id", "outer");
    assert_eq!(cloud.scope().await, json!({"project": {"name": "outer", "domain": {"name": "outer"}}}));
    assert_eq!(cloud.user().await["domain"], json!({"id": "outer"}));
}

#[tokio::test]
async fn tokens_and_passcodes_win_outside_auth() {
    let token = Cloud::v3().top("auth_type", "v3token").auth("token", "inner").top("token", "outer");
    assert_eq!(token.login().await.1["identity"]["token"], json!({"id": "outer"}));

    let totp = Cloud::v3()
        .top("auth_type", "v3totp")
        .auth("user_id", "u1")
        .auth("passcode", "inner")
        .top("passcode", "outer");
    assert_eq!(totp.login().await.1["identity"]["totp"]["user"]["passcode"], "outer");
}

#[tokio::test]
async fn arguments_win_throughout() {
    let file = Cloud::alice().auth("project_name", "inner").top("project_domain_id", "default");
    let user = |cloud: Cloud| async move { cloud.user().await["name"].clone() };
    let project = |cloud: Cloud| async move { cloud.scope().await["project"]["name"].clone() };

    assert_eq!(user(file.clone().argument("username", "bob")).await, "bob");
    assert_eq!(user(file.clone().argument("user_name", "bob")).await, "bob");
    assert_eq!(
        user(file.clone().auth_argument("username", "bob").argument("username", "carol")).await,
        "bob"
    );
    assert_eq!(project(file.clone().argument("project_name", "argument")).await, "argument");
    assert_eq!(project(file.clone().argument("tenant_name", "argument")).await, "argument");
    let both = file.clone().top("project_name", "outer").auth_argument("project_name", "argument");
    assert_eq!(project(both).await, "argument");
}

#[tokio::test]
async fn an_argument_with_a_name_replaces_an_id() {
    let file = Cloud::v3()
        .auth("user_id", "u1")
        .auth("user_domain_id", "d1")
        .auth("password", "p")
        .top("project_id", "p1")
        .auth("domain_id", "d1");
    let named = file
        .clone()
        .argument("username", "bob")
        .auth_argument("user_domain_name", "corp")
        .argument("tenant_name", "demo")
        .argument("project_domain_name", "corp");
    assert_eq!(named.user().await, json!({"name": "bob", "domain": {"name": "corp"}, "password": "p"}));
    assert_eq!(named.scope().await, json!({"project": {"name": "demo", "domain": {"name": "corp"}}}));

    // If both are arguments, or neither is, the id wins.
    let both = named.argument("user_id", "u2").argument("project_id", "p2");
    assert_eq!(both.user().await, json!({"id": "u2", "password": "p"}));
    assert_eq!(both.scope().await, json!({"project": {"id": "p2"}}));
    assert_eq!(file.auth("username", "bob").user().await, json!({"id": "u1", "password": "p"}));

    let domain = Cloud::alice().auth("domain_id", "d1").argument("domain_name", "corp");
    assert_eq!(domain.scope().await, json!({"domain": {"name": "corp"}}));
    let default_domain = Cloud::v3()
        .auth("username", "alice")
        .auth("password", "p")
        .auth("default_domain_id", "d1")
        .argument("default_domain_name", "corp");
    assert_eq!(default_domain.user().await["domain"], json!({"name": "corp"}));

    let credential = Cloud::v3()
        .auth("application_credential_id", "c1")
        .auth("application_credential_secret", "s")
        .auth("user_id", "u1")
        .argument("application_credential_name", "ci");
    let body = credential.login().await.1["identity"]["application_credential"].clone();
    assert_eq!(body, json!({"name": "ci", "user": {"id": "u1"}, "secret": "s"}));
}

#[tokio::test]
async fn an_argument_with_an_id_replaces_a_name_in_v2() {
    let cloud = Cloud::new()
        .auth("auth_url", "https://keystone.example.com/v2.0")
        .top("auth_type", "v2password")
        .auth("username", "alice")
        .auth("password", "p")
        .argument("user_id", "u1");
    let body = cloud.login().await.1;
    assert_eq!(body["passwordCredentials"], json!({"userId": "u1", "password": "p"}));
    let body = cloud.auth("tenant_id", "t1").argument("tenant_name", "demo").login().await.1;
    assert_eq!((&body["tenantId"], &body["tenantName"]), (&Json::Null, &json!("demo")));
}

#[tokio::test]
async fn old_names_lose_to_current_ones() {
    let cloud = Cloud::v3()
        .auth("user_name", "old")
        .auth("username", "alice")
        .auth("password", "p")
        .top("tenant_name", "old")
        .auth("project_name", "new");
    assert_eq!(cloud.user().await["name"], "alice");
    assert_eq!(cloud.scope().await["project"]["name"], "new");

    let old = Cloud::v3().auth("user_name", "alice").auth("password", "p").auth("tenant_id", "t1");
    assert_eq!(old.user().await["name"], "alice");
    assert_eq!(old.scope().await, json!({"project": {"id": "t1"}}));

    let token = Cloud::v3().top("auth_type", "v3token").auth("auth_token", "old");
    assert_eq!(token.login().await.1["identity"]["token"], json!({"id": "old"}));
    let token = token.auth("token", "new");
    assert_eq!(token.login().await.1["identity"]["token"], json!({"id": "new"}));
}

#[tokio::test]
async fn projects_are_tenants_in_v2() {
    let cloud = Cloud::new()
        .auth("auth_url", "https://keystone.example.com/v2.0")
        .top("auth_type", "v2password")
        .auth("username", "alice")
        .auth("password", "p")
        .auth("project_name", "p1");
    assert_eq!(cloud.login().await.1["tenantName"], "p1");
    let cloud = cloud.auth("tenant_name", "t1");
    assert_eq!(
        cloud.login().await,
        (
            "/v2.0/tokens".into(),
            json!({"passwordCredentials": {"username": "alice", "password": "p"}, "tenantName": "t1"})
        )
    );
}

#[tokio::test]
async fn null_and_empty_settings_are_absent() {
    let cloud = Cloud::alice()
        .insert(true, "project_id", Data::Null, None)
        .insert(true, "project_domain_id", Data::Null, None)
        .insert(true, "no_such_member", Data::Null, None)
        .insert(false, "project_name", Data::Null, None)
        .insert(false, "token", Data::Null, None)
        .auth("trust_id", "")
        .auth("project_name", "p1")
        .auth("project_domain_name", "d1");
    assert_eq!(cloud.scope().await, json!({"project": {"name": "p1", "domain": {"name": "d1"}}}));

    let outside = Cloud::v3().auth("username", "").top("username", "alice").auth("password", "p");
    assert_eq!(outside.user().await["name"], "alice");
}

#[tokio::test]
async fn a_domain_is_shared_by_user_and_project() {
    let base = Cloud::v3().auth("username", "alice").auth("password", "p").auth("domain_id", "d1");
    let cloud = base.clone().auth("project_name", "p1");
    assert_eq!(cloud.user().await["domain"], json!({"id": "d1"}));
    assert_eq!(cloud.scope().await, json!({"project": {"name": "p1", "domain": {"id": "d1"}}}));

    // Also for a project outside `auth`, and for a project that is given by its id.
    let cloud = base.clone().top("project_id", "p1").auth("project_domain_id", "d2");
    assert_eq!(cloud.user().await["domain"], json!({"id": "d1"}));
    assert_eq!(cloud.scope().await, json!({"project": {"id": "p1"}}));

    // Only where there is no domain.
    let cloud =
        base.clone().auth("project_name", "p1").auth("project_domain_id", "d2").auth("user_domain_id", "d3");
    assert_eq!(cloud.user().await["domain"], json!({"id": "d3"}));
    assert_eq!(cloud.scope().await, json!({"project": {"name": "p1", "domain": {"id": "d2"}}}));

    // An argument too.
    let argument = Cloud::alice().auth("project_name", "p1").argument("domain_id", "d1");
    assert_eq!(argument.user().await["domain"], json!({"id": "default"}));
    assert_eq!(argument.scope().await["project"]["domain"], json!({"id": "d1"}));

    // Without a project, it is the scope.
    assert_eq!(base.user().await["domain"], Json::Null);
    assert_eq!(base.scope().await, json!({"domain": {"id": "d1"}}));
    let named = Cloud::v3().auth("user_id", "u1").auth("password", "p").top("domain_name", "corp");
    assert_eq!(named.scope().await, json!({"domain": {"name": "corp"}}));
}

#[tokio::test]
async fn a_token_needs_no_domain_of_a_user() {
    let cloud = Cloud::v3()
        .top("auth_type", "token")
        .auth("token", "t")
        .auth("project_name", "p1")
        .auth("domain_name", "corp");
    assert_eq!(cloud.scope().await, json!({"project": {"name": "p1", "domain": {"name": "corp"}}}));
}

#[tokio::test]
async fn default_domains_apply_where_there_is_no_domain() {
    let cloud = Cloud::v3()
        .auth("username", "alice")
        .auth("password", "p")
        .auth("project_name", "p1")
        .top("default_domain_id", "default");
    assert_eq!(cloud.user().await["domain"], json!({"id": "default"}));
    assert_eq!(cloud.scope().await, json!({"project": {"name": "p1", "domain": {"id": "default"}}}));
}

#[tokio::test]
async fn scopes_are_sent() {
    let scope = |name: &str, value: &str| {
        let cloud = Cloud::alice().auth(name, value);
        async move { cloud.scope().await }
    };
    assert_eq!(scope("system_scope", "all").await, json!({"system": {"all": true}}));
    assert_eq!(scope("trust_id", "t1").await, json!({"OS-TRUST:trust": {"id": "t1"}}));
    assert_eq!(Cloud::alice().scope().await, Json::Null);
}

#[tokio::test]
async fn multi_factor_logins_take_the_settings_of_their_methods() {
    let cloud = Cloud::alice().top("auth_type", "v3multifactor").auth("passcode", "123456");
    let text = cloud.clone().top("auth_methods", "v3password,v3totp");
    let null = text.clone().insert(true, "auth_methods", Data::Null, None);
    let sequence = cloud.clone().insert(true, "auth_methods", list(&["v3password", "v3totp"]), None);
    let argument = cloud.clone().auth("auth_methods", "v3totp").argument("auth_methods", "v3password,v3totp");
    for cloud in [text, null, sequence, argument] {
        let user = json!({"name": "alice", "domain": {"id": "default"}});
        let with = |name: &str, secret: &str| {
            let mut user = user.clone();
            user[name] = secret.into();
            json!({"user": user})
        };
        assert_eq!(
            cloud.login().await.1["identity"],
            json!({
                "methods": ["password", "totp"],
                "password": with("password", "wonderland"),
                "totp": with("passcode", "123456"),
            })
        );
    }
}
