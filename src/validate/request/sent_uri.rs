use http::Uri;

/// The URI that the client sent: a request extension for routers that remove a prefix from the path.
#[derive(Clone, Debug)]
pub struct SentUri(pub Uri);
