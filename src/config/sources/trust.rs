//! Protects secrets from files that other users can write.
//!
//! The settings of one cloud can come from several sources: for example a `clouds.yaml` in the working directory, and a
//! `secure.yaml` in the home directory. A file says where the secrets of the cloud are sent. So if another user could
//! write to one file, the secrets of the other sources must not be used with it. If there are several sources, each
//! file must be protected:
//!
//! - The file belongs to this user or to root, and nobody else can write to it.
//! - Its directory belongs to this user or to root. Otherwise, others could put a link there to another file of this
//!   user.
//! - Others cannot write to the directory, unless it has the sticky bit, with which they cannot replace the file.
//! - If the path is a symbolic link, these rules also apply to the link and its directory.
//!
//! All files of one directory that belong to one user, with the links to them, are one source. A file that the program
//! provides from memory is protected.
//!
//! The owner and the mode are those of the file that was opened, not of the file that has its path later. "This user"
//! is the owner of `/proc/self`, or of the home directory where that does not exist. On systems other than Unix, a file
//! in the working directory is not protected. All other files are, because access lists protect the directories of a
//! user.

use std::{fs::File, io, path::Path, sync::Arc};

use crate::error::{ConfigError, ConfigErrorKind};

/// Maximum number of links to a file, as on Linux.
#[cfg(unix)]
const MAX_LINKS: usize = 40;

/// Who can write to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Protection {
    /// The owner of the file and of the links to it. `None` if they belong to several users.
    owner: Option<u32>,
    is_protected: bool,
}

/// A file that settings of a cloud come from.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    pub(crate) path: Arc<Path>,
    pub(crate) protection: Protection,
}

impl Protection {
    /// The protection of a file that the program provides.
    pub(crate) const PROVIDED: Self = Self { owner: None, is_protected: true };

    /// Reads the protection of an open file.
    #[cfg(unix)]
    pub(crate) fn of(file: &File, path: &Path, _working_directory: &Path) -> io::Result<Self> {
        Self::for_user(user(), file, path)
    }

    #[cfg(unix)]
    fn for_user(user: Option<u32>, file: &File, path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;

        let file = file.metadata()?;
        let is_own = |owner: u32| owner == 0 || Some(owner) == user;
        let others_write = |mode: u32| mode & 0o022 != 0;
        let mut owner = Some(file.uid());
        let mut is_protected = is_own(file.uid()) && !others_write(file.mode());
        let mut path = path.to_path_buf();
        for _ in 0..MAX_LINKS {
            let (Ok(entry), Some(parent)) = (path.symlink_metadata(), path.parent()) else { break };
            let Ok(directory) = parent.metadata() else { break };
            let is_sticky = directory.mode() & 0o1000 != 0;
            is_protected &= is_own(entry.uid())
                && is_own(directory.uid())
                && (is_sticky || !others_write(directory.mode()));
            owner = owner.filter(|owner| *owner == entry.uid());
            if !entry.is_symlink() {
                return Ok(Self { owner, is_protected });
            }
            let Ok(target) = path.read_link() else { break };
            path = parent.join(target);
        }
        // The file was opened, but it is not known through which links: for example, it is deleted already.
        Ok(Self { owner: None, is_protected: false })
    }

    /// Returns that an open file is protected, unless it is in the working directory.
    #[cfg(not(unix))]
    pub(crate) fn of(_file: &File, path: &Path, working_directory: &Path) -> io::Result<Self> {
        // All files of a directory are one source.
        Ok(Self { owner: Some(0), is_protected: path.parent() != Some(working_directory) })
    }
}

/// Returns the id of this user.
#[cfg(unix)]
fn user() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;

    let owner = |path: &Path| path.metadata().map(|metadata| metadata.uid()).ok();
    owner(Path::new("/proc/self")).or_else(|| owner(&std::env::home_dir()?))
}

/// Returns an error if there are several sources for one cloud, and a file is not protected.
///
/// `other_source` names a source of secrets that is not a file, such as `the environment`.
pub(crate) fn check(files: &[SourceFile], other_source: Option<&str>) -> Result<(), ConfigError> {
    let Some(first) = files.first() else { return Ok(()) };
    let is_one_source = files.iter().all(|file| {
        let is_beside = file.path.parent() == first.path.parent()
            && file.protection.owner.is_some()
            && file.protection.owner == first.protection.owner;
        file.path == first.path || is_beside
    });
    if is_one_source && other_source.is_none() {
        return Ok(());
    }
    let Some(file) = files.iter().find(|file| !file.protection.is_protected) else { return Ok(()) };
    let other = files.iter().find(|other| other.path.parent() != file.path.parent());
    let other = other.or_else(|| files.iter().find(|other| other.path != file.path));
    Err(match other {
        Some(other) => ConfigError::new(ConfigErrorKind::UntrustedCloudsFile {
            clouds: Arc::clone(&file.path),
            secure: Arc::clone(&other.path),
        }),
        None => ConfigError::conflict(format!(
            "{} belongs to another user or can be written by others, so secrets of {} are not used with it; make the \
             file and its directory your own and writable for you only",
            file.path.display(),
            other_source.unwrap_or_default()
        )),
    })
}

#[cfg(all(test, unix))]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::PathBuf};

    use super::*;
    use crate::config::temp_dir::{TempDir, give_away, set_mode};

    fn source(path: &Path) -> SourceFile {
        let protection = Protection::of(&File::open(path).unwrap(), path, Path::new("/")).unwrap();
        SourceFile { path: path.into(), protection }
    }

    fn is_protected(path: &Path) -> bool {
        source(path).protection.is_protected
    }

    #[test]
    fn a_file_of_this_user_is_protected_unless_others_can_write_to_it() {
        let directory = TempDir::new();
        let path = directory.write("a/clouds.yaml", "");
        for (mode, expected) in [(0o600, true), (0o644, true), (0o444, true), (0o664, false), (0o606, false)]
        {
            set_mode(&path, mode);
            assert_eq!(is_protected(&path), expected, "{mode:o}");
        }
    }

    #[test]
    fn others_must_not_be_able_to_put_links_into_the_directory() {
        let directory = TempDir::new();
        let path = directory.write("a/clouds.yaml", "");
        for (mode, expected) in [(0o755, true), (0o1777, true), (0o777, false), (0o775, false)] {
            set_mode(path.parent().unwrap(), mode);
            assert_eq!(is_protected(&path), expected, "{mode:o}");
        }
    }

    #[test]
    fn a_file_or_directory_or_link_of_another_user_is_not_protected() {
        let directory = TempDir::new();
        let [file, below, target] =
            ["a/clouds.yaml", "b/clouds.yaml", "c/target.yaml"].map(|name| directory.write(name, ""));
        let link = directory.path().join("a/link.yaml");
        symlink(&target, &link).unwrap();
        assert!(is_protected(&file) && is_protected(&below) && is_protected(&link));

        // Only root can give a file away.
        if give_away(&file) {
            assert!(!is_protected(&file));
            assert!(give_away(&link) && is_protected(&target) && !is_protected(&link));
            assert!(give_away(below.parent().unwrap()) && !is_protected(&below));
        }
    }

    #[test]
    fn files_of_root_are_protected_too() {
        let directory = TempDir::new();
        let path = directory.write("a/clouds.yaml", "");
        let file = File::open(&path).unwrap();
        let is_protected_for = |user| Protection::for_user(user, &file, &path).unwrap().is_protected;
        let owner = user().unwrap();
        assert!(is_protected_for(Some(owner)));
        for user in [Some(owner + 1), None] {
            assert_eq!(is_protected_for(user), owner == 0, "{user:?}");
        }
        if give_away(&path) {
            let user = source(&path).protection.owner;
            assert!(is_protected_for(user) && !is_protected_for(Some(owner)));
        }
    }

    #[test]
    fn each_link_to_a_file_is_judged() {
        let directory = TempDir::new();
        let target = directory.write("c/target.yaml", "");
        let (first, second) = (directory.write("a/x", ""), directory.write("b/x", ""));
        let [first, second] = [first, second].map(|path| path.with_file_name("clouds.yaml"));
        symlink("../b/clouds.yaml", &first).unwrap();
        symlink(&target, &second).unwrap();
        assert!(is_protected(&first));
        for link in [&second, &target] {
            set_mode(link.parent().unwrap(), 0o777);
            assert!(!is_protected(&first), "{}", link.display());
            set_mode(link.parent().unwrap(), 0o700);
        }
        if give_away(&second) {
            assert!(!is_protected(&first));
        }
    }

    #[test]
    fn the_file_that_was_opened_is_judged() {
        let directory = TempDir::new();
        let path = directory.write("a/clouds.yaml", "");
        set_mode(&path, 0o666);
        let file = File::open(&path).unwrap();
        fs::rename(directory.write("a/other.yaml", ""), &path).unwrap();
        assert!(!Protection::of(&file, &path, Path::new("/")).unwrap().is_protected);
        assert!(is_protected(&path));

        // Only root can give a file away.
        let file = File::open(&path).unwrap();
        if give_away(&path) {
            fs::rename(directory.write("a/other.yaml", ""), &path).unwrap();
            assert!(!Protection::of(&file, &path, Path::new("/")).unwrap().is_protected);
            assert!(is_protected(&path));
        }
    }

    #[test]
    fn a_file_that_was_deleted_is_not_protected() {
        let directory = TempDir::new();
        let path = directory.write("a/clouds.yaml", "");
        let file = File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let expected = Protection { owner: None, is_protected: false };
        assert_eq!(Protection::of(&file, &path, Path::new("/")).unwrap(), expected);
    }

    #[test]
    fn a_directory_with_links_of_another_user_is_not_one_place() {
        let directory = TempDir::new();
        let downloaded = directory.write("downloads/clouds.yaml", "");
        let own = directory.write("config/secure.yaml", "");
        let shared = downloaded.parent().unwrap().with_file_name("shared");
        fs::create_dir(&shared).unwrap();
        set_mode(&shared, 0o1777);
        let [clouds, secure] = ["clouds.yaml", "secure.yaml"].map(|name| shared.join(name));
        symlink(&downloaded, &clouds).unwrap();
        symlink(&own, &secure).unwrap();
        assert_eq!(check(&[source(&clouds), source(&secure)], None), Ok(()));
        assert!(is_protected(&clouds) && is_protected(&secure));

        // Only root can give a link away.
        if give_away(&clouds) && give_away(&secure) {
            let kind = check(&[source(&clouds), source(&secure)], None).unwrap_err().kind;
            assert_eq!(
                kind,
                ConfigErrorKind::UntrustedCloudsFile { clouds: clouds.into(), secure: secure.into() }
            );
        }
    }

    fn file(path: &str, owner: u32, is_protected: bool) -> SourceFile {
        let protection = Protection { owner: Some(owner), is_protected };
        SourceFile { path: Path::new(path).into(), protection }
    }

    #[test]
    fn files_of_one_user_in_one_directory_are_not_judged() {
        let clouds = file("/a/clouds.yaml", 1, false);
        let secure = file("/a/secure.yaml", 1, true);
        assert_eq!(check(&[clouds.clone(), secure.clone()], None), Ok(()));
        assert_eq!(check(std::slice::from_ref(&clouds), None), Ok(()));
        assert_eq!(check(&[], Some("the environment")), Ok(()));

        let protection = Protection { owner: None, is_protected: false };
        let behind_links = SourceFile { protection, ..clouds.clone() };
        assert_eq!(check(std::slice::from_ref(&behind_links), None), Ok(()));
        let beside = SourceFile { protection, ..secure.clone() };
        assert!(check(&[behind_links, beside], None).is_err());

        let secure_of_another = file("/a/secure.yaml", 2, true);
        for others in [secure_of_another, file("/b/secure.yaml", 1, true)] {
            let secure: PathBuf = others.path.to_path_buf();
            let kind = check(&[clouds.clone(), others], None).unwrap_err().kind;
            let expected = ConfigErrorKind::UntrustedCloudsFile {
                clouds: Arc::clone(&clouds.path),
                secure: secure.into(),
            };
            assert_eq!(kind, expected);
        }
    }

    #[test]
    fn the_error_names_a_file_of_another_directory_if_there_is_one() {
        let [clouds, secure] = ["/a/clouds.yaml", "/a/secure.yaml"].map(|path| file(path, 1, false));
        let public = file("/b/clouds-public.yaml", 1, true);
        let expected = ConfigErrorKind::UntrustedCloudsFile {
            clouds: Arc::clone(&clouds.path),
            secure: Arc::clone(&public.path),
        };
        assert_eq!(check(&[clouds, secure, public], None).unwrap_err().kind, expected);
    }

    #[test]
    fn protected_files_can_be_in_several_places() {
        let files = [file("/a/clouds.yaml", 1, true), file("/b/secure.yaml", 0, true)];
        assert_eq!(check(&files, Some("the environment")), Ok(()));
        assert_eq!(
            check(&[SourceFile { protection: Protection::PROVIDED, ..files[0].clone() }], Some("x")),
            Ok(())
        );
    }

    #[test]
    fn secrets_from_elsewhere_are_refused_to_one_file_too() {
        let error = check(&[file("/a/clouds-public.yaml", 1, false)], Some("the environment")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/a/clouds-public.yaml belongs to another user or can be written by others, so secrets of the \
             environment are not used with it; make the file and its directory your own and writable for you only"
        );
    }
}
