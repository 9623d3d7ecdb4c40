//! A request that cannot be sent immediately.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Request;
use tower_service::Service;

use super::{
    prepare::{SentToken, prepare},
    request::RequestInfo,
    resolve::{Resolved, Resolving},
    settings::Shared,
};
use crate::{BoxError, Error, IdentityPlugin};

/// How often a request resolves its access again because the access expired or was replaced while the request waited
/// for the inner service.
const MAX_RESOLUTIONS: usize = 3;

/// A request that waits for its access and endpoint, and then for the inner service to be ready.
///
/// It holds no readiness of the inner service while it waits for its access.
pub(super) struct PendingRequest<P, S, B> {
    stage: Stage,
    request: Request<B>,
    info: RequestInfo,
    inner: S,
    shared: Shared<P>,
    resolutions_left: usize,
}

enum Stage {
    Resolving(Resolving),
    /// Waits for the inner service. `has_waited` is set if that was not ready when it was polled first.
    Resolved {
        resolved: Resolved,
        has_waited: bool,
    },
}

impl<P, S, B> PendingRequest<P, S, B> {
    pub(super) fn new(
        resolving: Resolving,
        request: Request<B>,
        info: RequestInfo,
        inner: S,
        shared: Shared<P>,
    ) -> Self {
        Self {
            stage: Stage::Resolving(resolving),
            request,
            info,
            inner,
            shared,
            resolutions_left: MAX_RESOLUTIONS,
        }
    }

    pub(super) fn plugin(&self) -> Arc<P> {
        Arc::clone(&self.shared.plugin)
    }
}

impl<P, S, B> PendingRequest<P, S, B>
where
    P: IdentityPlugin,
    S: Service<Request<B>> + Clone,
    S::Error: Into<BoxError>,
{
    /// Returns the access and endpoint of the request when the inner service is ready for it.
    pub(super) fn poll_resolved(&mut self, cx: &mut Context<'_>) -> Poll<Result<Resolved, BoxError>> {
        loop {
            match &mut self.stage {
                Stage::Resolving(resolving) => {
                    let resolved = ready!(resolving.poll(cx, &self.info, &self.shared))?;
                    // The access may have been replaced before this task was polled.
                    let resolved = self.resolve_again().unwrap_or(resolved);
                    self.stage = Stage::Resolved { resolved, has_waited: false };
                }
                Stage::Resolved { resolved, has_waited } => {
                    let Poll::Ready(ready) = self.inner.poll_ready(cx) else {
                        *has_waited = true;
                        return Poll::Pending;
                    };
                    ready.map_err(Into::into)?;
                    let (resolved, has_waited) = (resolved.clone(), *has_waited);
                    if !has_waited {
                        return Poll::Ready(Ok(resolved));
                    }
                    match self.resolve_again() {
                        Ok(current) => return Poll::Ready(Ok(current)),
                        Err(_) if self.resolutions_left == 0 => return Poll::Ready(Ok(resolved)),
                        Err(resolving) => {
                            self.resolutions_left -= 1;
                            self.stage = Stage::Resolving(resolving);
                            self.inner = self.inner.clone();
                        }
                    }
                }
            }
        }
    }

    fn resolve_again(&self) -> Result<Resolved, Resolving> {
        Resolved::immediate(&self.info, self.info.effective_filter(&self.shared.settings), &self.shared)
    }

    /// Sends the request through the inner service, which must be ready.
    pub(super) fn send(mut self, resolved: Resolved) -> Result<(S::Future, Option<SentToken>), Error> {
        let filter = self.info.effective_filter(&self.shared.settings);
        let sent = prepare(&self.info, &mut self.request, resolved, filter, &self.shared)?;
        Ok((self.inner.call(self.request), sent))
    }
}
