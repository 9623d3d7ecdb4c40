//! Reading stored tokens.

use std::time::{Duration, SystemTime};

use tower_keystone::{AccessInfo, EndpointFilter, Secret};

/// The input is a stored text.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(access_info) = AccessInfo::from_auth_state(&Secret::new(text)) {
        look_at(&access_info);
    }
}

/// Reads every property of an access info, and checks that storing and restoring it changes nothing.
pub(crate) fn look_at(access_info: &AccessInfo) {
    let again = AccessInfo::from_auth_state(&access_info.auth_state()).expect("what was stored can be read");
    assert_eq!(again.auth_token(), access_info.auth_token());
    assert_eq!(again.body().expose().trim(), access_info.body().expose().trim());
    assert_eq!(answers(&again), answers(access_info));
    assert_eq!(format!("{again:?}"), format!("{access_info:?}"));
}

fn answers(info: &AccessInfo) -> String {
    let soon = Duration::from_secs(120);
    let times = (info.expires().ok(), info.issued().ok());
    let expires = info.will_expire_soon_at(SystemTime::UNIX_EPOCH, soon).ok();
    let _ = info.will_expire_soon(Duration::MAX);
    let user = (info.user_id(), info.username(), info.user_domain_id(), info.user_domain_name());
    let project =
        (info.project_id(), info.project_name(), info.project_domain_id(), info.project_domain_name());
    let tenant = (info.tenant_id(), info.tenant_name(), info.project_is_domain(), info.is_admin_project());
    let scope = (
        info.domain_id(),
        info.domain_name(),
        info.system(),
        info.scoped(),
        info.project_scoped(),
        info.domain_scoped(),
        info.system_scoped(),
    );
    let roles =
        (info.role_ids().collect::<Vec<_>>(), info.role_names().collect::<Vec<_>>(), info.is_federated());
    let trust = (info.trust_id(), info.trust_scoped(), info.trustee_user_id(), info.trustor_user_id());
    let credential = (
        info.application_credential(),
        info.application_credential_id(),
        info.application_credential_access_rules().map(|rules| rules.collect::<Vec<_>>()),
    );
    let oauth = (
        info.oauth_access_token_id(),
        info.oauth_consumer_id(),
        info.oauth2_credential(),
        info.oauth2_credential_thumbprint(),
        info.bind(),
    );
    let audit = (info.audit_id(), info.audit_chain_id(), info.initial_audit_id());
    let providers = info.service_providers().map(|providers| providers.collect::<Vec<_>>());
    let catalog = info.service_catalog();
    let urls: Vec<_> = catalog.urls(&EndpointFilter::default().any_interface()).collect();
    let first = (info.version(), times, expires, user, project, tenant, scope);
    let second = (roles, trust, credential, oauth, audit, providers);
    format!("{first:?} {second:?} {urls:?} {}", info.has_service_catalog())
}
