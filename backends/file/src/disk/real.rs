//! The folder of a store on a real file system. Links are never followed.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, Dir, FallocateFlags, Mode, OFlags, fadvise, fallocate, fstat, mkdirat, openat, renameat, statat,
    unlinkat,
};
use rustix::io::Errno;

use crate::disk::{Disk, DiskFile};

const JOURNAL: &str = "journal";

/// The store's folder and the journal's folder within, held open: nobody can swap them under us.
#[derive(Debug)]
pub(crate) struct RealDisk {
    path: PathBuf,
    root: OwnedFd,
    journal: OwnedFd,
}

impl RealDisk {
    /// Opens the folder, and makes it first (mode 0700) if it is not there. Makes nothing else.
    pub(crate) fn folder(path: &Path) -> io::Result<OwnedFd> {
        match open_folder(rustix::fs::CWD, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        if let Some(parent) = path.parent()
            && !parent.as_os_str().is_empty()
        {
            std::fs::create_dir_all(parent)?;
        }
        make_folder(rustix::fs::CWD, path)?;
        open_folder(rustix::fs::CWD, path)
    }

    /// Takes an open folder whose lock is held.
    pub(crate) fn within(path: &Path, root: OwnedFd) -> io::Result<Self> {
        make_folder(&root, Path::new(JOURNAL))?;
        let journal = open_folder(&root, Path::new(JOURNAL))?;
        rustix::fs::fsync(&root)?;
        Ok(Self { path: path.to_owned(), root, journal })
    }

    fn place<'a>(&self, name: &'a str) -> (&OwnedFd, &'a str) {
        match name.split_once('/') {
            Some((_, inner)) => (&self.journal, inner),
            None => (&self.root, name),
        }
    }

    fn file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let (folder, name) = self.place(name);
        open_file(folder, name, flags)
    }
}

fn make_folder(at: impl std::os::fd::AsFd, path: &Path) -> io::Result<()> {
    match mkdirat(at, path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn open_folder(at: impl std::os::fd::AsFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(&at, path, flags, Mode::empty()) {
        Ok(folder) => Ok(folder),
        Err(Errno::NOTDIR | Errno::LOOP) => {
            let is_link = statat(&at, path, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink());
            let why = if is_link { "is a symbolic link, which is not followed" } else { "is not a folder" };
            Err(io::Error::other(format!("{} {why}", path.display())))
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens a plain file in `folder`: never a link, a pipe or a device, and never one that has a second name.
pub(crate) fn open_file(folder: &OwnedFd, name: &str, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = openat(folder, name, flags, Mode::RUSR | Mode::WUSR).map_err(|error| match error {
        Errno::LOOP => io::Error::other(format!("{name} is a symbolic link, which is not followed")),
        error => error.into(),
    })?;
    let stat = fstat(&fd)?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() || stat.st_nlink > 1 {
        return Err(io::Error::other(format!("{name} is not a plain file with one name")));
    }
    Ok(File::from(fd))
}

impl Disk for RealDisk {
    fn list_journal(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.journal)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(self.file(name, OFlags::CREATE | OFlags::EXCL)?)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(self.file(name, OFlags::empty())?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (folder, from) = self.place(from);
        Ok(renameat(folder, from, folder, self.place(to).1)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let (folder, name) = self.place(name);
        Ok(unlinkat(folder, name, AtFlags::empty())?)
    }

    fn sync_folder(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::fsync(self.place(name).0)?)
    }

    fn open_index(
        &self,
        name: &str,
        settings: &redb::Builder,
    ) -> Result<redb::Database, redb::DatabaseError> {
        let file = self.file(name, OFlags::CREATE).map_err(redb::StorageError::Io)?;
        settings.create_with_backend(redb::backends::FileBackend::new(file)?)
    }

    fn describe(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        match fallocate(&self.0, FallocateFlags::KEEP_SIZE, offset, len) {
            Err(Errno::OPNOTSUPP) => Ok(()),
            done => Ok(done?),
        }
    }

    fn forget_cache(&self) -> io::Result<()> {
        Ok(fadvise(&self.0, 0, None, rustix::fs::Advice::DontNeed)?)
    }
}
