//! Events as they go over the wire: made once, however many are told of them.

use std::time::Duration;

use axum::body::Bytes;
use serde::Serialize;

/// What a stream begins with: after so long a browser that lost it asks again.
pub(crate) fn beginning(retry: Duration) -> Bytes {
    format!("retry: {}\n: stepwell\n\n", retry.as_millis()).into()
}

/// A line that is no event.
pub(crate) const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");

/// An event with a view as JSON, which has no line breaks.
pub(crate) fn event(name: &str, view: &impl Serialize) -> Bytes {
    with_id(name, view, None)
}

/// The same with an id, if there is one.
pub(crate) fn with_id(name: &str, view: &impl Serialize, id: Option<u64>) -> Bytes {
    // Views are plain data: nothing in them has no JSON form.
    let data = serde_json::to_string(view).unwrap_or_default();
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n{id}\n").into()
}

/// Some events after each other; nothing when there are none.
pub(crate) fn joined<'a>(frames: impl Iterator<Item = &'a Bytes> + Clone) -> Option<Bytes> {
    let mut some = frames.clone();
    let first = some.next()?;
    if some.next().is_none() {
        return Some(first.clone());
    }
    let mut whole = Vec::with_capacity(frames.clone().map(Bytes::len).sum());
    frames.for_each(|frame| whole.extend_from_slice(frame));
    Some(whole.into())
}
