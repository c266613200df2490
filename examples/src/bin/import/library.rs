//! The library: copies of files, a catalogue of what they hold, and who is at work on which content.
//!
//! ```text
//! library/files/…                  the copies, under the paths they had
//! library/catalogue/SHA256.json    one entry for each content
//! library/.import/claims/SHA256    the item that imports this content just now
//! library/.import/lists/SESSION    the files that a session found, one JSON path a line
//! library/.import/tmp/PROCESS/     what a process is writing; those of the dead are removed when the library is opened
//! library/.import/lock, door, …    locks, which the kernel lets go when a process ends, however it ends
//! ```
//!
//! One session at a time has the library open, in any number of processes. That is why a claim of another session is void.
//! What two processes might do at the same moment is done under a lock of the content, which no process holds longer than
//! it takes to look and to give one file its name.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stepwell::contract::StoreId;
use stepwell_examples::exit::{self, Trouble};
use tempfile::{NamedTempFile, TempDir};

use crate::alive::Alive;
use crate::content::{self, Content};
use crate::fault::{FileFault, FileResult};
use crate::path::{FilePath, marked};

/// Digits of the hash that name the lock of a content: contents that differ in them do not wait for each other.
const LOCK_DIGITS: usize = 2;
/// Digits of the hash in the name of a file whose own name is taken.
const MARK_DIGITS: usize = 8;

/// An open library. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Library {
    root: PathBuf,
    seat: Arc<Seat>,
}

/// The place of a process among those that have the library open. Fields are dropped in order: the folder is gone before
/// its lock is let go.
#[derive(Debug)]
struct Seat {
    /// What this process is writing lies here.
    tmp: TempDir,
    _tmp_lock: File,
    _lock: File,
}

/// An entry of the catalogue. The same whenever it is written again, so writing it again does no harm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The copy, relative to the library.
    pub(crate) path: FilePath,
    #[serde(flatten)]
    pub(crate) content: Content,
    /// Where it came from.
    pub(crate) source: FilePath,
    #[serde(flatten)]
    pub(crate) by: Importer,
}

/// Who imports a content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Importer {
    pub(crate) session: String,
    pub(crate) item: String,
}

/// What became of a claim to a content.
#[derive(Debug, PartialEq)]
pub(crate) enum Claim {
    /// It is the claimer's, from now on or from before.
    Granted,
    /// The library has the content, here.
    Present(FilePath),
    /// Another item of the same session is at it.
    Held(Importer),
}

impl Library {
    /// Opens the library in a folder, which is made when it is not there, for one session of one store, and clears away
    /// what dead processes left. Other processes may have it open for the same session.
    ///
    /// # Errors
    /// [`Trouble`] when the folder cannot be made or a process has it open for something else.
    pub(crate) fn open(root: &Path, store: StoreId, session: &str) -> Result<Self, Trouble> {
        let shown = FilePath::new(root);
        let what = || format!("cannot open the library {shown}");
        let refused = |fault: FileFault| fault.into_trouble(what());
        for folder in
            ["files", "catalogue", ".import/claims", ".import/lists", ".import/locks", ".import/tmp"]
        {
            make_folders(&root.join(folder)).map_err(refused)?;
        }
        // Held for the time of coming in, so that nobody sees another one half in.
        let _door = locked(&root.join(".import/door")).map_err(refused)?;
        let Some(lock) = join(&root.join(".import/lock"), &format!("{store} {session}")).map_err(refused)?
        else {
            let fix = "wait for it or stop it, or choose another library with --into";
            let why = "a process is importing into it, in another session or with another store";
            return Err(Trouble::new(exit::FAILED, what(), why, fix));
        };
        let seat = take_seat(&root.join(".import/tmp"), lock).map_err(refused)?;
        let library = Self { root: root.to_owned(), seat: Arc::new(seat) };
        library.sweep_claims(session).map_err(refused)?;
        Ok(library)
    }

    /// Removes claims of sessions that are over: one that was taken for dead may have claimed what its successor had done.
    fn sweep_claims(&self, session: &str) -> FileResult<()> {
        let claims = self.root.join(".import/claims");
        let fault = |error: io::Error| FileFault::io("clear", &claims, &error);
        for claim in fs::read_dir(&claims).map_err(fault)? {
            let claim = claim.map_err(fault)?;
            let _guard = self.guard(&claim.file_name().to_string_lossy())?;
            if read_json::<Importer>(&claim.path())?.is_some_and(|by| by.session != session) {
                fs::remove_file(claim.path()).map_err(fault)?;
            }
        }
        Ok(())
    }

    /// Removes what this process did not finish. To be called at its end: who else holds the library by then, such as a
    /// thread of an attempt that was given up, may hold it for longer than the process lives.
    pub(crate) fn leave(&self) -> FileResult<()> {
        let tmp = self.seat.tmp.path();
        match fs::remove_dir_all(tmp) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileFault::io("clear", tmp, &error)),
            _ => Ok(()),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    // ---- claims: who imports which content

    /// Claims a content for an item. A claim of another session is void: that session is not running here. So is the one of
    /// `dead`. Once this returns `Granted`, the claim is durable.
    pub(crate) fn claim(&self, sha256: &str, by: &Importer, dead: Option<&Importer>) -> FileResult<Claim> {
        let _guard = self.guard(sha256)?;
        if let Some(entry) = self.entry(sha256)?
            && entry.by.item != by.item
            && self.has(&entry)
        {
            return Ok(Claim::Present(entry.path));
        }
        let path = self.claim_path(sha256);
        match read_json::<Importer>(&path)? {
            Some(present) if present == *by => {}
            Some(present) if present.session == by.session && Some(&present) != dead => {
                return Ok(Claim::Held(present));
            }
            _ => self.write_json(&path, by)?,
        }
        Ok(Claim::Granted)
    }

    /// Ends a claim: the catalogue tells from now on. A claim of somebody else is left alone.
    pub(crate) fn release(&self, sha256: &str, by: &Importer) -> FileResult<()> {
        let _guard = self.guard(sha256)?;
        let path = self.claim_path(sha256);
        if read_json::<Importer>(&path)?.as_ref() != Some(by) {
            return Ok(());
        }
        // Not made durable: should it come back after a power cut, the catalogue outranks it.
        fs::remove_file(&path).map_err(|error| FileFault::io("remove", &path, &error))
    }

    /// The lock of a content, against other items in this process and in others.
    fn guard(&self, sha256: &str) -> FileResult<File> {
        let digits = sha256.get(..LOCK_DIGITS).unwrap_or("other");
        locked(&self.root.join(".import/locks").join(digits))
    }

    /// The lock of a content that this item has claimed. Whoever was taken for dead and comes late has lost it to its
    /// successor, and does no harm any more.
    fn guard_claimed(&self, sha256: &str, by: &Importer) -> FileResult<File> {
        let guard = self.guard(sha256)?;
        let path = self.claim_path(sha256);
        if read_json::<Importer>(&path)?.as_ref() == Some(by) {
            return Ok(guard);
        }
        let why = format!("{} has no claim to this content any more", by.item);
        Err(FileFault::new("import", &path, why, "import again"))
    }

    fn claim_path(&self, sha256: &str) -> PathBuf {
        self.root.join(".import/claims").join(sha256)
    }

    // ---- the catalogue

    /// The entry of a content.
    pub(crate) fn entry(&self, sha256: &str) -> FileResult<Option<Entry>> {
        read_json(&self.entry_path(sha256))
    }

    /// Writes the entry of a content that its item has claimed, whole or not at all, durably.
    pub(crate) fn write_entry(&self, entry: &Entry) -> FileResult<()> {
        let _guard = self.guard_claimed(&entry.content.sha256, &entry.by)?;
        self.write_json(&self.entry_path(&entry.content.sha256), entry)
    }

    /// Takes an entry back whose copy turned out to be wrong.
    pub(crate) fn remove_entry(&self, sha256: &str) -> FileResult<()> {
        let path = self.entry_path(sha256);
        fs::remove_file(&path).map_err(|error| FileFault::io("remove", &path, &error))
    }

    /// Whether the copy that an entry speaks of is there, as far as its size tells.
    fn has(&self, entry: &Entry) -> bool {
        let copy = fs::symlink_metadata(self.root.join(entry.path.as_path()));
        copy.is_ok_and(|copy| copy.is_file() && copy.len() == entry.content.bytes)
    }

    fn entry_path(&self, sha256: &str) -> PathBuf {
        self.root.join("catalogue").join(format!("{sha256}.json"))
    }

    // ---- copies

    /// Copies a file whose content `by` has claimed into the library, under `name` or, where that is taken by another
    /// content, under `name` with a part of the hash. Returns the copy's path, relative to the library; it is whole and durable then. Nothing is ever
    /// overwritten, and a copy that is there already is not made again.
    pub(crate) fn place(
        &self,
        source: &Path,
        name: &Path,
        content: &Content,
        by: &Importer,
        alive: &Alive,
    ) -> FileResult<FilePath> {
        let file_name = name.file_name().unwrap_or(name.as_os_str());
        let digits = &content.sha256[..MARK_DIGITS.min(content.sha256.len())];
        let with_mark = name.with_file_name(marked(file_name, &format!("-{digits}")));
        let mut copy = None;
        for name in [name.to_owned(), with_mark] {
            let relative = Path::new("files").join(name);
            let target = self.root.join(&relative);
            if is_same(&target, content, alive)? {
                return Ok(FilePath::new(relative));
            }
            if fs::symlink_metadata(&target).is_ok() {
                continue;
            }
            let folder = target.parent().unwrap_or(&self.root);
            make_folders(folder)?;
            let whole = match copy.take() {
                Some(whole) => whole,
                None => self.copy(source, content, alive)?,
            };
            let _guard = self.guard_claimed(&content.sha256, by)?;
            match whole.persist_noclobber(&target) {
                Ok(_) => {
                    sync_folder(folder)?;
                    return Ok(FilePath::new(relative));
                }
                // Another item was quicker.
                Err(lost) if lost.error.kind() == io::ErrorKind::AlreadyExists => {
                    if is_same(&target, content, alive)? {
                        return Ok(FilePath::new(relative));
                    }
                    copy = Some(lost.file);
                }
                Err(lost) => return Err(FileFault::io("write", &target, &lost.error)),
            }
        }
        let why = "its name in the library is taken, with and without a part of its hash";
        Err(FileFault::new("import", source, why, "rename it, then import again"))
    }

    /// A durable copy without a name in the library yet.
    fn copy(&self, source: &Path, content: &Content, alive: &Alive) -> FileResult<NamedTempFile> {
        let mut from = content::open(source)?;
        let mut copy = self.unfinished()?;
        let place = copy.path().to_owned();
        let mut failed_write = None;
        let read = content::read_through(&mut from, alive, |chunk| {
            copy.as_file_mut().write_all(chunk).inspect_err(|error| {
                failed_write = Some(FileFault::io("write the copy of", source, error));
            })
        });
        if let Some(fault) = failed_write {
            return Err(fault);
        }
        let (bytes, sha256) = read.map_err(|error| FileFault::io("read", source, &error))?;
        if (bytes, &sha256) != (content.bytes, &content.sha256) {
            let why = "it changed while it was imported";
            return Err(FileFault::new("import", source, why, "import again once nobody writes to it"));
        }
        let wrote = |error: io::Error| FileFault::io("write the copy of", source, &error);
        if let Some(time) = content::modified(&from) {
            copy.as_file().set_modified(time).map_err(wrote)?;
        }
        copy.as_file().sync_all().map_err(|error| FileFault::io("sync", &place, &error))?;
        Ok(copy)
    }

    /// Reads a copy again and compares.
    pub(crate) fn is_intact(&self, path: &FilePath, content: &Content, alive: &Alive) -> FileResult<bool> {
        is_same(&self.root.join(path.as_path()), content, alive)
    }

    // ---- lists of sessions

    /// Writes the list of a session, whole or not at all, durably. Returns its path.
    pub(crate) fn write_list(&self, session: &str, text: &[u8]) -> FileResult<PathBuf> {
        let path = list_path(&self.root, session);
        self.write(&path, text)?;
        Ok(path)
    }

    /// Removes the list of a session, if there is one.
    pub(crate) fn remove_list(&self, session: &str) -> FileResult<()> {
        let path = list_path(&self.root, session);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FileFault::io("remove", &path, &error))
            }
            _ => Ok(()),
        }
    }

    // ---- writing

    fn unfinished(&self) -> FileResult<NamedTempFile> {
        let tmp = self.seat.tmp.path();
        // The usual rights of a new file; a temporary one would be private otherwise.
        let rights = fs::Permissions::from_mode(0o666);
        let made = tempfile::Builder::new().permissions(rights).tempfile_in(tmp);
        made.map_err(|error| FileFault::io("write to", tmp, &error))
    }

    fn write_json<T: Serialize>(&self, path: &Path, value: &T) -> FileResult<()> {
        let mut text = serde_json::to_vec_pretty(value)
            .map_err(|error| FileFault::new("write", path, error.to_string(), "report this"))?;
        text.push(b'\n');
        self.write(path, &text)
    }

    /// Writes a file whole or not at all, durably, in place of the one that is there.
    fn write(&self, path: &Path, text: &[u8]) -> FileResult<()> {
        let fault = |error: io::Error| FileFault::io("write", path, &error);
        let mut file = self.unfinished()?;
        file.as_file_mut().write_all(text).map_err(fault)?;
        file.as_file().sync_all().map_err(fault)?;
        file.persist(path).map_err(|lost| fault(lost.error))?;
        sync_folder(path.parent().unwrap_or(&self.root))
    }
}

/// Whether the list of a session is there: from its scan on, until people were told how the session ended. The library
/// need not be open.
pub(crate) fn has_list(root: &Path, session: &str) -> bool {
    list_path(root, session).exists()
}

fn list_path(root: &Path, session: &str) -> PathBuf {
    root.join(".import/lists").join(session)
}

/// Makes the file when it is not there, and locks it against everybody else until it is dropped.
fn locked(path: &Path) -> FileResult<File> {
    let open = File::options().create(true).truncate(false).write(true).open(path);
    let file = open.map_err(|error| FileFault::io("open", path, &error))?;
    file.lock().map_err(|error| FileFault::io("lock", path, &error))?;
    Ok(file)
}

/// Joins those who hold the lock for `party`; `None` when others hold it. To be called with the door held: a lock that is
/// let go to be shared could be taken in between.
fn join(path: &Path, party: &str) -> FileResult<Option<File>> {
    let fault = |error: io::Error| FileFault::io("lock", path, &error);
    let open = File::options().create(true).truncate(false).read(true).write(true).open(path);
    let mut file = open.map_err(|error| FileFault::io("open", path, &error))?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).and_then(|()| file.write_all(party.as_bytes())).map_err(fault)?;
            file.unlock().map_err(fault)?;
        }
        Err(TryLockError::WouldBlock) => {
            let mut present = Vec::new();
            file.read_to_end(&mut present).map_err(fault)?;
            if present != party.as_bytes() {
                return Ok(None);
            }
        }
        Err(TryLockError::Error(error)) => return Err(fault(error)),
    }
    file.lock_shared().map_err(fault)?;
    Ok(Some(file))
}

/// Removes the folders of dead processes, whose locks are free, and makes one for this process. To be called with the door
/// held: a folder that is not locked yet looks dead.
fn take_seat(tmp: &Path, lock: File) -> FileResult<Seat> {
    let fault = |error: io::Error| FileFault::io("clear", tmp, &error);
    for left in fs::read_dir(tmp).map_err(fault)? {
        let path = left.map_err(fault)?.path();
        match File::open(&path) {
            Ok(folder) => match folder.try_lock() {
                Ok(()) if path.is_dir() => fs::remove_dir_all(&path).map_err(fault)?,
                Ok(()) => fs::remove_file(&path).map_err(fault)?,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(fault(error)),
            },
            // Its process has ended in order just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fault(error)),
        }
    }
    let folder = TempDir::new_in(tmp).map_err(fault)?;
    let tmp_lock = File::open(folder.path()).map_err(fault)?;
    tmp_lock.try_lock().map_err(|error| fault(error.into()))?;
    Ok(Seat { tmp: folder, _tmp_lock: tmp_lock, _lock: lock })
}

/// Whether this file is there and holds this content.
fn is_same(path: &Path, content: &Content, alive: &Alive) -> FileResult<bool> {
    let Ok(present) = fs::symlink_metadata(path) else { return Ok(false) };
    if !present.is_file() || present.len() != content.bytes {
        return Ok(false);
    }
    let read = content::read_through(&mut content::open(path)?, alive, |_| Ok(()));
    let (_, sha256) = read.map_err(|error| FileFault::io("read", path, &error))?;
    Ok(sha256 == content.sha256)
}

/// The value in a file; `None` when there is no file, or nothing in it that can be read: it is written anew then.
fn read_json<T: DeserializeOwned>(path: &Path) -> FileResult<Option<T>> {
    match fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileFault::io("read", path, &error)),
    }
}

/// Makes a folder and those above it, durably.
fn make_folders(path: &Path) -> FileResult<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        make_folders(above)?;
    }
    match fs::create_dir(path) {
        Ok(()) => {}
        // Another item was quicker, or a file has that name.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(FileFault::io("make the folder", path, &error)),
    }
    sync_folder(path.parent().unwrap_or(path))
}

/// Makes the names in a folder durable.
fn sync_folder(path: &Path) -> FileResult<()> {
    // The folder of a relative path of one part is the working folder.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(|error| FileFault::io("sync the folder", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixture {
        folder: tempfile::TempDir,
        library: Library,
    }

    fn open(root: &Path, session: &str) -> Result<Library, Trouble> {
        Library::open(root, StoreId(uuid::Uuid::nil()), session)
    }

    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().expect("a folder");
        let library = open(&folder.path().join("library"), "s").expect("a library");
        Fixture { folder, library }
    }

    impl Fixture {
        fn file(&self, name: &str, text: &str) -> (PathBuf, Content) {
            let path = self.folder.path().join(name);
            fs::write(&path, text).expect("written");
            let content = content::examine(&path, &Alive::for_test()).expect("examined");
            (path, content)
        }
    }

    fn importer(session: &str, item: &str) -> Importer {
        Importer { session: session.to_owned(), item: item.to_owned() }
    }

    #[test]
    fn a_name_that_is_taken_by_another_content_gets_a_part_of_the_hash() {
        let it = fixture();
        let (first, one) = it.file("a.txt", "one");
        let (second, two) = it.file("b.txt", "two");
        let place = |source: &Path, content: &Content| {
            let by = importer("s", &content.sha256);
            it.library.claim(&content.sha256, &by, None).expect("claimed");
            let path = it.library.place(source, Path::new("x/n.txt"), content, &by, &Alive::for_test());
            path.expect("placed").to_string()
        };
        assert_eq!(place(&first, &one), "files/x/n.txt");
        assert_eq!(place(&first, &one), "files/x/n.txt", "again: nothing is copied twice");
        let marked = format!("files/x/n-{}.txt", &two.sha256[..8]);
        assert_eq!(place(&second, &two), marked);
        assert_eq!(place(&second, &two), marked, "again");
        assert_eq!(fs::read_to_string(it.library.root().join("files/x/n.txt")).expect("there"), "one");
        assert_eq!(fs::read_dir(it.library.root().join("files/x")).expect("there").count(), 2);
    }

    #[test]
    fn a_file_that_changed_since_it_was_examined_is_not_copied() {
        let it = fixture();
        let (path, content) = it.file("a.txt", "before");
        fs::write(&path, "after!").expect("written");
        let by = importer("s", "a");
        let placed = it.library.place(&path, Path::new("a.txt"), &content, &by, &Alive::for_test());
        let error = placed.expect_err("changed");
        assert!(error.to_string().contains("changed while it was imported"), "{error}");
        assert!(!it.library.root().join("files/a.txt").exists());
        assert_eq!(fs::read_dir(it.library.seat.tmp.path()).expect("there").count(), 0);
    }

    #[test]
    fn a_content_is_claimed_by_one_item_of_a_session() {
        let it = fixture();
        let (path, content) = it.file("a.txt", "one");
        let (a, b, other) = (importer("s", "a"), importer("s", "b"), importer("t", "c"));
        let claim = |by, dead| it.library.claim(&content.sha256, by, dead).expect("claimed");
        assert_eq!(claim(&other, None), Claim::Granted);
        assert_eq!(claim(&a, None), Claim::Granted, "the claim of a session that is not running is void");
        assert_eq!(claim(&a, None), Claim::Granted, "again, after a crash");
        assert_eq!(claim(&b, None), Claim::Held(a.clone()));
        assert_eq!(claim(&b, Some(&a)), Claim::Granted, "the other one has failed");
        // The one that was taken for dead comes late.
        let name = Path::new("a.txt");
        let late = it.library.place(&path, name, &content, &a, &Alive::for_test()).expect_err("late");
        assert!(late.to_string().contains("has no claim to this content any more"), "{late}");
        assert!(!it.library.root().join("files/a.txt").exists(), "it does nothing");
        let place = it.library.place(&path, name, &content, &b, &Alive::for_test()).expect("placed");
        let entry = Entry {
            path: place.clone(),
            content: content.clone(),
            source: FilePath::new(path),
            by: b.clone(),
        };
        it.library.write_entry(&entry).expect("written");
        it.library.release(&content.sha256, &b).expect("released");
        assert_eq!(claim(&a, None), Claim::Present(place));
        fs::remove_file(it.library.root().join("files/a.txt")).expect("removed");
        assert_eq!(claim(&a, None), Claim::Granted, "an entry without its copy does not count");
    }

    #[test]
    fn opening_clears_what_the_dead_left_and_is_for_the_processes_of_one_session() {
        let it = fixture();
        let root = it.library.root().to_owned();
        let dead = root.join(".import/tmp/dead");
        fs::create_dir(&dead).expect("made");
        fs::write(dead.join("copy"), "half").expect("written");
        let unfinished = it.library.unfinished().expect("begun");
        let refused = open(&root, "t").expect_err("it is open").to_string();
        assert!(refused.contains("in another session or with another store"), "{refused}");
        assert!(dead.exists(), "a refused opening touches nothing");
        let second = open(&root, "s").expect("the same session may");
        assert!(!dead.exists());
        assert!(unfinished.path().exists(), "what a living process writes is left alone");
        drop((unfinished, it.library));
        assert!(open(&root, "t").is_err(), "the second is still there");
        drop(second);
        fs::write(root.join(".import/claims/00aa"), r#"{"session": "s", "item": "late"}"#).expect("written");
        let third = open(&root, "t").expect("free again");
        assert_eq!(fs::read_dir(root.join(".import/claims")).expect("there").count(), 0, "a void claim");
        assert_eq!(fs::read_dir(root.join(".import/tmp")).expect("there").count(), 1, "its own folder alone");
        third.leave().expect("left");
        assert_eq!(
            fs::read_dir(root.join(".import/tmp")).expect("there").count(),
            0,
            "each takes its own away"
        );
    }
}
