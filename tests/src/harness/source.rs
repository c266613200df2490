//! A folder to import, of the sort that people have: files that are there twice, names that are taken, files that cannot be
//! read or are no files, pictures that end too soon. And what has to come of it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Error;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use sha2::{Digest as _, Sha256};

/// Ordinary files of a folder.
pub const FILES: usize = 400;
/// Folders that they lie in.
const FOLDERS: usize = 8;
/// The beginning of a picture, and too little of it.
const BROKEN_PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0";

/// What the session over a folder has to count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Contents that the library did not have.
    pub imported: u64,
    /// Files whose content it had, or has from another file of the folder.
    pub duplicates: u64,
    /// What cannot be imported.
    pub failed: u64,
}

/// The SHA-256 of bytes, in hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The folders below that a folder to import has, relative to it.
#[must_use]
pub fn folders() -> Vec<PathBuf> {
    let plain = (0..FOLDERS).map(|nth| PathBuf::from(format!("d{nth}")));
    plain.chain([PathBuf::from(OsStr::from_bytes(b"two\nlines \xff"))]).collect()
}

/// Fills a folder, which must not be there yet. `held` is what the library holds, by hash, before and after. Each folder of
/// one `nth` after the other has the same names, mostly of other contents.
///
/// # Errors
/// When it cannot be written.
pub fn fill(
    folder: &Path,
    nth: usize,
    random: &mut Rng,
    held: &mut BTreeSet<String>,
) -> Result<Counts, Error> {
    let mut counts = Counts::default();
    let folders = folders();
    for below in &folders {
        fs::create_dir_all(folder.join(below))?;
    }
    let mut put = |name: &Path, bytes: &[u8]| {
        let is_new = held.insert(sha256(bytes));
        *(if is_new { &mut counts.imported } else { &mut counts.duplicates }) += 1;
        fs::write(folder.join(name), bytes)
    };
    for file in 0..FILES {
        // Some are of an earlier folder, some of this one.
        let (of, content) = match random.u32(..10) {
            0 => (random.usize(..=nth), random.usize(..FILES)),
            1 | 2 => (nth, random.usize(..=file)),
            _ => (nth, file),
        };
        put(&folders[file % folders.len()].join(format!("{file}.bin")), &bytes_of(of, content))?;
    }
    let odd: [&[u8]; 5] =
        [b"-rf", b"caf\xe9.txt", b"a\tb\\.txt", "z\u{202e}txt.exe".as_bytes(), &[b'n'; 255]];
    for name in odd {
        put(Path::new(OsStr::from_bytes(name)), name)?;
    }
    put(Path::new("empty"), b"")?;
    put(Path::new("broken.png"), BROKEN_PICTURE)?;
    let locked_up = Path::new("locked up.txt");
    let text = format!("nobody may read folder {nth}");
    fs::write(folder.join(locked_up), &text)?;
    fs::set_permissions(folder.join(locked_up), Permissions::from_mode(0o000))?;
    if File::open(folder.join(locked_up)).is_ok() {
        // Some may read everything.
        put(locked_up, text.as_bytes())?;
    } else {
        counts.failed += 1;
    }
    // The name stays when nobody listens any more.
    drop(UnixListener::bind(folder.join("socket"))?);
    counts.failed += 1;
    symlink("nowhere", folder.join("link"))?;
    Ok(counts)
}

/// The bytes of a content. Some take long enough to be copied for a process to die over it.
fn bytes_of(folder: usize, content: usize) -> Vec<u8> {
    let len = if content % 40 == 7 { 1 << 20 } else { 100 + content * 9 };
    let mut bytes = format!("content {content} of folder {folder}\n").into_bytes();
    bytes.resize_with(len, {
        let mut at = 0_usize;
        move || {
            at += 1;
            (at * (content + 3) / 7) as u8
        }
    });
    bytes
}
