//! The sizes every backend accepts, and refuses beyond.
//!
//! They are part of the contract so that a run that fits one store fits them all.

/// Longest id of any kind, in bytes.
pub const ID_BYTES_MAX: usize = 128;
/// Longest payload of one record or message, in bytes of JSON text.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Longest summary in a head, in bytes of JSON text.
pub const SUMMARY_BYTES_MAX: usize = 4 << 10;
/// Most payload bytes in one batch, records and messages together.
pub const BATCH_BYTES_MAX: usize = 4 << 20;
/// Most records, messages posted and messages taken in one batch, each.
pub const BATCH_ITEMS_MAX: usize = 10_000;
/// Most tags of one run.
pub const TAGS_MAX: usize = 32;
/// Longest tag value, in bytes.
pub const TAG_BYTES_MAX: usize = 256;
/// Most items in one page of a journal, an inbox or a scan. A larger `limit` is read as this.
pub const PAGE_ITEMS_MAX: usize = 1_000;
/// Most runs one claim can take. A larger `limit` is read as this.
pub const CLAIM_RUNS_MAX: usize = 1_000;
