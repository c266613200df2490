//! The steps of a run: all of them, the items of one, the attempts of one, and two attempts beside each other.

use std::collections::{BTreeMap, HashMap};

use stepwell::Engine;
use stepwell::contract::{Name, Timestamp};
use stepwell::diagnosis::evidence::AttemptRecord;
use stepwell::run::place::{Path, Place};
use stepwell::run::state::{State, StepState};
use stepwell::workflow::graph::{Graph, Node};

use crate::problem::Problem;
use crate::ui::page::Page;
use crate::ui::run::compare::{Line, end_word, lines};
use crate::ui::run::header::{Button, Header, Tab, step_buttons};
use crate::ui::run::looks::{Look, Mark, looks};
use crate::ui::run::sight::Sight;
use crate::ui::run::words::RunWords;
use crate::ui::words::fill;
use crate::view::Time;

/// Steps or items of one page.
pub(crate) const ROWS: usize = 200;
/// Attempts that the switcher names.
const SWITCHES: usize = 40;

/// A step in the table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StepRow {
    pub(crate) name: String,
    pub(crate) mark: Mark,
    pub(crate) attempt: u32,
    /// Items done, begun and failed, where it has items.
    pub(crate) counts: Option<(usize, usize, usize)>,
    pub(crate) took: Option<String>,
    /// How far it says it is, from 0 to 100, and what it says of that.
    pub(crate) said: Option<(u64, String)>,
    pub(crate) href: String,
}

impl StepRow {
    /// How many attempts it had, or how many of its items are done.
    pub(crate) fn tally(&self, w: &RunWords) -> String {
        match self.counts {
            Some((done, begun, failed)) => {
                let said = fill(w.items_of, &[&done, &begun]);
                if failed > 0 { format!("{said}, {}", fill(w.items_failed, &[&failed])) } else { said }
            }
            None if self.attempt > 0 => self.attempt.to_string(),
            None => String::new(),
        }
    }
}

/// Every step of a run, those not begun included, in the order of the definition; without one, in that of their names.
pub(crate) fn rows(p: &Page, h: &Header, sight: &Sight) -> Vec<StepRow> {
    let Some(state) = sight.state() else { return Vec::new() };
    let timeline = sight.timeline();
    let mut took: HashMap<&Name, (Timestamp, Timestamp)> = HashMap::new();
    for row in &timeline.steps {
        if let (Some(place), Some(first), Some(last)) = (&row.place, row.spans.first(), row.spans.last()) {
            let (from, to) = (first.from, last.to.unwrap_or(p.now()));
            let whole = took.entry(&place.step).or_insert((from, to));
            *whole = (whole.0.min(from), whole.1.max(to));
        }
    }
    let row = |name: &Name, look: Look| {
        let single = state.steps.get(name).and_then(|group| group.single.as_ref());
        let said = single.filter(|_| look.mark == Mark::Running).and_then(|step| step.progress.as_ref());
        let at = sight.summary.at.as_ref().filter(|at| at.place.step == *name && at.place.item.is_root());
        let said = at.map(|at| &at.progress).filter(|_| look.mark == Mark::Running).or(said);
        StepRow {
            name: name.to_string(),
            mark: look.mark,
            attempt: look.attempt,
            counts: look.counts.map(|counts| (counts.succeeded + counts.failed, counts.begun, counts.failed)),
            took: took.get(name).map(|(from, to)| p.span(to.since_ms(*from))),
            said: said.map(|said| ((said.fraction.clamp(0.0, 1.0) * 100.0) as u64, said.note.clone())),
            href: h.href(p, Tab::Steps, &[("step", name.as_str())]),
        }
    };
    match &sight.definition {
        Some(known) => {
            let graph = known.graph();
            let looks = looks(graph, Some(state));
            let mut order: Vec<_> = graph.nodes.iter().flat_map(Node::steps).collect();
            // What undoes others stands nowhere in the sequence: shown once it has begun.
            let undos = graph.steps.iter().filter_map(|step| step.undo);
            order.extend(undos.filter(|undo| looks[undo.0].mark != Mark::NotBegun));
            order.into_iter().map(|step| row(&graph.step(step).name, looks[step.0])).collect()
        }
        None => state.steps.iter().map(|(name, group)| row(name, Look::of(group, state.status))).collect(),
    }
}

/// An item of a step in the table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ItemRow {
    pub(crate) place: String,
    /// How people call it.
    pub(crate) name: Option<String>,
    pub(crate) mark: Mark,
    pub(crate) attempt: u32,
    pub(crate) error: Option<String>,
    pub(crate) href: String,
}

/// The items of a step: a page of those that stand where is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Items {
    pub(crate) step: String,
    pub(crate) rows: Vec<ItemRow>,
    /// How many stand where, with the links that show only these.
    pub(crate) by_mark: Vec<(Option<Mark>, usize, String)>,
    pub(crate) only: Option<Mark>,
    pub(crate) turn: Turn,
}

/// Which page of how many is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Turn {
    /// From 1.
    pub(crate) page: usize,
    pub(crate) pages: usize,
    pub(crate) earlier: Option<String>,
    pub(crate) later: Option<String>,
}

impl Turn {
    /// The page that is asked for, or the nearest there is.
    pub(crate) fn of(p: &Page, rows: usize, on_each: usize) -> Self {
        let pages = rows.div_ceil(on_each).max(1);
        let asked = p.asked("page").and_then(|page| page.parse().ok()).unwrap_or(1_usize);
        Self::at(p, asked, pages)
    }

    /// The same for a page that is known.
    pub(crate) fn at(p: &Page, page: usize, pages: usize) -> Self {
        let page = page.clamp(1, pages);
        let to = |page: usize| p.with("page", &page.to_string());
        Self {
            page,
            pages,
            earlier: (page > 1).then(|| to(page - 1)),
            later: (page < pages).then(|| to(page + 1)),
        }
    }

    /// How many rows stand before it.
    pub(crate) fn before(&self, on_each: usize) -> usize {
        (self.page - 1) * on_each
    }
}

/// The items of a step that has any.
pub(crate) fn items(p: &Page, h: &Header, sight: &Sight, step: &Name) -> Option<Items> {
    let state = sight.state()?;
    let group = state.steps.get(step).filter(|group| !group.items.is_empty())?;
    let only = p.asked("only").and_then(|name| Mark::ALL.into_iter().find(|mark| mark.name() == name));
    let mut counts = BTreeMap::new();
    let marked: Vec<_> =
        group.items.iter().map(|(path, step)| (path, step, Mark::of(step, state.status))).collect();
    marked.iter().for_each(|(_, _, mark)| *counts.entry(*mark).or_insert(0_usize) += 1);
    let name = step.as_str();
    let link = |mark: &str| h.href(p, Tab::Steps, &[("step", name), ("only", mark)]);
    let mut by_mark = vec![(None, marked.len(), link(""))];
    by_mark.extend(counts.into_iter().map(|(mark, count)| (Some(mark), count, link(mark.name()))));
    let fitting: Vec<_> =
        marked.into_iter().filter(|(_, _, mark)| only.is_none_or(|only| only == *mark)).collect();
    let turn = Turn::of(p, fitting.len(), ROWS);
    let names = sight.definition.as_ref().and_then(|known| item_names(known.graph(), state, step));
    let row = |(path, found, mark): &(&Path, &StepState, Mark)| {
        let place = Place { step: step.clone(), item: (*path).clone() }.to_string();
        let called = |names: &Vec<String>| names.get(*path.numbers().first()? as usize).cloned();
        ItemRow {
            name: names.as_ref().and_then(called),
            mark: *mark,
            attempt: found.attempt,
            error: found
                .failure
                .as_ref()
                .filter(|_| *mark != Mark::Succeeded)
                .map(|failure| failure.message.clone()),
            href: h.href(p, Tab::Steps, &[("step", &place)]),
            place,
        }
    };
    let rows = fitting.iter().skip(turn.before(ROWS)).take(ROWS).map(row).collect();
    Some(Items { step: name.to_owned(), rows, by_mark, only, turn })
}

/// How people call the items of the outermost map that a step is in. Read once for a page, not once for each of its rows.
fn item_names(graph: &Graph, state: &State, step: &Name) -> Option<Vec<String>> {
    let index = graph.find(step)?;
    let names = graph.nodes.iter().find_map(|node| match node {
        Node::Map { body, names, .. } if body.iter().any(|node| node.steps().contains(&index)) => *names,
        _ => None,
    })?;
    state.step(&Place::of(graph.step(names).name.clone()))?.output.as_ref()?.decode().ok()
}

/// One step, item or round, with its attempts.
#[derive(Debug)]
pub(crate) struct StepShown {
    pub(crate) place: String,
    pub(crate) mark: Mark,
    /// The step of which this is an item.
    pub(crate) group_href: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) buttons: Vec<Button>,
    /// The attempts that can be looked at, each with how it ended.
    pub(crate) switches: Vec<Switch>,
    pub(crate) left_out: usize,
    pub(crate) under_way: Option<(u32, Time)>,
    pub(crate) shown: Option<AttemptShown>,
    /// Runs that it has started.
    pub(crate) children: Vec<(String, String)>,
    pub(crate) output_href: Option<String>,
    pub(crate) logs_href: String,
}

/// An attempt in the switcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Switch {
    pub(crate) attempt: u32,
    pub(crate) word: &'static str,
    pub(crate) name: &'static str,
    pub(crate) href: String,
    pub(crate) is_shown: bool,
    /// What shows the one that is looked at beside this one.
    pub(crate) compare_href: String,
    pub(crate) is_compared: bool,
}

/// An attempt, perhaps beside another one.
#[derive(Debug)]
pub(crate) struct AttemptShown {
    pub(crate) number: u32,
    pub(crate) other: Option<u32>,
    pub(crate) lines: Vec<Line>,
    pub(crate) record: AttemptRecord,
    pub(crate) limits: Vec<(String, String)>,
    pub(crate) facts: Vec<String>,
}

/// Which step the page opens: the one asked for, else the one that failed, else one that runs.
pub(crate) fn chosen(p: &Page, sight: &Sight) -> Option<Place> {
    if let Some(asked) = p.asked("step") {
        return asked.parse().ok();
    }
    if let Some(place) = sight.trouble_at().and_then(|place| place.parse().ok()) {
        return Some(place);
    }
    sight.state()?.running_places().into_iter().next()
}

/// A step with its attempts; `None` when nothing is known of it.
///
/// # Errors
/// The store's.
pub(crate) async fn step_shown(
    engine: &Engine,
    p: &Page,
    w: &'static RunWords,
    h: &Header,
    sight: &Sight,
    place: &Place,
) -> Result<Option<StepShown>, Problem> {
    let step = sight.state().and_then(|state| state.step(place));
    let text = place.to_string();
    let is_known = sight.definition.as_ref().is_some_and(|known| known.graph().find(&place.step).is_some());
    if step.is_none() && !is_known {
        return Ok(None);
    }
    let status = sight.head.status;
    let mark = step.map_or(Mark::NotBegun, |step| Mark::of(step, status));
    let attempts = if step.is_some() { engine.attempts(&sight.head.key, place).await? } else { Vec::new() };
    let number = |name: &str| p.asked(name).and_then(|number| number.parse::<u32>().ok());
    let shown_no = number("attempt").filter(|asked| attempts.iter().any(|one| one.attempt == *asked));
    let shown_no = shown_no.or_else(|| attempts.last().map(|last| last.attempt));
    let other_no = number("compare").filter(|asked| Some(*asked) != shown_no);
    let find = |wanted: Option<u32>| attempts.iter().find(|one| Some(one.attempt) == wanted);
    let shown = find(shown_no).map(|record| attempt_shown(p, w, record, find(other_no)));
    let switches = attempts.iter().rev().take(SWITCHES).map(|one| {
        let attempt = one.attempt.to_string();
        let shown = shown_no.map(|shown| shown.to_string()).unwrap_or_default();
        Switch {
            attempt: one.attempt,
            word: end_word(one, w),
            name: end_name(one),
            href: h.href(p, Tab::Steps, &[("step", &text), ("attempt", &attempt)]),
            is_shown: Some(one.attempt) == shown_no,
            compare_href: h.href(
                p,
                Tab::Steps,
                &[("step", &text), ("attempt", &shown), ("compare", &attempt)],
            ),
            is_compared: Some(one.attempt) == other_no,
        }
    });
    let children = step.map(|step| {
        let runs = step.children.values().map(|child| &child.run);
        runs.map(|run| (run.run.to_string(), p.run_href(run.tenant.as_str(), run.run.as_str(), ""))).collect()
    });
    let under_way = step.filter(|_| mark == Mark::Running).map(|step| (step.attempt, p.at(&step.started_at)));
    let name = sight.definition.as_ref().zip(sight.state()).and_then(|(known, state)| {
        let first = *place.item.numbers().first()? as usize;
        item_names(known.graph(), state, &place.step)?.get(first).cloned()
    });
    Ok(Some(StepShown {
        mark,
        group_href: (!place.item.is_root()).then(|| h.href(p, Tab::Steps, &[("step", place.step.as_str())])),
        name,
        buttons: step_buttons(p, w, sight, &text),
        switches: switches.collect(),
        left_out: step.map_or(0, |step| {
            let ended = step.attempt.saturating_sub(u32::from(under_way.is_some())) as usize;
            ended.saturating_sub(attempts.len().min(SWITCHES))
        }),
        under_way,
        shown,
        children: children.unwrap_or_default(),
        output_href: step
            .and_then(|step| step.output.as_ref())
            .map(|_| h.href(p, Tab::Data, &[("step", &text)])),
        logs_href: h.href(p, Tab::Logs, &[("step", &text)]),
        place: text,
    }))
}

fn attempt_shown(
    p: &Page,
    w: &RunWords,
    record: &AttemptRecord,
    other: Option<&AttemptRecord>,
) -> AttemptShown {
    let limits = record.limits.as_ref().and_then(|limits| serde_json::to_value(limits).ok());
    let limits = limits.as_ref().and_then(|limits| limits.as_object()).into_iter().flatten();
    let limits = limits.filter_map(|(name, limit)| {
        let from = limit.get("from")?.as_str()?;
        let value = limit.get("value")?;
        let (name, value) = told(p, name, value);
        (from != "default").then(|| (name, format!("{value} ({from})")))
    });
    let facts = record.environment.iter().filter_map(|fact| serde_json::to_string(fact).ok());
    AttemptShown {
        number: record.attempt,
        other: other.map(|other| other.attempt),
        lines: lines(record, other, w, p),
        limits: limits.collect(),
        facts: facts.collect(),
        record: record.clone(),
    }
}

/// A setting with its value as people read them: spans with their units, parts in a row.
fn told(p: &Page, name: &str, value: &serde_json::Value) -> (String, String) {
    use serde_json::Value;
    match (name.strip_suffix("_ms"), value) {
        (Some(name), Value::Number(ms)) if ms.is_u64() => {
            (name.to_owned(), p.span(ms.as_u64().unwrap_or_default()))
        }
        (_, Value::Object(parts)) => {
            let parts = parts.iter().map(|(name, value)| {
                let (name, value) = told(p, name, value);
                format!("{name} {value}")
            });
            (name.to_owned(), parts.collect::<Vec<_>>().join(", "))
        }
        (_, Value::String(text)) => (name.to_owned(), text.clone()),
        (_, value) => (name.to_owned(), value.to_string()),
    }
}

fn end_name(attempt: &AttemptRecord) -> &'static str {
    use stepwell::diagnosis::evidence::AttemptEnd;
    match attempt.ended {
        AttemptEnd::Succeeded => "succeeded",
        AttemptEnd::Failed => "failed",
        AttemptEnd::Lost(_) => "cancelled",
        AttemptEnd::Suspended => "waiting",
    }
}
