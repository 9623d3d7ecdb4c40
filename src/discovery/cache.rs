//! Version documents by URL, each asked for once.

use std::{
    collections::HashMap,
    ptr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use tokio::time::{Instant, timeout};

use super::{
    VersionDocument,
    failure::Miss,
    link::{Parts, location},
};
use crate::{
    Access, Error, Transport,
    endpoint::Origin,
    error::{ConnectFault, retry_after},
    work::{Waited, Work, runtime},
};

/// How many documents are remembered, before they are all forgotten.
const MOST_DOCUMENTS: usize = 1024;

/// How many redirects are followed, as many as keystoneauth follows.
const MAX_REDIRECTS: usize = 30;

/// How many times one who waits starts again because the runtime of a flight was shut down, or is not driven, or
/// because it was somebody else's token that was refused.
const ADOPTIONS: usize = 3;

/// How much longer than a document may take it is waited for by those who did not start the flight.
const GRACE: Duration = Duration::from_secs(1);

/// How long things are remembered, and how long one document may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) lifetime: Duration,
    pub(super) failure_lifetime: Duration,
    pub(super) timeout: Duration,
}

/// A document and until when it is good.
pub(super) type Document = (Arc<VersionDocument>, Instant);

/// What a request for a document brought, and until when that is good.
#[derive(Clone)]
struct Landed {
    document: Result<Arc<VersionDocument>, Miss>,
    until: Instant,
    /// Whose token was refused, if that is what happened: others' may be good.
    refused: Option<Weak<Access>>,
}

/// A document by its URL, and by whether a token may be sent for it.
type Key = (Box<str>, bool);

pub(super) struct Cache {
    pub(super) transport: Transport,
    pub(super) times: Times,
    flights: Mutex<HashMap<Key, Work<Landed>>>,
}

impl Cache {
    pub(super) fn new(transport: Transport, times: Times) -> Self {
        Self { transport, times, flights: Mutex::default() }
    }

    /// The document at a URL: the one at hand, that of the flight under way, or a new one.
    ///
    /// `access` is there if its token may be sent to this URL; it is, if the service says 401 without.
    pub(super) async fn document(
        self: &Arc<Self>,
        url: &str,
        access: Option<&Arc<Access>>,
    ) -> Result<Document, Error> {
        if url.parse().ok().as_ref().and_then(Origin::of).is_none() {
            // A user name, with a password perhaps, is not to be seen.
            let host = url.rsplit('@').next().unwrap_or_default();
            return Err(Miss::new(host, "it is no URL with a clear host and port").into());
        }
        let mut failed = Error::Abandoned;
        for adoption in 0..=ADOPTIONS {
            let flight = self.flight(url, access, adoption == ADOPTIONS)?;
            let longest = self.times.timeout.saturating_add(GRACE);
            match flight.done(longest).await {
                Waited::Done(landed) if landed.is_for(access) => return Ok((landed.document?, landed.until)),
                Waited::Done(landed) => failed = landed.document.err().map_or(failed, Error::from),
                Waited::Lost | Waited::TooLong => self.lost(&flight),
                Waited::NoRuntime => return Err(Error::NoRuntime),
            }
        }
        Err(failed)
    }

    /// A flight is gone without an outcome, or stands still.
    fn lost(&self, flight: &Work<Landed>) {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.retain(|_, known| !known.is(flight));
    }

    /// `alone` is not to depend on others once more: on their tokens or their runtimes.
    fn flight(
        self: &Arc<Self>,
        url: &str,
        access: Option<&Arc<Access>>,
        alone: bool,
    ) -> Result<Work<Landed>, Error> {
        let key = (canonical(url), access.is_some());
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        let before = flights.get(&key).cloned();
        if let Some(flight) = &before
            && flight.outcome().as_ref().map_or(!alone, |landed| landed.is_good_for(access))
        {
            return Ok(flight.clone());
        }
        let runtime = runtime()?;
        let now = Instant::now();
        let full = flights.len() >= MOST_DOCUMENTS;
        flights.retain(|_, flight| match &*flight.outcome() {
            Some(landed) => !full && (landed.document.is_ok() || now < landed.until),
            None => true,
        });
        let (flight, start) = Work::new();
        flights.insert(key, flight.clone());
        drop(flights);
        let (cache, url, access) = (Arc::clone(self), url.to_owned(), access.cloned());
        // What was known before serves until the service answers again.
        let known = before.and_then(|flight| flight.outcome().as_ref()?.document.clone().ok());
        let (times, panicked) = (self.times, Miss::new(&*url, "the HTTP client panicked").transient());
        let panicked = (panicked, known.clone());
        let fetching = async move {
            let fetched = timeout(times.timeout, cache.fetch(&url, access.as_deref())).await;
            let fetched = fetched.unwrap_or_else(|_| {
                let within = times.timeout.as_millis();
                Err(Miss::new(&*url, format!("it did not answer within {within} ms")).transient())
            });
            let lifetime = match &fetched {
                Ok(_) => times.lifetime,
                Err(_) => times.failure_lifetime,
            };
            let document = match fetched {
                Err(miss) if miss.transient => known.ok_or(miss),
                fetched => fetched,
            };
            let refused = document.as_ref().is_err_and(|miss| miss.refused);
            let refused = access.as_ref().filter(|_| refused).map(Arc::downgrade);
            Landed { document, until: Instant::now() + lifetime, refused }
        };
        let panicked = move || {
            let (miss, known) = panicked;
            let until = Instant::now() + times.failure_lifetime;
            Landed { document: known.ok_or(miss), until, refused: None }
        };
        start.run(&runtime, fetching, panicked);
        Ok(flight)
    }

    /// Asks for a document without a token, and with one if that is wanted and allowed.
    async fn fetch(&self, url: &str, access: Option<&Access>) -> Result<Arc<VersionDocument>, Miss> {
        let mut answer = self.get(url, None).await?;
        if answer.status() == StatusCode::UNAUTHORIZED && access.is_some() {
            answer = self.get(url, access).await?;
        }
        let status = answer.status();
        if status.is_client_error() || status.is_server_error() {
            let mut miss = Miss::new(url, format!("it answered {status}"));
            miss.refused = status == StatusCode::UNAUTHORIZED && access.is_some();
            miss.retry_after = retry_after(answer.headers(), SystemTime::now());
            let passes = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
            return Err(if passes { miss.transient() } else { miss });
        }
        VersionDocument::new(url, answer.headers(), answer.body())
            .map(Arc::new)
            .map_err(|_| Miss::new(url, "its answer is not a version document"))
    }

    /// The answer at a URL, or where redirects within its origin lead to.
    async fn get(&self, url: &str, access: Option<&Access>) -> Result<Response<Bytes>, Miss> {
        let mut next = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = Request::get(&next)
                .header(header::ACCEPT, "application/json")
                .body(Full::default())
                .map_err(|_| Miss::new(url, "it is not a URL"))?;
            if let Some(access) = access {
                access.insert_headers(request.headers_mut());
            }
            let answer = self.transport.send(request).await.map_err(|error| unreachable(url, &error))?;
            let redirects = matches!(answer.status().as_u16(), 301 | 302 | 303 | 305 | 307 | 308);
            match location(&next, answer.headers()).filter(|_| redirects) {
                None => return Ok(answer),
                Some(location)
                    if Origin::of(&location) == next.parse().ok().and_then(|url| Origin::of(&url)) =>
                {
                    next = location.to_string();
                }
                Some(_) => return Err(Miss::new(url, "it redirects to another origin")),
            }
        }
        Err(Miss::new(url, "it redirects in circles"))
    }
}

impl Landed {
    fn is_good_for(&self, access: Option<&Arc<Access>>) -> bool {
        Instant::now() < self.until && self.is_for(access)
    }

    /// Whether it says something to whoever has this access.
    fn is_for(&self, access: Option<&Arc<Access>>) -> bool {
        let is_refused = |refused: &Weak<Access>| {
            access.is_some_and(|access| ptr::eq(refused.as_ptr(), Arc::as_ptr(access)))
        };
        self.refused.as_ref().is_none_or(is_refused)
    }
}

/// The URL with nothing, rather than a slash, for an empty path: the two are one place.
fn canonical(url: &str) -> Box<str> {
    match Parts::of(url) {
        Some(parts) if parts.path == "/" => format!("{}{}", parts.origin, parts.rest).into(),
        _ => url.into(),
    }
}

fn unreachable(url: &str, error: &Error) -> Miss {
    let miss = match error {
        Error::ConnectFailure { origin, source, .. } => match ConnectFault::of(origin, &**source) {
            Some(fault) => Miss::new(url, fault.in_words(&**source)),
            None => Miss::new(url, format!("it could not be reached: {source}")),
        },
        Error::InvalidResponse { .. } => Miss::new(url, "its answer is longer than 4 MiB"),
        error => Miss::new(url, error.to_string()),
    };
    if error.is_transient() { miss.transient() } else { miss }
}
