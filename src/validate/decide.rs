//! Decides what the answers about its tokens mean for a request.
//!
//! The functions here do no I/O and read no clock.

use std::{fmt, sync::Arc, time::Duration};

use http::{Extensions, Method, Uri};

use super::{
    access_rules::{self, Forbidden},
    request::{PeerCertificate, sent_uri},
    settings::Settings,
    token_validator::ValidatedToken,
};
use crate::{AccessInfo, renewal::Now};

/// A token that Keystone has confirmed, or why there is none.
pub(super) type TokenResult = Result<Arc<ValidatedToken>, NotConfirmed>;

/// Why a token of a request does not identify anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotConfirmed {
    /// The request has no token.
    Absent,
    /// Keystone was not asked, because the other token of the request decides.
    NotAsked,
    /// It cannot be a token.
    Malformed,
    /// Keystone does not know the token.
    Unknown,
    /// The token has expired.
    Expired,
    /// It is a service token without any of the service roles.
    NoServiceRole,
    /// The token is not bound to a certificate, which is required.
    NotCertificateBound,
    /// The token is bound to another certificate than that of the connection.
    OtherCertificate,
    /// The access rules of the application credential do not allow the request.
    AccessRules(Forbidden),
    /// Keystone could not be asked. The client should try again after this time.
    Unavailable(Duration),
    /// Too many validations are in flight or waiting. The client should try again after this time.
    Overloaded(Duration),
}

/// Why a request is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Because of the token of the user.
    User(NotConfirmed),
    /// Because of the service token.
    Service(NotConfirmed),
}

/// What is known about both tokens of a request.
#[derive(Clone)]
pub(super) struct TokenResults {
    pub(super) user: TokenResult,
    pub(super) service: TokenResult,
}

/// What a decision depends on, except for the tokens and the settings.
pub(super) struct RequestFacts<'a> {
    pub(super) now: Now,
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) extensions: &'a Extensions,
}

/// Returns whether Keystone is asked to accept an expired token of the user, given the service token of the request.
///
/// It is `None` if the service token refuses the request, so that the token of the user need not be validated.
pub(super) fn allow_expired(
    service: &TokenResult,
    facts: &RequestFacts<'_>,
    settings: &Settings,
) -> Option<bool> {
    match check_service_token(service.clone(), facts, settings) {
        Ok(token) => Some(has_service_role(&token, settings)),
        Err(NotConfirmed::Absent) => Some(false),
        Err(_) => settings.delay_auth_decision.then_some(false),
    }
}

/// Returns the tokens that identify the user and the service for this request, at this time.
pub(super) fn decide(results: TokenResults, facts: &RequestFacts<'_>, settings: &Settings) -> TokenResults {
    let service = check_service_token(results.service, facts, settings);
    let is_service = service.as_ref().is_ok_and(|token| has_service_role(token, settings));
    let user = results.user.and_then(|token| {
        check_token(&token, is_service, facts, settings)?;
        check_access_rules(token.access_info(), is_service, facts, settings)?;
        Ok(token)
    });
    let user = match (user, &service) {
        // The service token might have changed that.
        (
            Err(NotConfirmed::Unknown | NotConfirmed::Expired | NotConfirmed::AccessRules(_)),
            Err(reason @ (NotConfirmed::Unavailable(_) | NotConfirmed::Overloaded(_))),
        ) => Err(*reason),
        (user, _) => user,
    };
    TokenResults { user, service }
}

fn check_service_token(token: TokenResult, facts: &RequestFacts<'_>, settings: &Settings) -> TokenResult {
    let token = token?;
    check_token(&token, false, facts, settings)?;
    match settings.service_token_roles_required && !has_service_role(&token, settings) {
        true => Err(NotConfirmed::NoServiceRole),
        false => Ok(token),
    }
}

fn check_token(
    token: &ValidatedToken,
    allow_expired: bool,
    facts: &RequestFacts<'_>,
    settings: &Settings,
) -> Result<(), NotConfirmed> {
    if !allow_expired && token.has_expired(facts.now) {
        return Err(NotConfirmed::Expired);
    }
    check_certificate(token.access_info(), facts, settings)
}

/// Checks that the certificate that a token is bound to is that of the connection.
fn check_certificate(
    access_info: &AccessInfo,
    facts: &RequestFacts<'_>,
    settings: &Settings,
) -> Result<(), NotConfirmed> {
    if !access_info.is_certificate_bound() {
        return match settings.require_certificate_bound_tokens {
            true => Err(NotConfirmed::NotCertificateBound),
            false => Ok(()),
        };
    }
    let thumbprint = access_info.oauth2_credential_thumbprint();
    let certificate = facts.extensions.get::<PeerCertificate>();
    match thumbprint.zip(certificate) {
        Some((thumbprint, certificate)) if certificate.has_thumbprint(thumbprint) => Ok(()),
        _ => Err(NotConfirmed::OtherCertificate),
    }
}

fn check_access_rules(
    access_info: &AccessInfo,
    is_sent_by_service: bool,
    facts: &RequestFacts<'_>,
    settings: &Settings,
) -> Result<(), NotConfirmed> {
    if access_info.application_credential_access_rules().is_none() {
        return Ok(());
    }
    let path = sent_uri(facts.extensions, facts.uri, settings.sent_uri).path();
    let request = access_rules::Request { method: facts.method, path, is_sent_by_service };
    access_rules::check(access_info, settings.service_type.as_deref(), &request)
        .map_err(NotConfirmed::AccessRules)
}

fn has_service_role(token: &ValidatedToken, settings: &Settings) -> bool {
    token
        .access_info()
        .role_names()
        .any(|name| settings.service_token_roles.iter().any(|role| **role == *name))
}

impl TokenResults {
    /// Returns why a request with these tokens is not let through, or `None` if it is.
    pub(super) fn refusal(&self, settings: &Settings) -> Option<Refusal> {
        if settings.delay_auth_decision {
            return None;
        }
        match (&self.service, &self.user) {
            (Ok(_) | Err(NotConfirmed::Absent | NotConfirmed::NotAsked), user) => {
                user.as_ref().err().copied().map(Refusal::User)
            }
            (Err(reason), _) => Some(Refusal::Service(*reason)),
        }
    }
}

impl Refusal {
    pub(super) fn reason(self) -> NotConfirmed {
        match self {
            Self::User(reason) | Self::Service(reason) => reason,
        }
    }
}

/// Writes the reason for the log: `the token is unknown`.
impl fmt::Display for NotConfirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AccessRules(reason) => return reason.fmt(f),
            Self::Absent => "the request has no token",
            Self::NotAsked => "the token was not validated",
            Self::Malformed => "the token is malformed",
            Self::Unknown => "the token is unknown to Keystone",
            Self::Expired => "the token has expired",
            Self::NoServiceRole => "the service token has none of the service roles",
            Self::NotCertificateBound => "the token is not bound to a client certificate",
            Self::OtherCertificate => "the token is bound to another client certificate",
            Self::Unavailable(_) => "the token could not be validated",
            Self::Overloaded(_) => "too many validations are in flight or waiting (max_validations)",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use serde_json::{Value, json};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The moment at which the token `live` expires.
    fn now() -> Now {
        Now::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000), Instant::now())
    }

    fn token(expires: &str, roles: &[&str], more: Value) -> TokenResult {
        let roles: Vec<_> = roles.iter().map(|name| json!({"name": name})).collect();
        let mut document = json!({"user": {"id": "u"}, "expires_at": expires, "roles": roles});
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let body = json!({"token": document}).to_string();
        Ok(ValidatedToken::for_test(AccessInfo::new("t", body).unwrap()))
    }

    fn live(roles: &[&str]) -> TokenResult {
        token("2027-01-15T08:00:00Z", roles, json!({}))
    }

    fn expired(roles: &[&str]) -> TokenResult {
        token("2027-01-15T07:59:59.999999Z", roles, json!({}))
    }

    /// Returns the reasons why the user and the service are not confirmed, and why the request is refused.
    fn outcome(
        user: TokenResult,
        service: TokenResult,
        settings: &Settings,
        certificate: Option<&[u8]>,
        path: &str,
    ) -> [Option<NotConfirmed>; 3] {
        let mut extensions = Extensions::new();
        if let Some(der) = certificate {
            extensions.insert(PeerCertificate::from_der(der));
        }
        let uri = path.parse().unwrap();
        let facts = RequestFacts { now: now(), method: &Method::GET, uri: &uri, extensions: &extensions };
        let decided = decide(TokenResults { user, service }, &facts, settings);
        let refusal = decided.refusal(settings);
        [decided.user.err(), decided.service.err(), refusal.map(Refusal::reason)]
    }

    fn allows_expired(service: TokenResult, settings: &Settings) -> Option<bool> {
        let (uri, extensions) = (Uri::from_static("/"), Extensions::new());
        let facts = RequestFacts { now: now(), method: &Method::GET, uri: &uri, extensions: &extensions };
        allow_expired(&service, &facts, settings)
    }

    #[test]
    fn a_service_token_decides_with_the_token_of_the_user() {
        use NotConfirmed::*;
        let required = Settings::default();
        let optional = Settings { service_token_roles_required: false, ..Settings::default() };
        let no_role = Settings { service_token_roles: Vec::new(), ..Settings::default() };
        let (absent, unavailable) = (|| Err(Absent), || Err(Unavailable(SECOND)));
        let cases = [
            // settings, user, service; user, service and request are refused because of
            (&required, live(&[]), absent(), [None, Some(Absent), None]),
            (&required, expired(&["service"]), absent(), [Some(Expired), Some(Absent), Some(Expired)]),
            (&required, absent(), absent(), [Some(Absent), Some(Absent), Some(Absent)]),
            (&required, Err(Unknown), absent(), [Some(Unknown), Some(Absent), Some(Unknown)]),
            (
                &required,
                unavailable(),
                absent(),
                [Some(Unavailable(SECOND)), Some(Absent), Some(Unavailable(SECOND))],
            ),
            // The service has the role.
            (&required, live(&[]), live(&["x", "service"]), [None, None, None]),
            (&required, expired(&[]), live(&["service"]), [None, None, None]),
            (&required, absent(), live(&["service"]), [Some(Absent), None, Some(Absent)]),
            (&required, Err(Unknown), live(&["service"]), [Some(Unknown), None, Some(Unknown)]),
            // The service does not have it.
            (&required, live(&[]), live(&["Service"]), [None, Some(NoServiceRole), Some(NoServiceRole)]),
            (&required, live(&[]), live(&["service,x"]), [None, Some(NoServiceRole), Some(NoServiceRole)]),
            (&no_role, live(&[]), live(&["service"]), [None, Some(NoServiceRole), Some(NoServiceRole)]),
            (&optional, live(&[]), live(&[]), [None, None, None]),
            (&optional, expired(&[]), live(&[]), [Some(Expired), None, Some(Expired)]),
            (&optional, expired(&[]), live(&["service"]), [None, None, None]),
            // The service token is not valid.
            (&required, live(&[]), expired(&["service"]), [None, Some(Expired), Some(Expired)]),
            (&optional, live(&[]), expired(&["service"]), [None, Some(Expired), Some(Expired)]),
            (&optional, expired(&[]), expired(&["service"]), [Some(Expired), Some(Expired), Some(Expired)]),
            (&optional, live(&[]), Err(Unknown), [None, Some(Unknown), Some(Unknown)]),
            (&optional, live(&[]), Err(Malformed), [None, Some(Malformed), Some(Malformed)]),
            (
                &optional,
                live(&[]),
                unavailable(),
                [None, Some(Unavailable(SECOND)), Some(Unavailable(SECOND))],
            ),
            // Keystone was not asked.
            (&required, Err(NotAsked), Err(Unknown), [Some(NotAsked), Some(Unknown), Some(Unknown)]),
            (&required, Err(Malformed), Err(NotAsked), [Some(Malformed), Some(NotAsked), Some(Malformed)]),
        ];
        for (index, (settings, user, service, expected)) in cases.into_iter().enumerate() {
            let decided = outcome(user.clone(), service.clone(), settings, None, "/");
            assert_eq!(decided, expected, "case {index}");
        }
    }

    #[test]
    fn with_a_delayed_decision_no_request_is_refused() {
        use NotConfirmed::*;
        let settings = Settings { delay_auth_decision: true, ..Settings::default() };
        for user in [live(&[]), expired(&[]), Err(Absent), Err(Unavailable(SECOND))] {
            for service in [live(&["service"]), live(&[]), Err(Malformed), Err(Unavailable(SECOND))] {
                assert_eq!(outcome(user.clone(), service, &settings, None, "/")[2], None);
            }
        }
        assert_eq!(outcome(expired(&[]), live(&[]), &settings, None, "/")[0], Some(Expired));
    }

    #[test]
    fn expired_tokens_are_asked_for_only_with_a_service_role() {
        use NotConfirmed::*;
        let required = Settings::default();
        let optional = Settings { service_token_roles_required: false, ..Settings::default() };
        let delayed = Settings { delay_auth_decision: true, ..Settings::default() };
        for settings in [&required, &optional, &delayed] {
            assert_eq!(allows_expired(live(&["service"]), settings), Some(true));
            assert_eq!(allows_expired(Err(Absent), settings), Some(false));
        }
        assert_eq!(allows_expired(live(&[]), &optional), Some(false));
        for fatal in
            [live(&[]), expired(&["service"]), Err(Unknown), Err(Malformed), Err(Unavailable(SECOND))]
        {
            assert_eq!(allows_expired(fatal.clone(), &required), None);
            assert_eq!(allows_expired(fatal, &delayed), Some(false));
        }
        assert_eq!(allows_expired(expired(&["service"]), &optional), None);
    }

    #[test]
    fn only_a_service_role_lifts_access_rules() {
        use NotConfirmed::*;
        let rules = json!([{"service": "compute", "method": "GET", "path": "/servers"}]);
        let user = || {
            let credential = json!({"application_credential": {"id": "c", "access_rules": rules}});
            token("2027-01-15T08:00:00Z", &[], credential)
        };
        let settings = Settings { service_type: Some("compute".into()), ..Settings::default() };
        let optional = Settings { service_token_roles_required: false, ..settings.clone() };
        let delayed = Settings { delay_auth_decision: true, ..settings.clone() };
        let forbidden = Some(AccessRules(Forbidden::NoRule));
        let user_refusal =
            |service, settings: &Settings, path| outcome(user(), service, settings, None, path)[0];
        assert_eq!(user_refusal(Err(Absent), &settings, "/servers?limit=2"), None);
        assert_eq!(user_refusal(Err(Absent), &settings, "/images"), forbidden);
        assert_eq!(user_refusal(live(&["service"]), &settings, "/images"), None);
        assert_eq!(user_refusal(live(&[]), &optional, "/images"), forbidden);
        for service in [Err(Unknown), Err(Malformed), live(&[]), expired(&["service"])] {
            assert_eq!(user_refusal(service, &delayed, "/images"), forbidden);
        }
        assert!(user_refusal(Err(Absent), &Settings::default(), "/servers").is_some());
    }

    #[test]
    fn a_bound_token_needs_its_certificate() {
        use NotConfirmed::*;
        const DER: &[u8] = b"certificate";
        let bound = |credential: Value| {
            token("2027-01-15T08:00:00Z", &["service"], json!({"oauth2_credential": credential}))
        };
        let thumbprint = || bound(json!({"x5t#S256": "A9Zt0Ig1wco_EozOrNHzGslBYwlrIPRFroQoW8CDLXI"}));
        let settings = Settings::default();
        let required = Settings { require_certificate_bound_tokens: true, ..Settings::default() };
        let user = |user, settings: &Settings, certificate| {
            outcome(user, Err(Absent), settings, certificate, "/")[0]
        };
        assert!(PeerCertificate::from_der(DER).has_thumbprint("A9Zt0Ig1wco_EozOrNHzGslBYwlrIPRFroQoW8CDLXI"));
        for settings in [&settings, &required] {
            assert_eq!(user(thumbprint(), settings, Some(DER)), None);
            assert_eq!(user(thumbprint(), settings, Some(b"other")), Some(OtherCertificate));
            assert_eq!(user(thumbprint(), settings, None), Some(OtherCertificate));
            for malformed in [json!({}), json!("x"), json!({"x5t#S256": 1}), json!({"x5t#S256": ""})] {
                assert_eq!(user(bound(malformed), settings, Some(DER)), Some(OtherCertificate));
            }
            let service = |certificate| outcome(thumbprint(), thumbprint(), settings, certificate, "/");
            assert_eq!(service(Some(DER)), [None; 3]);
            assert_eq!(service(Some(b"other")), [Some(OtherCertificate); 3]);
        }
        for unbound in [live(&[]), bound(Value::Null)] {
            assert_eq!(user(unbound.clone(), &settings, Some(DER)), None);
            assert_eq!(user(unbound, &required, Some(DER)), Some(NotCertificateBound));
        }
    }
}
