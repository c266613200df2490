//! A worker that went away, and what it left behind.

use serde::{Deserialize, Serialize};
use stepwell_contract::Timestamp;

/// What a worker says of itself with every renewal of its lease.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Heartbeat {
    /// When.
    pub at: Timestamp,
    /// Memory of its process, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rss_bytes: Option<u64>,
    /// Memory that it may hold, in bytes: the limit of its control group, or what the machine has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
    /// Processor use since the heartbeat before, in percent of one core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    /// Open files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// How many may be open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files_max: Option<u64>,
    /// How often the kernel had killed in its control group for want of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_kills: Option<u64>,
}

/// How a process ended, where somebody saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// With this exit code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

/// A worker that went away. What nobody could find out is missing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LostWorker {
    /// Its id.
    pub worker: String,
    /// The host it ran on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The last thing it said of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Heartbeat>,
    /// How often the kernel has killed in the same control group for want of memory, as counted afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_kills_after: Option<u64>,
    /// Whether it left the mark of a clean exit; `None` when nobody could look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clean_exit: Option<bool>,
    /// How its process ended, where somebody saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// Whether its process is still there; only another process of the same host can know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_alive: Option<bool>,
    /// Whether its host answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_answers: Option<bool>,
    /// Whether its host was started anew since its last heartbeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_restarted: Option<bool>,
}
