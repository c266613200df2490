//! Input sent to a run from outside, kept in its inbox until the run takes it.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::key::MessageId;
use crate::record::{Kind, Payload};

/// A signal or a control word as stored. Delivered at most once per id and run, also after it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Names it within its run; posting the same id again has no effect.
    pub id: MessageId,
    /// What sort of message it is.
    pub kind: Kind,
    /// When it was posted, by the sender's clock. Order in the inbox is the order of posting, not this.
    pub at: Timestamp,
    /// CRC-32 of the payload text.
    pub crc: u32,
    /// What it says.
    #[serde(rename = "data")]
    pub payload: Payload,
}

impl Message {
    /// A message with the checksum of its payload.
    #[must_use]
    pub fn new(id: MessageId, kind: Kind, at: Timestamp, payload: Payload) -> Self {
        Self { id, kind, at, crc: payload.checksum(), payload }
    }
}
