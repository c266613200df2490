//! What a store says of itself.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;

/// Which store this is: drawn when it was made, the same at every opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoreId(pub Uuid);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Durability {
    /// Nothing.
    D0,
    /// The death of the process.
    D1,
    /// A power cut of the host, on a disk that keeps what it says it has synced.
    D2,
    /// The loss of the host.
    D3,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::D0 => "D0 (nothing survives)",
            Self::D1 => "D1 (survives process death)",
            Self::D2 => "D2 (survives a power cut)",
            Self::D3 => "D3 (survives loss of the host)",
        };
        f.pad(words)
    }
}

/// Whether the store can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "why", rename_all = "snake_case")]
pub enum Health {
    /// It can.
    Ok,
    /// It can, with a warning.
    Degraded(String),
    /// It can be read; it will not be written before it is reopened.
    Poisoned(String),
}

/// What a store says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreInfo {
    /// Which store it is.
    pub id: StoreId,
    /// The kind of backend: `file`, `redis`, ….
    pub backend: String,
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// Whether one process owns it while it is open. Such a store ends every lease when it is opened.
    pub exclusive: bool,
    /// Whether commits that are called at the same time become durable together. While few runs write, the engine then
    /// calls `commit` for each by itself; otherwise it gathers their batches, so that many share a call.
    pub gathers: bool,
    /// The store's clock, by which leases end and runs become due.
    pub now: Timestamp,
    /// Whether it can be used.
    pub health: Health,
    /// Facts for people, by name: location (without secrets), sizes, settings.
    pub facts: BTreeMap<String, String>,
}
