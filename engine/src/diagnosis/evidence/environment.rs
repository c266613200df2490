//! What was found out about the surroundings of a failure, at the moment of it.

use serde::{Deserialize, Serialize};

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link that leads nowhere.
    BrokenLink,
    /// Anything else, such as a device or a socket.
    Other,
}

/// A path that exists, and who may do what with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathState {
    /// The path.
    pub path: String,
    /// What it leads to.
    pub kind: FileKind,
    /// Its permission bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// The user that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<u32>,
    /// The group that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// Whether this process may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readable: Option<bool>,
    /// Whether this process may write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writable: Option<bool>,
    /// Whether this process may execute it, or pass through a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<bool>,
}

/// Where a step wanted to connect to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// The host, as named.
    pub host: String,
    /// The port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

/// How an endpoint answers now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointAnswer {
    /// It takes connections.
    Accepts,
    /// It refuses them: the host is there, nothing listens.
    Refuses,
    /// It does not answer in time.
    TimesOut,
    /// No way leads there.
    Unreachable,
    /// Its name is not known.
    DoesNotResolve,
}

/// One thing that was found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum EnvironmentFact {
    /// The room on the disk that a path is on.
    Space {
        /// The path.
        path: String,
        /// Bytes that this process may still use.
        free_bytes: u64,
        /// All of its bytes.
        total_bytes: u64,
        /// Files that may still be made; `None` where the file system has no such limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        free_inodes: Option<u64>,
    },
    /// A path that the error named, or that holds it.
    Path {
        /// The path that the error named.
        path: String,
        /// What is there; `None` when nothing is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        found: Option<PathState>,
        /// The nearest folder above it that is there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<PathState>,
        /// The user that this process runs as.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
        /// Names beside the missing one that are like it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        similar: Vec<String>,
    },
    /// A path is on a file system that is mounted for reading only.
    ReadOnlyMount {
        /// The path.
        path: String,
        /// Where the file system is mounted.
        mount: String,
    },
    /// How long a path and its longest name are.
    NameLength {
        /// The path, shortened.
        path: String,
        /// Bytes of its longest name.
        name_bytes: u64,
        /// Bytes that a name may have there.
        name_bytes_max: u64,
        /// Bytes of the whole path.
        path_bytes: u64,
        /// Bytes that a path may have.
        path_bytes_max: u64,
    },
    /// The open files of this process.
    OpenFiles {
        /// How many are open.
        count: u64,
        /// How many may be open.
        limit: u64,
    },
    /// An endpoint that the error named was tried.
    Endpoint {
        /// Which.
        #[serde(flatten)]
        endpoint: Endpoint,
        /// How it answered.
        answer: EndpointAnswer,
        /// After how long, in milliseconds.
        after_ms: u64,
    },
    /// How far this machine's clock is ahead of the store's, in milliseconds; negative when it is behind.
    ClockOffset {
        /// How far.
        offset_ms: i64,
    },
    /// The time of day jumped while the run was under way, as seen beside a clock that nobody sets.
    ClockJump {
        /// How far, in milliseconds; negative when it went back.
        by_ms: i64,
    },
    /// A variable of the environment that the error named.
    Variable {
        /// Its name. The value is never kept.
        name: String,
        /// Whether it is set.
        set: bool,
    },
    /// A file of settings that the program or the error named.
    ConfigFile {
        /// Its path.
        path: String,
        /// Whether it is there.
        exists: bool,
    },
    /// The limits of the control group that this process is in.
    Cgroup {
        /// Bytes of memory it may hold.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        memory_max_bytes: Option<u64>,
        /// Bytes it holds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        memory_bytes: Option<u64>,
        /// How often the kernel killed a process in it for want of memory.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        oom_kills: Option<u64>,
    },
    /// Something that a newer engine found out.
    #[serde(other)]
    Newer,
}
