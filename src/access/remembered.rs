use std::sync::OnceLock;

use crate::{EndpointFilter, endpoint::BaseUrl};

/// How many answers are remembered. Each look at them compares so many filters at most.
const ANSWERS: usize = 8;

/// The answers to the filters that were asked about first.
///
/// As a rule these are all that a program has. Others are looked up each time, and so is everything once
/// filters that were made for one request have taken the places.
#[derive(Default)]
pub(super) struct Remembered([OnceLock<(EndpointFilter, BaseUrl)>; ANSWERS]);

impl Remembered {
    #[inline(always)]
    pub(super) fn get(&self, filter: &EndpointFilter) -> Option<&BaseUrl> {
        // A clone is told by its address, and as a rule it is one.
        match self.answers().find(|(known, _)| known.is_clone_of(filter)) {
            Some((_, url)) => Some(url),
            None => self.get_same(filter),
        }
    }

    fn get_same(&self, filter: &EndpointFilter) -> Option<&BaseUrl> {
        let (_, url) = self.answers().find(|(known, _)| known.is_of_same_endpoint(filter))?;
        Some(url)
    }

    #[inline]
    fn answers(&self) -> impl Iterator<Item = &(EndpointFilter, BaseUrl)> {
        self.0.iter().map_while(OnceLock::get)
    }

    pub(super) fn put(&self, filter: &EndpointFilter, url: &BaseUrl) {
        if self.0.last().is_some_and(|last| last.get().is_some()) {
            return;
        }
        let mut answer = (filter.clone(), url.clone());
        for place in &self.0 {
            match place.set(answer) {
                Ok(()) => return,
                Err(taken) => answer = taken,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_filters_are_remembered_and_no_others() {
        let remembered = Remembered::default();
        let filters: Vec<_> = (0..=ANSWERS).map(|number| EndpointFilter::new(number.to_string())).collect();
        for (number, filter) in filters.iter().enumerate() {
            assert!(remembered.get(filter).is_none());
            remembered.put(filter, &BaseUrl::parse(&format!("https://h/{number}")).unwrap());
        }
        for (number, filter) in filters.iter().enumerate() {
            let expected = (number < ANSWERS).then(|| format!("https://h/{number}"));
            let equal = EndpointFilter::new(number.to_string());
            for same in [filter.clone(), equal.clone(), equal.microversion("2.79").min_version(2, 0)] {
                assert_eq!(remembered.get(&same).map(|base| base.url().to_string()), expected);
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
            assert!(remembered.get(&other).is_none(), "{other:?}");
        }
    }
}
