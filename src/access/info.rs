use std::{fmt, sync::Arc, time::SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

#[cfg(feature = "federation")]
use super::Bearer;
#[cfg(feature = "validate")]
use super::SharedCatalogs;
use super::{
    IdentityVersion, ServiceCatalog,
    document::Document,
    property_slices::PropertySlices,
    text::{Slice, TextBuilder},
    token_header,
};
use crate::{
    Error, Secret,
    error::{date, truncate},
    json,
};

/// The response header that contains a v3 token.
pub(crate) static X_SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");

/// A token and its document: keystoneauth's `AccessInfo`, also called the `auth_ref`.
///
/// The document is the JSON body of the response in which Keystone issued or validated the token. It is stored
/// unchanged, including members that this crate does not know. Its memory is wiped when the last clone is dropped.
///
/// A property is `None` if the document does not contain it, or if its value does not have the expected JSON type.
///
/// An access info is immutable, and clones share it.
///
/// See the [module docs](super) for an example.
#[derive(Clone)]
pub struct AccessInfo(Arc<Inner>);

struct Inner {
    token: Option<HeaderValue>,
    version: IdentityVersion,
    /// The document without its catalog, and after it the strings of properties that have an escape sequence in it.
    text: Zeroizing<Box<str>>,
    /// The length of the document without its catalog.
    document_len: u32,
    /// Where the catalog was in the document.
    catalog_start: u32,
    properties: PropertySlices,
    /// Empty if the document has no catalog.
    catalog: ServiceCatalog,
    has_catalog: bool,
    /// The number of access infos that shared the catalog when this one was created, with this one.
    #[cfg(feature = "validate")]
    catalog_sharers: u32,
    /// The `Date` of the response. It is not part of the auth state.
    date: Option<SystemTime>,
    #[cfg(feature = "federation")]
    bearer: Option<Box<Bearer>>,
}

/// Reads the catalog of a document, given its version, the JSON text of the catalog, and the id of the project.
///
/// The error is the reason why the document is rejected.
type ReadCatalog<'a> =
    dyn Fn(IdentityVersion, &str, Option<&str>) -> Result<ServiceCatalog, &'static str> + 'a;

impl AccessInfo {
    /// Creates an access info from a token and its document, for example after reading both from a cache.
    ///
    /// If `token` is empty, the token in the document is used, as in keystoneauth. Only a v2.0 document contains one.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidToken`] if the token that is used is not 1 to 131,072 bytes of visible ASCII,
    /// [`Error::InvalidResponse`] if the body is not a token document.
    pub fn new(token: impl AsRef<str>, body: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::build(Some(token.as_ref()), body.as_ref(), None)
    }

    /// Creates an access info as [`new`](Self::new) does. It shares its catalog with the others that were created with
    /// these `catalogs`, if theirs is equal.
    #[cfg(feature = "validate")]
    pub(crate) fn new_sharing(
        token: impl AsRef<str>,
        body: impl AsRef<[u8]>,
        catalogs: &SharedCatalogs,
    ) -> Result<Self, Error> {
        let read = |version, json: &str, project_id: Option<&str>| catalogs.read(version, json, project_id);
        Self::build_with(Some(token.as_ref()), body.as_ref(), None, &read)
    }

    /// Creates an access info from a document only.
    ///
    /// A v2.0 document contains the token. A v3 document does not, so [`auth_token`](Self::auth_token) returns `None`.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn from_body(body: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::build(None, body.as_ref(), None)
    }

    /// Reads the response to `POST /v2.0/tokens`. The token is in its body, so an `X-Subject-Token` is ignored.
    pub(crate) fn from_v2_response(headers: &HeaderMap, body: &[u8]) -> Result<Self, Error> {
        Self::build(None, body, date(headers))
    }

    /// Creates an access info from a response of Keystone that contains a token.
    ///
    /// The token of a response to `POST` or `GET /v3/auth/tokens` is in its `X-Subject-Token` header. The token of a
    /// response to `POST /v2.0/tokens` is in its body.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new), [`Error::NoToken`] if the response has no token, and [`Error::InvalidToken`] if it
    /// has `X-Subject-Token` headers with different values.
    pub fn from_response(headers: &HeaderMap, body: impl AsRef<[u8]>) -> Result<Self, Error> {
        let mut values = headers.get_all(&X_SUBJECT_TOKEN).iter();
        let first = values.next();
        if values.any(|value| Some(value) != first) {
            let length = first.map_or(0, HeaderValue::len);
            return Err(Error::InvalidToken {
                reason: "it differs between the X-Subject-Token headers of the response",
                length,
                offset: None,
            });
        }
        let token = match first {
            None => None,
            Some(value) => Some(value.to_str().map_err(|_| Error::InvalidToken {
                reason: "it contains a byte that is not visible ASCII",
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

    /// Returns an estimate of the memory that this access info keeps alive now, in bytes.
    ///
    /// Of a shared catalog, the access info keeps a part: the n-th that shares it keeps an n-th of it. The URLs that are
    /// made for the project when they are used are not counted.
    #[cfg(feature = "validate")]
    pub(crate) fn memory_size(&self) -> usize {
        /// Of the token's `Bytes`, and of the reference counts of the access info.
        const OVERHEAD: usize = 64;
        let (shared, own) = self.0.catalog.memory_size();
        size_of::<Inner>()
            + OVERHEAD
            + self.auth_token().map_or(0, str::len)
            + self.0.text.len()
            + self.0.properties.memory_size()
            + own
            + shared / self.0.catalog_sharers as usize
    }

    /// Reads an auth state, as written by [`auth_state`](Self::auth_state) or keystoneauth's `get_auth_state`.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn from_auth_state(state: &Secret) -> Result<Self, Error> {
        let invalid = |error: serde_json::Error| {
            let reason = "it is not an auth state, which is an object with `auth_token` and `body`";
            Error::invalid_response(reason, error.line(), error.column())
        };
        let state = state.expose();
        let state = state.strip_prefix('\u{feff}').unwrap_or(state);
        let (mut token, mut body) = (None, None);
        #[cfg(feature = "federation")]
        let mut bearer = None;
        let read = json::for_each_member(state, |name, value| match name {
            "auth_token" => token = Some(value),
            "body" => body = Some(value),
            #[cfg(feature = "federation")]
            "bearer" => bearer = Some(value),
            _ => {}
        });
        read.map_err(invalid)?;
        let token: Option<String> =
            serde_json::from_str(token.map_or("null", RawValue::get)).map_err(invalid)?;
        let token = token.map(Secret::new);
        let token = token.as_ref().map(Secret::expose);
        let access_info = Self::build(token, body.map_or("null", RawValue::get).as_bytes(), None)?;
        #[cfg(feature = "federation")]
        if let Some(bearer) = bearer {
            return access_info.with_bearer(Bearer::from_json(bearer)?);
        }
        Ok(access_info)
    }

    /// Returns the auth state: the token and its document as one JSON text that can be stored.
    ///
    /// [`from_auth_state`](Self::from_auth_state) and keystoneauth's `set_auth_state` read it. If an OAuth 2.0 access
    /// token is sent beside the token, the state has it as `bearer`, which keystoneauth ignores.
    pub fn auth_state(&self) -> Secret {
        // Allocate once: a string that grows leaves copies of the token in freed memory.
        let length = 2 * self.auth_token().map_or(0, str::len) + self.body_len();
        #[cfg(feature = "federation")]
        let length = length + self.bearer().map_or(0, Bearer::member_len);
        let mut state = String::with_capacity(length + r#"{"auth_token": null, "body": }"#.len());
        state.push_str(r#"{"auth_token": "#);
        match self.auth_token() {
            None => state.push_str("null"),
            Some(token) => token_header::push_json(token, &mut state),
        }
        state.push_str(r#", "body": "#);
        self.push_body(&mut state);
        #[cfg(feature = "federation")]
        if let Some(bearer) = self.bearer() {
            bearer.push_member(&mut state);
        }
        state.push('}');
        Secret::new(state)
    }

    /// Returns the document as it was received, except for a byte order mark. A v2.0 document contains the token.
    ///
    /// The document is put together at each call, because its catalog may be shared with other access infos.
    pub fn body(&self) -> Secret {
        let mut body = String::with_capacity(self.body_len());
        self.push_body(&mut body);
        Secret::new(body)
    }

    /// Returns the version of the Identity API that the document comes from.
    pub fn version(&self) -> IdentityVersion {
        self.0.version
    }

    /// Returns the token. It is `None` only if the access info was created from a document without a token.
    pub fn auth_token(&self) -> Option<&str> {
        self.0.token.as_ref()?.to_str().ok()
    }

    /// Returns the service catalog. It is empty if the document has none.
    #[inline]
    pub fn service_catalog(&self) -> &ServiceCatalog {
        &self.0.catalog
    }

    /// Returns whether the document has a service catalog, even an empty one.
    ///
    /// Keystone leaves it out of unscoped tokens, and on request (`?nocatalog`).
    pub fn has_service_catalog(&self) -> bool {
        self.0.has_catalog
    }

    /// Returns the token as a header value that is marked sensitive.
    pub(crate) fn token_header(&self) -> Option<&HeaderValue> {
        self.0.token.as_ref()
    }

    /// Returns the `Date` of the response that this was read from: the time on Keystone's clock.
    pub(crate) fn date(&self) -> Option<SystemTime> {
        self.0.date
    }

    #[inline]
    pub(super) fn properties(&self) -> &PropertySlices {
        &self.0.properties
    }

    /// Returns the string of a property.
    #[inline]
    pub(super) fn text(&self, slice: Slice) -> Option<&str> {
        slice.get(&self.0.text)
    }

    /// Adds an OAuth 2.0 access token that is sent beside the token.
    #[cfg(feature = "federation")]
    pub(crate) fn with_bearer(mut self, bearer: Bearer) -> Result<Self, Error> {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.bearer = Some(Box::new(bearer));
            return Ok(self);
        }
        let unshared = Self::build(self.auth_token(), self.body().expose().as_bytes(), self.date())?;
        unshared.with_bearer(bearer)
    }

    /// Returns the OAuth 2.0 access token that is sent beside the token.
    #[cfg(feature = "federation")]
    pub(crate) fn bearer(&self) -> Option<&Bearer> {
        self.0.bearer.as_deref()
    }

    fn body_len(&self) -> usize {
        self.0.document_len as usize + self.0.catalog.json_len()
    }

    fn push_body(&self, result: &mut String) {
        let Inner { text, document_len, catalog_start, catalog, .. } = &*self.0;
        result.push_str(text.get(..*catalog_start as usize).unwrap_or_default());
        catalog.push_json(result);
        result.push_str(text.get(*catalog_start as usize..*document_len as usize).unwrap_or_default());
    }

    fn build(token: Option<&str>, body: &[u8], date: Option<SystemTime>) -> Result<Self, Error> {
        Self::build_with(token, body, date, &ServiceCatalog::read)
    }

    fn build_with(
        token: Option<&str>,
        body: &[u8],
        date: Option<SystemTime>,
        read_catalog: &ReadCatalog<'_>,
    ) -> Result<Self, Error> {
        let body = std::str::from_utf8(json::without_bom(body))
            .map_err(|_| Error::invalid_response("it is not UTF-8", 0, 0))?;
        let Document { version, members, token: document_token, catalog: catalog_json, .. } =
            Document::read(body)?;
        let mut text = TextBuilder::new(body, catalog_json);
        let properties = PropertySlices::read(version, &members, &mut text);
        drop(members);
        let (document_len, catalog_start) = text.source_len();
        let text = Zeroizing::new(text.build());

        let project_id = properties.project_id.get(&text);
        let catalog = catalog_json.map(|json| read_catalog(version, json, project_id)).transpose();
        let catalog = catalog.map_err(|reason| Error::invalid_response(reason, 0, 0))?;
        let (has_catalog, catalog) = (catalog.is_some(), catalog.unwrap_or_default());

        // As in keystoneauth, the token in the document replaces an empty one.
        let document_token = document_token.as_ref().map(Secret::expose);
        let token = token.filter(|token| !token.is_empty()).or(document_token).or(token);
        let token = token.map(token_header::header_value).transpose()?;
        Ok(Self(Arc::new(Inner {
            token,
            version,
            text,
            document_len,
            catalog_start,
            properties,
            #[cfg(feature = "validate")]
            catalog_sharers: catalog.sharers(),
            catalog,
            has_catalog,
            date,
            #[cfg(feature = "federation")]
            bearer: None,
        })))
    }
}

/// Shows the user, the scope, the expiry and the catalog, but never the token.
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
