//! The words for people, in every language: the reason itself, who can change it and what has to happen, and what else bears on it.

use std::fmt::Display;

use stepwell_contract::{RunKey, Status, TenantId, Timestamp, WorkflowRef};

use super::texts::TEXTS;
use crate::diagnosis::Diagnosis;
use crate::diagnosis::text::Language;
use crate::observe::cause::Cause;
use crate::observe::explain::Who;
use crate::run::place::Place;
use crate::run::state::Request;

/// Most steps, runs and the like that a text names.
pub(super) const NAMED_MAX: usize = 5;

/// A text of the table, with what the case says.
fn say(language: Language, says: &str, values: &[(&str, &dyn Display)]) -> String {
    let template = TEXTS.iter().find(|text| text.says == says).map_or(says, |text| text.of(language));
    let mut said = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        said.push_str(before);
        let Some((name, left)) = after.split_once('}') else { break };
        if let Some((_, value)) = values.iter().find(|(known, _)| *known == name) {
            said.push_str(&value.to_string());
        }
        rest = left;
    }
    said.push_str(rest);
    said
}

/// The reason itself.
pub(crate) fn headline(reason: &Cause, language: Language) -> String {
    let say = |says, values: &[(&str, &dyn Display)]| say(language, says, values);
    let upto = |until: &Option<Timestamp>| until.map(|at| say("up_to", &[("at", &at)])).unwrap_or_default();
    match reason {
        Cause::Person { message, .. } => say("person", &[("message", message)]),
        Cause::Worker { worker, until, running } => {
            let running = list(running, language);
            say("worker", &[("worker", worker), ("until", until), ("running", &running)])
        }
        Cause::LostWorker { worker, until, told_at, .. } => {
            let told = told_at.map(|at| say("told_last", &[("at", &at)])).unwrap_or_default();
            say("lost_worker", &[("worker", worker), ("told", &told), ("until", until)])
        }
        Cause::FreeWorker { queue, workflow, version, since } => say(
            "free_worker",
            &[("since", since), ("queue", queue), ("workflow", workflow), ("version", version)],
        ),
        Cause::NoDefinition { queue, workflow, version, since, nearest }
        | Cause::NoWorkflowWorker { queue, workflow, version, since, nearest } => say(
            if matches!(reason, Cause::NoDefinition { .. }) { "no_definition" } else { "no_workflow_worker" },
            &[
                ("since", since),
                ("queue", queue),
                ("workflow", workflow),
                ("version", version),
                ("nearest", &meant(nearest.as_ref(), language)),
            ],
        ),
        Cause::NoQueueWorker { queue, since, nearest } => {
            let nearest = nearest.as_ref().map(|near| say("nearest_queue", &[("queue", near)]));
            let nearest = nearest.unwrap_or_default();
            say("no_queue_worker", &[("since", since), ("queue", queue), ("nearest", &nearest)])
        }
        Cause::Unanswered { what, since } => say("unanswered", &[("what", what), ("since", since)]),
        Cause::Timer { place, at } => say("timer", &[("place", place), ("at", at)]),
        Cause::Retry { place, at } => say("retry", &[("place", place), ("at", at)]),
        Cause::Signal { place, signals, until } => {
            say("signal", &[("place", place), ("signals", &any(signals, language)), ("until", &upto(until))])
        }
        Cause::Child { place, runs, until } => {
            say("child", &[("place", place), ("runs", &any(runs, language)), ("until", &upto(until))])
        }
        Cause::Outside { place, token, until } => {
            say("outside", &[("place", place), ("token", token), ("until", &upto(until))])
        }
        Cause::Limit { queue, key, limit, holders, others, since } => {
            let key = key.as_ref().map(|key| say("of_key", &[("key", key)])).unwrap_or_default();
            let holders = counted(holders, *others, language);
            say(
                "limit",
                &[("queue", queue), ("since", since), ("limit", limit), ("key", &key), ("holders", &holders)],
            )
        }
        Cause::QueuePaused { queue, by, message, since } => {
            say("queue_paused", &[("queue", queue), ("by", by), ("since", since), ("message", message)])
        }
        Cause::NotBefore { at } => say("not_before", &[("at", at)]),
        Cause::Time { at } => say("time", &[("at", at)]),
        Cause::Unreadable { message } => say("unreadable", &[("message", message)]),
        Cause::Ended { status, message } => {
            let why = match message.as_str() {
                "" => String::new(),
                message => say("and_why", &[("message", &message)]),
            };
            say("ended", &[("status", status), ("message", &why)])
        }
        Cause::Nothing => say("nothing", &[]),
    }
}

/// Who can change it.
pub(super) fn who(reason: &Cause) -> Who {
    match reason {
        Cause::Person { .. }
        | Cause::Outside { .. }
        | Cause::QueuePaused { .. }
        | Cause::Unreadable { .. }
        | Cause::Ended { status: Status::Failed, .. } => Who::Person,
        Cause::Worker { .. }
        | Cause::FreeWorker { .. }
        | Cause::NoDefinition { .. }
        | Cause::NoWorkflowWorker { .. }
        | Cause::NoQueueWorker { .. }
        | Cause::Unanswered { .. } => Who::Worker,
        Cause::LostWorker { .. }
        | Cause::Timer { .. }
        | Cause::Retry { .. }
        | Cause::NotBefore { .. }
        | Cause::Time { .. } => Who::Time,
        Cause::Signal { .. } => Who::Signal,
        Cause::Child { .. } | Cause::Limit { .. } => Who::Run,
        Cause::Ended { .. } | Cause::Nothing => Who::Nobody,
    }
}

/// What has to happen.
pub(super) fn next(reason: &Cause, run: &RunKey, language: Language) -> String {
    let say = |says, values: &[(&str, &dyn Display)]| say(language, says, values);
    match reason {
        Cause::Person { reason, .. } if reason.needs_retry() => say("next_mend", &[("run", run)]),
        Cause::Person { .. } => say("next_resume", &[("run", run)]),
        Cause::Worker { worker, .. } => say("next_worker", &[("worker", worker)]),
        Cause::LostWorker { until, .. } => say("next_lost_worker", &[("until", until)]),
        Cause::FreeWorker { .. } => say("next_free_worker", &[]),
        Cause::NoDefinition { queue, workflow, version, .. }
        | Cause::NoWorkflowWorker { queue, workflow, version, .. } => {
            say("next_definition", &[("queue", queue), ("workflow", workflow), ("version", version)])
        }
        Cause::NoQueueWorker { queue, .. } => say("next_queue_worker", &[("queue", queue)]),
        Cause::Timer { at, .. } => say("next_timer", &[("at", at)]),
        Cause::Retry { at, .. } => say("next_retry", &[("at", at)]),
        Cause::Signal { signals, until: None, .. } => {
            say("next_signal", &[("signals", &any(signals, language))])
        }
        Cause::Signal { signals, until: Some(at), .. } => {
            say("next_signal_until", &[("signals", &any(signals, language)), ("at", at)])
        }
        Cause::Child { until: None, .. } => say("next_child", &[]),
        Cause::Child { until: Some(at), .. } => say("next_child_until", &[("at", at)]),
        Cause::Outside { token, .. } => say("next_outside", &[("token", token)]),
        Cause::Limit { queue, .. } => say("next_limit", &[("queue", queue)]),
        Cause::QueuePaused { queue, .. } => say("next_queue_paused", &[("queue", queue)]),
        Cause::NotBefore { at } => say("next_not_before", &[("at", at)]),
        Cause::Time { at } => say("next_time", &[("at", at)]),
        Cause::Unanswered { .. } => say("next_unanswered", &[]),
        Cause::Unreadable { .. } => say("next_unreadable", &[]),
        Cause::Ended { status: Status::Failed, .. } => say("next_failed", &[("run", run)]),
        Cause::Ended { .. } => say("next_ended", &[]),
        Cause::Nothing => say("next_nothing", &[]),
    }
}

/// What else bears on it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Detail {
    /// What was said last of why something of it failed.
    Diagnosis(Box<Diagnosis>),
    /// A run that it waits for, and why that one is where it is; nothing where it is not there.
    Child(RunKey, Option<Cause>),
    /// Runs that count although no worker advances them, and the tenant whose people are told.
    Stuck(Vec<RunKey>, Option<TenantId>),
    /// Live workers that may take it, and how many of them have room.
    Takers(usize, usize),
    /// When its worker last told of itself.
    Told(Timestamp),
    /// A step that runs, with its attempt, since when.
    Running(Place, u32, Timestamp),
    /// What was asked of it and is not done yet.
    Asked(Request),
    /// When it fails unless it has ended.
    Deadline(Timestamp),
}

impl Detail {
    pub(super) fn told(&self, language: Language) -> String {
        let say = |says, values: &[(&str, &dyn Display)]| say(language, says, values);
        match self {
            Self::Diagnosis(found) => {
                let found = found.in_language(language);
                say("also_diagnosis", &[("code", &found.code), ("summary", &found.summary)])
            }
            Self::Child(run, why) => {
                let why = why.as_ref().map(|why| headline(why, language));
                let why = why.unwrap_or_else(|| say("not_there_yet", &[]));
                say("also_child", &[("run", run), ("why", &why)])
            }
            Self::Stuck(runs, tenant) => {
                let is_theirs = |run: &&RunKey| tenant.as_ref().is_none_or(|tenant| run.tenant == *tenant);
                let theirs = runs.iter().filter(is_theirs);
                let mut named: Vec<_> = theirs.clone().take(NAMED_MAX).map(ToString::to_string).collect();
                let others = runs.len() - theirs.count();
                named.extend((others > 0).then(|| say("of_other_tenants", &[("count", &others)])));
                say("also_stuck", &[("runs", &named.join(", "))])
            }
            Self::Takers(able, room) => say("also_takers", &[("able", able), ("room", room)]),
            Self::Told(at) => say("also_told", &[("at", at)]),
            Self::Running(place, attempt, since) => {
                say("also_running", &[("place", place), ("attempt", attempt), ("since", since)])
            }
            Self::Asked(asked) => say("also_asked", &[("request", &request(*asked))]),
            Self::Deadline(at) => say("also_deadline", &[("at", at)]),
        }
    }
}

/// What is asked of a run, in the word that people ask it by.
fn request(request: Request) -> &'static str {
    match request {
        Request::Pause => "pause",
        Request::Interrupt => "interrupt",
        Request::Undo => "undo",
        Request::Cancel => "cancel",
    }
}

/// The workflow that was probably meant, as a part of a sentence.
pub(crate) fn meant(nearest: Option<&WorkflowRef>, language: Language) -> String {
    let told = |near: &WorkflowRef| {
        say(language, "nearest_workflow", &[("workflow", &near.name), ("version", &near.version)])
    };
    nearest.map(told).unwrap_or_default()
}

fn list(places: &[Place], language: Language) -> String {
    match places {
        [] => say(language, "nothing_yet", &[]),
        places => places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn any<T: ToString>(names: &[T], language: Language) -> String {
    names.iter().map(T::to_string).collect::<Vec<_>>().join(&say(language, "or", &[]))
}

fn counted(holders: &[RunKey], others: usize, language: Language) -> String {
    let named: Vec<_> = holders.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    let more = holders.len() - named.len() + others;
    match (named.as_slice(), more) {
        ([], 0) => say(language, "holders_ended", &[]),
        ([], more) => say(language, "holders_counted", &[("count", &more)]),
        (named, 0) => say(language, "holders_named", &[("named", &named.join(", "))]),
        (named, more) => say(language, "holders_and_more", &[("named", &named.join(", ")), ("count", &more)]),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use stepwell_contract::Name;

    use super::*;
    use crate::diagnosis::text::names;

    #[test]
    fn every_text_is_there_in_every_language_and_says_the_same_of_a_case() {
        let mut known = BTreeSet::new();
        for text in TEXTS {
            assert!(known.insert(text.says), "{} is there twice", text.says);
            let said = Language::ALL.map(|language| {
                let said = text.of(language);
                assert!(!said.is_empty(), "{} in {language}", text.says);
                names(said).collect::<BTreeSet<_>>()
            });
            assert_eq!(said[0], said[1], "{}", text.says);
            let has_words = text.english.split('{').any(|part| {
                part.rsplit('}').next().is_some_and(|rest| rest.contains(|c: char| c.is_ascii_alphabetic()))
            });
            let is_japanese = text.japanese.chars().any(|letter| letter > '\u{3000}');
            assert!(is_japanese || !has_words, "{} is not translated", text.says);
        }
    }

    /// The names of texts that this file says.
    fn said_here() -> BTreeSet<&'static str> {
        let source = include_str!("words.rs").split("#[cfg(test)]").next().unwrap_or_default();
        let mut said = BTreeSet::new();
        for word in source.split('"').skip(1).step_by(2) {
            if word.contains('_') || TEXTS.iter().any(|text| text.says == word) {
                said.insert(word);
            }
        }
        said
    }

    #[test]
    fn every_text_that_is_said_is_in_the_table_and_none_is_there_in_vain() {
        let said = said_here();
        let known: BTreeSet<_> = TEXTS.iter().map(|text| text.says).collect();
        assert_eq!(said, known);
    }

    #[test]
    fn a_reason_is_told_in_japanese_with_all_that_it_names() {
        let place: Place = "approved".parse().expect("a place");
        let signals = vec![Name::new("yes").expect("a name"), Name::new("no").expect("a name")];
        let reason = Cause::Signal { place, signals, until: Some(Timestamp(5)) };
        assert_eq!(
            reason.to_string(),
            "approved waits for signal yes or no, at most until 1970-01-01T00:00:00.005Z"
        );
        assert_eq!(
            headline(&reason, Language::Japanese),
            "approved はシグナル yes または no を待っています(最長で 1970-01-01T00:00:00.005Z まで)"
        );
    }
}
