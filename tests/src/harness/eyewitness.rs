//! Who sees everything that happens to the names in some folders: the kernel tells, whatever the processes at work say or die
//! of.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::Error;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
use rustix::io::Errno;

/// Watches folders, not what is below them.
#[derive(Debug)]
pub struct Eyewitness {
    kernel: OwnedFd,
    folders: HashMap<i32, PathBuf>,
    arrivals: HashMap<PathBuf, u64>,
    wrong: Vec<String>,
}

impl Eyewitness {
    /// Watches these folders from now on.
    ///
    /// # Errors
    /// When the kernel does not take it.
    pub fn of(folders: &[PathBuf]) -> Result<Self, Error> {
        let kernel = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let what = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE
            | WatchFlags::MODIFY;
        let mut watched = HashMap::new();
        for folder in folders {
            watched.insert(add_watch(&kernel, folder, what)?, folder.clone());
        }
        Ok(Self { kernel, folders: watched, arrivals: HashMap::new(), wrong: Vec::new() })
    }

    /// Takes down what has happened since the last look. Returns how many names have come in all.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn look(&mut self) -> Result<u64, Error> {
        let mut room = [MaybeUninit::uninit(); 16 << 10];
        let mut reader = Reader::new(&self.kernel, &mut room);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(self.arrivals.values().sum()),
                Err(error) => return Err(error.into()),
            };
            let folder = self.folders.get(&event.wd()).map_or(Path::new("?"), PathBuf::as_path);
            let name = event.file_name().map_or(OsStr::new(""), |name| OsStr::from_bytes(name.to_bytes()));
            let path = folder.join(name);
            if event.events().intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
                *self.arrivals.entry(path).or_default() += 1;
            } else {
                self.wrong.push(format!("{path:?} was touched again: {:?}", event.events()));
            }
        }
    }

    /// How often this name has come.
    #[must_use]
    pub fn arrivals_of(&self, path: &Path) -> u64 {
        self.arrivals.get(path).copied().unwrap_or(0)
    }

    /// What else happened to names and to the files that have them, wrong where nothing is ever replaced. Told once.
    pub fn take_wrong(&mut self) -> Vec<String> {
        std::mem::take(&mut self.wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_goes_or_is_written_to_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut eyewitness = Eyewitness::of(&[folder.path().to_owned()]).expect("it watches");
        let (once, twice) = (folder.path().join("once"), folder.path().join("twice"));
        for path in [&once, &twice] {
            std::fs::File::create(path).expect("made");
        }
        assert_eq!(eyewitness.look().expect("told"), 2);
        assert_eq!(eyewitness.take_wrong(), Vec::<String>::new());
        std::fs::remove_file(&twice).expect("removed");
        std::fs::File::create(&twice).expect("made again");
        std::fs::write(&once, "written to").expect("written");
        eyewitness.look().expect("told");
        let wrong = eyewitness.take_wrong().join("\n");
        for what in ["DELETE", "MODIFY"] {
            assert!(wrong.contains(what), "{what}: {wrong}");
        }
        assert_eq!((eyewitness.arrivals_of(&once), eyewitness.arrivals_of(&twice)), (1, 2));
    }
}
