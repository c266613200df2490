//! The pages of a run, each made of its template.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use stepwell::Category;
use stepwell::contract::Status;
use stepwell::run::event::{Event, LogLevel};
use stepwell::run::state::{State as RunState, StepStatus};

use crate::app::App;
use crate::problem::Problem;
use crate::request::RunAt;
use crate::ui::page::{Page, UNEXPLAINED};
use crate::ui::run::card::{Card, Reason};
use crate::ui::run::chart::{Chart, chart};
use crate::ui::run::compare::size;
use crate::ui::run::data::{self, Data, Value};
use crate::ui::run::entries::{self, Entry, LEVELS, Lines, Window, level_word};
use crate::ui::run::graph::{GraphShown, shown};
use crate::ui::run::header::{Header, Tab};
use crate::ui::run::sight::Sight;
use crate::ui::run::steps::{self, Items, StepRow, StepShown, Turn};
use crate::ui::run::words::RunWords;
use crate::ui::run::{Ready, ready};
use crate::ui::words::fill;

/// Steps that the overview shows.
const STEPS_SHOWN: usize = 24;
/// Entries that the overview shows.
const LATEST: usize = 8;

/// A link to another run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunLink {
    pub(super) run: String,
    pub(super) step: String,
    pub(super) href: String,
}

/// A step that waits for a signal, and the signals it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waits {
    pub(super) place: String,
    pub(super) signals: Vec<String>,
}

#[derive(Template)]
#[template(path = "run/overview.html")]
struct Overview<'a> {
    p: &'a Page,
    w: &'static RunWords,
    h: &'a Header,
    card: Option<Card>,
    /// The error itself, where no diagnosis tells why.
    message: Option<String>,
    reason: Option<Reason>,
    waits: Vec<Waits>,
    signal_href: String,
    /// The same form sent twice is one signal.
    signal_id: String,
    /// The last record, where the run is at rest: a signal is for the run as it was shown. One that runs records all the while.
    seen: Option<u64>,
    result: Option<Value>,
    steps: Vec<StepRow>,
    more_steps: usize,
    latest: Vec<Entry>,
    parent: Option<RunLink>,
    forked_from: Option<RunLink>,
    deadline: Option<crate::view::Time>,
}

pub(super) async fn overview(
    State(app): State<App>,
    RunAt(key): RunAt,
    p: Page,
) -> Result<Response, Problem> {
    let Ready { sight, header: h, w } = ready(&app, &p, &key, Tab::Overview).await?;
    let status = sight.head.status;
    let told = sight.last("diagnosed").and_then(|(_, event)| match event {
        Event::Diagnosed(found) => Some(*found.diagnosis),
        _ => None,
    });
    let is_troubled = matches!(status, Status::Paused | Status::Failed);
    let said = match told.filter(|_| is_troubled) {
        // Who cancelled it, or what keeps it waiting that is not as it should be.
        None if status != Status::Succeeded && status != Status::Running && sight.state.is_ok() => {
            app.engine().diagnosis(&key).await?.filter(|_| is_troubled || is_own(&sight))
        }
        told => told,
    };
    let card = said.map(|said| Card::of(&p, w, &sight, &said));
    let tells_why = card.as_ref().is_some_and(|card| card.code != UNEXPLAINED);
    let message = sight.run.trouble.as_ref().filter(|_| is_troubled && !tells_why);
    let message = message.map(|trouble| trouble.message.clone());
    let reason = match status.is_finished() || is_troubled {
        true => None,
        false => {
            let (tenant, known) = (p.who()?.access.tenant, sight.state().cloned());
            Some(Reason::of(&p, w, &app.engine().explain_from(&key, tenant.as_ref(), known).await?))
        }
    };
    let mut steps = steps::rows(&p, &h, &sight);
    let more_steps = steps.len().saturating_sub(STEPS_SHOWN);
    steps.truncate(STEPS_SHOWN);
    let state = sight.state();
    let parent = state.and_then(|state| state.created.parent.as_ref());
    let forked = sight.first("run_forked").and_then(|record| match Event::read(record) {
        Ok(Event::RunForked(forked)) => Some(forked),
        _ => None,
    });
    let overview = Overview {
        w,
        card,
        message,
        reason,
        waits: state.map(waits).unwrap_or_default(),
        seen: state.filter(|_| sight.head.lease.is_none()).map(|state| state.last_seq.0),
        signal_id: uuid::Uuid::now_v7().to_string(),
        signal_href: p.run_href(&sight.run.tenant, &sight.run.run, "/signal"),
        result: data::result(&p, &h, &sight),
        steps,
        more_steps,
        latest: entries::latest(&p, w, &h, &sight.records, LATEST),
        parent: parent.map(|parent| RunLink {
            run: parent.run.run.to_string(),
            step: parent.place.to_string(),
            href: p.run_href(parent.run.tenant.as_str(), parent.run.run.as_str(), ""),
        }),
        forked_from: forked.map(|forked| RunLink {
            run: forked.run.run.to_string(),
            step: forked.from.to_string(),
            href: p.run_href(forked.run.tenant.as_str(), forked.run.run.as_str(), ""),
        }),
        deadline: state.and_then(|state| state.deadline_at).map(|at| p.at(&at)),
        h: &h,
        p: &p,
    };
    p.show(&overview)
}

impl Overview<'_> {
    fn waits_word(&self, wait: &Waits) -> String {
        fill(self.w.waits_for_signal, &[&wait.place])
    }

    fn more_word(&self) -> String {
        fill(self.w.kind_more, &[&self.more_steps])
    }
}

/// Whether what the engine says of the run was worked out just now, and is not of an earlier failure that it has gone on from.
fn is_own(sight: &Sight) -> bool {
    sight.first("diagnosed").is_none()
}

/// The steps that wait for signals.
pub(super) fn waits(state: &RunState) -> Vec<Waits> {
    if state.status.is_finished() {
        return Vec::new();
    }
    let places = state
        .places()
        .filter(|(_, step)| matches!(step.status, StepStatus::Awaiting(_) | StepStatus::Suspended));
    let waits = places.filter_map(|(place, step)| {
        let signals: Vec<_> = step.waiting.as_ref()?.signals.iter().map(ToString::to_string).collect();
        (!signals.is_empty()).then(|| Waits { place: place.to_string(), signals })
    });
    waits.take(WAITS_MAX).collect()
}

/// Waits that the overview offers a form for.
const WAITS_MAX: usize = 5;

#[derive(Template)]
#[template(path = "run/graph.html")]
struct GraphPage<'a> {
    p: &'a Page,
    w: &'static RunWords,
    h: &'a Header,
    picture: Option<GraphShown>,
    steps: Vec<StepRow>,
    title: String,
    cut: Option<String>,
}

pub(super) async fn graph(State(app): State<App>, RunAt(key): RunAt, p: Page) -> Result<Response, Problem> {
    let Ready { sight, header: h, w } = ready(&app, &p, &key, Tab::Graph).await?;
    let picture = sight.definition.as_ref().map(|known| shown(&p, w, &h, known.graph(), sight.state()));
    let mut steps = steps::rows(&p, &h, &sight);
    steps.truncate(steps::ROWS);
    let cut = picture.as_ref().filter(|picture| picture.left_out > 0);
    let cut = cut.map(|picture| fill(w.graph_cut, &[&(picture.tiles.len() - 1), &picture.left_out]));
    let title = fill(w.graph_title, &[&h.run.workflow, &h.run.version]);
    p.show(&GraphPage { p: &p, w, h: &h, picture, steps, title, cut })
}

#[derive(Template)]
#[template(path = "run/steps.html")]
struct StepsPage<'a> {
    p: &'a Page,
    w: &'static RunWords,
    h: &'a Header,
    rows: Vec<StepRow>,
    turn: Turn,
    items: Option<Items>,
    one: Option<StepShown>,
    all_href: String,
}

pub(super) async fn steps(State(app): State<App>, RunAt(key): RunAt, p: Page) -> Result<Response, Problem> {
    let Ready { sight, header: h, w } = ready(&app, &p, &key, Tab::Steps).await?;
    let place = steps::chosen(&p, &sight).filter(|_| p.asked("step") != Some(ALL));
    let items = place.as_ref().filter(|place| place.item.is_root());
    let items = items.and_then(|place| steps::items(&p, &h, &sight, &place.step));
    let one = match &place {
        Some(place) if items.is_none() => steps::step_shown(app.engine(), &p, w, &h, &sight, place).await?,
        _ => None,
    };
    let rows = steps::rows(&p, &h, &sight);
    // One `page` in the address: that of the items, where they are shown.
    let turn = match &items {
        Some(_) => Turn::at(&p, 1, 1),
        None => Turn::of(&p, rows.len(), steps::ROWS),
    };
    let rows = rows.into_iter().skip(turn.before(steps::ROWS)).take(steps::ROWS).collect();
    let all_href = h.href(&p, Tab::Steps, &[("step", ALL)]);
    p.show(&StepsPage { p: &p, w, h: &h, rows, turn, items, one, all_href })
}

/// The word that opens no step: no step has this name.
const ALL: &str = "*";

/// Which page of how many.
fn turn_word(w: &RunWords, turn: &Turn) -> String {
    fill(w.of_pages, &[&turn.page, &turn.pages])
}

impl StepsPage<'_> {
    fn turn_word(&self, turn: &Turn) -> String {
        turn_word(self.w, turn)
    }

    fn under_way_word(&self, attempt: &u32, at: &crate::view::Time) -> String {
        fill(self.w.is_under_way, &[attempt, at])
    }

    fn left_out_word(&self, count: &usize) -> String {
        fill(self.w.left_out, &[count])
    }

    fn compared_word(&self, left: &u32, right: &u32) -> String {
        fill(self.w.compared, &[left, right])
    }

    fn attempt_word(&self, attempt: &u32) -> String {
        fill(self.w.attempt_shown, &[attempt])
    }

    fn level(&self, level: &LogLevel) -> &'static str {
        level_word(*level)
    }
}

impl TimelinePage<'_> {
    fn turn_word(&self, turn: &Turn) -> String {
        turn_word(self.w, turn)
    }
}

impl LogsPage<'_> {
    /// A time within its day, to the millisecond: the whole of it is said on hover.
    fn clock(&self, at: &crate::view::Time) -> String {
        at.0.format("%H:%M:%S%.3f").to_string()
    }
}

#[derive(Template)]
#[template(path = "run/timeline.html")]
struct TimelinePage<'a> {
    p: &'a Page,
    w: &'static RunWords,
    h: &'a Header,
    chart: Chart,
    lead: String,
}

pub(super) async fn timeline(
    State(app): State<App>,
    RunAt(key): RunAt,
    p: Page,
) -> Result<Response, Problem> {
    let Ready { sight, header: h, w } = ready(&app, &p, &key, Tab::Timeline).await?;
    let chart = chart(&p, w, &h, &sight);
    let lead = fill(w.timeline_lead, &[&chart.steps]);
    p.show(&TimelinePage { p: &p, w, h: &h, chart, lead })
}

#[derive(Template)]
#[template(path = "run/logs.html")]
struct LogsPage<'a> {
    p: &'a Page,
    w: &'static RunWords,
    h: &'a Header,
    window: Window,
    levels: [&'static str; 4],
    steps: Vec<String>,
    first_error: Option<String>,
    newest: String,
    oldest: String,
    download: String,
    is_filtered: bool,
}

/// Steps that the filter of lines offers.
const STEPS_OFFERED: usize = 200;

pub(super) async fn logs(State(app): State<App>, RunAt(key): RunAt, p: Page) -> Result<Response, Problem> {
    let Ready { sight, header: h, w } = ready(&app, &p, &key, Tab::Logs).await?;
    let window = Lines::asked(&p).window(&p, w, &h, &sight.records);
    let first_error = Lines::first_error(&sight.records).map(|(seq, nth)| {
        format!("{}#L{}-{nth}", h.href(&p, Tab::Logs, &[("from", &seq.0.to_string())]), seq.0)
    });
    let steps = sight.state().map(|state| {
        let names = state.steps.keys().take(STEPS_OFFERED);
        names.map(ToString::to_string).collect::<Vec<_>>()
    });
    let kept = ["level", "step", "attempt"].map(|name| (name, p.asked(name).unwrap_or_default()));
    let whole = p.run_href(&h.run.tenant, &h.run.run, "/logs/text");
    let page = LogsPage {
        window,
        levels: LEVELS.map(level_word),
        steps: steps.unwrap_or_default(),
        first_error,
        newest: h.href(&p, Tab::Logs, &kept),
        oldest: crate::ui::run::header::with_query(h.href(&p, Tab::Logs, &kept), &[("from", "1")]),
        download: crate::ui::run::header::with_query(whole, &kept),
        is_filtered: kept.iter().any(|(_, value)| !value.is_empty()),
        p: &p,
        w,
        h: &h,
    };
    p.show(&page)
}

#[derive(Template)]
#[template(path = "run/data.html")]
struct DataPage<'a> {
    p: &'a Page,
    w: &'static RunWords,
    h: &'a Header,
    data: Data,
}

impl DataPage<'_> {
    fn shows_secrets(&self) -> bool {
        data::shows_secrets(self.p)
    }

    fn part(&self, shown: &crate::ui::run::json::Shown) -> String {
        fill(self.w.shown_part, &[&size(shown.text.len()), &size(shown.bytes)])
    }

    fn size(&self, bytes: &usize) -> String {
        size(*bytes)
    }

    fn turn_word(&self, turn: &Turn) -> String {
        turn_word(self.w, turn)
    }
}

pub(super) async fn data(State(app): State<App>, RunAt(key): RunAt, p: Page) -> Result<Response, Problem> {
    let Ready { sight, header: h, w } = ready(&app, &p, &key, Tab::Data).await?;
    let data = data::data(&p, &h, &sight);
    p.show(&DataPage { p: &p, w, h: &h, data })
}

#[derive(Template)]
#[template(path = "run/audit.html")]
struct AuditPage<'a> {
    p: &'a Page,
    w: &'static RunWords,
    h: &'a Header,
    window: Window,
    levels: [&'static str; 4],
    categories: [&'static str; 8],
    is_filtered: bool,
}

pub(super) async fn audit(State(app): State<App>, RunAt(key): RunAt, p: Page) -> Result<Response, Problem> {
    let Ready { sight, header: h, w } = ready(&app, &p, &key, Tab::Audit).await?;
    let window = entries::audit(&p, w, &h, &sight.records);
    let is_filtered = ["level", "category", "text"].iter().any(|name| p.asked(name).is_some());
    let page = AuditPage {
        window,
        levels: LEVELS.map(level_word),
        categories: Category::ALL.map(Category::as_str),
        is_filtered,
        p: &p,
        w,
        h: &h,
    };
    p.show(&page)
}
