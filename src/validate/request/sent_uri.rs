use http::{Extensions, Uri};

/// The URI that the client sent: a request extension for routers that remove a prefix from the path.
///
/// The access rules of application credentials apply to the path that the client sent. The layer takes it from the
/// first of these that it finds:
///
/// 1. the function given to [`ValidateTokenLayer::sent_uri`](crate::ValidateTokenLayer::sent_uri),
/// 2. this extension, which a layer outside of the router can insert,
/// 3. axum's `OriginalUri` (feature `axum`),
/// 4. the URI of the request.
///
/// ```
/// use http::Request;
/// use tower_keystone::SentUri;
///
/// fn keep_uri<B>(mut request: Request<B>) -> Request<B> {
///     let uri = request.uri().clone();
///     request.extensions_mut().insert(SentUri(uri));
///     request
/// }
/// # keep_uri(Request::new(()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentUri(pub Uri);

/// Returns the URI that the client sent.
pub(in crate::validate) fn sent_uri<'a>(
    extensions: &'a Extensions,
    uri: &'a Uri,
    from_extensions: Option<fn(&Extensions) -> Option<&Uri>>,
) -> &'a Uri {
    from_extensions
        .and_then(|from_extensions| from_extensions(extensions))
        .or_else(|| extensions.get().map(|SentUri(uri)| uri))
        .or_else(|| original_uri(extensions))
        .unwrap_or(uri)
}

#[cfg(feature = "axum")]
fn original_uri(extensions: &Extensions) -> Option<&Uri> {
    extensions.get().map(|::axum::extract::OriginalUri(uri)| uri)
}

#[cfg(not(feature = "axum"))]
fn original_uri(_: &Extensions) -> Option<&Uri> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Own(Uri);

    fn own(extensions: &Extensions) -> Option<&Uri> {
        extensions.get().map(|Own(uri)| uri)
    }

    #[test]
    fn the_first_uri_that_is_found_is_used() {
        let uri = Uri::from_static;
        let rest = uri("/rest");
        let mut extensions = Extensions::new();
        assert_eq!(sent_uri(&extensions, &rest, Some(own)), "/rest");
        #[cfg(feature = "axum")]
        {
            extensions.insert(::axum::extract::OriginalUri(uri("/axum/rest")));
            assert_eq!(sent_uri(&extensions, &rest, Some(own)), "/axum/rest");
        }
        extensions.insert(SentUri(uri("/sent/rest")));
        assert_eq!(sent_uri(&extensions, &rest, Some(own)), "/sent/rest");
        extensions.insert(Own(uri("/own/rest")));
        assert_eq!(sent_uri(&extensions, &rest, Some(own)), "/own/rest");
        assert_eq!(sent_uri(&extensions, &rest, None), "/sent/rest");
    }
}
