//! Who is outside of a rehearsal: what they say to runs that wait, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use stepwell_contract::{Head, Name, Payload, RunKey, Status, Timestamp};

use crate::error::Error;
use crate::exec::engine::Engine;
use crate::lock::lock;
use crate::run::event::{Event, StepReported};
use crate::run::place::Place;
use crate::run::report::Report;
use crate::run::request::Ask;
use crate::run::state::{State, StepState, StepStatus};
use crate::run::token::Token;
use crate::run::waiting::Said;
use crate::testing::cast::Spot;
use crate::workflow::policy::ms;

/// What those outside have to say to the runs of one workflow.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outside {
    answers: BTreeMap<Name, Vec<(u64, Payload)>>,
    reports: Vec<(Spot, u64, Report)>,
    moments: Vec<(u64, Moment)>,
}

/// What is said to a run at a moment, whatever it does then.
#[derive(Debug, Clone)]
enum Moment {
    Signal(Name, Payload),
    Ask(Ask),
}

/// What happened to a run that those outside go by.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// How many signals of each name it has got.
    signals: BTreeMap<Name, usize>,
    /// The attempts that were left to someone outside, when, and how many were told of before at the same place.
    left: Vec<(Place, u32, Timestamp, usize)>,
    /// How many attempts at each place were told of.
    told: BTreeMap<Place, usize>,
}

impl Seen {
    /// Takes in the next record.
    pub(crate) fn note(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::SignalReceived(signal) => *self.signals.entry(signal.name.clone()).or_default() += 1,
            Event::StepSuspended(step) if step.waiting.outside => {
                let told = self.told.get(&step.place).copied().unwrap_or_default();
                self.left.push((step.place.clone(), step.attempt, at, told));
            }
            Event::StepReported(StepReported {
                place,
                said: Said::Succeeded { .. } | Said::Failed(_),
                ..
            }) => {
                *self.told.entry(place.clone()).or_default() += 1;
            }
            _ => {}
        }
    }
}

/// Something that is to be said to a run.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    pub(crate) at: Timestamp,
    /// Its name among all that is said: it is said once.
    id: String,
    run: RunKey,
    says: Says,
}

#[derive(Debug, Clone)]
enum Says {
    Signal(Name, Payload),
    Report(Token, Report),
    Ask(Ask),
}

impl Outside {
    /// Says this, so long after a wait for the signal has begun. Of several the first wait gets the first, and all further ones
    /// get the last.
    pub(crate) fn answer(&mut self, signal: Name, after: Duration, says: Payload) {
        self.answers.entry(signal).or_default().push((ms(after), says));
    }

    /// Reports this, so long after an attempt was left to those outside. Of several the first attempt gets the first, and all
    /// further ones get the last.
    pub(crate) fn report(&mut self, of: Spot, after: Duration, report: Report) {
        self.reports.push((of, ms(after), report));
    }

    /// Sends a signal, so long after a run was started.
    pub(crate) fn signal_at(&mut self, after: Duration, signal: Name, says: Payload) {
        self.moments.push((ms(after), Moment::Signal(signal, says)));
    }

    /// Asks this, so long after a run was started.
    pub(crate) fn ask_at(&mut self, after: Duration, ask: Ask) {
        self.moments.push((ms(after), Moment::Ask(ask)));
    }

    /// What is to be said to a run next.
    pub(crate) fn next(&self, head: &Head, state: &State, seen: &Seen, said: &Spoken) -> Option<Word> {
        if matches!(head.status, Status::Succeeded | Status::Cancelled) {
            return None;
        }
        let words = self.at_moments(head).chain(self.reports_on(head, seen));
        let is_at_rest = matches!(head.status, Status::Failed | Status::Paused);
        let answer = if is_at_rest { None } else { self.next_answer(head, state, seen) };
        words.filter(|word| !said.has(&word.id)).chain(answer).min_by_key(|word| word.at)
    }

    fn at_moments(&self, head: &Head) -> impl Iterator<Item = Word> {
        self.moments.iter().enumerate().map(|(nth, (after_ms, moment))| Word {
            at: head.created_at.plus_ms(*after_ms),
            id: format!("{}/moment-{nth}", head.key),
            run: head.key.clone(),
            says: match moment {
                Moment::Signal(name, says) => Says::Signal(name.clone(), says.clone()),
                Moment::Ask(ask) => Says::Ask(ask.clone()),
            },
        })
    }

    fn reports_on(&self, head: &Head, seen: &Seen) -> impl Iterator<Item = Word> {
        seen.left.iter().filter_map(|(place, attempt, at, told)| {
            let mut reports = self.reports.iter().filter(|(of, _, _)| of.has(place)).peekable();
            reports.peek()?;
            let reports: Vec<_> = reports.collect();
            let (_, after_ms, report) = reports.get(*told).or(reports.last())?;
            let token = Token { run: head.key.clone(), place: place.clone(), attempt: *attempt };
            Some(Word {
                at: at.plus_ms(*after_ms),
                id: token.to_string(),
                run: head.key.clone(),
                says: Says::Report(token, report.clone()),
            })
        })
    }

    /// The answer to the wait that has to be answered first. One signal at a time: what came is counted.
    fn next_answer(&self, head: &Head, state: &State, seen: &Seen) -> Option<Word> {
        let waits = state.places().filter_map(|(_, step)| Some((step, waited_for(step)?)));
        let words = waits.flat_map(|(step, names)| names.iter().map(move |name| (step, name)));
        let words = words.filter_map(|(step, name)| {
            let answers = self.answers.get(name)?;
            let came = seen.signals.get(name).copied().unwrap_or_default();
            let (after_ms, says) = answers.get(came).or(answers.last())?;
            Some(Word {
                at: step.started_at.plus_ms(*after_ms),
                id: format!("answer-{name}-{came}"),
                run: head.key.clone(),
                says: Says::Signal(name.clone(), says.clone()),
            })
        });
        words.min_by_key(|word| word.at)
    }
}

/// The signals that a step waits for.
fn waited_for(step: &StepState) -> Option<&[Name]> {
    let waits = matches!(step.status, StepStatus::Awaiting(_) | StepStatus::Suspended);
    let waiting = step.waiting.as_ref().filter(|_| waits)?;
    Some(&waiting.signals)
}

/// What those outside have said, in all processes of a rehearsal.
#[derive(Debug, Default)]
pub(crate) struct Spoken(Mutex<BTreeSet<String>>);

impl Spoken {
    fn has(&self, id: &str) -> bool {
        self.lock().contains(id)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        lock(&self.0)
    }

    /// Says a word. Whoever is outside knows that it was heard, or says it again to the next process.
    ///
    /// # Errors
    /// What the engine says, but that it comes too late: a report may, and what was said before the process died.
    pub(crate) async fn say(&self, engine: &Engine, word: Word, is_first_life: bool) -> Result<(), Error> {
        let said = match &word.says {
            Says::Signal(name, says) => {
                let id = word.id.replace('/', ".");
                engine.signal(&word.run, name.as_str(), &id, says).await
            }
            Says::Report(token, report) => engine.report(token, report.clone()).await.map(drop),
            Says::Ask(ask) => engine.send(&word.run, ask.clone()).await.map(drop),
        };
        let may_be_late = matches!(word.says, Says::Report(..)) || !is_first_life;
        match said {
            Err(Error::Refused { .. }) if may_be_late => {}
            said => said?,
        }
        self.lock().insert(word.id);
        Ok(())
    }
}
