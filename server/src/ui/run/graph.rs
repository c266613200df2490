//! The picture of a run's definition, with where each part stands: geometry and looks, ready for the template.

use stepwell::contract::{Name, Timestamp};
use stepwell::run::output::Shape;
use stepwell::run::place::Path;
use stepwell::run::state::State;
use stepwell::workflow::graph::{Graph, Node, StepIndex, Until};

use crate::ui::page::Page;
use crate::ui::run::header::{Header, Tab};
use crate::ui::run::layout::{Around, Label, Part, Picture, TILE, TILES_MAX, Tile, Way, picture};
use crate::ui::run::looks::{Look, Mark, looks};
use crate::ui::run::words::RunWords;
use crate::ui::words::fill;

/// Most characters of a name in a tile.
const NAME_CHARS: usize = 23;
/// Most characters of what a tile says below the name.
const DETAIL_CHARS: usize = 29;

/// A tile as it is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TileShown {
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) mark: Mark,
    pub(crate) kind: &'static str,
    pub(crate) title: String,
    pub(crate) detail: String,
    /// Both in full, for whoever points at it or hears it.
    pub(crate) full: String,
    pub(crate) href: Option<String>,
}

/// A frame as it is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrameShown {
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) w: i32,
    pub(crate) h: i32,
    pub(crate) title: String,
}

/// A picture as it is drawn.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct GraphShown {
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) tiles: Vec<TileShown>,
    pub(crate) frames: Vec<FrameShown>,
    pub(crate) ways: Vec<Way>,
    pub(crate) labels: Vec<Label>,
    /// Parts that have no room.
    pub(crate) left_out: usize,
}

impl GraphShown {
    pub(crate) fn tile_w(&self) -> i32 {
        TILE.0
    }

    pub(crate) fn tile_h(&self) -> i32 {
        TILE.1
    }
}

/// The picture of a definition for a run.
pub(crate) fn shown(p: &Page, w: &RunWords, h: &Header, graph: &Graph, state: Option<&State>) -> GraphShown {
    let Picture { width, height, tiles, frames, ways, labels } = picture(graph);
    let looks = looks(graph, state);
    let totals = state.map(|state| totals(graph, state)).unwrap_or_default();
    let told = Teller { p, w, h, graph, looks: &looks, totals: &totals };
    let frames = frames.iter().map(|frame| FrameShown {
        x: frame.x,
        y: frame.y,
        w: frame.w,
        h: frame.h,
        title: told.frame(&frame.around, frame.w),
    });
    let left_out = graph.steps.len().saturating_sub(TILES_MAX);
    let left_out = if tiles.iter().any(|tile| matches!(tile.part, Part::More(_))) { left_out } else { 0 };
    GraphShown {
        width,
        height,
        frames: frames.collect(),
        tiles: tiles.iter().map(|tile| told.tile(tile)).collect(),
        ways,
        labels,
        left_out,
    }
}

struct Teller<'a> {
    p: &'a Page,
    w: &'a RunWords,
    h: &'a Header,
    graph: &'a Graph,
    looks: &'a [Look],
    totals: &'a [(StepIndex, usize)],
}

impl Teller<'_> {
    fn name(&self, step: StepIndex) -> &Name {
        &self.graph.step(step).name
    }

    fn tile(&self, tile: &Tile) -> TileShown {
        let w = self.w;
        let look = tile.part.step().map(|step| self.looks[step.0]).unwrap_or_default();
        let (kind, title, detail) = match &tile.part {
            Part::Step(step) => ("step", self.name(*step).to_string(), self.detail(&look, Some(*step))),
            Part::Decide(step) => {
                let said = self.detail(&look, None);
                ("decide", self.name(*step).to_string(), format!("{} · {said}", w.kind_decide))
            }
            Part::Sleep(step, until) => {
                let said = self.detail(&look, None);
                ("sleep", self.name(*step).to_string(), format!("{} · {said}", self.until(until)))
            }
            Part::Wait(step, signals) => {
                let said = self.detail(&look, None);
                let of = if signals.len() == 1 && signals[0] == self.name(*step).as_str() {
                    w.signal.to_owned()
                } else {
                    format!("{} {}", w.signal, signals.join(", "))
                };
                ("wait", self.name(*step).to_string(), format!("{said} · {of}"))
            }
            Part::Recall(step) => ("recall", fill(w.kind_recall, &[self.name(*step)]), String::new()),
            Part::More(steps) => ("more", fill(w.kind_more, &[steps]), String::new()),
        };
        let href = match &tile.part {
            Part::Recall(step) => Some(self.name(*step).as_str()),
            Part::More(_) => Some(""),
            part => part.step().map(|step| self.name(step).as_str()),
        };
        TileShown {
            x: tile.x,
            y: tile.y,
            mark: look.mark,
            kind,
            full: if detail.is_empty() { title.clone() } else { format!("{title}: {detail}") },
            title: clipped(&title, NAME_CHARS),
            detail: clipped(&detail, DETAIL_CHARS),
            href: href.map(|step| self.h.href(self.p, Tab::Steps, &[("step", step)])),
        }
    }

    fn detail(&self, look: &Look, step: Option<StepIndex>) -> String {
        let w = self.w;
        let mut said = vec![look.mark.word(w).to_owned()];
        match look.counts {
            Some(counts) => {
                let done = counts.succeeded + counts.failed;
                said = vec![format!("{} {done}/{}", look.mark.word(w), counts.begun)];
                if counts.failed > 0 {
                    said.push(fill(w.items_failed, &[&counts.failed]));
                }
            }
            None if look.attempt > 1 => said.push(fill(w.attempt_no, &[&look.attempt])),
            None => {
                let undo = step.and_then(|step| self.graph.step(step).undo);
                let undo = undo.filter(|_| look.mark == Mark::NotBegun || look.mark == Mark::Succeeded);
                said.extend(undo.map(|undo| fill(w.undone_by, &[self.name(undo)])));
            }
        }
        said.join(" · ")
    }

    fn until(&self, until: &Until) -> String {
        match until {
            Until::After(ms) => self.p.span(*ms),
            Until::At(Timestamp(ms)) => self.p.at(&Timestamp(*ms)).to_string(),
            Until::Said(by) => self.name(*by).to_string(),
        }
    }

    fn frame(&self, around: &Around, width: i32) -> String {
        let w = self.w;
        let title = match around {
            Around::Each { concurrency, tolerance, counts } => {
                let mut said = vec![fill(w.each_item, &[concurrency])];
                let look = counts.and_then(|step| self.looks[step.0].counts);
                let total =
                    self.totals.iter().find(|(step, _)| Some(*step) == *counts).map(|(_, total)| *total);
                if let Some(found) = look {
                    let total = total.unwrap_or(found.begun).max(found.begun);
                    said.insert(0, fill(w.items_of, &[&found.begun, &total]));
                } else if let Some(total) = total {
                    said.insert(0, fill(w.items_of, &[&0, &total]));
                }
                if tolerance.is_some() {
                    said.push(w.some_may_fail.to_owned());
                }
                said.join(" · ")
            }
            Around::Again { rounds_max, by } => {
                let mut said = vec![fill(w.again_while, &[self.name(*by), rounds_max])];
                if let Some(found) = self.looks[by.0].counts {
                    said.insert(0, fill(w.rounds, &[&found.begun]));
                }
                said.join(" · ")
            }
        };
        let room = usize::try_from((width - 24) / 6).unwrap_or(0);
        clipped(&title, room.max(8))
    }
}

/// How many items each map outside maps and loops has, by the first step in it, once that is known.
fn totals(graph: &Graph, state: &State) -> Vec<(StepIndex, usize)> {
    let mut found = Vec::new();
    for (nth, node) in graph.nodes.iter().enumerate() {
        let Node::Map { body, .. } = node else { continue };
        let Some(first) = body.iter().flat_map(Node::steps).next() else { continue };
        let flows_in = Shape::of(graph, &graph.nodes[..nth]);
        let given = flows_in.output(state, &Path::root(), &state.created.input).ok().flatten();
        let items = given.and_then(|given| {
            serde_json::from_str::<Vec<serde::de::IgnoredAny>>(given.text()).ok().map(|items| items.len())
        });
        found.extend(items.map(|items| (first, items)));
    }
    found
}

/// A text with its end cut where there is no room: wide letters take two places.
fn clipped(text: &str, places: usize) -> String {
    let wide = |letter: char| if letter < '\u{1100}' { 1 } else { 2 };
    if text.chars().map(wide).sum::<usize>() <= places {
        return text.to_owned();
    }
    let mut taken = 1;
    let kept = text.chars().take_while(|letter| {
        taken += wide(*letter);
        taken <= places
    });
    kept.chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_to_its_room() {
        assert_eq!(clipped("short", 8), "short");
        assert_eq!(clipped("a-very-long-name", 8), "a-very-…");
        assert_eq!(clipped("実行中です", 7), "実行中…");
    }
}
