//! Version documents by URL, each asked for once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::Uri;
use tokio::time::{Instant, timeout};

use super::{
    fetch::{Asking, Fetched},
    link::Parts,
    no_document::NoDocument,
    token::{Token, Whose},
    weighted_cache::{Bounded, Weight, bounded},
};
use crate::{
    Error, ServiceAccess, Transport,
    endpoint::Origin,
    task::{SingleFlight, Waited, runtime},
};

/// How much is remembered, in bytes.
const MOST: usize = 64 * 1024 * 1024;

/// What a document takes, by and large, in bytes.
const ORDINARY: usize = 2048;

/// How many times one who waits starts again because the runtime of a flight was shut down, or is not driven.
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

/// What a request for a document brought, and until when that is good.
pub(super) struct Landed {
    pub(super) fetched: Result<Fetched, NoDocument>,
    pub(super) until: Instant,
}

/// What is known of a URL.
pub(super) struct Known {
    pub(super) landed: Arc<Landed>,
    /// Whose token it took, if it took one: others may be told something else.
    pub(super) whose: Option<Whose>,
}

/// The URL of a document, and whose token it is asked for with. What is said without one is for all.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    url: Arc<str>,
    whose: Option<Whose>,
}

pub(super) struct Cache {
    pub(super) transport: Transport,
    pub(super) times: Times,
    known: Bounded<Key, Arc<Landed>>,
    flights: Mutex<HashMap<Key, SingleFlight<Arc<Landed>>>>,
}

impl Cache {
    pub(super) fn new(transport: Transport, times: Times) -> Self {
        Self { transport, times, known: bounded(MOST, ORDINARY), flights: Mutex::default() }
    }

    /// What is at a URL: as it is known, as the flight under way brings it, or asked for.
    ///
    /// It is asked for without a token first, and with one if the service says 401 then and the token may go there.
    pub(super) async fn ask(self: &Arc<Self>, url: &str, token: Option<Token<'_>>) -> Result<Known, Error> {
        let Some((from, home)) =
            url.parse().ok().and_then(|uri: Uri| Some((uri.clone(), Origin::from_uri(&uri)?)))
        else {
            // A user name, with a password perhaps, is not to be seen.
            let host = url.rsplit('@').next().unwrap_or_default();
            let miss = NoDocument::new(host, "it is no URL with a clear host and port");
            return Ok(Known { landed: Landed::new(Err(miss), Duration::ZERO), whose: None });
        };
        let place = canonical(url);
        let own = token.map(|token| Key { url: Arc::clone(&place), whose: Some(token.whose()) });
        let before = own.as_ref().and_then(|own| self.known.get(own));
        if let (Some(own), Some(landed)) = (&own, &before)
            && landed.is_good()
        {
            return Ok(Known { landed: Arc::clone(landed), whose: own.whose.clone() });
        }
        let all = Key { url: place, whose: None };
        let asking =
            |from: &Uri, token| Asking { url: url.into(), home: home.clone(), from: from.clone(), token };
        let landed = self.landed(&all, || asking(&from, None)).await?;
        let (Some(own), Some(token), Err(miss)) = (own, token, &landed.fetched) else {
            return Ok(Known { landed, whose: None });
        };
        if let Some(place) = miss.token_required_at() {
            if !Origin::from_uri(place).is_some_and(|place| token.may_go_to(&place, &home)) {
                return Ok(Known { landed: landed.without_token(), whose: None });
            }
            let with_token = || asking(place, Some((token.whose(), token.https_only)));
            let landed = self.landed(&own, with_token).await?;
            return Ok(Known { landed, whose: own.whose });
        }
        // What was known before serves until the service answers again.
        match before.as_ref().filter(|_| miss.attempt.transient).map(|before| &before.fetched) {
            Some(Ok(fetched)) => {
                let landed = Arc::new(Landed { fetched: Ok(fetched.clone()), until: landed.until });
                Ok(Known { landed, whose: own.whose })
            }
            _ => Ok(Known { landed, whose: None }),
        }
    }

    async fn landed(self: &Arc<Self>, key: &Key, asking: impl Fn() -> Asking) -> Result<Arc<Landed>, Error> {
        for adoption in 0..=ADOPTIONS {
            let flight = match self.known_or_flight(key, &asking, adoption == ADOPTIONS)? {
                Ok(landed) => return Ok(landed),
                Err(flight) => flight,
            };
            match flight.wait(self.times.timeout.saturating_add(GRACE)).await {
                Waited::Done(landed) => return Ok(landed),
                Waited::Lost | Waited::TimedOut => self.remove(key, &flight),
                Waited::NoRuntime => return Err(Error::NoRuntime),
            }
        }
        Err(Error::Abandoned)
    }

    /// What is known and good, or else the flight that brings it. `alone` is not to depend on the runtimes of others
    /// once more.
    fn known_or_flight(
        self: &Arc<Self>,
        key: &Key,
        asking: impl Fn() -> Asking,
        alone: bool,
    ) -> Result<Result<Arc<Landed>, SingleFlight<Arc<Landed>>>, Error> {
        if let Some(landed) = self.good(key) {
            return Ok(Ok(landed));
        }
        let runtime = runtime()?;
        let (flight, start) = SingleFlight::new();
        {
            let mut flights = self.flights();
            // Another one may have landed meanwhile.
            if let Some(landed) = self.good(key) {
                return Ok(Ok(landed));
            }
            if let Some(under_way) = flights.get(key).filter(|_| !alone) {
                return Ok(Err(under_way.clone()));
            }
            flights.insert(key.clone(), flight.clone());
        }
        let flying = Flying { cache: Arc::clone(self), key: key.clone(), flight: flight.clone() };
        let (cache, asking, times) = (Arc::clone(self), asking(), self.times);
        let (panicked_cache, panicked_key) = (Arc::clone(self), key.clone());
        let panicked = NoDocument::new(&asking.url, "the HTTP client panicked").transient();
        let fly = async move {
            let fetched = timeout(times.timeout, asking.fetch(&cache.transport)).await;
            let fetched = fetched.unwrap_or_else(|_| {
                let within = times.timeout.as_millis();
                Err(NoDocument::new(&asking.url, format!("it did not answer within {within} ms")).transient())
            });
            cache.remember(&flying.key, fetched)
        };
        start.run(&runtime, fly, move || panicked_cache.remember(&panicked_key, Err(panicked)));
        Ok(Err(flight))
    }

    fn good(&self, key: &Key) -> Option<Arc<Landed>> {
        self.known.get(key).filter(|landed| landed.is_good())
    }

    /// Remembers what was brought; what was known before serves until the service answers again.
    fn remember(&self, key: &Key, brought: Result<Fetched, NoDocument>) -> Arc<Landed> {
        let Times { lifetime, failure_lifetime, .. } = self.times;
        let lifetime = if brought.is_ok() { lifetime } else { failure_lifetime };
        let brought = brought.or_else(|miss| {
            let before = self.known.get(key).filter(|_| miss.attempt.transient);
            before.and_then(|before| before.fetched.clone().ok()).ok_or(miss)
        });
        let landed = Landed::new(brought, lifetime);
        self.known.insert(key.clone(), Arc::clone(&landed));
        landed
    }

    /// Forgets a flight that has landed, or will not.
    fn remove(&self, key: &Key, flight: &SingleFlight<Arc<Landed>>) {
        let mut flights = self.flights();
        if flights.get(key).is_some_and(|known| known.is_same(flight)) {
            flights.remove(key);
        }
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Key, SingleFlight<Arc<Landed>>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A flight under way, which is known as such for as long as this is there.
struct Flying {
    cache: Arc<Cache>,
    key: Key,
    flight: SingleFlight<Arc<Landed>>,
}

impl Drop for Flying {
    fn drop(&mut self) {
        self.cache.remove(&self.key, &self.flight);
    }
}

impl Landed {
    fn new(fetched: Result<Fetched, NoDocument>, lifetime: Duration) -> Arc<Self> {
        Arc::new(Self { fetched, until: Instant::now() + lifetime })
    }

    fn is_good(&self) -> bool {
        Instant::now() < self.until
    }

    /// The same for those who have a token that must not go there.
    fn without_token(&self) -> Arc<Self> {
        let mut fetched = self.fetched.clone();
        if let Err(miss) = &mut fetched {
            miss.attempt.reason.push_str(", and a token is not sent there");
        }
        Arc::new(Self { fetched, until: self.until })
    }
}

impl Weight for Key {
    /// An access that is gone leaves its place behind, for as long as it is known here.
    fn weight(&self) -> usize {
        size_of::<Self>() + self.url.len() + self.whose.as_ref().map_or(0, |_| size_of::<ServiceAccess>())
    }
}

impl Weight for Arc<Landed> {
    fn weight(&self) -> usize {
        let fetched = match &self.fetched {
            Ok(fetched) => fetched.document.weight(),
            Err(miss) => miss.weight(),
        };
        size_of::<Landed>() + fetched
    }
}

/// The URL with nothing, rather than a slash, for an empty path: the two are one place.
fn canonical(url: &str) -> Arc<str> {
    match Parts::of(url) {
        Some(parts) if parts.path == "/" => format!("{}{}", parts.origin, parts.rest).into(),
        _ => url.into(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, Request, Response};
    use http_body_util::Full;
    use tower::service_fn;

    use super::*;
    use crate::discovery::VersionDocument;

    fn cache() -> Cache {
        let nobody = service_fn(|_: Request<Full<Bytes>>| {
            std::future::ready(Err::<Response<Full<Bytes>>, _>(crate::BoxError::from("nobody is asked")))
        });
        let day = Duration::from_secs(24 * 3600);
        Cache::new(Transport::new(nobody), Times { lifetime: day, failure_lifetime: day, timeout: day })
    }

    fn key(number: usize) -> Key {
        Key { url: format!("https://h{number}.example.com/").into(), whose: None }
    }

    /// A document of 200 KB.
    fn large() -> VersionDocument {
        let entry = format!(r#"{{"status": "CURRENT", "x": "{}"}}"#, "x".repeat(200_000));
        let body = format!(r#"{{"versions": [{entry}]}}"#);
        VersionDocument::new("https://h.example.com/", &HeaderMap::new(), body.as_bytes()).unwrap()
    }

    fn fetched(document: &VersionDocument) -> Result<Fetched, NoDocument> {
        Ok(Fetched { document: Arc::new(document.clone()), upgraded: None })
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded_in_bytes() {
        let (cache, large) = (cache(), large());
        for number in 0..1_000 {
            cache.remember(&key(number), fetched(&large));
        }
        assert!((MOST / 2..=MOST).contains(&(cache.known.weight() as usize)));
        let known = (0..1_000).filter(|number| cache.good(&key(*number)).is_some()).count();
        assert!((160..336).contains(&known), "{known} of 200 KB each");
        let miss = || Err(NoDocument::new("https://h.example.com/", "x".repeat(100_000)));
        (0..10_000).for_each(|number| drop(cache.remember(&key(number), miss())));
        assert!(cache.known.weight() as usize <= MOST);
    }

    #[tokio::test]
    async fn what_is_in_steady_use_stays_however_many_others_come() {
        let (cache, large) = (cache(), large());
        for number in 0..2_000 {
            cache.remember(&key(number), fetched(&large));
            let steady = 10_000 + number % 20;
            if number < 20 {
                cache.remember(&key(steady), fetched(&large));
            }
            assert!(cache.good(&key(steady)).is_some(), "{steady} is gone after {number} others");
        }
    }

    #[tokio::test]
    async fn each_of_a_hundred_thousand_failures_is_remembered() {
        let cache = cache();
        for number in 0..100_000 {
            cache.remember(&key(number), Err(NoDocument::new("https://h.example.com/", "it answered 404")));
        }
        assert!((0..100_000).all(|number| cache.good(&key(number)).is_some()));
    }
}
