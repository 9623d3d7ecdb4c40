use std::{
    collections::HashSet,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
    sync::{Arc, Mutex, PoisonError},
};

use crate::endpoint::{BaseUrl, Origin, OriginRef};

/// How many warnings about endpoints there are at most, in this catalog and those before it together.
const MAX_WARNINGS: usize = 256;

/// Where a catalog has endpoints, and what was told of those that cannot be used.
#[derive(Debug, Default)]
pub(crate) struct KnownOrigins {
    origins: HashSet<Arc<Origin>>,
    /// The hashes of what was told.
    told: Mutex<HashSet<u64>>,
}

impl KnownOrigins {
    /// Those of these URLs, of which no more is read than that.
    pub(super) fn of<'a>(urls: impl Iterator<Item = &'a str>) -> Self {
        // Most endpoints share their origin with others, so it is looked at before it is copied.
        let written: HashSet<_> =
            urls.filter(|url| BaseUrl::is_plausible(url)).filter_map(OriginRef::parse).collect();
        let origins = written.into_iter().filter_map(OriginRef::to_origin).map(Arc::new).collect();
        Self { origins, ..Self::default() }
    }

    pub(crate) fn get(&self, origin: &Origin) -> Option<&Arc<Origin>> {
        self.origins.get(origin)
    }

    /// Whether this was not told before.
    pub(super) fn is_news(&self, warning: &impl Hash) -> bool {
        let warning = BuildHasherDefault::<DefaultHasher>::new().hash_one(warning);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < MAX_WARNINGS && told.insert(warning)
    }

    /// Counts what was told of an earlier catalog as told of this one.
    pub(crate) fn follow(&self, earlier: &Self) {
        let told = earlier.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.told.lock().unwrap_or_else(PoisonError::into_inner).extend(told);
    }
}
