//! Token documents and their properties.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tower_keystone::{AccessInfo, Error, access::AccessRule};

use crate::{
    Case, Difference, Incomplete,
    arguments::{Args, text},
    comparison::{self, error_to_json},
};

pub(crate) fn replay(case: &Case, differences: &mut Vec<Difference>) -> Result<(), Incomplete> {
    let token = Args::new(&json!({"token": case.input("token")}))?.text("token")?.map(str::to_owned);
    let access_info = match token {
        Some(token) => AccessInfo::new(token, case.text()),
        None => AccessInfo::from_body(case.text()),
    };
    let created = match &access_info {
        Ok(access_info) => Ok(json!({"version": access_info.version().to_string()})),
        Err(error) => Err(error_to_json(error)),
    };
    comparison::compare(differences, (0, "create"), &case.expect["create"], created);
    let Ok(access_info) = access_info else { return Ok(()) };

    let properties_of_token = properties(&access_info);
    for (name, expected) in case.expect["properties"].as_object().into_iter().flatten() {
        let got =
            properties_of_token.iter().find(|(property, _)| property == name).map(|(_, got)| got.clone());
        let unknown = || Incomplete::Malformed(format!("no such property: {name}"));
        compare(differences, name, expected, got.ok_or_else(unknown)?);
    }

    // A restored token has the same properties.
    let restored = AccessInfo::from_auth_state(&access_info.auth_state());
    let stored = match &restored {
        Ok(restored) => Ok(json!([restored.body().expose(), debug_values(&properties(restored))])),
        Err(error) => Err(error_to_json(error)),
    };
    comparison::compare(
        differences,
        (0, "stored"),
        &json!([case.text(), debug_values(&properties_of_token)]),
        stored,
    );

    for (index, subject) in case.input("will_expire_soon").as_array().into_iter().flatten().enumerate() {
        let now = time_of(&subject["now"])?;
        let stale_duration = Args::new(subject)?.seconds("stale_duration")?.unwrap_or_default();
        let got = access_info.will_expire_soon_at(now, Duration::from_secs_f64(stale_duration));
        let expected = &case.expect["will_expire_soon"][index];
        compare(differences, "will_expire_soon", expected, got.map(Value::Bool));
    }
    Ok(())
}

/// Compares a property. A `KeyError` of keystoneauth and a `None` of this crate both mean that it is missing.
fn compare(differences: &mut Vec<Difference>, subject: &str, expected: &Value, got: Result<Value, Error>) {
    if expected["error"] == "KeyError" && got.as_ref().is_ok_and(Value::is_null) {
        return;
    }
    comparison::compare(differences, (0, subject), expected, got.map_err(|error| error_to_json(&error)));
}

fn debug_values(properties_of_token: &Properties) -> Value {
    properties_of_token.iter().map(|(name, got)| (*name, format!("{got:?}"))).collect()
}

/// Returns the properties of a token, by their keystoneauth names.
pub(crate) fn summary(info: AccessInfo) -> Value {
    properties(&info).into_iter().map(|(name, got)| (name, got.unwrap_or_default())).collect()
}

type Properties = Vec<(&'static str, Result<Value, Error>)>;

fn properties(info: &AccessInfo) -> Properties {
    let body: Value = serde_json::from_str(info.body().expose()).unwrap_or_default();
    // The raw catalog of the document, or an empty one if there is none, as in keystoneauth.
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
    let access_rules = info.application_credential_access_rules().map(|rules| {
        let members = |rule: AccessRule<'_>| {
            [("id", rule.id), ("path", rule.path), ("method", rule.method), ("service", rule.service)]
                .into_iter()
                .filter_map(|(name, text)| Some((name.to_owned(), json!(text?))))
                .collect()
        };
        rules.map(members).map(Value::Object).collect::<Vec<_>>()
    });
    vec![
        ("application_credential", Ok(json!(info.application_credential()))),
        ("application_credential_access_rules", Ok(json!(access_rules))),
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

/// Returns a time in the format of the data.
fn time(time: Result<Option<SystemTime>, Error>) -> Result<Value, Error> {
    let Some(time) = time? else { return Ok(Value::Null) };
    let micros = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()),
        Err(before) => i64::try_from(before.duration().as_micros()).map(|micros| -micros),
    };
    Ok(json!({"epoch_us": micros.ok()}))
}

/// Parses a time of the data in the same way as the crate parses documents.
pub(crate) fn time_of(moment: &Value) -> Result<SystemTime, Incomplete> {
    let body = json!({"token": {"expires_at": text(moment, "a time")?}}).to_string();
    let read = AccessInfo::from_body(body).and_then(|document| document.expires());
    read.ok().flatten().ok_or_else(|| Incomplete::Malformed(format!("not a time: {moment}")))
}
