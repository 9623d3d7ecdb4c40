use std::sync::OnceLock;

use http::Uri;

use crate::EndpointFilter;

/// How many answers are remembered. Each look at them compares so many pointers at most.
const ANSWERS: usize = 8;

/// The answers to the filters that were asked about first.
///
/// As a rule these are all that a program has, since its layers and requests have clones of a few
/// filters. Others are looked up each time, and so are those that are made for one request.
#[derive(Default)]
pub(super) struct Remembered([OnceLock<(EndpointFilter, Uri)>; ANSWERS]);

impl Remembered {
    #[inline]
    pub(super) fn get(&self, filter: &EndpointFilter) -> Option<&Uri> {
        let mut answers = self.0.iter().map_while(OnceLock::get);
        answers.find_map(|(known, url)| known.is_clone_of(filter).then_some(url))
    }

    pub(super) fn put(&self, filter: &EndpointFilter, url: &Uri) {
        if !filter.has_clones() || self.0.last().is_some_and(|last| last.get().is_some()) {
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
    fn clones_of_the_first_filters_are_remembered_and_no_others() {
        let remembered = Remembered::default();
        let filters: Vec<_> = (0..=ANSWERS).map(|number| EndpointFilter::new(number.to_string())).collect();
        for (number, filter) in filters.iter().enumerate() {
            let url = &format!("https://h/{number}").parse().unwrap();
            remembered.put(filter, url);
            assert!(remembered.get(filter).is_none(), "nobody else has it");
            let _clone = filter.clone();
            remembered.put(filter, url);
        }
        for (number, filter) in filters.iter().enumerate() {
            let url = remembered.get(&filter.clone()).map(Uri::to_string);
            assert_eq!(url, (number < ANSWERS).then(|| format!("https://h/{number}")));
        }
        assert!(remembered.get(&EndpointFilter::new("0")).is_none(), "an equal one is looked up");
        assert!(remembered.get(&filters[0].clone().region("R")).is_none());
    }
}
