//! How a head is stored: one line that the scripts read and rewrite, and the head's JSON, which they never look into.
//!
//! ```text
//! M STANDS ENDS TTL WAKE VERSION FENCE NEXT_SEQ STATUS ORDER LANE WORKER ⏎ JSON
//! ```
//!
//! with no space after `M`: `m` when the inbox is not empty, else `-`; `STANDS`, sixteen characters, from when on
//! the run stands among the due ones; `~` for what there is not. Where line and JSON differ, the line is right: a claim
//! rewrites it alone.

use stepwell_contract::{Fence, Head, Lease, Seq, Timestamp, Version, WorkerId};

use crate::layout;

/// What there is not.
pub(crate) const NONE: &str = "~";

/// A stored head and what goes with it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) head: Head,
    pub(crate) has_mail: bool,
}

/// The part of the line that changes seldom: what the index sets are made of.
pub(crate) fn place(head: &Head) -> String {
    let worker = head.lease.as_ref().map_or(NONE, |lease| lease.worker.as_str());
    format!("{} {} {} {worker}", head.status, layout::order(head), layout::lane(head))
}

/// Takes a stored head apart.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn decode(stored: &[u8]) -> Result<Stored, String> {
    let text = std::str::from_utf8(stored).map_err(|error| error.to_string())?;
    let (line, json) = text.split_once('\n').ok_or("it has no second line")?;
    let mut head: Head = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let has_mail = line.starts_with('m');
    let mut fields = line.split(' ');
    let mut field = |name: &str| fields.next().ok_or_else(|| format!("its line has no {name}"));
    field("place")?;
    let (ends, ttl) = (field("lease")?, field("ttl")?);
    let _wake = field("wake")?;
    head.version = field("version")?.parse::<Version>()?;
    head.fence = Fence(number("fence", field("fence")?)?);
    let (_next, _status, _order, _lane) = (field("next")?, field("status")?, field("order")?, field("lane")?);
    let worker = field("worker")?;
    head.lease = if worker == NONE {
        None
    } else {
        Some(Lease {
            worker: WorkerId::new(worker).map_err(|error| error.to_string())?,
            ttl_ms: number("ttl", ttl)?,
            expires_at: Timestamp(number("lease", ends)?),
        })
    };
    Ok(Stored { head, has_mail })
}

/// So many bytes of a stored head hold all of its line up to `NEXT_SEQ`.
pub(crate) const LINE_BYTES: usize = 256;

/// The record that comes next, read from the first [`LINE_BYTES`] of a stored head.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn next_seq(stored: &[u8]) -> Result<Seq, String> {
    let field = stored.split(|byte| *byte == b' ').nth(6).and_then(|field| std::str::from_utf8(field).ok());
    Ok(Seq(number("next", field.ok_or("its line has no next")?)?))
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("its {name} {text:?} is no number"))
}
