//! What stands at the top of every page of a run: where it is, how far, since when, and what can be asked of it.

use stepwell::contract::{MessageId, Status};
use stepwell::observe::past::Past;
use stepwell::observe::progress::{RunProgress, progress};
use stepwell::run::event::Event;
use stepwell::{Actor, Ask, Verb};

use crate::ui::page::Page;
use crate::ui::run::sight::Sight;
use crate::ui::run::words::RunWords;
use crate::ui::verbs;
use crate::ui::words::fill;
use crate::ui::words::runs::Runs;
use crate::view::run::Run;
use crate::view::{Time, time};

/// A thing that can be asked, as a button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Button {
    /// Its name in addresses.
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) href: String,
    /// Why it cannot be asked now.
    pub(crate) why_not: Option<String>,
    /// Whether it ends or drops something.
    pub(crate) is_risky: bool,
}

/// A part of the run's pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    Overview,
    Graph,
    Steps,
    Timeline,
    Logs,
    Data,
    Audit,
}

impl Tab {
    const ALL: [Self; 7] =
        [Self::Overview, Self::Graph, Self::Steps, Self::Timeline, Self::Logs, Self::Data, Self::Audit];

    /// Its path below that of the run.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Overview => "",
            Self::Graph => "/graph",
            Self::Steps => "/steps",
            Self::Timeline => "/timeline",
            Self::Logs => "/logs",
            Self::Data => "/data",
            Self::Audit => "/audit",
        }
    }

    fn word(self, w: &RunWords) -> &'static str {
        match self {
            Self::Overview => w.overview,
            Self::Graph => w.graph,
            Self::Steps => w.steps,
            Self::Timeline => w.timeline,
            Self::Logs => w.logs,
            Self::Data => w.data,
            Self::Audit => w.audit,
        }
    }
}

/// A link to a part of the run's pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TabLink {
    pub(crate) word: &'static str,
    pub(crate) href: String,
    pub(crate) is_here: bool,
}

/// The top of a page.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) run: Run,
    pub(crate) tabs: Vec<TabLink>,
    /// How far it is, from 0 to 100.
    pub(crate) percent: u64,
    /// How long it may still take.
    pub(crate) eta: Option<String>,
    /// What runs now, with its attempt.
    pub(crate) at: Option<String>,
    pub(crate) started: Option<Time>,
    pub(crate) elapsed: String,
    /// When there is something to do again, if that is still ahead.
    pub(crate) wakes: Option<Time>,
    pub(crate) buttons: Vec<Button>,
    /// Why it is held or failed, in a line, with where to read on; not where the whole of it is told.
    pub(crate) trouble: Option<String>,
    /// What is to be known of the definition before anything else is believed.
    pub(crate) caution: Option<String>,
    /// The command that tells the same.
    pub(crate) command: String,
    /// The address of the REST API that tells the same.
    pub(crate) api: String,
    /// The address of its events.
    pub(crate) events: String,
    pub(crate) is_finished: bool,
    /// Whether a worker is at it, so that there may be something new each moment.
    pub(crate) is_running: bool,
}

impl Header {
    pub(crate) fn of(p: &Page, w: &'static RunWords, sight: &Sight, tab: Tab, past: &Past) -> Self {
        let run = sight.run.clone();
        let (tenant, id) = (run.tenant.as_str(), run.run.as_str());
        let tabs = Tab::ALL.into_iter().map(|other| TabLink {
            word: other.word(w),
            href: p.run_href(tenant, id, other.path()),
            is_here: other == tab,
        });
        let progress = sight
            .definition
            .as_ref()
            .zip(sight.state())
            .map(|(known, state)| progress(&sight.head, state, known.graph(), past, p.now()));
        let now = p.now();
        let started = sight.first("run_taken").map(|record| time(record.at));
        let ended = sight.head.finished_at.unwrap_or(now);
        let caution = match (&sight.state, &sight.definition) {
            (Err(why), _) => Some(fill(w.unreadable, &[why])),
            (Ok(_), None) => Some(fill(w.not_registered, &[&run.workflow, &run.version])),
            (Ok(_), Some(_)) if sight.is_changed() => Some(fill(w.definition_changed, &[&run.version])),
            _ => None,
        };
        let at = sight.state().filter(|state| !state.status.is_finished()).and_then(|state| {
            let places = state.running_places();
            let first = places.first()?;
            let said = fill(w.at_attempt, &[first, &state.step(first)?.attempt]);
            let more =
                if places.len() > 1 { fill(w.and_more, &[&(places.len() - 1)]) } else { String::new() };
            Some(said + &more)
        });
        let trouble = p.wrong(&run);
        let is_troubled = matches!(sight.head.status, Status::Paused | Status::Failed);
        let parameter = if run.tenant == "default" { String::new() } else { format!(" --tenant {tenant}") };
        Self {
            tabs: tabs.collect(),
            percent: percent(sight, progress.as_ref()),
            eta: progress
                .as_ref()
                .and_then(|found| found.remaining_ms)
                .filter(|ms| *ms > 0)
                .map(|ms| fill(w.about, &[&p.span(rounded(ms))])),
            at,
            started,
            wakes: run.wake_at.filter(|at| *at > time(now)),
            elapsed: p.span(ended.since_ms(sight.head.created_at)),
            buttons: buttons(p, w, sight),
            trouble: trouble.filter(|_| is_troubled && tab != Tab::Overview),
            caution,
            command: format!("stepwell runs {} {id}{parameter}", command(tab)),
            api: p.api(&format!("/runs/{id}{}", api_path(tab)), &[("tenant", run.tenant.as_str())]),
            events: p.api("/events", &[("run", id), ("tenant", run.tenant.as_str())]),
            is_running: sight.head.status == Status::Running,
            is_finished: sight.head.status.is_finished(),
            run,
        }
    }

    pub(crate) fn version_word(&self, w: &RunWords) -> String {
        fill(w.version, &[&self.run.version])
    }

    /// The address of a part of this run's pages, with a query.
    pub(crate) fn href(&self, p: &Page, tab: Tab, query: &[(&str, &str)]) -> String {
        let plain = p.run_href(&self.run.tenant, &self.run.run, tab.path());
        with_query(plain, query)
    }
}

/// An address with more of a query.
pub(crate) fn with_query(mut address: String, query: &[(&str, &str)]) -> String {
    for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
        address.push(if address.contains('?') { '&' } else { '?' });
        address.push_str(name);
        address.push('=');
        address.push_str(&crate::ui::page::part(value));
    }
    address
}

fn command(tab: Tab) -> &'static str {
    match tab {
        Tab::Overview | Tab::Graph | Tab::Steps | Tab::Data => "show",
        Tab::Timeline | Tab::Audit => "history",
        Tab::Logs => "logs",
    }
}

fn api_path(tab: Tab) -> &'static str {
    match tab {
        Tab::Overview => "",
        Tab::Graph => "/graph",
        Tab::Steps => "/steps",
        Tab::Timeline | Tab::Audit => "/history",
        Tab::Logs => "/logs",
        Tab::Data => "/output",
    }
}

fn percent(sight: &Sight, progress: Option<&RunProgress>) -> u64 {
    if sight.head.status == Status::Succeeded {
        return 100;
    }
    let share = match progress {
        Some(found) => found.percent,
        None => 100.0 * sight.summary.done as f64 / sight.summary.of.max(1) as f64,
    };
    // What has not ended is not whole, however it is rounded.
    share.clamp(0.0, 99.0) as u64
}

/// An estimate said no more exactly than it is known.
fn rounded(ms: u64) -> u64 {
    let grain = match ms {
        0..=9_999 => 1_000,
        10_000..=59_999 => 5_000,
        60_000..=599_999 => 30_000,
        600_000..=3_599_999 => 60_000,
        _ => 600_000,
    };
    ms.div_ceil(grain) * grain
}

/// What can be asked of the run as a whole.
const VERBS: [Verb; 8] = [
    Verb::Retry,
    Verb::Resume,
    Verb::Pause,
    Verb::Interrupt,
    Verb::EditInput,
    Verb::Cancel,
    Verb::Undo,
    Verb::Terminate,
];
/// What can be asked of one of its steps.
const STEP_VERBS: [Verb; 3] = [Verb::Restart, Verb::Skip, Verb::SetOutput];

fn buttons(p: &Page, w: &'static RunWords, sight: &Sight) -> Vec<Button> {
    let mut all: Vec<_> = VERBS.into_iter().map(|verb| button(p, w, sight, verb, "")).collect();
    all.push(fork_button(p, w, sight, ""));
    // What can be done stands before what cannot.
    all.sort_by_key(|button| button.why_not.is_some());
    all
}

/// What can be asked of a step.
pub(crate) fn step_buttons(p: &Page, w: &'static RunWords, sight: &Sight, step: &str) -> Vec<Button> {
    let mut all: Vec<_> = STEP_VERBS.into_iter().map(|verb| button(p, w, sight, verb, step)).collect();
    all.push(fork_button(p, w, sight, step));
    all
}

/// The button of a verb, about a step or, without one, about the run.
pub(crate) fn button(p: &Page, w: &'static RunWords, sight: &Sight, verb: Verb, step: &str) -> Button {
    let deed = verbs::of(verb);
    Button {
        name: deed.name,
        label: deed.word(Runs::of(p.language)),
        href: p.ask_href(&sight.run.tenant, &sight.run.run, deed.name, step),
        why_not: why_not(p, w, sight, verb),
        is_risky: deed.is_harsh,
    }
}

fn fork_button(p: &Page, w: &'static RunWords, sight: &Sight, step: &str) -> Button {
    let refused = (!p.is_operator()).then(|| w.needs_operator.to_owned());
    let unknown = sight.definition.is_none().then(|| w.needs_definition.to_owned());
    let href = p.run_href(&sight.run.tenant, &sight.run.run, "/fork");
    Button {
        name: "fork",
        label: w.verb_fork,
        href: with_query(href, &[("step", step)]),
        why_not: refused.or(unknown),
        is_risky: false,
    }
}

/// Why a verb cannot be asked now, as far as that can be told without a step.
fn why_not(p: &Page, w: &RunWords, sight: &Sight, verb: Verb) -> Option<String> {
    if !p.is_operator() {
        return Some(w.needs_operator.to_owned());
    }
    let by_status = verb.allowed(sight.head.status).err().map(str::to_owned);
    if verb.is_about_a_step() || verb == Verb::EditInput {
        return by_status;
    }
    // The journal tells more than the status: by the same table by which the request is answered.
    let (Some(state), Ok(id)) = (sight.state(), MessageId::new("preview")) else { return by_status };
    match Ask::new(verb, Actor::Program, "").answer(&id, state, None, p.now()) {
        Event::RequestRefused(refused) => Some(refused.message),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_said_no_more_exactly_than_it_is_known() {
        for (ms, said) in [(1, 1_000), (9_400, 10_000), (61_000, 90_000), (4_000_000, 4_200_000)] {
            assert_eq!(rounded(ms), said, "{ms}");
        }
    }

    #[test]
    fn a_query_is_added_and_escaped() {
        let address = with_query("/runs/a?tenant=t".to_owned(), &[("step", "pack[2]"), ("only", "")]);
        assert_eq!(address, "/runs/a?tenant=t&step=pack%5B2%5D");
    }
}
