use bytes::Bytes;
use http::Response;

use super::Rejection;

/// Makes the response to a request that is not let through.
///
/// It is implemented for functions, and for [`JsonDocument`] if the body of responses is `From<Bytes>`.
///
/// If the compiler says that the method `oneshot` exists but its trait bounds were not satisfied, the body needs
/// [`respond_with`](crate::ValidateTokenLayer::respond_with), or the service is not `Clone`.
#[diagnostic::on_unimplemented(
    message = "rejections cannot be turned into responses with the body `{R}`",
    note = "add `.respond_with(|rejection| rejection.respond(|json| ..))` to the layer, which makes the body from `Bytes`"
)]
pub trait Respond<R> {
    /// Returns the response.
    fn respond(&self, rejection: Rejection) -> Response<R>;

    /// Returns whether the response is sent with its own status and headers. By default it is not: the layer sets the
    /// status, `WWW-Authenticate` and `Retry-After` of the rejection again.
    fn is_raw(&self) -> bool {
        false
    }
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

/// Responds with what a function returns, unchanged: the result of
/// [`respond_with_raw`](crate::ValidateTokenLayer::respond_with_raw).
#[derive(Clone, Copy)]
pub struct RawResponse<F>(pub(in crate::validate) F);

impl<R, F: Fn(Rejection) -> Response<R>> Respond<R> for RawResponse<F> {
    fn respond(&self, rejection: Rejection) -> Response<R> {
        (self.0)(rejection)
    }

    fn is_raw(&self) -> bool {
        true
    }
}

impl<F> std::fmt::Debug for RawResponse<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawResponse")
    }
}

/// Returns the response to a rejection, with the rejection in its extensions.
#[cold]
pub(in crate::validate) fn respond_with<R>(respond: &impl Respond<R>, rejection: Rejection) -> Response<R> {
    let mut response = respond.respond(rejection.clone());
    if !respond.is_raw() {
        rejection.apply_to(&mut response);
    }
    response.extensions_mut().insert(rejection);
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderValue, StatusCode};

    use super::*;

    fn weak(_: Rejection) -> Response<&'static str> {
        let builder = Response::builder().header("www-authenticate", "Basic").header("retry-after", "0");
        builder.header("x-own", "1").body("own").unwrap()
    }

    #[test]
    fn a_function_cannot_weaken_a_rejection() {
        let rejection = Rejection::unauthorized(HeaderValue::from_static("Keystone"));
        let response = respond_with(&weak, rejection.clone());
        assert_eq!((response.status(), *response.body()), (StatusCode::UNAUTHORIZED, "own"));
        let challenges: Vec<_> = response.headers().get_all("www-authenticate").iter().collect();
        assert_eq!(challenges, ["Keystone"]);
        assert!(!response.headers().contains_key("retry-after"));
        assert_eq!(response.headers()["x-own"], "1");
        assert_eq!(response.extensions().get(), Some(&rejection));

        let response = respond_with(&weak, Rejection::unavailable(Duration::from_millis(1500)));
        assert_eq!(
            (response.status(), &response.headers()["retry-after"]),
            (StatusCode::SERVICE_UNAVAILABLE, &"2".parse().unwrap())
        );
        assert!(!response.headers().contains_key("www-authenticate"));
    }

    #[test]
    fn a_raw_response_is_unchanged() {
        let rejection = Rejection::forbidden();
        let response = respond_with(&RawResponse(weak), rejection.clone());
        assert_eq!(
            (response.status(), &response.headers()["www-authenticate"]),
            (StatusCode::OK, &"Basic".parse().unwrap())
        );
        assert_eq!(response.headers()["retry-after"], "0");
        assert_eq!(response.extensions().get(), Some(&rejection));
    }
}
