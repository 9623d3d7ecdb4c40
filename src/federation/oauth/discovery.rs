//! Fetches discovery documents.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri, header::ACCEPT};
use tokio::time::timeout;

use super::{ProviderMetadata, provider_response::json_object};
use crate::{
    Error, Transport,
    error::{FederatedLoginFailed, LoginStep},
};

/// Timeout of the request. Nobody else ends it, because several logins can wait for it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Fetches the document at this URL.
pub(super) async fn fetch(transport: Transport, url: Uri) -> Result<ProviderMetadata, Error> {
    let step = LoginStep::Discovery;
    let fail = |hint, is_transient| FederatedLoginFailed::at(step, &url, hint, is_transient);
    let mut request = Request::get(&url);
    if let Some(headers) = request.headers_mut() {
        headers.insert(ACCEPT, super::ANY_TYPE);
    }
    let request = request.body(Bytes::new()).map_err(|_| fail("the URL is not valid; correct it", false))?;
    let response = timeout(TIMEOUT, transport.send(request))
        .await
        .map_err(|_| fail("there was no response within 10 s; check the URL and the network", true))?
        .map_err(|error| FederatedLoginFailed::unreachable(step, error))?;
    let document = json_object(step, &url, response, [])?;
    Ok(ProviderMetadata::read(&url, document.expose()).map_err(|hint| fail(hint, false))?)
}
