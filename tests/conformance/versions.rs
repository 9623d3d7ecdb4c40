//! Versions, version ranges, links, statuses and service types.

use http::HeaderMap;
use serde_json::{Value, json};
use tower_keystone::{
    discovery::{Allow, Version, VersionDocument, VersionRange, VersionStatus},
    service_types,
};

use crate::{
    Case, Difference, Incomplete,
    arguments::Args,
    comparison::{self, CallError},
};

pub(crate) fn replay(case: &Case, differences: &mut Vec<Difference>) -> Result<(), Incomplete> {
    let function = case.input("function").as_str().unwrap_or_default();
    let args = case.input("args").as_array().map(Vec::as_slice).unwrap_or_default();
    let got = match call(function, args) {
        Ok(got) => Ok(got),
        Err(failed) => Err(failed.into_json()?),
    };
    comparison::compare(differences, (0, function), &case.expect, got);
    Ok(())
}

fn call(function: &str, args: &[Value]) -> Result<Value, CallError> {
    let arg = |index: usize| args.get(index).unwrap_or(&Value::Null);
    let text = |index: usize| match arg(index) {
        Value::Null => Ok(""),
        Value::String(text) => Ok(&**text),
        _ => Err(Incomplete::NotExpressible(format!("an argument of {function} that is not a text"))),
    };
    Ok(match function {
        "normalize_version_number" => parts(version_text(arg(0))?.parse::<Version>()?),
        "_normalize_version_args" => {
            let range = VersionRange::new(
                optional_version(arg(0))?,
                optional_version(arg(1))?,
                optional_version(arg(2))?,
            )?;
            let range = range.for_service_type(text(3)?)?;
            json!([range.min().map(parts), range.max().map(parts)])
        }
        "version_between" => {
            let (min, max, candidate) =
                (optional_version(arg(0))?, optional_version(arg(1))?, version_text(arg(2))?.parse()?);
            // A range whose minimum is above its maximum is an error here, and contains nothing in keystoneauth.
            json!(VersionRange::new(None, min, max).is_ok_and(|range| range.contains(candidate)))
        }
        "version_match" => {
            json!(version_text(arg(0))?.parse::<Version>()?.is_match(version_text(arg(1))?.parse()?))
        }
        "version_to_string" => json!(version_text(arg(0))?.parse::<Version>()?.to_string()),
        "_version_from_url" => json!(Version::from_url(text(0)?).map(parts)),
        "_combine_relative_url" => {
            let entry = json!({"id": "1", "status": "CURRENT", "links": [{"rel": "self", "href": text(1)?}]});
            let body = json!({"versions": [entry]}).to_string();
            let document = VersionDocument::new(text(0)?, &HeaderMap::new(), body.as_bytes())?;
            json!(document.version_data(Allow::default()).next().map(|data| &*data.url))
        }
        "status_normalize" => json!(VersionStatus::from(text(0)?).to_string()),
        "service_types" => json!({
            "is_known": service_types::official(text(0)?).is_some(),
            "service_type": service_types::official(text(0)?),
            "all_types": service_types::all_types(text(0)?).collect::<Vec<_>>(),
        }),
        "service_type_match" => json!(service_types::is_match(text(0)?, text(1)?)),
        "_latest_soft_match" => {
            return Err(Incomplete::NotExpressible(
                "the latest version of a major version, next to a range".to_owned(),
            )
            .into());
        }
        other => return Err(Incomplete::Malformed(format!("unknown function: {other}")).into()),
    })
}

/// Returns a version as text. Python also accepts other types.
pub(crate) fn version_text(version: &Value) -> Result<String, Incomplete> {
    Ok(match version {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => u8::from(*flag).to_string(),
        Value::Number(number) => number.to_string(),
        Value::Array(parts) if parts.is_empty() => {
            return Err(Incomplete::NotExpressible("a version without parts".to_owned()));
        }
        Value::Array(parts) => parts.iter().map(version_text).collect::<Result<Vec<_>, _>>()?.join("."),
        Value::Null | Value::Object(_) => {
            return Err(Incomplete::NotExpressible(
                "a version that is neither a text nor a number".to_owned(),
            ));
        }
    })
}

/// Parses a version, which can be missing.
pub(crate) fn optional_version(version: &Value) -> Result<Option<Version>, CallError> {
    match version {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        version => Ok(Some(version_text(version)?.parse()?)),
    }
}

/// Parses a version in the arguments of a call.
pub(crate) fn version_arg(args: Args<'_>, name: &str) -> Result<Option<Version>, CallError> {
    optional_version(args.get(name).unwrap_or(&Value::Null))
}

/// Returns a version in the format of the data.
pub(crate) fn parts(version: Version) -> Value {
    if version == Version::latest() {
        return json!(["latest", "latest"]);
    }
    let part = |part: &str| part.parse::<u32>().map_or(json!(part), |number| json!(number));
    version.to_string().split('.').map(part).collect()
}
