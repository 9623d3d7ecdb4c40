//! The access rules of application credentials.

use http::Method;

use crate::AccessInfo;

/// Returns whether the access rules of a token allow a request to a service of this type.
///
/// `path` is the path that the client sent, without the query.
pub(super) fn allow(
    _access_info: &AccessInfo,
    _service_type: Option<&str>,
    _method: &Method,
    _path: &str,
) -> bool {
    false
}
