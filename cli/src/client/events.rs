//! Streams of events (`text/event-stream`), read line by line.

use std::fmt;

use axum::body::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;

use crate::failure::Failure;

/// Longest line, in bytes: what is longer is no event of this server.
const LINE_BYTES_MAX: usize = 8 << 20;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// What it is.
    pub(crate) kind: String,
    /// Its place in the stream; a later stream goes on after it.
    pub(crate) id: Option<String>,
    /// What it says.
    pub(crate) data: String,
}

/// Events as they come.
pub(crate) struct Events {
    stream: BoxStream<'static, Result<Bytes, Failure>>,
    lines: Lines,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl Events {
    pub(super) fn of(stream: BoxStream<'static, Result<Bytes, Failure>>) -> Self {
        Self { stream, lines: Lines::default() }
    }

    /// The next event; `None` when the stream has ended. What broke the stream is an error: follow it again from the last id.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            if let Some(event) = self.lines.take() {
                return Ok(Some(event));
            }
            match self.stream.next().await {
                Some(chunk) => self.lines.feed(&chunk?)?,
                None => return Ok(None),
            }
        }
    }
}

/// What has come and is not yet an event.
#[derive(Debug, Default)]
struct Lines {
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    done: std::collections::VecDeque<Event>,
}

impl Lines {
    fn take(&mut self) -> Option<Event> {
        self.done.pop_front()
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    self.line_ended(&String::from_utf8_lossy(&line));
                }
                b'\r' => {}
                byte => self.line.push(*byte),
            }
        }
        if self.line.len() > LINE_BYTES_MAX {
            return Err(Failure::Foreign("a line of the stream of events has no end".to_owned()));
        }
        Ok(())
    }

    fn line_ended(&mut self, line: &str) {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                self.done.push_back(event);
            }
            return;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event.kind),
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(value);
            }
            // A comment keeps the connection open; other fields mean nothing here.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_the_bytes_are_cut() {
        let text = ": still here\n\nevent: record\nid: 7\ndata: {\"a\":\ndata: 1}\n\nevent: end\r\ndata\r\n\r\ndata: half";
        for size in [1, 3, 7, text.len()] {
            let mut lines = Lines::default();
            for chunk in text.as_bytes().chunks(size) {
                assert!(lines.feed(chunk).is_ok());
            }
            let record = Event { kind: "record".into(), id: Some("7".into()), data: "{\"a\":\n1}".into() };
            assert_eq!(lines.take(), Some(record), "cut to {size}");
            assert_eq!(lines.take().map(|event| event.kind).as_deref(), Some("end"));
            assert_eq!(lines.take(), None);
        }
    }
}
