use crate::{endpoint::has_path_traversal, validate::percent_encoding::decode};

/// The start of a path that contains the id of a project, such as `/v1/{project_id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathPattern {
    before: Box<[Segment]>,
    after: Box<[Segment]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    Any,
}

impl PathPattern {
    /// Reads a pattern. The last `{name}` is the project. A slash at the end has no meaning.
    ///
    /// Returns `None` if it does not start with `/`, or contains no `{name}`.
    pub(super) fn parse(pattern: &str) -> Option<Self> {
        let path = pattern.strip_prefix('/')?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments: Vec<_> = path.split('/').map(Segment::parse).collect();
        let project = segments.iter().rposition(|segment| *segment == Segment::Any)?;
        let (before, rest) = segments.split_at_checked(project)?;
        let (_, after) = rest.split_first()?;
        Some(Self { before: before.into(), after: after.into() })
    }

    /// Returns whether a path starts with this pattern, and contains this project.
    ///
    /// No way to read the rest of the path may lead out of this start.
    pub(super) fn matches(&self, path: &str, project_id: &str) -> bool {
        let Some(mut rest) = path.strip_prefix('/').map(Some) else { return false };
        let mut next = || {
            let (segment, after) =
                rest.map(|rest| rest.split_once('/').map_or((rest, None), |(s, r)| (s, Some(r))))?;
            rest = after;
            Some(segment)
        };
        self.before.iter().all(|segment| next().is_some_and(|text| segment.matches(text)))
            && next().is_some_and(|text| decode(text).eq(project_id.bytes()))
            && self.after.iter().all(|segment| next().is_some_and(|text| segment.matches(text)))
            && rest.is_none_or(|rest| !has_path_traversal(rest))
    }

    /// Returns the segment of a path that must be the id of the project, as it was sent, for the log.
    ///
    /// Returns `None` if the path does not start like this pattern.
    pub(super) fn project_segment<'a>(&self, path: &'a str) -> Option<&'a str> {
        let mut segments = path.strip_prefix('/')?.split('/');
        let mut starts = self.before.iter();
        let is_alike = starts.all(|segment| segments.next().is_some_and(|text| segment.matches(text)));
        is_alike.then(|| segments.next()).flatten()
    }
}

impl Segment {
    fn parse(segment: &str) -> Self {
        match segment.starts_with('{') && segment.ends_with('}') {
            true => Self::Any,
            false => Self::Literal(segment.into()),
        }
    }

    fn matches(&self, segment: &str) -> bool {
        match self {
            Self::Literal(literal) => decode(segment).eq(literal.bytes()),
            // A server that decodes or resolves the path before it splits it must find the project in the same place.
            Self::Any => {
                let segment: Vec<u8> = decode(segment).collect();
                !matches!(&*segment, b"" | b"." | b"..") && !segment.iter().any(|byte| b"/\\%".contains(byte))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        PathPattern::parse(pattern).unwrap().matches(path, "p1")
    }

    #[test]
    fn the_last_name_is_the_project() {
        for (pattern, path) in [
            ("/v1/{project_id}", "/v1/p1"),
            ("/v1/{project_id}", "/v1/p1/"),
            ("/v1/{project_id}", "/v1/p1/servers/.."),
            ("/v1/{project_id}/", "/v1/p1"),
            ("/v1/{project_id}/", "/v1/p1/"),
            ("/v1/{project_id}/", "/v1/p1/servers"),
            ("/projects/{id}/quota/", "/projects/p1/quota"),
            ("/projects/{id}/quota/", "/projects/p1/quota/cores"),
            ("/v1/{project_id}", "/%761/%701"),
            ("/{}", "/p1"),
            ("/{region}/{project_id}", "/x/p1/servers"),
            ("/{region}/{project_id}/quota", "/a%20b/p1/quota"),
            ("/projects/{id}/quota", "/projects/p1/quota/cores"),
            ("//{id}", "//p1"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn other_paths_and_projects_do_not_match() {
        for (pattern, path) in [
            ("/v1/{id}", "/v1/p2"),
            ("/v1/{id}", "/v1/P1"),
            ("/v1/{id}", "/v1/p1x"),
            ("/v1/{id}", "/v1/p"),
            ("/v1/{id}", "/v1/p1;a=b"),
            ("/v1/{id}", "/v1/p1%2Fservers"),
            ("/v1/{id}", "/v1/"),
            ("/v1/{id}", "/v1"),
            ("/v1/{id}", "/v2/p1"),
            ("/v1/{id}", "/V1/p1"),
            ("/v1/{id}", "/v1//p1"),
            ("/v1/{id}", "//v1/p1"),
            ("/v1/{id}", "/x/../v1/p1"),
            ("/v1/{id}", "v1/p1"),
            ("/v1/{id}", "/prefix/v1/p1"),
            ("/v1/{id}", "*"),
            ("/v1/{id}", ""),
            ("/projects/{id}/quota", "/projects/p1"),
            ("/projects/{id}/quota", "/projects/p1/quotas"),
            ("/{region}/{id}", "/p1/p2"),
            ("/{region}/{id}", "//p1"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn the_segment_of_the_project_is_found_in_matching_paths() {
        for (pattern, path, segment) in [
            ("/v1/{id}", "/v1/p2/servers", Some("p2")),
            ("/v1/{id}/", "/v1/p2", Some("p2")),
            ("/v1/{project_id}/servers/{id}", "/v1/p1/servers/s1", Some("s1")),
            ("/v1/{id}", "/v1/%70", Some("%70")),
            ("/v1/{id}", "/v1/", Some("")),
            ("/v1/{id}", "/v1", None),
            ("/v1/{id}", "/v2/p1", None),
            ("/v1/{id}", "*", None),
        ] {
            assert_eq!(
                PathPattern::parse(pattern).unwrap().project_segment(path),
                segment,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn a_path_that_can_lead_to_another_project_does_not_match() {
        for path in [
            "/v1/p1/../p2",
            "/v1/p1/x/../../p2",
            "/v1/p1/%2e%2e/p2",
            "/v1/p1/x%2F..%2F..%2Fp2",
            "/v1/p1/..",
            r"/v1/p1/..\p2",
        ] {
            assert!(!matches("/v1/{id}", path), "{path}");
        }
        for path in ["/x%2Fp2/p1", "/x%252Fp2/p1", r"/x\p2/p1", "/./p1", "/%2E/p1", "/%2e%2e/p1", "/../p1"] {
            assert!(!matches("/{region}/{id}", path), "{path}");
        }
    }

    #[test]
    fn a_pattern_needs_a_name() {
        for pattern in ["", "/", "/v1", "v1/{id}", "{id}", "/v1/{id", "/v1/id}", "/v1/x{id}", "/v1/{"] {
            assert_eq!(PathPattern::parse(pattern), None, "{pattern}");
        }
    }
}
