//! Versions, version ranges, links, statuses and service types.

use http::HeaderMap;
use serde_json::{Value, json};
use tower_keystone::{
    discovery::{Allow, Version, VersionDocument, VersionRange, VersionStatus},
    service_types,
};

use crate::{
    Case, Difference, Unanswered,
    arguments::Args,
    comparison::{self, Failed},
};

pub(crate) fn replay(case: &Case, differences: &mut Vec<Difference>) -> Result<(), Unanswered> {
    let function = case.input("function").as_str().unwrap_or_default();
    let args = case.input("args").as_array().map(Vec::as_slice).unwrap_or_default();
    let got = match answer(function, args) {
        Ok(got) => Ok(got),
        Err(failed) => Err(failed.described()?),
    };
    comparison::compare(differences, (0, function), &case.expect, got);
    Ok(())
}

fn answer(function: &str, args: &[Value]) -> Result<Value, Failed> {
    let arg = |index: usize| args.get(index).unwrap_or(&Value::Null);
    let text = |index: usize| match arg(index) {
        Value::Null => Ok(""),
        Value::String(text) => Ok(&**text),
        _ => Err(Unanswered::NotExpressible(format!("an argument of {function} that is no text"))),
    };
    Ok(match function {
        "normalize_version_number" => parts(written(arg(0))?.parse::<Version>()?),
        "_normalize_version_args" => {
            let range = VersionRange::new(given(arg(0))?, given(arg(1))?, given(arg(2))?)?;
            let range = range.for_service_type(text(3)?)?;
            json!([range.min().map(parts), range.max().map(parts)])
        }
        "version_between" => {
            let (min, max, candidate) = (given(arg(0))?, given(arg(1))?, written(arg(2))?.parse()?);
            // A range with its ends the wrong way round is refused; the reference finds nothing in it.
            json!(VersionRange::new(None, min, max).is_ok_and(|range| range.contains(candidate)))
        }
        "version_match" => {
            json!(written(arg(0))?.parse::<Version>()?.is_match(written(arg(1))?.parse()?))
        }
        "version_to_string" => json!(written(arg(0))?.parse::<Version>()?.to_string()),
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
            return Err(Unanswered::NotExpressible(
                "the latest of a major version, beside a range".to_owned(),
            )
            .into());
        }
        other => return Err(Unanswered::Malformed(format!("no such function: {other}")).into()),
    })
}

/// A version as text: what Python takes in other types is written down first.
pub(crate) fn written(version: &Value) -> Result<String, Unanswered> {
    Ok(match version {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => u8::from(*flag).to_string(),
        Value::Number(number) => number.to_string(),
        Value::Array(parts) if parts.is_empty() => {
            return Err(Unanswered::NotExpressible("a version without parts".to_owned()));
        }
        Value::Array(parts) => parts.iter().map(written).collect::<Result<Vec<_>, _>>()?.join("."),
        Value::Null | Value::Object(_) => {
            return Err(Unanswered::NotExpressible("a version that is neither text nor number".to_owned()));
        }
    })
}

/// A version that may not be given.
pub(crate) fn given(version: &Value) -> Result<Option<Version>, Failed> {
    match version {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        version => Ok(Some(written(version)?.parse()?)),
    }
}

/// The same, of the arguments of a call.
pub(crate) fn version_arg(args: Args<'_>, name: &str) -> Result<Option<Version>, Failed> {
    given(args.get(name).unwrap_or(&Value::Null))
}

/// A version as the data has it.
pub(crate) fn parts(version: Version) -> Value {
    if version == Version::latest() {
        return json!(["latest", "latest"]);
    }
    let part = |part: &str| part.parse::<u32>().map_or(json!(part), |number| json!(number));
    version.to_string().split('.').map(part).collect()
}
