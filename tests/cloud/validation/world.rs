//! Accounts, and tokens in every state.

use std::time::SystemTime;

use http::{Method, Uri};
use serde_json::json;
use tower_keystone::{AccessInfo, AuthMethod, Scope, V3Credentials};

use crate::support::{Caller, Person, Real, past};

/// The tokens of the table, each named after its state.
pub(super) struct World {
    /// The account of the services that validate tokens.
    pub(super) account: Person,
    pub(super) project: String,
    pub(super) domain: String,
    pub(super) system: String,
    pub(super) unscoped: String,
    pub(super) trust: String,
    pub(super) application_credential: String,
    /// With the access rules of [`RULES`], for the service `placement`.
    pub(super) restricted: String,
    /// With an access rule whose path is no regular expression.
    pub(super) parenthesis: String,
    /// Has the role `service`.
    pub(super) service: String,
    pub(super) expired: String,
    pub(super) expired_service: String,
    pub(super) revoked: String,
    pub(super) disabled_user: String,
    pub(super) deleted_user: String,
    pub(super) disabled_project: String,
    pub(super) removed_role: String,
    pub(super) changed_password: String,
    pub(super) deleted_trust: String,
    pub(super) deleted_credential: String,
    /// The id of an application credential of the account, which has been deleted.
    pub(super) account_credential: String,
    /// An account without the role `service`.
    pub(super) stranger: Person,
}

const RULES: [&str; 6] = ["/allowed", "/mount/inside", "/servers/*", "/ports/{id}", "/deep/**", "/v2.1"];

impl World {
    pub(super) async fn new(real: &Real, admin: &Caller) -> Self {
        let person = |role| admin.person(role);
        let (account, service, user, stranger) =
            tokio::join!(person("service"), person("service"), person("member"), person("member"));
        let short_lived = |person: &Person| person.credentials(real.short_auth_url());
        let expired = real.login_with(&short_lived(&user)).await;
        let expired_service = real.login_with(&short_lived(&service)).await;
        admin.grant("domains/default", &user, "reader").await;
        admin.grant("system", &user, "reader").await;

        let scoped = async |scope| token(real, user.credentials(real.auth_url()).scope(scope)).await;
        let trust = async || trust(real, admin, &user, &stranger).await;
        let (_, lasting_trust) = trust().await;
        let (trust_id, deleted_trust) = trust().await;
        let by_user = real.caller(&user).await;
        by_user.delete(&format!("/OS-TRUST/trusts/{trust_id}")).await;

        let credential = async |name, paths: &[&str]| {
            let id = restricted_credential(admin, &by_user, &user, name, paths).await;
            let token = token(real, by_credential(real.auth_url(), &id)).await;
            (id, token)
        };
        let (_, application_credential) = credential("lasting", &[]).await;
        let (_, restricted) = credential("restricted", &RULES).await;
        let (_, parenthesis) = credential("parenthesis", &["/v2/(x"]).await;
        let (id, deleted_credential) = credential("deleted", &[]).await;
        by_user.delete(&format!("/users/{}/application_credentials/{id}", user.id)).await;
        let by_account = real.caller(&account).await;
        let account_credential = restricted_credential(admin, &by_account, &account, "deleted", &[]).await;
        let path = format!("/users/{}/application_credentials/{account_credential}", account.id);
        by_account.delete(&path).await;

        let member = admin.role_id("member").await;
        let (revoked, disabled_user, deleted_user, disabled_project, removed_role, changed_password) = tokio::join!(
            ended(real, admin, async |_, token| admin.revoke(token).await),
            ended(real, admin, async |person, _| admin.update(person, json!({"enabled": false})).await),
            ended(real, admin, async |person, _| admin.delete(&format!("/users/{}", person.id)).await),
            ended(real, admin, async |person, _| {
                let disabled = json!({"project": {"enabled": false}});
                admin.ask(Method::PATCH, &format!("/projects/{}", person.project_id), disabled).await;
            }),
            ended(real, admin, async |Person { id, project_id, .. }, _| {
                admin.delete(&format!("/projects/{project_id}/users/{id}/roles/{member}")).await;
            }),
            ended(real, admin, async |person, _| admin.update(person, json!({"password": "another"})).await),
        );
        past(expiry(&expired).max(expiry(&expired_service))).await;
        Self {
            project: scoped(user.scope()).await,
            domain: scoped(Scope::new().domain_id("default")).await,
            system: scoped(Scope::new().system_scope("all")).await,
            unscoped: scoped(Scope::new().unscoped()).await,
            trust: lasting_trust,
            application_credential,
            restricted,
            parenthesis,
            service: token(real, service.credentials(real.auth_url())).await,
            expired: text(&expired),
            expired_service: text(&expired_service),
            revoked,
            disabled_user,
            deleted_user,
            disabled_project,
            removed_role,
            changed_password,
            deleted_trust,
            deleted_credential,
            account_credential,
            account,
            stranger,
        }
    }
}

/// Returns a token of a new user, after this function has ended it.
async fn ended(real: &Real, admin: &Caller, end: impl AsyncFnOnce(&Person, &str)) -> String {
    let person = admin.person("member").await;
    let token = token(real, person.credentials(real.auth_url())).await;
    end(&person, &token).await;
    token
}

/// Returns the id of a new trust, and a token that the trustee got with it.
async fn trust(real: &Real, admin: &Caller, trustor: &Person, trustee: &Person) -> (String, String) {
    let wanted = json!({
        "trustor_user_id": trustor.id,
        "trustee_user_id": trustee.id,
        "project_id": trustor.project_id,
        "impersonation": true,
        "roles": [{"id": admin.role_id("member").await}],
    });
    let id = real.caller(trustor).await.create("/OS-TRUST/trusts", "trust", wanted).await;
    let credentials = trustee.credentials(real.auth_url()).scope(Scope::new().trust_id(&*id));
    let token = token(real, credentials).await;
    (id, token)
}

/// Creates an application credential of this person, who must be the caller, and returns its id. If there are paths,
/// it is restricted to GET requests to them at Placement.
pub(super) async fn restricted_credential(
    admin: &Caller,
    caller: &Caller,
    person: &Person,
    name: &str,
    paths: &[&str],
) -> String {
    let mut wanted = json!({"name": name, "secret": SECRET});
    if !paths.is_empty() {
        let rule = |path| json!({"path": path, "method": "GET", "service": "placement"});
        wanted["access_rules"] = paths.iter().map(rule).collect();
    }
    caller.application_credential(admin, person, wanted).await.expect("Keystone accepts it")
}

pub(super) const SECRET: &str = "s3cret";

pub(super) fn by_credential(auth_url: Uri, id: &str) -> V3Credentials {
    V3Credentials::new(auth_url, AuthMethod::application_credential(id, SECRET))
}

pub(super) async fn token(real: &Real, credentials: V3Credentials) -> String {
    text(&real.login_with(&credentials).await)
}

fn text(info: &AccessInfo) -> String {
    info.auth_token().expect("a token").to_owned()
}

fn expiry(info: &AccessInfo) -> SystemTime {
    info.expires().expect("a time").expect("Keystone says it")
}
