use bytes::Bytes;
use http::{HeaderValue, Request, header::ACCEPT};

use super::{
    IdentityProvider, LoginHeader, service_provider::is_unauthorized_by_web_server, unscoped::unscoped_token,
};
use crate::{
    AccessInfo, Error, Secret, Transport,
    error::{FederatedLoginFailed, LoginStep},
    identity::{is_ticket_rejected, send_with_header},
};

impl IdentityProvider {
    /// Requests an unscoped token with a header that a function makes.
    ///
    /// # Errors
    ///
    /// [`Error::FederatedLoginFailed`] of [`LoginStep::LoginHeader`] if the function fails, and of
    /// [`LoginStep::Federation`] if the web server in front of Keystone rejects the header.
    pub(super) async fn log_in_with_header(
        &self,
        transport: &Transport,
        header: &LoginHeader,
    ) -> Result<AccessInfo, Error> {
        let url = self.federated_url()?;
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
}
