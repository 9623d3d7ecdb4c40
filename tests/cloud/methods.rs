//! Authentication methods, and the scopes of their tokens.

use std::time::SystemTime;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use totp_rs::{Algorithm, TOTP};
use tower::ServiceExt;
use tower_keystone::{
    AccessInfo, AuthMethod, Credentials, Error, RenewingPlugin, Scope, Transport, User, V3Credentials,
};

use crate::support::{Caller, Person, providers, real};

#[tokio::test]
async fn a_token_of_every_scope_says_what_it_is_for() {
    let Some(real) = real() else { return };
    let admin = real.admin().await;
    let person = admin.person("member").await;
    admin.grant("domains/default", &person, "reader").await;
    admin.grant("system", &person, "reader").await;
    let (transport, auth_url) = (real.transport(), real.auth_url());
    let token = async |scope| {
        let credentials = V3Credentials::new(auth_url.clone(), person.password()).scope(scope);
        credentials.get_auth_ref(transport.clone()).await.unwrap()
    };

    let by_id = token(person.scope()).await;
    let by_name = token(Scope::new().project_name(&*person.name).project_domain_name("Default")).await;
    // Without a scope, Keystone issues a token for the default project.
    let by_default = token(Scope::new()).await;
    for project in [&by_id, &by_name, &by_default] {
        assert!(project.project_scoped() && !project.domain_scoped() && !project.system_scoped());
        assert_eq!(project.project_id(), Some(&*person.project_id));
        assert_eq!(project.project_name(), Some(&*person.name));
        assert_eq!(project.project_domain_name(), Some("Default"));
        assert!(project.role_names().any(|role| role == "member"));
    }

    let domain_by_id = token(Scope::new().domain_id("default")).await;
    let domain_by_name = token(Scope::new().domain_name("Default")).await;
    for domain in [&domain_by_id, &domain_by_name] {
        assert!(domain.domain_scoped() && !domain.project_scoped() && !domain.system_scoped());
        assert_eq!(domain.domain_id(), Some("default"));
        assert_eq!(domain.domain_name(), Some("Default"));
        assert!(domain.role_names().eq(["reader"]));
    }

    let system = token(Scope::new().system_scope("all")).await;
    assert!(system.system_scoped() && !system.domain_scoped() && !system.project_scoped());
    assert!(system.role_names().eq(["reader"]));

    for scoped in [&by_id, &by_name, &by_default, &domain_by_id, &domain_by_name, &system] {
        assert!(scoped.scoped() && scoped.has_service_catalog());
    }
    let unscoped = token(Scope::new().unscoped()).await;
    assert!(!unscoped.scoped() && !unscoped.has_service_catalog());
    assert_eq!(unscoped.role_names().count(), 0);

    for info in [&by_id, &by_name, &by_default, &domain_by_id, &domain_by_name, &system, &unscoped] {
        assert_eq!(info.user_id(), Some(&*person.id));
        assert_eq!(info.username(), Some(&*person.name));
        assert_eq!(info.user_domain_id(), Some("default"));
        assert!(info.issued().unwrap() < info.expires().unwrap());
        let restored = AccessInfo::from_auth_state(&info.auth_state()).unwrap();
        assert_eq!(restored.auth_token(), info.auth_token());
        assert_eq!(restored.body(), info.body());
    }
}

#[tokio::test]
async fn a_scope_that_is_not_granted_is_refused_for_good() {
    let Some(real) = real() else { return };
    let admin = real.admin().await;
    let (person, other) = (admin.person("member").await, admin.person("member").await);
    let not_granted = [other.scope(), Scope::new().domain_id("default"), Scope::new().system_scope("all")];
    for scope in not_granted {
        let credentials = person.credentials(real.auth_url()).scope(scope);
        let error = credentials.get_auth_ref(real.transport()).await.unwrap_err();
        assert_refused(&error, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_token_without_its_catalog_is_the_same_otherwise() {
    let Some(real) = real() else { return };
    let person = real.admin().await.person("member").await;
    let credentials = person.credentials(real.auth_url());
    let whole = credentials.get_auth_ref(real.transport()).await.unwrap();
    let slim = credentials.without_catalog().get_auth_ref(real.transport()).await.unwrap();
    assert!(whole.has_service_catalog() && !slim.has_service_catalog());
    assert!(slim.project_scoped());
    assert_eq!(slim.project_id(), whole.project_id());
    assert!(slim.role_ids().eq(whole.role_ids()));
    let projects = Caller(real.openstack(&slim)).ask(Method::GET, "/auth/projects", Value::Null).await;
    assert_eq!(projects["projects"][0]["id"], person.project_id);
}

#[tokio::test]
async fn the_version_of_keystone_is_found_out_at_its_root() {
    let Some(real) = real() else { return };
    let client = real.client();
    let versioned = real.auth_url().to_string();
    let root = versioned.strip_suffix("/v3").unwrap();
    for auth_url in [root, &versioned, &format!("{root}/")] {
        let before = client.sent();
        let credentials = real.generic_credentials(auth_url.parse().unwrap());
        for _ in 0..2 {
            let access_info = credentials.get_auth_ref(Transport::new(client.clone())).await.unwrap();
            assert_eq!(access_info.project_name(), Some("admin"));
        }
        assert_eq!(client.sent() - before, 3, "one document and two logins");
    }
}

#[tokio::test]
async fn a_token_is_exchanged_and_keeps_its_expiry() {
    let Some(real) = real() else { return };
    let unscoped = real.token(Scope::new().unscoped()).await;
    let token = AuthMethod::token(unscoped.auth_token().unwrap());
    let exchange = V3Credentials::new(real.auth_url(), token).scope(real.project_scope());
    let project = exchange.get_auth_ref(real.transport()).await.unwrap();
    assert_eq!(project.project_name(), Some("admin"));
    assert_eq!(project.expires().unwrap(), unscoped.expires().unwrap());
    let slim = exchange.without_catalog().get_auth_ref(real.transport()).await.unwrap();
    assert!(!slim.has_service_catalog() && slim.project_scoped());
}

/// The secret of the examples in RFC 6238, in the base32 form that Keystone expects.
const SECRET_IN_BASE32: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
const SECRET: &[u8] = b"12345678901234567890";

async fn give_totp(admin: &Caller, person: &Person) {
    let secret = json!({"type": "totp", "blob": SECRET_IN_BASE32, "user_id": person.id});
    admin.create("/credentials", "credential", secret).await;
}

/// Returns the passcodes (RFC 6238) of the previous, the current and the next half minute. Keystone accepts the first
/// two.
fn passcodes() -> [String; 3] {
    let totp = TOTP::new(Algorithm::SHA1, 6, 0, 30, SECRET.to_vec()).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    [now - 30, now, now + 30].map(|time| totp.generate(time))
}

fn passcode() -> String {
    let [_, now, _] = passcodes();
    now
}

fn wrong_passcode() -> String {
    let right = passcodes();
    let mut all = (0..10).map(|digit| digit.to_string().repeat(6));
    all.find(|passcode| !right.contains(passcode)).unwrap()
}

#[tokio::test]
async fn a_passcode_logs_in_and_a_wrong_one_is_refused() {
    let Some(real) = real() else { return };
    let admin = real.admin().await;
    let person = admin.person("member").await;
    give_totp(&admin, &person).await;

    let by_id = person.user();
    let by_name = User::new().username(&*person.name).user_domain_name("Default");
    for user in [by_id, by_name] {
        let method = AuthMethod::totp(user, passcode());
        let credentials = V3Credentials::new(real.auth_url(), method).scope(person.scope());
        let info = credentials.get_auth_ref(real.transport()).await.unwrap();
        assert_eq!(info.user_id(), Some(&*person.id));
        assert_eq!(info.project_id(), Some(&*person.project_id));
    }

    let wrong = V3Credentials::new(real.auth_url(), AuthMethod::totp(person.user(), wrong_passcode()));
    let error = wrong.get_auth_ref(real.transport()).await.unwrap_err();
    assert_refused(&error, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn where_two_factors_are_required_one_gets_a_receipt_and_two_get_a_token() {
    let Some(real) = real() else { return };
    let admin = real.admin().await;
    let person = admin.person("member").await;
    give_totp(&admin, &person).await;
    let rules = json!({"multi_factor_auth_enabled": true, "multi_factor_auth_rules": [["password", "totp"]]});
    admin.update(&person, json!({"options": rules})).await;

    let (password, totp) = (person.password(), AuthMethod::totp(person.user(), passcode()));
    let with = |method| V3Credentials::new(real.auth_url(), method).scope(person.scope());
    let at_once = with(password.clone()).and(totp.clone()).get_auth_ref(real.transport()).await.unwrap();
    assert_eq!(at_once.project_id(), Some(&*person.project_id));

    for (first, name, second) in [(&password, "password", &totp), (&totp, "totp", &password)] {
        let error = with(first.clone()).get_auth_ref(real.transport()).await.unwrap_err();
        assert!(!error.is_transient());
        let Error::MissingAuthMethods(missing) = error else { panic!("{error}") };
        assert_eq!(missing.methods, [name]);
        // Keystone returns the methods in any order.
        let mut required = missing.required_auth_methods.clone();
        required.iter_mut().for_each(|methods| methods.sort());
        assert_eq!(required, [["password", "totp"]]);
        assert!(missing.expires > SystemTime::now());

        let receipt = AuthMethod::receipt(missing.receipt.clone());
        let continued = with(receipt.clone()).and(second.clone());
        let info = continued.get_auth_ref(real.transport()).await.unwrap();
        assert_eq!(info.user_id(), Some(&*person.id));
        assert_eq!(info.project_id(), Some(&*person.project_id));

        let wrong = AuthMethod::totp(person.user(), wrong_passcode());
        let error = with(receipt).and(wrong).get_auth_ref(real.transport()).await.unwrap_err();
        assert_refused(&error, StatusCode::UNAUTHORIZED);
    }

    let plugin = RenewingPlugin::new(with(password), real.transport());
    let error = real.placement(plugin).oneshot(providers()).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::MissingAuthMethods(_))), "{error}");
}

#[tokio::test]
async fn a_trust_gives_what_the_trustor_has_until_it_is_deleted() {
    let Some(real) = real() else { return };
    let admin = real.admin().await;
    let (trustor, trustee) = (admin.person("admin").await, admin.person("member").await);
    let of_trustor = trustor.credentials(real.auth_url()).get_auth_ref(real.transport()).await.unwrap();
    let keystone = Caller(real.openstack(&of_trustor));
    let wanted = json!({
        "trustor_user_id": trustor.id,
        "trustee_user_id": trustee.id,
        "project_id": trustor.project_id,
        "impersonation": true,
        "roles": [{"id": admin.role_id("admin").await}],
    });
    let trust_id = keystone.create("/OS-TRUST/trusts", "trust", wanted).await;

    let scope = Scope::new().trust_id(&*trust_id);
    let by_trust = trustee.credentials(real.auth_url()).scope(scope.clone());
    let info = by_trust.get_auth_ref(real.transport()).await.unwrap();
    assert!(info.trust_scoped());
    assert_eq!(info.trust_id(), Some(&*trust_id));
    assert_eq!(info.trustor_user_id(), Some(&*trustor.id));
    assert_eq!(info.trustee_user_id(), Some(&*trustee.id));
    assert_eq!(info.user_id(), Some(&*trustor.id));
    assert_eq!(info.project_id(), Some(&*trustor.project_id));
    // Placement accepts only administrators. The trustee is not an administrator.
    let placement = real.placement(RenewingPlugin::new(by_trust, real.transport()));
    let alone = real.placement(RenewingPlugin::new(trustee.credentials(real.auth_url()), real.transport()));
    assert_eq!(placement.clone().oneshot(providers()).await.unwrap().status(), StatusCode::OK);
    assert_eq!(alone.oneshot(providers()).await.unwrap().status(), StatusCode::FORBIDDEN);

    let stranger = admin.person("member").await.credentials(real.auth_url()).scope(scope);
    let error = stranger.get_auth_ref(real.transport()).await.unwrap_err();
    assert_refused(&error, StatusCode::FORBIDDEN);

    keystone.ask(Method::DELETE, &format!("/OS-TRUST/trusts/{trust_id}"), Value::Null).await;
    let error = placement.oneshot(providers()).await.unwrap_err();
    assert_refused(Error::find(&*error).unwrap(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_application_credential_logs_in_until_it_is_deleted() {
    let Some(real) = real() else { return };
    let admin = real.admin().await;
    let person = admin.person("member").await;
    let token = person.credentials(real.auth_url()).get_auth_ref(real.transport()).await.unwrap();
    let keystone = Caller(real.openstack(&token));
    let path = format!("/users/{}/application_credentials", person.id);
    let wanted = json!({"name": "of-a-test", "secret": "s3cret"});
    let id = keystone.application_credential(&admin, &person, wanted).await.expect("a good one");

    let by_id = V3Credentials::new(real.auth_url(), AuthMethod::application_credential(&*id, "s3cret"));
    let by_name = AuthMethod::named_application_credential("of-a-test", person.user(), "s3cret");
    for credentials in [by_id.clone(), V3Credentials::new(real.auth_url(), by_name)] {
        let info = credentials.get_auth_ref(real.transport()).await.unwrap();
        assert_eq!(info.application_credential_id(), Some(&*id));
        assert_eq!(info.project_id(), Some(&*person.project_id));
    }

    keystone.ask(Method::DELETE, &format!("{path}/{id}"), Value::Null).await;
    let error = by_id.get_auth_ref(real.transport()).await.unwrap_err();
    assert_refused(&error, StatusCode::NOT_FOUND);
}

/// Asserts that Keystone rejected the login with this status, as a permanent error.
fn assert_refused(error: &Error, with: StatusCode) {
    assert!(matches!(error, Error::Keystone(answer) if answer.status == with), "{error}");
    assert!(!error.is_transient());
}
