use std::path::Path;

use crate::{Error, store::file::default_path::default_path};

fn path(cache_home: Option<&str>, home: Option<&str>) -> Result<std::path::PathBuf, Error> {
    default_path(cache_home.map(Into::into), home.map(Into::into))
}

#[test]
fn the_cache_home_comes_before_the_home() {
    assert_eq!(path(Some("/cache"), Some("/home/me")).unwrap(), Path::new("/cache/tower-keystone"));
}

#[test]
fn a_relative_or_empty_cache_home_does_not_count() {
    for cache_home in [None, Some(""), Some("cache"), Some("./cache")] {
        assert_eq!(path(cache_home, Some("/home/me")).unwrap(), Path::new("/home/me/.cache/tower-keystone"));
    }
}

#[test]
fn without_a_home_the_error_says_what_to_set() {
    for home in [None, Some(""), Some("me")] {
        let error = path(Some(""), home).unwrap_err();
        assert!(matches!(error, Error::InvalidStore { .. }));
        assert!(error.to_string().contains("set one of them"), "{error}");
    }
}
