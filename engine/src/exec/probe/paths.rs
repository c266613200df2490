//! What is to be found where a path leads, who may do what with it, and how much room there is.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use crate::diagnosis::evidence::{EnvironmentFact, FileKind, PathState};
use crate::run::notes::within;

/// Most names of a folder that are compared with a missing one.
const NAMES_MAX: usize = 1_000;
/// Most names told that are like a missing one.
const SIMILAR_MAX: usize = 3;
/// How alike two names are that may be meant for each other, from 0 to 1.
const ALIKE: f64 = 0.72;
/// Longest path kept, in bytes.
const PATH_BYTES_MAX: usize = 1 << 10;
/// Bytes that a path may have, its end included.
const WHOLE_BYTES_MAX: usize = 4_096;

/// What there is to tell of a path. Waits for the file system, as long as that takes.
pub(super) fn facts(named: &str) -> Vec<EnvironmentFact> {
    let path = std::path::absolute(named).unwrap_or_else(|_| PathBuf::from(named));
    let shown = within(named.to_owned(), PATH_BYTES_MAX);
    let found = state(&path);
    let parent = path.ancestors().skip(1).find(|above| above.is_dir()).map(Path::to_owned);
    let is_there = found.is_some();
    let mut facts = vec![EnvironmentFact::Path {
        path: shown.clone(),
        found,
        parent: parent.as_deref().and_then(state),
        uid: uid(),
        similar: if is_there { Vec::new() } else { similar(&path) },
    }];
    let nearest = if is_there { Some(path.clone()) } else { parent };
    facts.extend(nearest.into_iter().flat_map(|nearest| of_disk(&path, &nearest, &shown)));
    facts
}

fn kind(path: &Path, found: &Metadata) -> FileKind {
    if found.is_symlink() {
        return match std::fs::metadata(path) {
            Ok(target) => kind(path, &target),
            Err(_) => FileKind::BrokenLink,
        };
    }
    match (found.is_file(), found.is_dir()) {
        (true, _) => FileKind::File,
        (_, true) => FileKind::Folder,
        _ => FileKind::Other,
    }
}

fn state(path: &Path) -> Option<PathState> {
    let link = std::fs::symlink_metadata(path).ok()?;
    let kind = kind(path, &link);
    let found = std::fs::metadata(path).unwrap_or(link);
    let path_shown = within(path.to_string_lossy().into_owned(), PATH_BYTES_MAX);
    let state = PathState {
        path: path_shown,
        kind,
        mode: None,
        owner: None,
        group: None,
        readable: None,
        writable: None,
        executable: None,
    };
    Some(with_rights(state, path, &found))
}

#[cfg(unix)]
fn with_rights(state: PathState, path: &Path, found: &Metadata) -> PathState {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    use rustix::io::Errno;
    use std::os::unix::fs::MetadataExt;
    let may = |access| match accessat(CWD, path, access, AtFlags::EACCESS) {
        Ok(()) => Some(true),
        Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Some(false),
        Err(_) => None,
    };
    PathState {
        mode: Some(found.mode() & 0o7777),
        owner: Some(found.uid()),
        group: Some(found.gid()),
        readable: may(Access::READ_OK),
        writable: may(Access::WRITE_OK),
        executable: may(Access::EXEC_OK),
        ..state
    }
}

#[cfg(not(unix))]
fn with_rights(state: PathState, _path: &Path, _found: &Metadata) -> PathState {
    state
}

#[cfg(unix)]
fn uid() -> Option<u32> {
    Some(rustix::process::geteuid().as_raw())
}

#[cfg(not(unix))]
fn uid() -> Option<u32> {
    None
}

/// Room, mount and lengths, of the file system that `nearest`, which is there, is on.
#[cfg(unix)]
fn of_disk(path: &Path, nearest: &Path, shown: &str) -> Vec<EnvironmentFact> {
    use rustix::fs::{StatVfsMountFlags, statvfs};
    use std::os::unix::ffi::OsStrExt;
    let Ok(disk) = statvfs(nearest) else { return Vec::new() };
    let mut facts = vec![EnvironmentFact::Space {
        path: shown.to_owned(),
        free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
        total_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
        free_inodes: (disk.f_files > 0).then_some(disk.f_favail),
    }];
    if disk.f_flag.contains(StatVfsMountFlags::RDONLY) {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let real = nearest.canonicalize().unwrap_or_else(|_| nearest.to_owned());
        let mount = mount_of(&mounts, &real).unwrap_or_else(|| "?".to_owned());
        facts.push(EnvironmentFact::ReadOnlyMount { path: shown.to_owned(), mount });
    }
    let longest = path.components().map(|part| part.as_os_str().len()).max().unwrap_or(0);
    let whole = path.as_os_str().as_bytes().len();
    if longest as u64 > disk.f_namemax || whole >= WHOLE_BYTES_MAX {
        facts.push(EnvironmentFact::NameLength {
            path: shown.to_owned(),
            name_bytes: longest as u64,
            name_bytes_max: disk.f_namemax,
            path_bytes: whole as u64,
            path_bytes_max: WHOLE_BYTES_MAX as u64 - 1,
        });
    }
    facts
}

#[cfg(not(unix))]
fn of_disk(_path: &Path, _nearest: &Path, _shown: &str) -> Vec<EnvironmentFact> {
    Vec::new()
}

/// Where the file system is mounted that holds a path, by the kernel's list.
#[cfg(unix)]
fn mount_of(mounts: &str, path: &Path) -> Option<String> {
    let mounted =
        mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(|text| text.replace("\\040", " "));
    mounted.filter(|mount| path.starts_with(mount)).max_by_key(String::len)
}

/// Names beside a missing one that are like it, the likest first.
fn similar(path: &Path) -> Vec<String> {
    let (Some(name), Some(folder)) = (path.file_name().and_then(|name| name.to_str()), path.parent()) else {
        return Vec::new();
    };
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let wanted = name.to_lowercase();
    let names = entries.take(NAMES_MAX).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut alike: Vec<(f64, String)> = names
        .map(|found| (strsim::normalized_damerau_levenshtein(&found.to_lowercase(), &wanted), found))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .collect();
    alike.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    alike.into_iter().take(SIMILAR_MAX).map(|(_, name)| within(name, PATH_BYTES_MAX)).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_holds_a_path() {
        let mounts = "22 1 0:1 / / rw - ext4 a rw\n23 22 0:2 / /mnt/two\\040words ro - ext4 b ro\n";
        let mount = |path| mount_of(mounts, Path::new(path));
        assert_eq!(mount("/mnt/two words/x").as_deref(), Some("/mnt/two words"));
        assert_eq!(mount("/mnt/two").as_deref(), Some("/"));
    }
}
