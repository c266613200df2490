//! What a line of the journal says.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use stepwell_contract::{Batch, Head, Message, MessageId, Record, RunKey, Seq, StoreId, Timestamp};

use crate::line;

/// The version of the form of all files. A store of a later one is refused.
pub(crate) const FORMAT: u32 = 1;

/// The first line of each segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) format: u32,
    pub(crate) store: StoreId,
    pub(crate) segment: u32,
    pub(crate) generation: u32,
}

#[derive(Serialize)]
struct BatchBody<'a> {
    // The head carries the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a RunKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<&'a Head>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    append: &'a [Record],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    post: &'a [Message],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    take: &'a [MessageId],
}

/// Appends the line of a batch, unsealed.
pub(crate) fn write_batch(buffer: &mut Vec<u8>, batch: &Batch, head: Option<&Head>) {
    let key = if head.is_none() { Some(&batch.key) } else { None };
    let body = BatchBody { key, head, append: &batch.append, post: &batch.post, take: &batch.take };
    write(buffer, &body);
}

/// Appends the line of a head that changed alone, unsealed.
pub(crate) fn write_head(buffer: &mut Vec<u8>, head: &Head) {
    write(buffer, &BatchBody { key: None, head: Some(head), append: &[], post: &[], take: &[] });
}

#[derive(Serialize)]
struct RemovalBody<'a> {
    remove: &'a [RunKey],
}

/// Appends the line that says that these runs were removed, unsealed.
pub(crate) fn write_removal(buffer: &mut Vec<u8>, keys: &[RunKey]) {
    write(buffer, &RemovalBody { remove: keys });
}

#[derive(Serialize)]
struct ClosedBody {
    closed: Timestamp,
}

/// Appends the line that says that everything before it was synced and the store closed, unsealed.
pub(crate) fn write_closed(buffer: &mut Vec<u8>, now: Timestamp) {
    write(buffer, &ClosedBody { closed: now });
}

/// Appends any object as a line, unsealed.
pub(crate) fn write(buffer: &mut Vec<u8>, body: &impl Serialize) {
    let start = buffer.len();
    line::begin(buffer);
    serde_json::to_writer(&mut *buffer, body).expect("ids, numbers and raw JSON always have a JSON form");
    line::end(buffer, start);
}

/// A line as recovery needs it: everything but the payloads.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Entry {
    pub(crate) key: Option<RunKey>,
    pub(crate) head: Option<Head>,
    pub(crate) append: Vec<RecordMark>,
    pub(crate) post: Vec<MessageMark>,
    pub(crate) take: Vec<MessageId>,
    pub(crate) remove: Vec<RunKey>,
    pub(crate) closed: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RecordMark {
    pub(crate) seq: Seq,
}

#[derive(Debug, Deserialize)]
pub(crate) struct MessageMark {
    pub(crate) id: MessageId,
}

impl Entry {
    /// Whose line it is; `None` when it is not the line of one run.
    pub(crate) fn run(&self) -> Option<&RunKey> {
        self.head.as_ref().map(|head| &head.key).or(self.key.as_ref())
    }
}

/// A line as a reader of records and messages needs it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Content {
    key: Option<RunKey>,
    head: Option<HeadMark>,
    pub(crate) append: Vec<Record>,
    pub(crate) post: Vec<Message>,
}

#[derive(Debug, Deserialize)]
struct HeadMark {
    key: RunKey,
}

impl Content {
    /// Whose line it is.
    pub(crate) fn run(&self) -> Option<&RunKey> {
        self.head.as_ref().map(|head| &head.key).or(self.key.as_ref())
    }
}
