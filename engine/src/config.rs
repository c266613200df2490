//! The settings of an engine: typed, with their defaults. Reading them from a file or the environment is the
//! program's business.

use stepwell_contract::{Name, WorkerId};

use crate::workflow::policy::StepPolicy;

/// The settings of an engine.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The name of this worker; drawn at random by default. Must differ between processes.
    pub worker: Option<WorkerId>,
    /// The queues that it takes runs from; empty for all.
    pub queues: Vec<Name>,
    /// How many runs it advances at once. Default 256.
    pub concurrency: usize,
    /// Threads for steps. Blocked ones are replaced on top of these. Default: one for each core.
    pub threads: usize,
    /// How long a lease lasts without being renewed, in milliseconds: after that another worker takes the run of a dead
    /// one. Default 15 s.
    pub lease_ms: u64,
    /// How often it asks a shared store for due runs at the least, in milliseconds. Default 500 ms.
    pub poll_ms: u64,
    /// How long running attempts may go on after a shutdown began, in milliseconds. Default 30 s.
    pub shutdown_grace_ms: u64,
    /// How long an attempt may go on after it was told to stop, in milliseconds. Default 2 s.
    pub stop_grace_ms: u64,
    /// How long a failing write is tried again before whoever waits for it is told, in milliseconds. Default 60 s.
    pub commit_patience_ms: u64,
    /// How often a worker tells in the store that it is there and how it does, in milliseconds: see
    /// [`Engine::workers`](crate::Engine::workers). One that has not told for three times as long counts as gone. 0: it never tells,
    /// is not listed, what became of it when it is lost is not known, and engines without its workflows do not learn of them
    /// ([`Engine::outlines`](crate::Engine::outlines)). Default 10 s.
    pub heartbeat_ms: u64,
    /// Whether the engine looks at the surroundings of an attempt that has failed: the paths and endpoints that its error names,
    /// its disk, open files and memory; of one that was lost, whether the worker's host answers. Connects to those endpoints and
    /// that host, without sending anything. Default `true`.
    pub probes: bool,
    /// The limits of steps that neither they nor their workflow set.
    pub step: StepPolicy,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            worker: None,
            queues: Vec::new(),
            concurrency: 256,
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            lease_ms: 15_000,
            poll_ms: 500,
            shutdown_grace_ms: 30_000,
            stop_grace_ms: 2_000,
            commit_patience_ms: 60_000,
            heartbeat_ms: 10_000,
            probes: true,
            step: StepPolicy::default(),
        }
    }
}
