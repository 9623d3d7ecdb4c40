use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use sha2::{Digest, Sha256};

use super::{
    IdentityVersion, ServiceCatalog, catalog_document, catalog_index::CatalogIndex, project_urls::ProjectIds,
};

/// The number of catalogs below which dropped ones are not removed.
const MIN_SWEEP: usize = 16;

/// The catalogs of the access infos that are alive, so that equal catalogs are stored once.
///
/// Catalogs are equal if they differ only in the id of the project, and if it occurs only in the paths of URLs.
#[derive(Default)]
pub(crate) struct SharedCatalogs(Mutex<Pool>);

#[derive(Default)]
struct Pool {
    catalogs: HashMap<Key, Weak<CatalogIndex>>,
    /// The number of catalogs at which dropped ones are removed.
    sweep_at: usize,
}

/// The hash of a catalog.
type Key = [u8; 32];

impl SharedCatalogs {
    /// Returns the catalog with this JSON text. It is read unless an equal catalog is alive.
    ///
    /// The error is the reason why the document is rejected.
    pub(super) fn read(
        &self,
        version: IdentityVersion,
        json: &str,
        project_id: Option<&str>,
    ) -> Result<ServiceCatalog, &'static str> {
        let project_id = project_id.filter(|id| ProjectIds::is_replaceable(id) && json.contains(id));
        let key_of_all = project_id.map(|id| key(version, json, Some(id)));
        if let Some(index) = key_of_all.and_then(|key| self.get(&key)) {
            return Ok(ServiceCatalog::new(index, project_id));
        }
        let key_of_text = key(version, json, None);
        if let Some(index) = self.get(&key_of_text) {
            return Ok(ServiceCatalog::new(index, None));
        }
        let mut index = catalog_document::read(version, json)?;
        if let Some(project_id) = project_id {
            index.share_between_projects(project_id);
        }
        let key = key_of_all.filter(|_| index.has_project_urls()).unwrap_or(key_of_text);
        Ok(ServiceCatalog::new(self.insert(key, index.into()), project_id))
    }

    fn get(&self, key: &Key) -> Option<Arc<CatalogIndex>> {
        let pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pool.catalogs.get(key)?.upgrade()
    }

    /// Adds a catalog, unless an equal one was added meanwhile. Returns the one that is stored.
    fn insert(&self, key: Key, index: Arc<CatalogIndex>) -> Arc<CatalogIndex> {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = pool.catalogs.get(&key).and_then(Weak::upgrade) {
            return earlier;
        }
        pool.catalogs.insert(key, Arc::downgrade(&index));
        if pool.catalogs.len() >= pool.sweep_at.max(MIN_SWEEP) {
            pool.catalogs.retain(|_, catalog| catalog.strong_count() > 0);
            pool.catalogs.shrink_to(2 * MIN_SWEEP);
            pool.sweep_at = 2 * pool.catalogs.len();
        }
        index
    }
}

/// Returns the hash of a catalog. If the id of a project is given, it is the same for other ids of the same length.
fn key(version: IdentityVersion, json: &str, project_id: Option<&str>) -> Key {
    /// Stands for the id. No text contains this byte, because it is not UTF-8.
    const MARKER: [u8; 1] = [0xff];
    let mut hash = Sha256::new();
    hash.update([version as u8]);
    hash.update(project_id.map_or(0, str::len).to_le_bytes());
    match project_id {
        None => hash.update(json),
        Some(project_id) => {
            for (position, part) in json.split(project_id).enumerate() {
                if position > 0 {
                    hash.update(MARKER);
                }
                hash.update(part);
            }
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests;
