//! What a page showed of a run before something is asked of it: its form carries that, and what is asked rests on it.

use serde::Serialize;
use stepwell::contract::{Seq, Status};
use stepwell::{Preview, Verb};

use crate::access::token::SecretHash;

/// Characters of a digest.
const DIGEST_CHARS: usize = 16;

/// What a page showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The last record of the run.
    seq: Seq,
    /// Stands for what would be done.
    digest: String,
}

/// What may be asked of a run by whoever has seen that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resting {
    /// Only if it has recorded nothing behind this.
    On(Seq),
    /// Whatever it records meanwhile: it runs, and is to stop.
    Anything,
}

impl Seen {
    /// What a page shows that tells what would be done, about this step.
    pub(crate) fn of(preview: &Preview, step: &str) -> Self {
        let digest = match stops(preview) {
            true => digest(&(preview.verb, preview.status)),
            false => digest(&(step, Preview { seen: Seq::FIRST, ..preview.clone() })),
        };
        Self { seq: preview.seen, digest }
    }

    /// As a form says it; `None` where it shows nothing.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (seq, digest) = text.split_once('.')?;
        Some(Self { seq: Seq(seq.parse().ok()?), digest: digest.to_owned() })
    }

    /// Whether what a page showed is what is there now. A run at rest must not have moved at all; one that runs records what it does
    /// all the time, and may have as long as the same would be done.
    pub(crate) fn holds(&self, now: &Preview, step: &str) -> Option<Resting> {
        let is_same = *self == Self { seq: self.seq, ..Self::of(now, step) };
        match now.status == Status::Running {
            _ if !is_same => None,
            true if stops(now) => Some(Resting::Anything),
            true => Some(Resting::On(now.seen)),
            false => (self.seq == now.seen).then_some(Resting::On(now.seen)),
        }
    }

    /// Whether the run has recorded something since.
    pub(crate) fn is_behind(&self, now: &Preview) -> bool {
        self.seq < now.seen
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.seq.0, self.digest)
    }
}

/// Whether it stops a run that runs: what exactly it is at by then is no matter.
fn stops(preview: &Preview) -> bool {
    let verbs = [Verb::Pause, Verb::Interrupt, Verb::Cancel, Verb::Undo, Verb::Terminate];
    let is_stop = verbs.iter().any(|verb| verb.as_str() == preview.verb);
    is_stop && preview.status == Status::Running && preview.is_allowed()
}

fn digest(shown: &impl Serialize) -> String {
    // Words and numbers: nothing in it has no JSON form.
    let text = serde_json::to_string(shown).unwrap_or_default();
    SecretHash::of(&text).to_string().chars().take(DIGEST_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preview(verb: Verb, status: Status, seen: u64) -> Preview {
        Preview {
            verb: verb.as_str(),
            refused: None,
            status,
            status_after: Status::Paused,
            set_aside: Vec::new(),
            runs_again: Vec::new(),
            stopped: Vec::new(),
            seen: Seq(seen),
        }
    }

    #[test]
    fn what_was_seen_holds_while_the_same_would_be_done() {
        use Resting::{Anything, On};
        type Row = (Verb, Status, Status, u64, Option<Resting>);
        let rows: [Row; 6] = [
            (Verb::Cancel, Status::Paused, Status::Paused, 7, Some(On(Seq(7)))),
            (Verb::Cancel, Status::Paused, Status::Paused, 8, None),
            (Verb::Cancel, Status::Paused, Status::Running, 8, None),
            (Verb::Cancel, Status::Running, Status::Running, 90, Some(Anything)),
            (Verb::Skip, Status::Running, Status::Running, 90, Some(On(Seq(90)))),
            (Verb::Skip, Status::Running, Status::Waiting, 90, None),
        ];
        for (verb, before, after, seq, expected) in rows {
            let shown = Seen::of(&preview(verb, before, 7), "b");
            let shown = Seen::read(&shown.to_string()).expect("it reads what it writes");
            let now = preview(verb, after, seq);
            assert_eq!(shown.holds(&now, "b"), expected, "{verb:?} {before} {after} {seq}");
        }
        let shown = Seen::of(&preview(Verb::Skip, Status::Paused, 7), "b");
        assert_eq!(shown.holds(&preview(Verb::Skip, Status::Paused, 7), "c"), None, "another step");
        assert_eq!(Seen::read(""), None);
    }
}
