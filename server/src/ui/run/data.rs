//! The values of a run: what it took, what it gives, what its steps share and gave.

use stepwell::contract::{Payload, Status};
use stepwell::run::event::Event;
use stepwell::run::place::Place;
use stepwell::run::state::State;

use crate::api::values::{as_shown, document};
use crate::ui::page::Page;
use crate::ui::run::header::{Header, Tab, with_query};
use crate::ui::run::json::{Shown, shown, shown_within};
use crate::ui::run::sight::Sight;
use crate::ui::run::steps::Turn;

/// Outputs of one page.
const OUTPUTS: usize = 100;
/// Most bytes shown of one of several outputs.
const OUTPUT_BYTES_MAX: usize = 2 << 10;

/// A value with where the whole of it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) id: &'static str,
    pub(crate) shown: Shown,
    pub(crate) download: String,
}

/// The output of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutputRow {
    pub(crate) place: String,
    pub(crate) shown: Shown,
    pub(crate) href: String,
    pub(crate) download: String,
    pub(crate) is_open: bool,
}

/// All that the page of the values shows.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Data {
    pub(crate) input: Option<Value>,
    pub(crate) output: Option<Value>,
    pub(crate) context: Option<Value>,
    pub(crate) outputs: Vec<OutputRow>,
    pub(crate) turn: Turn,
    /// The step whose outputs alone are shown.
    pub(crate) only: Option<String>,
}

/// Which value is asked for as a file.
pub(crate) fn raw(p: &Page, sight: &Sight, of: &str, step: Option<&str>) -> Option<String> {
    let value = match of {
        "input" => input(sight)?,
        "output" => output(sight.state()?)?,
        "context" => context(sight.state()?)?,
        "step" => {
            let place: Place = step?.parse().ok()?;
            sight.state()?.step(&place)?.output.clone()?
        }
        _ => return None,
    };
    Some(to_show(p, &value).text().to_owned())
}

/// The value as whoever looks may see it: what has the form of a secret is for operators who ask for it.
fn to_show(p: &Page, value: &Payload) -> Payload {
    as_shown(value, shows_secrets(p))
}

/// Whether secrets are shown.
pub(crate) fn shows_secrets(p: &Page) -> bool {
    p.is_operator() && p.asked("secrets") == Some("true")
}

/// The result of a run, shown on its overview too.
pub(crate) fn result(p: &Page, h: &Header, sight: &Sight) -> Option<Value> {
    output(sight.state()?).map(|output| value(p, h, "output", &output))
}

fn value(p: &Page, h: &Header, id: &'static str, value: &Payload) -> Value {
    Value { id, shown: shown(to_show(p, value).text()), download: download(p, h, id, "") }
}

fn download(p: &Page, h: &Header, of: &str, step: &str) -> String {
    let plain = p.run_href(&h.run.tenant, &h.run.run, "/data/raw");
    let secrets = if shows_secrets(p) { "true" } else { "" };
    with_query(plain, &[("of", of), ("step", step), ("secrets", secrets)])
}

fn input(sight: &Sight) -> Option<Payload> {
    match sight.state() {
        Some(state) => Some(state.created.input.clone()),
        // What cannot be read as a whole still begins with its input.
        None => match sight.first("run_created").map(Event::read)? {
            Ok(Event::RunCreated(made)) => Some(made.input),
            _ => None,
        },
    }
}

fn output(state: &State) -> Option<Payload> {
    if state.status != Status::Succeeded {
        return None;
    }
    state.result.as_ref()?.result(state).ok().flatten()
}

fn context(state: &State) -> Option<Payload> {
    if state.context.is_null() {
        return None;
    }
    document(state).ok()
}

pub(crate) fn data(p: &Page, h: &Header, sight: &Sight) -> Data {
    let only = p.asked("step").map(str::to_owned);
    let mut data = Data {
        input: input(sight).map(|input| value(p, h, "input", &input)),
        output: result(p, h, sight),
        context: sight.state().and_then(context).map(|context| value(p, h, "context", &context)),
        turn: Turn::of(p, 0, OUTPUTS),
        only: only.clone(),
        ..Data::default()
    };
    let Some(state) = sight.state() else { return data };
    let fits = |place: &Place| {
        only.as_ref().is_none_or(|only| place.step.as_str() == only.as_str() || place.to_string() == *only)
    };
    let found: Vec<_> = state
        .places()
        .filter(|(place, _)| fits(place))
        .filter_map(|(place, step)| Some((place, step.output.as_ref()?)))
        .collect();
    data.turn = Turn::of(p, found.len(), OUTPUTS);
    let is_one = found.len() == 1;
    data.outputs = found
        .iter()
        .skip(data.turn.before(OUTPUTS))
        .take(OUTPUTS)
        .map(|(place, output)| {
            let (place, value) = (place.to_string(), to_show(p, output));
            let text = value.text();
            OutputRow {
                shown: if is_one { shown(text) } else { shown_within(text, OUTPUT_BYTES_MAX) },
                href: h.href(p, Tab::Data, &[("step", &place)]),
                download: download(p, h, "step", &place),
                is_open: is_one,
                place,
            }
        })
        .collect();
    data
}
