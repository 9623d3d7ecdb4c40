use std::{error::Error as StdError, fmt};

use http::{Uri, uri::Scheme};

use crate::{
    BoxError, Error,
    error::{ConnectFault, escaped, failed_proxy, format_origin, format_sources, truncate},
};

/// An error that names the service and the origin of a failed request. Its source is the cause.
///
/// If the connection failed for a reason that a retry cannot change, such as a certificate or a server that does not
/// speak TLS, the message says what to do. It contains neither the path nor the query of the request. With `{:#}`, the
/// messages of the sources follow.
#[derive(Debug)]
#[non_exhaustive]
pub struct RequestFailed {
    /// The service type in the endpoint filter of the request.
    ///
    /// `None` if the filter has none, if the request URI was absolute, or if `ErrorContext` is inside of `AuthLayer`.
    pub service_type: Option<Box<str>>,
    /// The scheme, host and port of the request URL. A user name in the URL is left out.
    pub origin: Box<str>,
    /// Why no retry can succeed, and what to do.
    explanation: Option<Box<str>>,
    source: BoxError,
}

impl RequestFailed {
    pub(super) fn new(service_type: Option<&str>, url: &Uri, source: BoxError) -> Self {
        let service_type = service_type.map(|text| truncate(text).into());
        let origin = format_origin(url);
        let explanation = explain(url, &origin, &*source).map(Into::into);
        Self { service_type, origin, explanation, source }
    }
}

impl fmt::Display for RequestFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request to ")?;
        if let Some(service_type) = &self.service_type {
            write!(f, "{} at ", escaped(service_type))?;
        }
        write!(f, "{} failed", self.origin)?;
        if let Some(explanation) = &self.explanation {
            write!(f, ": {explanation}")?;
        }
        format_sources(self, f)
    }
}

impl StdError for RequestFailed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}

/// Returns why a connection failed and what to do, if no retry can succeed.
fn explain(url: &Uri, origin: &str, error: &(dyn StdError + 'static)) -> Option<String> {
    // An error of this crate contains the text of a response.
    if Error::find(error).is_some() {
        return None;
    }
    let proxy = failed_proxy(error);
    let can_use_tls = proxy.is_some() || url.scheme() != Some(&Scheme::HTTP);
    let fault =
        ConnectFault::from_error(origin, error).filter(|fault| can_use_tls || !fault.concerns_tls())?;
    let fault = fault.describe_alone();
    Some(match proxy {
        Some(proxy) => format!("{proxy}: {fault}"),
        None => fault,
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn the_alternate_format_appends_the_sources_once() {
        let cause = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let url = Uri::from_static("https://nova.example.com/servers");
        let plugin = Error::plugin(true, cause());
        let (plugin_message, cause_message) = (plugin.to_string(), cause().to_string());
        let error = RequestFailed::new(Some("compute"), &url, plugin.into());
        assert_eq!(error.to_string(), "the request to compute at https://nova.example.com failed");
        assert_eq!(format!("{error:#}"), format!("{error}: {plugin_message}: {cause_message}"));

        let connect = Error::connect(&url, cause());
        assert_eq!(format!("{connect:#}"), format!("{connect}: {cause_message}"));
    }
}
