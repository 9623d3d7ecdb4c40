use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::Error;

/// The directory of the user's store: `tower-keystone` in `XDG_CACHE_HOME`, or else in `.cache` in `HOME`.
///
/// The specification of the XDG base directories wants a relative path to be ignored.
pub(super) fn default_path(cache_home: Option<OsString>, home: Option<OsString>) -> Result<PathBuf, Error> {
    let absolute = |variable: Option<OsString>| variable.map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(cache_home)
        .or_else(|| absolute(home).map(|home| home.join(".cache")))
        .map(|cache| cache.join(Path::new("tower-keystone")))
        .ok_or_else(|| Error::InvalidStore {
            reason: "neither `XDG_CACHE_HOME` nor `HOME` is an absolute path; set one of them, or open the store with \
                     the path of a directory"
                .into(),
            source: None,
        })
}
