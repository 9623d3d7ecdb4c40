//! Reads the responses of providers.

use bytes::Bytes;
use http::{Response, Uri};
use serde_json::value::RawValue;

use crate::{
    Secret,
    error::{FederatedLoginFailed, LoginStep},
    identity::wipe,
    json,
};

/// Maximum size of a response, in bytes.
const MAX_RESPONSE: usize = 1024 * 1024;

const REDIRECTED: &str = "redirects are not followed, because they can lead secrets to another server; set the URL to \
                          where this one leads";

/// Returns the JSON object of a successful response.
///
/// # Errors
///
/// The response is an error, possibly with the status 200, or a redirect, or not a JSON object. The texts of the error
/// are redacted if they contain one of the secrets.
pub(super) fn json_object<'a>(
    step: LoginStep,
    url: &Uri,
    response: Response<Bytes>,
    secrets: impl IntoIterator<Item = &'a str> + Clone,
) -> Result<Secret, FederatedLoginFailed> {
    let status = response.status();
    let fail =
        |hint, is_transient| Err(FederatedLoginFailed::at(step, url, hint, is_transient).with_status(status));
    if status.is_redirection() {
        return fail(REDIRECTED, false);
    }
    if !status.is_success() || has_error(response.body()) {
        return Err(FederatedLoginFailed::read(step, url, &response, secrets));
    }
    let body = response.into_body();
    if body.len() > MAX_RESPONSE {
        return fail("its response is longer than 1 MiB; check its URL", true);
    }
    let text = object(&body).map(Secret::new);
    wipe(body);
    match text {
        Some(text) => Ok(text),
        None => {
            fail("its response is not a JSON object; check its URL, and the proxies in front of it", true)
        }
    }
}

/// Returns the text of a JSON object.
fn object(body: &[u8]) -> Option<&str> {
    let text = str::from_utf8(json::without_bom(body)).ok()?;
    json::for_each_member(text, |_, _| {}).ok().map(|()| text)
}

/// Returns whether a body is an error of OAuth 2.0. Some providers return it with the status 200.
fn has_error(body: &[u8]) -> bool {
    let is_error = |value: &RawValue| json::text(value).is_some_and(|error| !error.is_empty());
    let mut found = false;
    let text = str::from_utf8(json::without_bom(body)).unwrap_or_default();
    let read = json::for_each_member(text, |name, value| found |= name == "error" && is_error(value));
    read.is_ok() && found
}
