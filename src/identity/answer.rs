//! Reading Keystone's answers to an authentication.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use serde_json::Value;
use zeroize::Zeroize;

use crate::{
    AccessInfo, Error, Secret,
    access::{IdentityVersion, parse_time},
    error::{HttpError, MissingAuthMethods, repeats},
};

/// The access info of an answer of this version of the API to a request with these secrets.
pub(super) fn access_info(
    answer: Response<Bytes>,
    version: IdentityVersion,
    secrets: &[Secret],
) -> Result<AccessInfo, Error> {
    let (parts, body) = answer.into_parts();
    if !parts.status.is_success() {
        return Err(refusal(parts.status, &parts.headers, &body, secrets));
    }
    let access_info = match version {
        IdentityVersion::V3 => AccessInfo::from_response(&parts.headers, &body),
        IdentityVersion::V2 => AccessInfo::from_v2_response(&parts.headers, &body),
    };
    wipe(body);
    let access_info = access_info?;
    if access_info.version() != version {
        return Err(Error::InvalidResponse {
            reason: "it is of another version of the API",
            line: 0,
            column: 0,
        });
    }
    Ok(access_info)
}

/// Wipes a body, unless it is part of a buffer that others hold too.
fn wipe(body: Bytes) {
    if let Ok(mut body) = body.try_into_mut() {
        body.as_mut().zeroize();
    }
}

/// What an answer that is no token means.
fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8], secrets: &[Secret]) -> Error {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let json = || serde_json::from_slice::<Value>(body).unwrap_or_default();
    if status == StatusCode::UNAUTHORIZED
        && let Some(receipt) = text("openstack-auth-receipt")
        && let Some(missing) = missing_methods(receipt, &json(), secrets)
    {
        return Error::MissingAuthMethods(Arc::new(missing));
    }
    let mut error = HttpError::read(status, headers, body);
    error.withhold(false, secrets.iter().map(Secret::expose));
    Error::Http(Arc::new(error))
}

/// The methods of Keystone's own, which a weak password may be the name of.
const METHODS: [&str; 8] =
    ["application_credential", "external", "mapped", "oauth1", "openid", "password", "token", "totp"];

/// What goes with a receipt, if the answer says all of it.
fn missing_methods(receipt: &str, body: &Value, secrets: &[Secret]) -> Option<MissingAuthMethods> {
    let names = |list: &Value| -> Option<Vec<String>> {
        let name = |name: &Value| {
            let name = name.as_str()?;
            let known = METHODS.contains(&name);
            (known || !repeats(name, false, secrets.iter().map(Secret::expose))).then(|| name.to_owned())
        };
        list.as_array()?.iter().map(name).collect()
    };
    let required = body["required_auth_methods"].as_array()?;
    Some(MissingAuthMethods {
        receipt: Secret::new(receipt),
        methods: names(&body["receipt"]["methods"])?,
        required_auth_methods: required.iter().map(names).collect::<Option<_>>()?,
        expires: parse_time(body["receipt"]["expires_at"].as_str()?)?,
    })
}
