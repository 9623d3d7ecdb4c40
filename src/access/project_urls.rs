use std::{ops::Range, sync::OnceLock};

use super::catalog_entry::LazyBaseUrl;

/// Where the id of a project occurs in the text of a catalog.
///
/// Each occurrence is in the path of a URL of an endpoint, so projects whose catalogs differ in nothing else can share
/// the parsed catalog.
pub(super) struct ProjectIds {
    /// The length of the id.
    len: usize,
    /// The positions of the id in the text, in ascending order.
    positions: Box<[u32]>,
}

/// The URLs of one project in a catalog that projects share. Each is made when it is first used.
pub(super) struct ProjectUrls {
    project_id: Box<str>,
    /// Boxed, because most URLs are never used.
    urls: OnceLock<Box<[OnceLock<Box<ProjectUrl>>]>>,
}

pub(super) struct ProjectUrl {
    pub(super) url: Box<str>,
    pub(super) base_url: LazyBaseUrl,
}

impl ProjectIds {
    /// Returns whether a project id can be replaced: it means the same in JSON and in the path of a URL.
    pub(super) fn is_replaceable(project_id: &str) -> bool {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !project_id.is_empty() && project_id.bytes().all(is_plain)
    }

    /// Finds a project id in the JSON text of a catalog.
    ///
    /// `urls` are the positions of the URLs of the endpoints in the text. Returns `None` if the id does not occur, or if
    /// it occurs anywhere but in the path of a URL.
    pub(super) fn find(
        json: &str,
        project_id: &str,
        urls: impl Iterator<Item = Range<usize>>,
    ) -> Option<Self> {
        let mut paths: Vec<_> = urls.filter_map(|url| path(json, url)).collect();
        paths.sort_unstable_by_key(|path| path.start);
        let mut positions = Vec::new();
        for (position, id) in json.match_indices(project_id) {
            let next = paths.partition_point(|path| path.start <= position);
            let path = paths.get(next.checked_sub(1)?)?;
            if position + id.len() > path.end {
                return None;
            }
            positions.push(u32::try_from(position).ok()?);
        }
        let (len, positions) = (project_id.len(), positions.into_boxed_slice());
        (!positions.is_empty()).then_some(Self { len, positions })
    }

    /// Returns whether the id occurs in a part of the text.
    pub(super) fn occur_in(&self, part: Range<usize>) -> bool {
        !self.in_part(&part).is_empty()
    }

    /// Appends a part of the text, with the id of another project in place of the one that it was read with.
    pub(super) fn replace(&self, text: &str, part: Range<usize>, project_id: &str, result: &mut String) {
        let mut start = part.start;
        for &position in self.in_part(&part) {
            let position = position as usize;
            result.push_str(text.get(start..position).unwrap_or_default());
            result.push_str(project_id);
            start = position + self.len;
        }
        result.push_str(text.get(start..part.end).unwrap_or_default());
    }

    pub(super) fn memory_size(&self) -> usize {
        size_of_val(&*self.positions)
    }

    fn in_part(&self, part: &Range<usize>) -> &[u32] {
        let index = |position| self.positions.partition_point(|&id| (id as usize) < position);
        self.positions.get(index(part.start)..index(part.end)).unwrap_or_default()
    }
}

impl ProjectUrls {
    pub(super) fn new(project_id: &str) -> Self {
        Self { project_id: project_id.into(), urls: OnceLock::new() }
    }

    pub(super) fn project_id(&self) -> &str {
        &self.project_id
    }

    /// Returns one of `count` URLs, and makes it if it is not made yet.
    pub(super) fn get(
        &self,
        index: usize,
        count: usize,
        make: impl FnOnce(&mut String),
    ) -> Option<&ProjectUrl> {
        let urls = self.urls.get_or_init(|| std::iter::repeat_with(OnceLock::new).take(count).collect());
        let make = || {
            let mut url = String::new();
            make(&mut url);
            Box::new(ProjectUrl { url: url.into(), base_url: LazyBaseUrl::default() })
        };
        urls.get(index).map(|url| &**url.get_or_init(make))
    }

    pub(super) fn memory_size(&self) -> usize {
        size_of::<Self>() + self.project_id.len()
    }
}

/// Returns the position of the path of a URL, without the slash at its start and up to a query or fragment.
fn path(json: &str, url: Range<usize>) -> Option<Range<usize>> {
    let text = json.get(url.clone())?;
    let authority = text.find("://")? + "://".len();
    let path = authority + text.get(authority..)?.find(['/', '?', '#', '\\'])?;
    let rest = text.get(path..)?.strip_prefix('/')?;
    let len = rest.find(['?', '#']).unwrap_or(rest.len());
    let start = url.start + path + "/".len();
    Some(start..start + len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_in_the_paths_of_urls_are_found() {
        let find = |url: &str, id: &str| {
            ProjectIds::find(url, id, std::iter::once(0..url.len())).map(|ids| ids.positions.to_vec())
        };
        assert_eq!(find("https://h:1/v3/p1", "p1"), Some(vec![15]));
        assert_eq!(find("https://h/p1/AUTH_p1/p1", "p1"), Some(vec![10, 18, 21]));
        assert_eq!(find("https://h/aaa", "aa"), Some(vec![10]));
        for (url, id) in [
            ("https://p1.example/", "p1"),
            ("https://p1/p1", "p1"),
            ("https://h/p1?p1", "p1"),
            ("https://h/p1#p1", "p1"),
            ("https://h?/p1", "p1"),
            ("https://h#/p1", "p1"),
            ("https://h\\/p1", "p1"),
            ("/p1", "p1"),
            ("p1", "p1"),
            ("http://h/http", "http"),
            ("https://h/v3", "p1"),
        ] {
            assert_eq!(find(url, id), None, "{url}");
        }
    }
}
