use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tower_keystone::AccessInfo;

use crate::{Case, Difference, compare};

pub(crate) fn replay(case: &Case) -> Vec<Difference> {
    let mut differences = Vec::new();
    let body = case.text();
    let access_info = match case.input["token"].as_str() {
        Some(token) => AccessInfo::new(token, body),
        None => AccessInfo::from_body(body),
    };
    let created =
        access_info.as_ref().map(|access_info| json!({"version": access_info.version().to_string()}));
    compare(&mut differences, "create", &case.expect["create"], created.map_err(ToString::to_string));
    let Ok(access_info) = access_info else { return differences };

    let answers = properties(&access_info, body);
    let Some(expected) = case.expect["properties"].as_object() else { return differences };
    for (name, expected) in expected {
        let got = answers.iter().find(|(asked, _)| asked == name).map(|(_, got)| got.clone());
        compare(&mut differences, name, &moment(expected), got.expect("every property is asked for"));
    }

    // What was stored answers the same.
    let restored = AccessInfo::from_auth_state(&access_info.auth_state()).expect("a stored state is read");
    assert_eq!(restored.body(), body, "unknown keys are kept");
    assert_eq!(properties(&restored, body), properties(&access_info, body));

    let questions = case.input["will_expire_soon"].as_array().into_iter().flatten();
    for (index, question) in questions.enumerate() {
        let now = time_of(&question["now"]);
        let stale_duration = Duration::from_secs(question["stale_duration"].as_u64().expect("whole seconds"));
        let got = access_info.will_expire_soon_at(now, stale_duration);
        let got = got.map(Value::Bool).map_err(|error| error.to_string());
        compare(&mut differences, "will_expire_soon", &case.expect["will_expire_soon"][index], got);
    }
    differences
}

type Answers = Vec<(&'static str, Result<Value, String>)>;

fn properties(info: &AccessInfo, body: &str) -> Answers {
    let body: Value = serde_json::from_str(body).expect("the body is JSON");
    // The raw catalog of the document; an empty one where there is none, as in the reference.
    let catalog = ["token", "access"]
        .iter()
        .find_map(|part| body[part].get("catalog").or_else(|| body[part].get("serviceCatalog")));
    let providers = info.service_providers().map(|providers| {
        let by_id = providers.map(|provider| {
            let part = |url: Option<&str>| url.map_or(json!({"error": "KeyError"}), |url| json!(url));
            (
                provider.id.to_owned(),
                json!({"sp_url": part(provider.sp_url), "auth_url": part(provider.auth_url)}),
            )
        });
        Value::Object(by_id.collect())
    });
    vec![
        ("application_credential", Ok(json!(info.application_credential()))),
        ("application_credential_access_rules", Ok(json!(info.application_credential_access_rules()))),
        ("application_credential_id", Ok(json!(info.application_credential_id()))),
        ("audit_chain_id", Ok(json!(info.audit_chain_id()))),
        ("audit_id", Ok(json!(info.audit_id()))),
        ("auth_token", Ok(json!(info.auth_token()))),
        ("bind", Ok(json!(info.bind()))),
        ("domain_id", Ok(json!(info.domain_id()))),
        ("domain_name", Ok(json!(info.domain_name()))),
        ("domain_scoped", Ok(json!(info.domain_scoped()))),
        ("expires", time(info.expires())),
        ("initial_audit_id", Ok(json!(info.initial_audit_id()))),
        ("is_admin_project", Ok(json!(info.is_admin_project()))),
        ("is_federated", Ok(json!(info.is_federated()))),
        ("issued", time(info.issued())),
        ("oauth2_credential", Ok(json!(info.oauth2_credential()))),
        ("oauth2_credential_thumbprint", Ok(json!(info.oauth2_credential_thumbprint()))),
        ("oauth_access_token_id", Ok(json!(info.oauth_access_token_id()))),
        ("oauth_consumer_id", Ok(json!(info.oauth_consumer_id()))),
        ("project_domain_id", Ok(json!(info.project_domain_id()))),
        ("project_domain_name", Ok(json!(info.project_domain_name()))),
        ("project_id", Ok(json!(info.project_id()))),
        ("project_is_domain", Ok(json!(info.project_is_domain()))),
        ("project_name", Ok(json!(info.project_name()))),
        ("project_scoped", Ok(json!(info.project_scoped()))),
        ("role_ids", Ok(info.role_ids().collect())),
        ("role_names", Ok(info.role_names().collect())),
        ("scoped", Ok(json!(info.scoped()))),
        ("service_catalog", Ok(catalog.cloned().unwrap_or_else(|| json!({})))),
        ("service_providers", Ok(json!(providers))),
        ("system", Ok(json!(info.system()))),
        ("system_scoped", Ok(json!(info.system_scoped()))),
        ("tenant_id", Ok(json!(info.tenant_id()))),
        ("tenant_name", Ok(json!(info.tenant_name()))),
        ("trust_id", Ok(json!(info.trust_id()))),
        ("trust_scoped", Ok(json!(info.trust_scoped()))),
        ("trustee_user_id", Ok(json!(info.trustee_user_id()))),
        ("trustor_user_id", Ok(json!(info.trustor_user_id()))),
        ("user_domain_id", Ok(json!(info.user_domain_id()))),
        ("user_domain_name", Ok(json!(info.user_domain_name()))),
        ("user_id", Ok(json!(info.user_id()))),
        ("username", Ok(json!(info.username()))),
        ("has_service_catalog", Ok(json!(info.has_service_catalog()))),
    ]
}

/// A point in time is the moment; the offset that its text was written with is not kept.
fn moment(expected: &Value) -> Value {
    match expected["value"].get("epoch_us") {
        Some(micros) => json!({"value": micros}),
        None => expected.clone(),
    }
}

fn time(time: Result<Option<SystemTime>, tower_keystone::Error>) -> Result<Value, String> {
    let Some(time) = time.map_err(|error| error.to_string())? else { return Ok(Value::Null) };
    let micros = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()),
        Err(before) => i64::try_from(before.duration().as_micros()).map(|micros| -micros),
    };
    Ok(json!(micros.expect("a year before 10000")))
}

/// The moment that a text of the data names, read the way the crate reads documents.
fn time_of(text: &Value) -> SystemTime {
    let body = json!({"token": {"expires_at": text}}).to_string();
    let document = AccessInfo::from_body(body).expect("a document");
    document.expires().expect("the data's times are times").expect("one is there")
}
