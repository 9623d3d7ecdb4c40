use bytes::Bytes;
use http::Response;

use super::Rejection;

/// Makes the response to a request that is not let through.
#[diagnostic::on_unimplemented(
    message = "rejections cannot be turned into responses with the body `{R}`",
    note = "add `.respond_with(|rejection| rejection.respond(|json| ..))` to the layer, which makes the body from `Bytes`"
)]
pub trait Respond<R> {
    /// Returns the response.
    fn respond(&self, rejection: Rejection) -> Response<R>;
}

/// Responds with Keystone's JSON document, if the body of responses is `From<Bytes>`.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonDocument;

impl<R: From<Bytes>> Respond<R> for JsonDocument {
    fn respond(&self, rejection: Rejection) -> Response<R> {
        rejection.respond(R::from)
    }
}

impl<R, F: Fn(Rejection) -> Response<R>> Respond<R> for F {
    fn respond(&self, rejection: Rejection) -> Response<R> {
        self(rejection)
    }
}
