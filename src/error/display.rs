//! What each error says.

use std::fmt;

use super::{AN_ENDPOINT, ConnectFault, Error, format};

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidResponse { reason, line, column, url } => {
                f.write_str("not the document expected")?;
                if let Some(url) = url {
                    write!(f, " from {url}")?;
                }
                write!(f, ": {reason} (line {line}, column {column}); was it OpenStack that answered?")
            }
            Self::InvalidToken { reason, length, offset } => {
                write!(f, "not a token: {reason} ({length} bytes{})", format::at(*offset))
            }
            Self::InvalidTimestamp { field } => {
                write!(f, "`{field}` of the token document is not an ISO 8601 time")
            }
            Self::NoToken => f.write_str(
                "there is no token, neither in an X-Subject-Token header nor in the document; does a proxy in front of \
                 Keystone take the header away, or was an access info made without it?",
            ),
            Self::Expired { expired_at } => write!(
                f,
                "the token expired at {} and this plugin cannot renew it; give it a new access info",
                format::time(*expired_at)
            ),
            Self::EmptyCatalog => f.write_str(
                "the service catalog is empty; is the token scoped, and was it asked for with its catalog?",
            ),
            Self::EndpointNotFound(error) => error.fmt(f),
            Self::InvalidVersion(error) => error.fmt(f),
            Self::InvalidMicroversion { microversion, reason } => {
                write!(f, "the microversion `{}` cannot be asked for: {reason}", format::escaped(microversion))
            }
            Self::UnsupportedMicroversion { service_type, requested: (oldest, newest), supported } => write!(
                f,
                "{} has {}, and one from {oldest} to {newest} is asked for; ask for others, or for none",
                format::escaped(service_type),
                format::microversions(*supported)
            ),
            Self::InvalidVersionRange { reason } => write!(f, "no version can be as asked for: {reason}"),
            Self::ImpliedVersionMismatch { service_type, implied, bound, requested } => write!(
                f,
                "service type {} means version {implied}, and a {bound} of {requested} is asked for; \
                 ask for the official service type, or for no version",
                format::escaped(service_type)
            ),
            Self::DiscoveryFailure(error) => error.fmt(f),
            Self::NoDiscovery => f.write_str(
                "the EndpointFilter asks for a version, and the layer has no transport to ask the service with; \
                 give it one by AuthLayer::discovery",
            ),
            Self::NoEndpointFilter => f.write_str(
                "no service is named for a relative request URI; give the layer or the request an EndpointFilter \
                 with a service type (for Keystone itself, one with Interface::Auth), or make the URI absolute",
            ),
            Self::NoAuthUrl => f.write_str(
                "the identity plugin has no auth_url, which Interface::Auth stands for; give it one",
            ),
            Self::InvalidEndpoint { what, reason } => {
                write!(f, "{what} cannot be used: {reason}")?;
                match *what {
                    AN_ENDPOINT => f.write_str("; correct the endpoint override or the auth_url"),
                    _ => Ok(()),
                }
            }
            Self::MissingOverrideValue { name } => write!(
                f,
                "the endpoint override wants %({})s, which this access does not have; \
                 only project_id and user_id are filled in, from a scoped token",
                format::escaped(name)
            ),
            Self::InvalidRequestUri => f.write_str(
                "the request URI is neither absolute nor a path; begin a relative one with a slash",
            ),
            Self::UriTooLong { length } => write!(
                f,
                "the path and query of the request URI have {length} bytes when joined to the endpoint, and at most \
                 65,534 can be sent; shorten the query, or ask for less at once"
            ),
            Self::PathTraversal => f.write_str(
                "the request URI climbs above its endpoint by `..`; name the endpoint meant in the EndpointFilter",
            ),
            Self::OriginNotAllowed { origin } => write!(
                f,
                "{origin} is not an origin of the service catalog, so the token is not sent there; \
                 AuthLayer::allow_origin allows it, the Unauthenticated extension sends the request without a token"
            ),
            Self::HostNotAllowed { origin } => write!(
                f,
                "the request's Host header is not the host of {origin}, so the token is not sent; remove the header, \
                 or make it that of the URI"
            ),
            Self::HttpsRequired { origin } => {
                write!(f, "{origin} is plain http, and the layer requires https (AuthLayer::require_https)")
            }
            Self::AuthorizationFailure { reason } => write!(f, "the credentials cannot be used: {reason}"),
            Self::MissingAuthMethods(error) => error.fmt(f),
            Self::Keystone(error) => {
                write!(f, "Keystone answered {error}")?;
                error.login.as_ref().map_or(Ok(()), |login| write!(f, "; {login}"))
            }
            Self::Service(error) => write!(f, "the service answered {error}"),
            Self::LoginRedirected { status, auth_url, location } => write!(
                f,
                "{auth_url} answers credentials by {status}{}, and they are not sent there; correct the auth_url",
                format::to(location.as_deref())
            ),
            Self::Recursion => f.write_str(
                "a request for a token would wait for that same token; give the Transport a client without the layer \
                 (AuthLayer), and do not ask a plugin from within its own credentials",
            ),
            Self::ConnectFailure { origin, source } => {
                write!(f, "Keystone could not be reached at {origin}")?;
                match ConnectFault::from_error(origin, &**source) {
                    Some(fault) => write!(f, ": {}", fault.describe(&**source)),
                    None => f.write_str("; is the auth_url right?"),
                }
            }
            Self::Timeout { auth_url, timeout } => write!(
                f,
                "Keystone did not answer at {auth_url} within {} ms; is the auth_url right?",
                timeout.as_millis()
            ),
            Self::ExpiredOnArrival => f.write_str(
                "Keystone issues tokens that expire at once; is `[token] expiration` in keystone.conf as intended?",
            ),
            Self::PluginPanicked => f.write_str(
                "the credentials, or the clock, client or log subscriber that they use, panicked while a token was \
                 obtained; see the message of the panic",
            ),
            Self::NoRuntime => f.write_str(
                "Keystone or a service has to be asked, and there is no tokio runtime with time enabled to do that \
                 in; poll requests inside one",
            ),
            Self::Abandoned => f.write_str(
                "several requests to Keystone or a service ended without a result: their tokio runtime was shut down \
                 or is not driven, or the tokens were reset or refused at once; keep the runtime running while \
                 requests wait",
            ),
            Self::Plugin { .. } => f.write_str("the identity plugin failed"),
        }
    }
}
