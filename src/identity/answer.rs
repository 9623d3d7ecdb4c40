//! Reading Keystone's answers to an authentication.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use serde_json::Value;

use crate::{
    AccessInfo, Error, Secret,
    access::{IdentityVersion, parse_time},
    error::{HttpError, MissingAuthMethods},
};

/// The access info of an answer of the v3 API.
pub(super) fn v3(answer: Response<Bytes>) -> Result<AccessInfo, Error> {
    access_info(answer, IdentityVersion::V3)
}

/// The access info of an answer of the v2.0 API.
pub(super) fn v2(answer: Response<Bytes>) -> Result<AccessInfo, Error> {
    access_info(answer, IdentityVersion::V2)
}

fn access_info(answer: Response<Bytes>, version: IdentityVersion) -> Result<AccessInfo, Error> {
    let (parts, body) = answer.into_parts();
    if !parts.status.is_success() {
        return Err(refusal(parts.status, &parts.headers, &body));
    }
    let access_info = match version {
        IdentityVersion::V3 => AccessInfo::from_response(&parts.headers, &body)?,
        IdentityVersion::V2 => AccessInfo::from_body(&body)?,
    };
    if access_info.version() != version {
        return Err(Error::InvalidResponse {
            reason: "it is of another version of the API",
            line: 0,
            column: 0,
        });
    }
    Ok(access_info)
}

/// What an answer that is no token means.
fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let json = || serde_json::from_slice::<Value>(body).unwrap_or_default();
    if status == StatusCode::UNAUTHORIZED
        && let Some(receipt) = text("openstack-auth-receipt")
    {
        return missing_methods(receipt, &json());
    }
    Error::Http(Arc::new(HttpError::read(status, headers, body)))
}

fn missing_methods(receipt: &str, body: &Value) -> Error {
    let names = |list: &Value| -> Option<Vec<String>> {
        list.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let read = || {
        Some(MissingAuthMethods {
            receipt: Secret::new(receipt),
            methods: names(&body["receipt"]["methods"])?,
            required_auth_methods: body["required_auth_methods"]
                .as_array()?
                .iter()
                .map(names)
                .collect::<Option<_>>()?,
            expires: parse_time(body["receipt"]["expires_at"].as_str()?)?,
        })
    };
    match read() {
        Some(missing) => Error::MissingAuthMethods(Arc::new(missing)),
        None => Error::InvalidResponse {
            reason: "it has a receipt, but not what goes with it",
            line: 0,
            column: 0,
        },
    }
}
