use std::{fmt, sync::Arc, time::SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, value::RawValue};
use zeroize::Zeroizing;

use super::{IdentityVersion, ServiceCatalog, document::Document, token_header};
use crate::{
    Error, Secret,
    error::{date, truncate},
    json,
};

/// The header in which Keystone answers a v3 token.
static X_SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");

/// A token and its document: keystoneauth's `AccessInfo`, also called the `auth_ref`.
///
/// It is made once and never changes; clones share it. The document is kept as it came, with all
/// that this crate does not know, and is wiped from memory with the last clone.
///
/// See the [module docs](super) for an example.
#[derive(Clone)]
pub struct AccessInfo(Arc<Inner>);

struct Inner {
    token: Option<HeaderValue>,
    version: IdentityVersion,
    /// The members of `token` or `access` that something is read of, without the catalog and without the token.
    members: Map<String, Value>,
    /// Empty where the document has no such member.
    catalog: ServiceCatalog,
    has_catalog: bool,
    body: Zeroizing<Box<str>>,
    /// When Keystone sent it, by its own clock. Not part of what is stored.
    date: Option<SystemTime>,
}

impl AccessInfo {
    /// Puts a token and its document together again, as from a cache of one's own.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidToken`] for a token that is not 1 to 131,072 bytes of visible ASCII,
    /// [`Error::InvalidResponse`] for a body that is no token document.
    pub fn new(token: impl AsRef<str>, body: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::build(Some(token.as_ref()), body.as_ref(), None)
    }

    /// Reads a document that comes without its token. A v2.0 document has the token inside; with a
    /// v3 document, all but [`auth_token`](Self::auth_token) is there.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn from_body(body: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::build(None, body.as_ref(), None)
    }

    /// Reads the response to `POST /v2.0/tokens`, whose headers say nothing of the token.
    pub(crate) fn from_v2_response(headers: &HeaderMap, body: &[u8]) -> Result<Self, Error> {
        Self::build(None, body, date(headers))
    }

    /// Reads the answer to `POST` or `GET /v3/auth/tokens` (the token in `X-Subject-Token`) or to
    /// `POST /v2.0/tokens` (the token in the body).
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new), and [`Error::NoToken`] if the answer has no token at all. An
    /// `X-Subject-Token` that comes twice with different values is [`Error::InvalidToken`].
    pub fn from_response(headers: &HeaderMap, body: impl AsRef<[u8]>) -> Result<Self, Error> {
        let mut values = headers.get_all(&X_SUBJECT_TOKEN).iter();
        let first = values.next();
        if values.any(|value| Some(value) != first) {
            let length = first.map_or(0, HeaderValue::len);
            return Err(Error::InvalidToken {
                reason: "the answer has two different ones",
                length,
                offset: None,
            });
        }
        let token = match first {
            None => None,
            Some(value) => Some(value.to_str().map_err(|_| Error::InvalidToken {
                reason: "a byte of it is not visible ASCII",
                length: value.len(),
                offset: value.as_bytes().iter().position(|byte| !byte.is_ascii_graphic()),
            })?),
        };
        let access_info = Self::build(token, body.as_ref(), date(headers))?;
        if access_info.0.token.is_none() {
            return Err(Error::NoToken);
        }
        Ok(access_info)
    }

    /// Reads what [`auth_state`](Self::auth_state) or keystoneauth's `get_auth_state` wrote.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn from_auth_state(state: &Secret) -> Result<Self, Error> {
        let broken = |error: serde_json::Error| {
            Error::invalid_response("it is not a stored `{auth_token, body}`", error.line(), error.column())
        };
        let state = state.expose();
        let state = state.strip_prefix('\u{feff}').unwrap_or(state);
        let (mut token, mut body) = (None, None);
        let read = json::for_each_member(state, |name, value| match name {
            "auth_token" => token = Some(value),
            "body" => body = Some(value),
            _ => {}
        });
        read.map_err(broken)?;
        let token: Option<String> =
            serde_json::from_str(token.map_or("null", RawValue::get)).map_err(broken)?;
        let token = token.map(Secret::new);
        Self::build(token.as_ref().map(Secret::expose), body.map_or("null", RawValue::get).as_bytes(), None)
    }

    /// Token and document in one text that can be stored and read again by
    /// [`from_auth_state`](Self::from_auth_state), and by keystoneauth's `set_auth_state`.
    pub fn auth_state(&self) -> Secret {
        // Room for all of it at once: a text that grows leaves copies behind.
        let length = 2 * self.auth_token().map_or(0, str::len) + self.0.body.len();
        let mut state = String::with_capacity(length + r#"{"auth_token": null, "body": }"#.len());
        state.push_str(r#"{"auth_token": "#);
        match self.auth_token() {
            None => state.push_str("null"),
            Some(token) => {
                state.push('"');
                for character in token.chars() {
                    // A token is visible ASCII: these two are all that JSON wants escaped.
                    if matches!(character, '"' | '\\') {
                        state.push('\\');
                    }
                    state.push(character);
                }
                state.push('"');
            }
        }
        state.push_str(r#", "body": "#);
        state.push_str(&self.0.body);
        state.push('}');
        Secret::new(state)
    }

    /// The document as it came, but for a byte order mark. A v2.0 document has the token in it.
    pub fn body(&self) -> &str {
        &self.0.body
    }

    /// Which Identity API the document comes from.
    pub fn version(&self) -> IdentityVersion {
        self.0.version
    }

    /// The token itself. `None` only if the access info was made of a body that has none.
    pub fn auth_token(&self) -> Option<&str> {
        self.0.token.as_ref()?.to_str().ok()
    }

    /// The endpoints that go with the token; empty where the document lists none.
    #[inline]
    pub fn service_catalog(&self) -> &ServiceCatalog {
        &self.0.catalog
    }

    /// Whether the document has a service catalog, be it an empty one. Keystone leaves it out of
    /// unscoped tokens and on request (`?nocatalog`).
    pub fn has_service_catalog(&self) -> bool {
        self.0.has_catalog
    }

    /// The token as a sensitive header value, made when the access info was.
    pub(crate) fn token_header(&self) -> Option<&HeaderValue> {
        self.0.token.as_ref()
    }

    /// When Keystone sent it, by its own clock, if it comes out of a response that says so.
    pub(crate) fn date(&self) -> Option<SystemTime> {
        self.0.date
    }

    pub(super) fn members(&self) -> &Map<String, Value> {
        &self.0.members
    }

    fn build(token: Option<&str>, body: &[u8], date: Option<SystemTime>) -> Result<Self, Error> {
        let body = std::str::from_utf8(json::without_bom(body))
            .map_err(|_| Error::invalid_response("it is not UTF-8", 0, 0))?;
        let Document { version, members, token: inside, catalog, .. } = Document::read(body)?;
        // As in keystoneauth, an empty token gives way to the one in the document.
        let inside = inside.as_ref().map(Secret::expose);
        let token = token.filter(|token| !token.is_empty()).or(inside).or(token);
        let token = token.map(token_header::header_value).transpose()?;
        let (has_catalog, catalog) = (catalog.is_some(), catalog.unwrap_or_default());
        let body = Zeroizing::new(body.into());
        Ok(Self(Arc::new(Inner { token, version, members, catalog, has_catalog, body, date })))
    }
}

/// Whom the token stands for and until when, never the token.
impl fmt::Debug for AccessInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessInfo")
            .field("version", &self.version())
            .field("user_id", &self.user_id().map(truncate))
            .field("project_id", &self.project_id().map(truncate))
            .field("domain_id", &self.domain_id().map(truncate))
            .field("system_scoped", &self.system_scoped())
            .field("expires", &self.expires().ok().flatten())
            .field("service_catalog", self.service_catalog())
            .finish_non_exhaustive()
    }
}
