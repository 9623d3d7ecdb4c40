//! Fetches one version document over HTTP.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};

use super::{
    VersionDocument,
    document_auth::{DocumentAuth, WeakAccess},
    link::location,
    no_document::{NoDocument, Unauthorized},
};
use crate::{
    Error, Transport,
    endpoint::Origin,
    error::{ConnectFault, failed_proxy, is_permanent, requires_tls, retry_after, root_cause},
};

/// Maximum number of redirects, the same as in keystoneauth.
const MAX_REDIRECTS: usize = 30;

/// A request for a version document.
pub(super) struct DocumentRequest {
    /// The URL of the document.
    pub(super) url: Box<str>,
    /// The origin of that URL.
    pub(super) origin: Origin,
    /// Where the first request goes: to the URL, or to where the redirects of an earlier request ended.
    pub(super) start: Uri,
    /// The access whose token is sent, and whether the token is sent over https only.
    pub(super) auth: Option<(WeakAccess, bool)>,
}

/// A version document that a service returned.
#[derive(Clone, Debug)]
pub(crate) struct FetchedDocument {
    pub(crate) document: Arc<VersionDocument>,
    /// The https origin that returned the document, if redirects led there from http.
    pub(crate) https_origin: Option<Origin>,
}

/// The response after all redirects.
struct FinalResponse {
    response: Response<Bytes>,
    uri: Uri,
    /// Whether the request carried a token.
    has_token: bool,
}

impl DocumentRequest {
    /// Fetches the document.
    pub(super) async fn fetch(&self, transport: &Transport) -> Result<FetchedDocument, NoDocument> {
        let FinalResponse { response, uri, has_token } = self.follow_redirects(transport).await?;
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            let wants_tls = requires_tls(&uri, status, response.body());
            let hint = if wants_tls { ": that port speaks TLS; begin the URL with https://" } else { "" };
            let mut no_document = self.no_document(format!("it returned {status}{hint}"));
            no_document.attempt.is_transient_at_keystone = !wants_tls && !is_permanent(status);
            if status == StatusCode::UNAUTHORIZED {
                let rejected = Origin::from_uri(&uri).filter(|_| has_token).map(Unauthorized::TokenRejected);
                no_document.unauthorized = Some(rejected.unwrap_or(Unauthorized::TokenRequired(uri)).into());
            }
            no_document.attempt.retry_after = retry_after(response.headers(), SystemTime::now());
            let is_transient = (status.is_server_error() && !is_permanent(status))
                || status == StatusCode::TOO_MANY_REQUESTS;
            return Err(if is_transient { no_document.transient() } else { no_document });
        }
        let document = VersionDocument::new(&*self.url, response.headers(), response.body())
            .map_err(|_| self.no_document("its response is not a version document"))?;
        let https_origin = Origin::from_uri(&uri).filter(|origin| *origin != self.origin);
        Ok(FetchedDocument { document: Arc::new(document), https_origin })
    }

    /// Sends the request, and follows redirects within an origin and from http to https on the same host.
    async fn follow_redirects(&self, transport: &Transport) -> Result<FinalResponse, NoDocument> {
        let mut uri = self.start.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = Request::get(&uri)
                .header(header::ACCEPT, "application/json")
                .body(Bytes::new())
                .map_err(|_| self.no_document("it is not a valid URL"))?;
            let origin = Origin::from_uri(&uri);
            let has_token = self.insert_token(&mut request, origin.as_ref());
            let response = transport.send(request).await.map_err(|error| self.transport_failure(&error))?;
            let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 305 | 307 | 308);
            let Some(next) = location(&uri.to_string(), response.headers()).filter(|_| is_redirect) else {
                return Ok(FinalResponse { response, uri, has_token });
            };
            match (origin, Origin::from_uri(&next)) {
                (Some(from), Some(to)) if to == from || to.is_upgrade_of(&from) => uri = next,
                (_, Some(to)) => {
                    return Err(self.no_document(format!("it redirects to another origin, {to}")));
                }
                (_, None) => return Err(self.no_document("it redirects to another origin")),
            }
        }
        Err(self.no_document(format!("it redirects more than {MAX_REDIRECTS} times")))
    }

    /// Inserts the token if it may be sent to `target`, and returns whether it did.
    ///
    /// Keeps the access alive only during this call.
    fn insert_token(&self, request: &mut Request<Bytes>, target: Option<&Origin>) -> bool {
        let Some((access, https_only)) = &self.auth else { return false };
        let Some((access, target)) = access.upgrade().zip(target) else { return false };
        let auth = DocumentAuth { access: &access, https_only: *https_only };
        let may_send = auth.may_send_token_to(target, &self.origin);
        if may_send {
            access.insert_headers(request.headers_mut());
        }
        may_send
    }

    fn no_document(&self, reason: impl Into<String>) -> NoDocument {
        NoDocument::new(&self.url, reason)
    }

    fn transport_failure(&self, error: &Error) -> NoDocument {
        let no_document = match error {
            Error::ConnectFailure { origin, source, .. } => {
                let cause = root_cause(&**source);
                let (proxy, fault) = (failed_proxy(&**source), ConnectFault::from_error(origin, &**source));
                let is_at_right_url = proxy.is_some() || fault.is_some_and(ConnectFault::is_at_right_url);
                let mut no_document =
                    self.no_document(match (proxy, fault.map(|fault| fault.describe(&cause))) {
                        (None, Some(fault)) => fault,
                        (None, None) => format!("it could not be reached: {cause}"),
                        (Some(proxy), fault) => format!("{proxy}: {}", fault.unwrap_or(cause)),
                    });
                no_document.attempt.is_at_right_url = is_at_right_url;
                no_document
            }
            Error::InvalidResponse { reason, .. } => {
                self.no_document(format!("its response cannot be read: {reason}"))
            }
            error => self.no_document(error.to_string()),
        };
        if error.is_transient() { no_document.transient() } else { no_document }
    }
}
