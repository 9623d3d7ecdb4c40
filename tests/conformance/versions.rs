//! Version numbers, ranges, links, statuses and service types.

use http::HeaderMap;
use serde_json::{Value, json};
use tower_keystone::{
    Error,
    discovery::{Allow, Status, Version, VersionDocument, VersionRange},
    service_types,
};

use crate::{Case, Difference, compare};

pub(crate) fn replay(case: &Case) -> Vec<Difference> {
    let function = case.input["function"].as_str().expect("a function");
    let args = case.input["args"].as_array().expect("arguments");
    let mut differences = Vec::new();
    let got = answer(function, args).map_err(|error| match error {
        Error::ImpliedVersionMismatch { .. } => "ImpliedVersionMismatch".to_owned(),
        other => other.to_string(),
    });
    compare(&mut differences, function, &case.expect, got);
    differences
}

fn answer(function: &str, args: &[Value]) -> Result<Value, Error> {
    let text = |index: usize| args[index].as_str().unwrap_or_default();
    Ok(match function {
        "normalize_version_number" => parts(written(&args[0]).parse()?),
        "_normalize_version_args" => {
            let range = VersionRange::new(given(&args[0])?, given(&args[1])?, given(&args[2])?)?;
            let range = range.of_service_type(text(3))?;
            json!([range.min().map(parts), range.max().map(parts)])
        }
        "version_between" => {
            let (min, max, candidate) = (given(&args[0])?, given(&args[1])?, written(&args[2]).parse()?);
            // A range with its ends the wrong way round is refused; the reference finds nothing in it.
            json!(VersionRange::new(None, min, max).is_ok_and(|range| range.contains(candidate)))
        }
        "version_match" => {
            json!(written(&args[0]).parse::<Version>()?.is_match(written(&args[1]).parse()?))
        }
        "version_to_string" => json!(written(&args[0]).parse::<Version>()?.to_string()),
        "_version_from_url" => json!(Version::in_url(text(0)).map(parts)),
        "_combine_relative_url" => {
            let entry = json!({"id": "1", "status": "CURRENT", "links": [{"rel": "self", "href": args[1]}]});
            let body = json!({"versions": [entry]}).to_string();
            let document = VersionDocument::new(text(0), &HeaderMap::new(), body.as_bytes())?;
            json!(document.version_data(Allow::default()).next().map(|data| &*data.url))
        }
        "status_normalize" => json!(Status::from(text(0)).to_string()),
        "service_types" => json!({
            "is_known": service_types::official(text(0)).is_some(),
            "service_type": service_types::official(text(0)),
            "all_types": service_types::all_types(text(0)).collect::<Vec<_>>(),
        }),
        "service_type_match" => json!(service_types::is_match(text(0), text(1))),
        other => panic!("{other} is unknown"),
    })
}

/// A version as text: what Python takes in other types is written down first.
pub(crate) fn written(version: &Value) -> String {
    match version {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => u8::from(*flag).to_string(),
        Value::Number(number) => number.to_string(),
        Value::Array(parts) if parts.is_empty() => String::new(),
        Value::Array(parts) => parts.iter().map(written).collect::<Vec<_>>().join("."),
        _ => String::new(),
    }
}

/// A version that may not be given.
pub(crate) fn given(version: &Value) -> Result<Option<Version>, Error> {
    match version {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        version => written(version).parse().map(Some),
    }
}

/// A version as the data has it.
pub(crate) fn parts(version: Version) -> Value {
    if version == Version::latest() {
        return json!(["latest", "latest"]);
    }
    let part = |part: &str| part.parse::<u32>().map_or(json!(part), |number| json!(number));
    version.to_string().split('.').map(part).collect()
}
