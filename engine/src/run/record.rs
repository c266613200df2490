//! Events as the records of a journal.

use stepwell_contract::{Kind, PayloadError, Record, Seq, Timestamp};

use crate::run::event::{EVENT_FORMAT, Event};

impl Event {
    /// The event as the record at `seq`.
    ///
    /// # Errors
    /// [`PayloadError::TooLarge`] when it is over the limit of one record.
    pub fn record(&self, seq: Seq, at: Timestamp) -> Result<Record, PayloadError> {
        Ok(Record::new(seq, Kind::of(self.kind()), at, EVENT_FORMAT, self.payload()?))
    }
}

/// Why a record cannot be acted on.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// It is of a kind that this engine does not know: written by a newer one.
    #[error(
        "record {seq} is of kind {kind:?}, which this version does not know: run a worker of the version that wrote it"
    )]
    Unknown {
        /// Its place.
        seq: Seq,
        /// Its kind.
        kind: String,
    },
    /// It is of a newer form: written by a newer engine.
    #[error(
        "record {seq} has form {format}, newer than this version reads: run a worker of the version that wrote it"
    )]
    Newer {
        /// Its place.
        seq: Seq,
        /// Its form.
        format: u16,
    },
    /// It is damaged or not what its kind says.
    #[error("record {seq} cannot be read: {source}")]
    Unreadable {
        /// Its place.
        seq: Seq,
        /// What is wrong.
        source: PayloadError,
    },
}

#[cfg(test)]
mod tests {
    use stepwell_contract::{Name, Payload};

    use super::*;
    use crate::run::event::StepSucceeded;
    use crate::run::place::Place;

    #[test]
    fn an_output_whose_form_is_the_first_says_nothing_of_versions() {
        let place = Place::of(Name::new("total").expect("a name"));
        let stored = |version| {
            let (place, output) = (place.clone(), Payload::null());
            let event: Event = StepSucceeded { place, attempt: 1, output, version, elapsed_ms: 2 }.into();
            let record = event.record(Seq(3), Timestamp(7)).expect("a record");
            assert_eq!(Event::read(&record).expect("readable"), event);
            record.payload.text().to_owned()
        };
        assert_eq!(stored(1), r#"{"step":"total","attempt":1,"output":null,"ms":2}"#);
        assert_eq!(stored(2), r#"{"step":"total","attempt":1,"output":null,"version":2,"ms":2}"#);
    }
}
