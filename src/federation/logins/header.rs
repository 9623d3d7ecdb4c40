use bytes::Bytes;
use http::{HeaderValue, Request, header::ACCEPT};

use crate::{
    AccessInfo, Error, Secret, Transport,
    error::{FederatedLoginFailed, LoginStep},
    federation::{
        IdentityProvider, LoginHeader,
        service_provider::is_unauthorized_by_web_server,
        unscoped::{UnscopedFuture, UnscopedLogin, unscoped_token},
    },
    identity::{is_ticket_rejected, send_with_header},
};

/// A login with a header that a function makes.
pub(in crate::federation) struct HeaderLogin {
    pub(in crate::federation) identity_provider: IdentityProvider,
    pub(in crate::federation) header: LoginHeader,
}

impl UnscopedLogin for HeaderLogin {
    fn log_in(&self, transport: Transport) -> UnscopedFuture {
        let (provider, header) = (self.identity_provider.clone(), self.header.clone());
        Box::pin(
            async move { Ok(provider.unscoped_token(request_token(&provider, &transport, &header).await?)) },
        )
    }

    fn cache_id(&self) -> Option<String> {
        Some(self.identity_provider.cache_id([]))
    }

    fn stored_id(&self) -> Option<String> {
        // Without a name, the user is not known before the first login.
        self.public_id()
    }

    fn public_id(&self) -> Option<String> {
        let name = [("login_header", Some(self.header.name()?))];
        self.identity_provider.public_id("federated header", name)
    }

    fn id_of_user(&self, user_id: &str) -> Option<String> {
        match self.header.name() {
            Some(_) => None,
            None => self.identity_provider.public_id("federated header", [("user_id", Some(user_id))]),
        }
    }
}

/// Requests an unscoped token with a header that a function makes.
///
/// # Errors
///
/// [`Error::FederatedLoginFailed`] of [`LoginStep::LoginHeader`] if the function fails, and of
/// [`LoginStep::Federation`] if the web server in front of Keystone rejects the header.
async fn request_token(
    provider: &IdentityProvider,
    transport: &Transport,
    header: &LoginHeader,
) -> Result<AccessInfo, Error> {
    let url = provider.federated_url()?;
    let mut request = Request::get(&url).body(Bytes::new()).map_err(|_| Error::InvalidRequestUri)?;
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("*/*"));
    let mut secrets = Vec::new();
    let response = match send_with_header(transport, request, header, &mut secrets).await {
        Err(Error::LoginRedirected { status, .. }) => {
            let hint = "the path of this protocol takes no such header: it redirects, as to a login page; check the \
                        protocol";
            let failed = FederatedLoginFailed::at(LoginStep::Federation, &url, hint, false);
            return Err(failed.with_status(status).into());
        }
        response => {
            response.map_err(|error| FederatedLoginFailed::unreachable(LoginStep::Federation, error))?
        }
    };
    let secrets = secrets.iter().map(Secret::expose);
    let hint = if is_ticket_rejected(response.status(), response.headers()) {
        "check that the header is `Negotiate` and a ticket for HTTP@host of this URL, that the ticket has not expired \
         (klist), and that the clocks agree"
    } else if is_unauthorized_by_web_server(&response) {
        "check the header that the function makes, and that the path of this protocol takes it"
    } else {
        return unscoped_token(&url, response, secrets);
    };
    let failed = FederatedLoginFailed::read(LoginStep::Federation, &url, &response, secrets);
    Err(failed.with_hint(hint).into())
}
