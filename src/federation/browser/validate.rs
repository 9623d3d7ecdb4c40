//! Asks Keystone for the document of the token that a browser has brought.

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header::ACCEPT};

use crate::{
    AccessInfo, Error, Transport,
    access::token_header,
    error::{FederatedLoginFailed, LoginStep},
    federation::{
        IdentityProvider,
        person::{Retries, within_timeout},
    },
    identity::{send_within_origin, wipe},
    json::member,
    task::Timer,
};

/// Returns the access info of an unscoped token, which must come from this identity provider and protocol.
///
/// After a transient error it tries again, for 5 minutes at most.
pub(super) async fn access_info(
    identity_provider: &IdentityProvider,
    transport: &Transport,
    token: &str,
) -> Result<AccessInfo, Error> {
    let mut retries = Retries::new();
    loop {
        let error = match request_access_info(identity_provider, transport, token).await {
            Ok(access_info) => return Ok(access_info),
            Err(error) => error,
        };
        match retries.delay_after(&error) {
            Some(delay) => Timer::new(delay).await?,
            None => return Err(error),
        }
    }
}

async fn request_access_info(
    identity_provider: &IdentityProvider,
    transport: &Transport,
    token: &str,
) -> Result<AccessInfo, Error> {
    let url = identity_provider.url("auth/tokens")?;
    let mut request = Request::get(url.clone()).body(Bytes::new()).map_err(|_| Error::InvalidRequestUri)?;
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert("x-auth-token", token_header(token)?);
    headers.insert("x-subject-token", token_header(token)?);

    let response = within_timeout(LoginStep::Federation, send_within_origin(transport, request)).await?;
    let status = response.status();
    if !status.is_success() {
        let failed = FederatedLoginFailed::read(LoginStep::Federation, &url, &response, [token]);
        return Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND => failed
                .with_hint("the token that the browser has sent is not valid; start the login again")
                .into(),
            _ => failed.into(),
        });
    }
    let body = response.into_body();
    let access_info = AccessInfo::new(token, &body).map_err(|error| error.with_url(&url));
    wipe(body);
    let access_info = access_info?;
    if !is_issued_for(&access_info, identity_provider) {
        let hint = "the token that the browser has sent is not that of this identity provider and protocol; start the \
                    login again";
        let failed = FederatedLoginFailed::at(LoginStep::Federation, &url, hint, false);
        return Err(failed.with_status(status).into());
    }
    Ok(access_info)
}

/// Returns whether the document names this identity provider and protocol.
fn is_issued_for(access_info: &AccessInfo, identity_provider: &IdentityProvider) -> bool {
    let body = access_info.body();
    let id = |name| {
        let mut path = ["token", "user", "OS-FEDERATION", name, "id"].into_iter();
        let value = path.try_fold(body.expose(), |object, name| Some(member(object, name)?.get()))?;
        serde_json::from_str::<String>(value).ok()
    };
    id("identity_provider").as_deref() == Some(identity_provider.id())
        && id("protocol").as_deref() == Some(identity_provider.protocol())
}
