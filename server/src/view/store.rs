//! The store, as it is shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stepwell::contract::{Health, StoreInfo};
use utoipa::ToSchema;

use crate::view::{Time, time};

/// What the store says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Store {
    /// Which store it is: the same at every opening.
    pub id: String,
    /// The kind of backend.
    #[schema(example = "file")]
    pub backend: String,
    /// What an acknowledged write survives: `D0` nothing, `D1` the death of the process, `D2` a power cut, `D3` the loss of the
    /// host.
    #[schema(example = "D2")]
    pub durability: String,
    /// The same in words.
    pub survives: String,
    /// Whether one process owns it while it is open.
    pub exclusive: bool,
    /// Its clock.
    pub now: Time,
    /// Whether it can be used.
    pub health: StoreHealth,
    /// Facts for people, by name; none for a caller of one tenant.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
}

/// Whether the store can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreHealth {
    /// Which of the three.
    pub state: StoreState,
    /// Why it is not `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Whether the store can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreState {
    /// It can.
    Ok,
    /// It can, with a warning.
    Degraded,
    /// It can be read, and is not written before the process was started again.
    Poisoned,
    /// It does not answer.
    Unreachable,
}

impl StoreHealth {
    /// What the store says of it.
    #[must_use]
    pub fn of(health: Health) -> Self {
        match health {
            Health::Ok => Self { state: StoreState::Ok, why: None },
            Health::Degraded(why) => Self { state: StoreState::Degraded, why: Some(why) },
            Health::Poisoned(why) => Self { state: StoreState::Poisoned, why: Some(why) },
        }
    }
}

impl Store {
    /// The view of what the store says of itself.
    #[must_use]
    pub fn of(info: StoreInfo) -> Self {
        Self {
            id: info.id.to_string(),
            backend: info.backend,
            durability: format!("{:?}", info.durability),
            survives: info.durability.to_string(),
            exclusive: info.exclusive,
            now: time(info.now),
            health: StoreHealth::of(info.health),
            facts: info.facts,
        }
    }
}
