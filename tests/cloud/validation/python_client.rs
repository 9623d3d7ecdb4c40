//! keystoneauth1 calls an application behind our layer.

use std::{io::Write, process::Output, time::Duration};

use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tower_keystone::{RenewingPlugin, ValidateTokenLayer};

use super::{
    application,
    reference::python,
    world::{SECRET, restricted_credential},
};
use crate::support::{PASSWORD, Person, real};

#[tokio::test]
async fn keystoneauth_understands_the_responses() {
    let Some(real) = real() else { return };
    let admin = real.admin().await;
    let (account, service) = (admin.person("service").await, admin.person("service").await);
    let user = admin.person("member").await;
    let caller = real.caller(&user).await;
    let credential = restricted_credential(&admin, &caller, &user, "restricted", &["/allowed"]).await;
    let plugin = RenewingPlugin::new(account.credentials(real.auth_url()), real.transport());
    // A revoked token is rejected at once, because nothing is cached.
    let layer = ValidateTokenLayer::new(plugin, real.transport())
        .www_authenticate_uri(real.auth_url())
        .service_type("placement")
        .token_cache_time(Duration::ZERO)
        .validation_timeout(Duration::from_secs(600));
    let application = application::serve(layer).await;

    let options = |person: &Person| json!({"user_id": person.id, "password": PASSWORD, "project_id": person.project_id});
    let input = json!({
        "application": application.to_string().trim_end_matches('/'),
        "auth_url": real.text("auth_url"),
        "user": options(&user),
        "service": options(&service),
        "credential": [credential, SECRET],
    });
    let mut program = python(real, "python_client.py").spawn().unwrap();
    let Output { status, stdout, .. } = spawn_blocking(move || {
        program.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
        program.wait_with_output().unwrap()
    })
    .await
    .unwrap();
    assert!(status.success(), "{status}; the errors of Python are above");
    let result: Value = serde_json::from_slice(&stdout).unwrap();

    let confirmed = |report: &Value, service_id: Value| {
        assert_eq!(report["status"], "Confirmed", "{report}");
        assert_eq!(report["user"]["user_id"], user.id);
        assert_eq!(report["user"]["project_id"], user.project_id);
        assert_eq!(report["service"]["user_id"], service_id);
    };
    let call = &result["call"];
    confirmed(&call["reports"][0], Value::Null);
    confirmed(&call["reports"][1], Value::Null);
    assert_eq!(call["logins"], 1);
    let call = &result["call_after_revocation"];
    confirmed(&call["report"], Value::Null);
    assert_eq!(call["logins"], 2);
    confirmed(&result["call_for_a_user"], json!(service.id));
    let call = &result["call_for_a_user_after_revocations"];
    confirmed(&call["report"], json!(service.id));
    assert_eq!(call["logins"], json!([2, 2]));
    confirmed(&result["allowed"], Value::Null);
    let forbidden = &result["forbidden"];
    assert_eq!(forbidden["www_authenticate"], format!("Keystone uri=\"{}\"", real.text("auth_url")));
    let message = "The request you have made requires authentication. (HTTP 401)";
    assert!(forbidden["error"].as_str().unwrap().starts_with(message), "{forbidden}");
}
