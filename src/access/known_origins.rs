use std::{
    collections::HashSet,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
    sync::{Arc, Mutex, PoisonError},
};

use crate::endpoint::{BaseUrl, Origin, OriginRef};

/// Maximum number of unusable endpoints to report, counted over a catalog and all earlier ones of the same plugin.
const MAX_REPORTS: usize = 256;

/// The origins of a catalog's endpoints, and the unusable endpoints that were reported.
#[derive(Debug, Default)]
pub(crate) struct KnownOrigins {
    origins: HashSet<Arc<Origin>>,
    /// The hashes of the reports that were logged.
    reported: Mutex<HashSet<u64>>,
}

impl KnownOrigins {
    /// Collects the origins of these URLs. URLs that no request can be sent to are skipped.
    pub(super) fn from_urls<'a>(urls: impl Iterator<Item = &'a str>) -> Self {
        // Most endpoints share their origin with others: remove duplicates before anything is copied.
        let distinct: HashSet<_> =
            urls.filter(|url| BaseUrl::is_plausible(url)).filter_map(OriginRef::parse).collect();
        let origins = distinct.into_iter().filter_map(OriginRef::to_origin).map(Arc::new).collect();
        Self { origins, ..Self::default() }
    }

    pub(crate) fn get(&self, origin: &Origin) -> Option<&Arc<Origin>> {
        self.origins.get(origin)
    }

    /// Returns an estimate of the memory of the origins, in bytes.
    #[cfg(feature = "validate")]
    pub(super) fn memory_size(&self) -> usize {
        /// Of an entry of the set, the reference counts and the text of the authority.
        const OVERHEAD: usize = 16 + 16 + 32;
        size_of::<Self>() + self.origins.len() * (size_of::<Origin>() + OVERHEAD)
    }

    /// Records a report. Returns whether to log it: only if it is new and fewer than [`MAX_REPORTS`] were recorded.
    pub(super) fn record_report(&self, report: &impl Hash) -> bool {
        let report = BuildHasherDefault::<DefaultHasher>::new().hash_one(report);
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        reported.len() < MAX_REPORTS && reported.insert(report)
    }

    /// Adds the reports of an earlier catalog, so that they are not logged again.
    pub(crate) fn inherit_reports(&self, earlier: &Self) {
        let reported = earlier.reported.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.reported.lock().unwrap_or_else(PoisonError::into_inner).extend(reported);
    }
}
