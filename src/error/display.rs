//! The messages of [`Error`].

use std::fmt::{self, Display};

use super::{AN_ENDPOINT, Error, connect_fault::write_unreachable, format};

/// With `{:#}`, the messages of the sources follow.
impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_message(f)?;
        format::sources(self, f)
    }
}

impl Error {
    /// Writes the message without those of the sources.
    fn fmt_message(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidResponse { reason, line, column, url } => {
                let position = format::position(*line, *column);
                match url {
                    Some(url) => write!(
                        f,
                        "invalid response from {url}: {reason}{position}; check that the URL is that of an OpenStack \
                         service"
                    ),
                    None => write!(
                        f,
                        "invalid document: {reason}{position}; check where it comes from, and that it is complete"
                    ),
                }
            }
            Self::InvalidToken { reason, length, offset } => write!(
                f,
                "invalid token: {reason} (length: {length} bytes{}); check that it is one token, exactly as \
                 Keystone issued it",
                format::at(*offset)
            ),
            Self::InvalidTimestamp { field } => write!(
                f,
                "`{field}` of the token document is not an ISO 8601 time; check that the document comes from Keystone"
            ),
            Self::NoToken => f.write_str(
                "there is no token, neither in the X-Subject-Token header nor in the token document; check that no \
                 proxy removes the header, or pass the token to AccessInfo::new",
            ),
            Self::Expired { expired_at } => write!(
                f,
                "the token expired at {} and AccessInfoPlugin cannot renew it; obtain a new token, or use a \
                 RenewingPlugin",
                format::time(*expired_at)
            ),
            Self::EmptyCatalog => f.write_str(
                "the service catalog is empty; set a project (project_name and project_domain_name) or another scope, \
                 and do not use without_catalog or `?nocatalog`",
            ),
            Self::EndpointNotFound(error) => error.fmt(f),
            Self::InvalidVersion(error) => error.fmt(f),
            Self::InvalidMicroversion { microversion, reason } => {
                write!(f, "invalid microversion `{}`: {reason}", format::escaped(microversion))
            }
            Self::UnsupportedMicroversion { service_type, requested: (oldest, newest), supported } => {
                let service_type = format::escaped(service_type);
                write!(f, "{service_type} does not support any microversion from {oldest} to {newest}")?;
                match supported {
                    Some((oldest, newest)) => write!(
                        f,
                        ": its version document lists {oldest} to {newest}; request one of these, or none"
                    ),
                    None => f.write_str(": its version document lists none; send requests without a microversion"),
                }
            }
            Self::InvalidVersionRange { reason } => write!(f, "invalid version range: {reason}"),
            Self::ImpliedVersionMismatch { service_type, implied, bound, requested } => write!(
                f,
                "service type {} implies version {implied}, but a {bound} of {requested} was requested; \
                 use the official service type, or request no version",
                format::escaped(service_type)
            ),
            #[cfg(feature = "config")]
            Self::Config(error) => error.fmt(f),
            Self::DiscoveryFailure(error) => error.fmt(f),
            Self::NoDiscovery => f.write_str(
                "the EndpointFilter requests a version, but version discovery is off; turn it on with \
                 AuthLayer::discovery",
            ),
            Self::NoEndpointFilter => f.write_str(
                "the request has a relative URI and no service type; give the request or the layer an EndpointFilter \
                 with a service type (for Keystone itself, with Interface::Auth), or use an absolute URI",
            ),
            Self::NoEndpoint => f.write_str(
                "the identity plugin has neither a service catalog nor an endpoint; give the service an endpoint \
                 override, such as `compute_endpoint_override` in clouds.yaml, or configure `endpoint`",
            ),
            Self::NoIdentity => f.write_str(
                "the request has no Identity, which AuthLayer::require_identity demands; insert an Identity into its \
                 extensions",
            ),
            Self::NoAuthUrl => f.write_str(
                "Interface::Auth was requested, but the identity plugin has no auth_url; give the plugin its auth_url",
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
                "the endpoint override contains %({})s, but the token has no value for it; use %(user_id)s, or \
                 %(project_id)s with a project-scoped token",
                format::escaped(name)
            ),
            Self::InvalidRequestUri => {
                f.write_str("the request URI is neither absolute nor a path; start a relative URI with a slash")
            }
            Self::UriTooLong { length } => write!(
                f,
                "the path and query of the request URI, joined to the endpoint, have {length} bytes, and the limit is \
                 65,534; shorten the query, or split the request"
            ),
            Self::PathTraversal => f.write_str(
                "the `..` segments of the request URI lead above the path of its endpoint (path traversal); remove \
                 them, or select another endpoint with the EndpointFilter",
            ),
            Self::OriginNotAllowed { origin, never_allowed: true } => write!(
                f,
                "the token is not sent to {origin}, because the URI is not http or https, or has a user name, or a host \
                 or port that HTTP clients may read differently; write it as https://host:port/path"
            ),
            Self::OriginNotAllowed { origin, never_allowed: false } => write!(
                f,
                "{origin} is not an origin of the service catalog, so the token is not sent there; allow the origin \
                 with AuthLayer::allow_origin or by an endpoint override (`compute_endpoint_override` in clouds.yaml for \
                 the service type compute), or add the Unauthenticated extension to send the request without a token"
            ),
            Self::HostNotAllowed { origin } => write!(
                f,
                "the Host header of the request is not the host of {origin}, so the token is not sent; remove the \
                 header, or set it to the host of the URI"
            ),
            Self::HttpsRequired { origin } => write!(
                f,
                "{origin} is plain http, but AuthLayer::require_https allows https only; use an https endpoint"
            ),
            Self::AuthorizationFailure { reason } => write!(f, "the credentials cannot be used: {reason}"),
            Self::MissingAuthMethods(error) => error.fmt(f),
            Self::Keystone(error) => match &error.login {
                Some(login) => login.fmt(error, f),
                None => write!(f, "Keystone returned {error}"),
            },
            Self::Service(error) => write!(f, "the service returned {error}"),
            Self::LoginRedirected { status, auth_url, location } => write!(
                f,
                "{auth_url} redirected the login ({status}{}), and the credentials were not sent on; set the auth_url \
                 to the final URL of Keystone",
                format::to(location.as_deref())
            ),
            Self::Recursion => f.write_str(
                "a login would wait for its own token; give the Transport a client without AuthLayer, and do not call \
                 the plugin from its own credentials",
            ),
            Self::ConnectFailure { origin, source } => {
                write_unreachable(("Keystone", "the auth_url"), origin, &**source, f)
            }
            Self::Timeout { auth_url, timeout } => write!(
                f,
                "no response from Keystone at {auth_url} within {} ms; check the auth_url and the network",
                timeout.as_millis()
            ),
            Self::ExpiredOnArrival => f.write_str(
                "Keystone issues tokens that expire at once; check `[token] expiration` in keystone.conf, and that the \
                 clocks of the Keystone servers agree",
            ),
            Self::PluginPanicked => f.write_str(
                "code outside this crate panicked during a login (credentials, clock, HTTP client or log subscriber); \
                 see the panic message",
            ),
            Self::NoRuntime => f.write_str(
                "logins and version discovery need a tokio runtime with time enabled; poll the request inside such a \
                 runtime",
            ),
            Self::Abandoned => f.write_str(
                "several logins or requests for a version document ended without a usable result; keep their tokio \
                 runtime running, and check whether each new token is rejected or is discarded with \
                 RenewingPlugin::reset",
            ),
            #[cfg(feature = "rustls")]
            Self::InvalidClientSetting { setting, reason } => {
                write!(f, "cannot build the HTTPS client: {setting}: {reason}")
            }
            #[cfg(feature = "store")]
            Self::InvalidStore { reason, .. } => write!(f, "cannot use the token store: {reason}"),
            #[cfg(feature = "store")]
            Self::StoreUnavailable { source } => f.write_str(match source {
                Some(_) => "the token store cannot be used now",
                None => "the token store did not answer in time",
            }),
            #[cfg(feature = "store")]
            Self::SharedLoginFailed { message, .. } => {
                write!(f, "an earlier login with these credentials failed: {message}")
            }
            #[cfg(feature = "federation")]
            Self::FederatedLoginFailed(error) => error.fmt(f),
            #[cfg(feature = "federation")]
            Self::UnknownServiceProvider { service_provider, known } => {
                write!(f, "the token of the home Keystone lists no service provider \"{}\"", format::escaped(service_provider))?;
                for (index, id) in known.iter().enumerate() {
                    let before = if index == 0 { ", but " } else { ", " };
                    write!(f, "{before}\"{}\"", format::escaped(id))?;
                }
                f.write_str("; check the id (`openstack service provider list`)")
            }
            #[cfg(feature = "federation")]
            Self::LoginEnded => f.write_str("the login of the user has ended; log in again"),
            Self::Plugin { .. } => f.write_str("the identity plugin failed"),
        }
    }
}
