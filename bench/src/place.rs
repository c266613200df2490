//! Where a measurement keeps its store.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use stepwell_contract::Backend;
use tempfile::TempDir;

use crate::Failure;
use crate::bare::{Committer, FileLog, RedisLists, Server, SledLog};

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    File,
    Sled,
    Redis,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Memory, Self::File, Self::Sled, Self::Redis];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::File => "file",
            Self::Sled => "sled",
            Self::Redis => "redis",
        }
    }

    /// Whether a store of it is there again after its process was killed, at once and without a server.
    pub(crate) fn is_embedded(self) -> bool {
        matches!(self, Self::File | Self::Sled)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| format!("no backend {text:?}: it is memory, file, sled or redis"))
    }
}

/// A place for one new store, gone with the value.
#[derive(Debug)]
pub(crate) struct Place {
    kind: Kind,
    folder: TempDir,
    server: Option<String>,
}

impl Place {
    /// A new place below `data`; a server at `redis` is emptied.
    pub(crate) fn new(kind: Kind, data: &Path, redis: Option<&str>) -> Result<Self, Failure> {
        std::fs::create_dir_all(data)?;
        let folder = tempfile::Builder::new().prefix(kind.as_str()).tempdir_in(data)?;
        let server = match (kind, redis) {
            (Kind::Redis, Some(url)) => {
                Server::at(url)?.empty()?;
                Some(url.to_owned())
            }
            (Kind::Redis, None) => return Err("redis needs --redis-url redis://HOST:PORT".into()),
            _ => None,
        };
        Ok(Self { kind, folder, server })
    }

    pub(crate) fn url(&self) -> String {
        match (&self.server, self.kind) {
            (Some(url), _) => url.clone(),
            (None, Kind::Memory) => "memory:".to_owned(),
            (None, kind) => format!("{kind}:{}", self.folder.path().join("store").display()),
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The URL of a copy of what is in the store now, closed or not; a server's store is not copied.
    pub(crate) fn copied(&self) -> Result<String, Failure> {
        if !self.kind.is_embedded() {
            return Ok(self.url());
        }
        let copy = self.folder.path().join("copy");
        copy_folder(&self.folder.path().join("store"), &copy)?;
        Ok(format!("{}:{}", self.kind, copy.display()))
    }

    pub(crate) async fn open(&self) -> Result<Arc<dyn Backend>, Failure> {
        Ok(stepwell_backends::open(&self.url()).await?)
    }

    /// The bare store of this kind; `None` for memory, which has none.
    pub(crate) fn bare(&self) -> Result<Option<Committer>, Failure> {
        Ok(match self.kind {
            Kind::Memory => None,
            Kind::File => Some(Committer::start(FileLog::create(&self.file("bare"))?)?),
            Kind::Sled => Some(Committer::start(SledLog::create(&self.file("bare"))?)?),
            Kind::Redis => Some(Committer::start(RedisLists::open(&self.url())?)?),
        })
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&from, &to)?;
        } else {
            std::fs::copy(from, to)?;
        }
    }
    // Stores refuse a folder that others may write to.
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())
}
