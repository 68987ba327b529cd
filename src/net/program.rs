//! Which program is meant, and whether others than root and ourselves could change it, or the file
//! that names it.
//!
//! A daemon often has the rights of root, and what it runs every few seconds is worth replacing.
//! So every directory and link on the way to a program is looked at, and the program itself. What
//! is not: a script's interpreter, and files that are named in arguments.
//!
//! Nobody writes what is mounted read-only, whatever its mode is: a ConfigMap of Kubernetes is a
//! folder with mode 0777. That counts only where process 1 sees the same mounts, which are then
//! everybody's: systemd's `ProtectSystem=strict` makes all read-only for one service alone, and
//! others may go on writing. Who may not look at the mounts of process 1 is taken not to share them.
//! The limit: what is mounted may be there a second time, writable, under another path (a bind
//! mount), on the host of a container or on a server of files. Who mounts it read-only, which takes
//! root, answers for who may write it there. Its owner counts as everywhere.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::error::Error;
use crate::sys::file::may_write;
use crate::sys::process::effective_user;

/// Where programs are looked for, and where those that we run look for others. Not our own
/// `PATH`: the same file must mean the same in a terminal and at boot.
pub(crate) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// As many as Linux follows in one path (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Write permission of the group and of everybody.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// In a directory with this bit nobody takes or renames what is not theirs (inode(7)).
const STICKY: u32 = 0o1000;

/// Why a program is not to be run.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// It is not there, or not for us to see.
    Missing(io::Error),
    /// Others could change it; says what is wrong with which path.
    Unsafe(String),
}

/// Where a program is: an absolute path is itself, whether something is there or not; a name
/// without a slash is looked up in [`SEARCH_PATH`].
///
/// # Errors
/// A relative path, or a name that is not found.
pub(crate) fn locate(name: &str) -> Result<PathBuf, Error> {
    if name.starts_with('/') {
        return Ok(PathBuf::from(name));
    }
    if name.is_empty() || name.contains('/') {
        let message = format!(
            "program {name:?} cannot be used; expected an absolute path or a name without a slash"
        );
        return Err(Error::invalid(message));
    }
    let places = SEARCH_PATH
        .split(':')
        .map(|folder| Path::new(folder).join(name));
    places
        .into_iter()
        .find(|path| fs::metadata(path).is_ok_and(|about| is_program(&about)))
        .ok_or_else(|| {
            let message = format!("no program {name:?} found; expected one in {SEARCH_PATH}");
            Error::invalid(message)
        })
}

fn is_program(about: &Metadata) -> bool {
    about.is_file() && about.mode() & 0o111 != 0
}

/// Looks at everything that leads to a program: each has to belong to root or to us, and to be
/// writable by its owner only, or mounted read-only. A sticky directory such as `/tmp` is writable
/// by others.
///
/// # Errors
/// What is wrong.
pub(crate) fn examine(program: &Path) -> Result<(), Unfit> {
    walk(program, Sticky::IsForOthers)
}

/// The same for a file that names programs. It may lie in a sticky directory, where others can
/// neither change nor replace what is not theirs.
///
/// # Errors
/// What is wrong.
pub(crate) fn examine_list(file: &Path) -> Result<(), Unfit> {
    let here = fs::canonicalize(".").map_err(Unfit::Missing)?;
    walk(&here.join(file), Sticky::IsSafe)
}

/// What a directory is that everybody may write and nobody but the owner may take things out of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sticky {
    IsForOthers,
    IsSafe,
}

fn walk(file: &Path, sticky: Sticky) -> Result<(), Unfit> {
    let mut way = PathBuf::from("/");
    judge(&way, &fs::metadata(&way).map_err(Unfit::Missing)?, sticky)?;
    let mut ahead = parts(file);
    let mut links = 0;
    while let Some(part) = ahead.pop() {
        if part == ".." {
            way.pop();
            continue;
        }
        let next = way.join(part);
        let about = fs::symlink_metadata(&next).map_err(Unfit::Missing)?;
        if !about.is_symlink() {
            judge(&next, &about, sticky)?;
            way = next;
            continue;
        }
        // Who may change a link is who may write the directory that it is in, seen above; in a
        // sticky one anybody may have made it.
        if sticky == Sticky::IsSafe {
            judge_owner(&next, &about)?;
        }
        links += 1;
        if links > LINKS_MAX {
            let error = io::Error::other("too many links lead to it");
            return Err(Unfit::Missing(error));
        }
        let target = fs::read_link(&next).map_err(Unfit::Missing)?;
        if target.is_absolute() {
            way = PathBuf::from("/");
        }
        ahead.extend(parts(&target));
    }
    Ok(())
}

/// The names on the way, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev();
    parts
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| part.as_os_str().to_os_string())
        .collect()
}

fn judge(place: &Path, about: &Metadata, sticky: Sticky) -> Result<(), Unfit> {
    judge_owner(place, about)?;
    let (mode, path) = (about.mode() & 0o7777, place.display());
    let is_safe = sticky == Sticky::IsSafe && about.is_dir() && mode & STICKY != 0;
    if mode & WRITABLE_BY_OTHERS != 0 && !is_safe && !is_read_only(place) {
        // A sticky directory is meant to be everybody's: it is the program that has to move.
        let message = match mode & STICKY {
            0 => format!(
                "{path} has mode {mode:o}; expected writable by its owner only: chmod go-w {path}"
            ),
            _ => format!("{path} is for everybody; expected a folder that only its owner writes"),
        };
        return Err(Unfit::Unsafe(message));
    }
    Ok(())
}

/// Whether it is mounted read-only, and that for everybody and not for us alone.
fn is_read_only(path: &Path) -> bool {
    let refused = may_write(path).err().map(|error| error.kind());
    let [ours, everybodys] = ["/proc/self/ns/mnt", "/proc/1/ns/mnt"].map(fs::read_link);
    refused == Some(io::ErrorKind::ReadOnlyFilesystem)
        && matches!((ours, everybodys), (Ok(ours), Ok(everybodys)) if ours == everybodys)
}

fn judge_owner(path: &Path, about: &Metadata) -> Result<(), Unfit> {
    let (owner, path) = (about.uid(), path.display());
    if ![0, effective_user()].contains(&owner) {
        let message = format!("{path} belongs to user {owner}; expected root or our own");
        return Err(Unfit::Unsafe(message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &str) -> String {
        match examine(Path::new(path)) {
            Err(Unfit::Unsafe(message)) => message,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn programs_of_the_system_are_fit() {
        for name in ["sh", "true", "/bin/sh", "/bin/../bin/./sh"] {
            let path = locate(name).unwrap();
            examine(&path).unwrap_or_else(|unfit| panic!("{path:?}: {unfit:?}"));
        }
    }

    #[test]
    fn a_place_for_everybody_is_refused_even_if_sticky() {
        for path in ["/tmp/script", "/usr/../tmp/../bin/sh", "/dev/shm/a/b"] {
            let message = refusal(path);
            assert!(
                message.contains(" is for everybody; expected "),
                "{message}"
            );
            assert!(!message.contains("chmod"), "{message}");
        }
        // What is at the end counts as well.
        assert!(refusal("/dev/null").starts_with("/dev/null has mode 666"));
    }

    #[test]
    fn a_list_may_lie_in_a_sticky_directory_and_in_no_other_of_everybody() {
        let name = format!("failover-program-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let (inner, list) = (folder.join("a"), folder.join("a/list"));
        fs::create_dir_all(&inner).unwrap();
        fs::write(&list, "").unwrap();
        let allow = |path: &Path, mode| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            fs::set_permissions(path, mode).unwrap();
        };
        for (of_folder, of_inner, of_list, wrong) in [
            (0o755, 0o700, 0o600, None),
            (0o1777, 0o1770, 0o644, None),
            (0o777, 0o700, 0o600, Some((&folder, 777))),
            (0o755, 0o720, 0o600, Some((&inner, 720))),
            (0o755, 0o700, 0o602, Some((&list, 602))),
        ] {
            allow(&folder, of_folder);
            allow(&inner, of_inner);
            allow(&list, of_list);
            match (examine_list(&list), wrong) {
                (Ok(()), None) => {}
                (Err(Unfit::Unsafe(message)), Some((path, mode))) => {
                    let path = path.display();
                    let begins = format!("{path} has mode {mode}; expected writable by its owner");
                    assert!(message.starts_with(&begins), "{message}");
                    assert!(message.ends_with(&format!(": chmod go-w {path}")));
                }
                other => panic!("{other:?}"),
            }
        }
        allow(&list, 0o600);
        let link = folder.join("link");
        std::os::unix::fs::symlink(&list, &link).unwrap();
        examine_list(&link).unwrap();
        // Only root can give something away.
        if std::os::unix::fs::lchown(&link, Some(12_345), None).is_ok() {
            let unfit = examine_list(&link).unwrap_err();
            assert!(matches!(unfit, Unfit::Unsafe(it) if it.contains("belongs to user 12345")));
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_cannot_be_looked_up_is_an_error() {
        for (name, expected) in [
            ("", "program \"\" cannot be used"),
            ("./check.sh", "program \"./check.sh\" cannot be used"),
            ("bin/sh", "program \"bin/sh\" cannot be used"),
            ("no-such-program", "no program \"no-such-program\" found"),
        ] {
            let message = locate(name).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
        let missing = examine(Path::new("/usr/no-such/program"));
        assert!(matches!(missing, Err(Unfit::Missing(_))));
    }
}
