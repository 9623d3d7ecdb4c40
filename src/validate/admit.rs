//! Lets a request through with what is known about its tokens, or rejects it.

use std::sync::Arc;

use http::Request;
use tracing::{Span, debug, level_filters::LevelFilter};

use super::{
    Rejection, SentUri, Validation,
    decide::{NotConfirmed, Refusal, TokenResults, decide},
    identity_headers,
    metrics::RejectionCause,
    reason::Reason,
    shared::Shared,
    token_validator::ValidatedToken,
};

/// Inserts the [`Validation`] into the extensions of a request.
///
/// # Errors
///
/// The rejection to respond with, if the request is not let through.
pub(super) fn admit<B>(
    request: &mut Request<B>,
    results: TokenResults,
    shared: &Shared,
) -> Result<(), Rejection> {
    let results = decide(results, &shared.facts(request), &shared.settings);
    if let Some(refusal) = results.refusal(&shared.settings) {
        return Err(reject(refusal, request, shared));
    }
    if LevelFilter::current() != LevelFilter::OFF {
        record(&results, request, shared);
    }
    insert(request, Validation::new(results, shared), shared);
    Ok(())
}

/// Inserts the [`Validation`] into the extensions of a request whose only token is `token`, which is fresh and not
/// restricted.
#[inline(always)]
pub(super) fn admit_fresh<B>(request: &mut Request<B>, token: Arc<ValidatedToken>, shared: &Shared) {
    if LevelFilter::current() != LevelFilter::OFF {
        record_user(&token);
    }
    insert(request, Validation::confirmed(token), shared);
}

#[inline(always)]
fn insert<B>(request: &mut Request<B>, validation: Validation, shared: &Shared) {
    if shared.settings.identity_headers {
        identity_headers::insert(request.headers_mut(), &validation);
    }
    if let Some(uri) = shared.settings.sent_uri.and_then(|sent_uri| sent_uri(request.extensions())).cloned() {
        // A guard behind this layer has no such function.
        request.extensions_mut().insert(SentUri(uri));
    }
    request.extensions_mut().insert(validation);
}

/// Returns the rejection of a request, and logs and counts the reason.
#[cold]
pub(super) fn reject<B>(refusal: Refusal, request: &Request<B>, shared: &Shared) -> Rejection {
    let rejection = shared.rejection(refusal.reason());
    let reason = Reason { not_confirmed: refusal.reason(), request, settings: &shared.settings };
    let is_service_token = matches!(refusal, Refusal::Service(_));
    debug!(%reason, is_service_token, status = rejection.status().as_u16(), "rejected a request");
    shared.validator.metrics().record_rejection(cause(refusal));
    rejection
}

fn cause(refusal: Refusal) -> RejectionCause {
    match refusal {
        Refusal::User(NotConfirmed::Unavailable(_) | NotConfirmed::Overloaded(_))
        | Refusal::Service(NotConfirmed::Unavailable(_) | NotConfirmed::Overloaded(_)) => {
            RejectionCause::Unavailable
        }
        Refusal::Service(_) | Refusal::User(NotConfirmed::NoServiceRole) => RejectionCause::ServiceToken,
        Refusal::User(NotConfirmed::Absent | NotConfirmed::NotAsked) => RejectionCause::NoToken,
        Refusal::User(NotConfirmed::Malformed) => RejectionCause::MalformedToken,
        Refusal::User(NotConfirmed::Unknown) => RejectionCause::UnknownToken,
        Refusal::User(NotConfirmed::Expired) => RejectionCause::ExpiredToken,
        Refusal::User(NotConfirmed::AccessRules(_)) => RejectionCause::AccessRules,
        Refusal::User(NotConfirmed::NotCertificateBound | NotConfirmed::OtherCertificate) => {
            RejectionCause::Certificate
        }
    }
}

/// Records the user and the project in the current span, if it has such fields, and logs why a token is not confirmed.
#[cold]
fn record<B>(results: &TokenResults, request: &Request<B>, shared: &Shared) {
    let reason = |not_confirmed| Reason { not_confirmed, request, settings: &shared.settings };
    match &results.user {
        Ok(user) => record_user(user),
        Err(error) => debug!(reason = %reason(*error), "let a request through without a confirmed user"),
    }
    if let Err(error) = &results.service
        && *error != NotConfirmed::Absent
    {
        debug!(reason = %reason(*error), "let a request through without a confirmed service");
    }
}

#[cold]
fn record_user(user: &ValidatedToken) {
    let (span, access_info) = (Span::current(), user.access_info());
    for (field, id) in [("user_id", access_info.user_id()), ("project_id", access_info.project_id())] {
        if let Some(id) = id {
            span.record(field, id);
        }
    }
}
