//! One version document over HTTP.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};

use super::{
    VersionDocument,
    link::location,
    no_document::{NoDocument, Unauthorized},
    token::{Token, Whose},
};
use crate::{
    Error, Transport,
    endpoint::Origin,
    error::{ConnectFault, is_permanent, requires_tls, retry_after},
};

/// How many redirects are followed, as many as keystoneauth follows.
const MAX_REDIRECTS: usize = 30;

/// Where a document is asked for, and with whose token.
pub(super) struct Asking {
    /// The URL that the document is for, and its origin.
    pub(super) url: Box<str>,
    pub(super) home: Origin,
    /// Where to begin: there, or where redirects from there led to.
    pub(super) from: Uri,
    /// Whose token is sent, and whether over https only.
    pub(super) token: Option<(Whose, bool)>,
}

/// A document that was found.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) document: Arc<VersionDocument>,
    /// The origin that has it, if redirects led from http to https.
    pub(crate) upgraded: Option<Origin>,
}

/// What is at the end of redirects.
struct Landing {
    response: Response<Bytes>,
    place: Uri,
    with_token: bool,
}

impl Asking {
    /// Asks for the document.
    pub(super) async fn fetch(&self, transport: &Transport) -> Result<Fetched, NoDocument> {
        let Landing { response, place, with_token } = self.follow(transport).await?;
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            let wants_tls = requires_tls(&place, status, response.body());
            let tls = if wants_tls { ": that port speaks TLS; is it https://?" } else { "" };
            let mut miss = self.miss(format!("it answered {status}{tls}"));
            miss.attempt.is_transient_at_keystone = !wants_tls && !is_permanent(status);
            if status == StatusCode::UNAUTHORIZED {
                let refused =
                    Origin::from_uri(&place).filter(|_| with_token).map(Unauthorized::TokenRejected);
                miss.unauthorized = Some(refused.unwrap_or(Unauthorized::TokenRequired(place)).into());
            }
            miss.attempt.retry_after = retry_after(response.headers(), SystemTime::now());
            let passes = (status.is_server_error() && !is_permanent(status))
                || status == StatusCode::TOO_MANY_REQUESTS;
            return Err(if passes { miss.transient() } else { miss });
        }
        let document = VersionDocument::new(&*self.url, response.headers(), response.body())
            .map_err(|_| self.miss("its answer is not a version document"))?;
        let upgraded = Origin::from_uri(&place).filter(|place| *place != self.home);
        Ok(Fetched { document: Arc::new(document), upgraded })
    }

    /// Follows redirects within an origin and from http to https.
    async fn follow(&self, transport: &Transport) -> Result<Landing, NoDocument> {
        let mut place = self.from.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = Request::get(&place)
                .header(header::ACCEPT, "application/json")
                .body(Bytes::new())
                .map_err(|_| self.miss("it is not a URL"))?;
            let origin = Origin::from_uri(&place);
            let with_token = self.insert_token(&mut request, origin.as_ref());
            let response = transport.send(request).await.map_err(|error| self.unreachable(&error))?;
            let redirects = matches!(response.status().as_u16(), 301 | 302 | 303 | 305 | 307 | 308);
            let Some(next) = location(&place.to_string(), response.headers()).filter(|_| redirects) else {
                return Ok(Landing { response, place, with_token });
            };
            match (origin, Origin::from_uri(&next)) {
                (Some(from), Some(to)) if to == from || to.is_upgrade_of(&from) => place = next,
                (_, Some(to)) => return Err(self.miss(format!("it redirects to another origin, {to}"))),
                (_, None) => return Err(self.miss("it redirects to another origin")),
            }
        }
        Err(self.miss("it redirects in circles"))
    }

    /// Puts the token in, if there is one that may go there. The access is not held for longer.
    fn insert_token(&self, request: &mut Request<Bytes>, place: Option<&Origin>) -> bool {
        let Some((whose, https_only)) = &self.token else { return false };
        let Some((access, place)) = whose.access().zip(place) else { return false };
        let token = Token { access: &access, https_only: *https_only };
        let may_go = token.may_go_to(place, &self.home);
        if may_go {
            access.insert_headers(request.headers_mut());
        }
        may_go
    }

    fn miss(&self, reason: impl Into<String>) -> NoDocument {
        NoDocument::new(&self.url, reason)
    }

    fn unreachable(&self, error: &Error) -> NoDocument {
        let miss = match error {
            Error::ConnectFailure { origin, source, .. } => match ConnectFault::from_error(origin, &**source)
            {
                Some(fault) => self.miss(fault.describe(&**source)),
                None => self.miss(format!("it could not be reached: {source}")),
            },
            Error::InvalidResponse { reason, .. } => {
                self.miss(format!("its answer cannot be read: {reason}"))
            }
            error => self.miss(error.to_string()),
        };
        if error.is_transient() { miss.transient() } else { miss }
    }
}
