use std::sync::OnceLock;

use super::EndpointFilter;

/// Caches a value for each of the first `N` filters.
///
/// Most programs have no more filters than that. Entries are never evicted: once the cache is full, values for other
/// filters are computed each time. If a program uses a different filter for every request, the cache is filled with
/// filters that are not used again.
pub(crate) struct FilterCache<V, const N: usize>([OnceLock<(EndpointFilter, V)>; N]);

impl<V: Clone, const N: usize> FilterCache<V, N> {
    /// Returns the value for this filter, or for the first cached filter for which `is_same` returns true.
    #[inline(always)]
    pub(crate) fn get(
        &self,
        filter: &EndpointFilter,
        is_same: impl Fn(&EndpointFilter) -> bool,
    ) -> Option<&V> {
        // Most filters are clones of a cached one, and comparing the addresses is cheap.
        match self.entries().find(|(known, _)| known.ptr_eq(filter)) {
            Some((_, value)) => Some(value),
            None => self.get_same(is_same),
        }
    }

    fn get_same(&self, is_same: impl Fn(&EndpointFilter) -> bool) -> Option<&V> {
        let (_, value) = self.entries().find(|(known, _)| is_same(known))?;
        Some(value)
    }

    #[inline]
    fn entries(&self) -> impl Iterator<Item = &(EndpointFilter, V)> {
        self.0.iter().map_while(OnceLock::get)
    }

    /// Adds a value, unless the cache is full.
    pub(crate) fn insert(&self, filter: &EndpointFilter, value: &V) {
        if self.0.last().is_some_and(|last| last.get().is_some()) {
            return;
        }
        let mut entry = (filter.clone(), value.clone());
        for slot in &self.0 {
            match slot.set(entry) {
                Ok(()) => return,
                Err(taken) => entry = taken,
            }
        }
    }
}

impl<V, const N: usize> Default for FilterCache<V, N> {
    fn default() -> Self {
        Self([const { OnceLock::new() }; N])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_filters_are_cached() {
        let cache = FilterCache::<usize, 8>::default();
        let filters: Vec<_> = (0..9).map(|number: usize| EndpointFilter::new(number.to_string())).collect();
        let get =
            |filter: &EndpointFilter| cache.get(filter, |known| known.selects_same_endpoint(filter)).copied();
        for (number, filter) in filters.iter().enumerate() {
            assert!(get(filter).is_none());
            cache.insert(filter, &number);
        }
        for (number, filter) in filters.iter().enumerate() {
            let equal = EndpointFilter::new(number.to_string());
            for same in [filter.clone(), equal.clone(), equal.microversion("2.79").min_version(2, 0)] {
                assert_eq!(get(&same), (number < 8).then_some(number));
            }
        }
        let filter = || filters[0].clone();
        for other in [
            filter().region("R"),
            filter().interface("internal"),
            filter().any_interface(),
            filter().service_name("nova"),
            filter().service_id("id"),
            filter().endpoint_id("id"),
        ] {
            assert!(get(&other).is_none(), "{other:?}");
        }
    }
}
