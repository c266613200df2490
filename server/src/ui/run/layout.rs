//! Where the parts of a definition stand in its picture: pure geometry, from the top down, without a word about state.

use stepwell::workflow::graph::{Graph, Node, StepIndex, Tolerance, Until};

/// How wide and high a tile is.
pub(crate) const TILE: (i32, i32) = (196, 46);
/// Most tiles of a picture: what is beyond stands in it as a number.
pub(crate) const TILES_MAX: usize = 400;

/// Room between tiles one below the other.
const GAP: i32 = 26;
/// Room between branches.
const ASIDE: i32 = 22;
/// Room within a frame.
const PAD: i32 = 14;
/// How high the title of a frame is, and how wide a frame is at least for its sake.
const TITLE: i32 = 26;
const TITLED: i32 = 384;
/// How far below a fork its branches begin: its labels stand there.
const FORK: i32 = 34;
/// Room at the side of a loop for the way back.
const BACK: i32 = 22;

/// What a tile stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// A step that does something.
    Step(StepIndex),
    /// A step that says which way to go.
    Decide(StepIndex),
    /// Time that passes.
    Sleep(StepIndex, Until),
    /// A signal that is waited for.
    Wait(StepIndex, Vec<String>),
    /// The output of a step again.
    Recall(StepIndex),
    /// So many more steps, which have no room in the picture.
    More(usize),
}

impl Part {
    /// The step whose state it shows.
    pub(crate) fn step(&self) -> Option<StepIndex> {
        match self {
            Self::Step(step) | Self::Decide(step) | Self::Sleep(step, _) | Self::Wait(step, _) => Some(*step),
            Self::Recall(_) | Self::More(_) => None,
        }
    }
}

/// A part in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) part: Part,
}

/// Why a frame is around several parts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Around {
    /// Once for each item of a list; `counts` is the first step in it, which every item has.
    Each { concurrency: u32, tolerance: Option<Tolerance>, counts: Option<StepIndex> },
    /// Over and over.
    Again { rounds_max: u32, by: StepIndex },
}

/// A frame around parts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) w: i32,
    pub(crate) h: i32,
    pub(crate) around: Around,
}

/// A way from one part to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) points: Vec<(i32, i32)>,
    /// Whether it ends at a part.
    pub(crate) arrives: bool,
}

impl Way {
    /// The same as the `points` of a polyline.
    pub(crate) fn text(&self) -> String {
        let points: Vec<_> = self.points.iter().map(|(x, y)| format!("{x},{y}")).collect();
        points.join(" ")
    }
}

/// A word beside a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) text: String,
}

/// A definition in its picture.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Picture {
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) tiles: Vec<Tile>,
    pub(crate) frames: Vec<Frame>,
    pub(crate) ways: Vec<Way>,
    pub(crate) labels: Vec<Label>,
}

/// The picture of a definition.
pub(crate) fn picture(graph: &Graph) -> Picture {
    let mut room = TILES_MAX;
    let mut all = sequence(&graph.nodes, &mut room);
    all.shift(PAD, PAD);
    let Block { w, h, tiles, frames, ways, labels, .. } = all;
    Picture { width: w + 2 * PAD, height: h + 2 * PAD, tiles, frames, ways, labels }
}

/// Parts placed beside each other, from (0, 0) on. Ways enter at the top and leave at the bottom, both at `axis`.
#[derive(Debug, Default)]
struct Block {
    w: i32,
    h: i32,
    axis: i32,
    /// Whether what enters meets a part, and not the beginning of another way.
    is_met: bool,
    tiles: Vec<Tile>,
    frames: Vec<Frame>,
    ways: Vec<Way>,
    labels: Vec<Label>,
}

impl Block {
    fn of(part: Part) -> Self {
        let (w, h) = TILE;
        Self { w, h, axis: w / 2, is_met: true, tiles: vec![Tile { x: 0, y: 0, part }], ..Self::default() }
    }

    /// A way straight through.
    fn empty() -> Self {
        let (w, h) = (TILE.0 / 2, GAP);
        let through = Way { points: vec![(w / 2, 0), (w / 2, h)], arrives: false };
        Self { w, h, axis: w / 2, ways: vec![through], ..Self::default() }
    }

    fn shift(&mut self, dx: i32, dy: i32) {
        self.tiles.iter_mut().for_each(|tile| (tile.x, tile.y) = (tile.x + dx, tile.y + dy));
        self.frames.iter_mut().for_each(|frame| (frame.x, frame.y) = (frame.x + dx, frame.y + dy));
        self.labels.iter_mut().for_each(|label| (label.x, label.y) = (label.x + dx, label.y + dy));
        for point in self.ways.iter_mut().flat_map(|way| &mut way.points) {
            *point = (point.0 + dx, point.1 + dy);
        }
    }

    /// Takes in what another one has, which stands where it belongs.
    fn take(&mut self, other: Self) {
        self.tiles.extend(other.tiles);
        self.frames.extend(other.frames);
        self.ways.extend(other.ways);
        self.labels.extend(other.labels);
    }
}

fn sequence(nodes: &[Node], room: &mut usize) -> Block {
    let mut blocks = Vec::new();
    for (nth, node) in nodes.iter().enumerate() {
        if *room == 0 {
            let more = nodes[nth..].iter().map(|node| node.steps().len()).sum();
            blocks.push(Block::of(Part::More(more)));
            break;
        }
        blocks.extend(block(node, room));
    }
    below(blocks)
}

/// Blocks one below the other.
fn below(blocks: Vec<Block>) -> Block {
    if blocks.is_empty() {
        return Block::empty();
    }
    let axis = blocks.iter().map(|block| block.axis).max().unwrap_or_default();
    let aside = blocks.iter().map(|block| block.w - block.axis).max().unwrap_or_default();
    let mut all = Block { w: axis + aside, axis, is_met: blocks[0].is_met, ..Block::default() };
    for mut block in blocks {
        if all.h > 0 {
            let points = vec![(axis, all.h), (axis, all.h + GAP)];
            all.ways.push(Way { points, arrives: block.is_met });
            all.h += GAP;
        }
        block.shift(axis - block.axis, all.h);
        all.h += block.h;
        all.take(block);
    }
    all
}

/// A node, as blocks one below the other.
fn block(node: &Node, room: &mut usize) -> Vec<Block> {
    let mut tile = |part| {
        *room = room.saturating_sub(1);
        Block::of(part)
    };
    match node {
        Node::Step(step) => vec![tile(Part::Step(*step))],
        Node::Sleep { step, until } => {
            let by = if let Until::Said(by) = until { Some(tile(Part::Step(*by))) } else { None };
            by.into_iter().chain([tile(Part::Sleep(*step, *until))]).collect()
        }
        Node::Wait { step, signals, .. } => {
            let signals = signals.iter().map(ToString::to_string).collect();
            vec![tile(Part::Wait(*step, signals))]
        }
        Node::Recall { step } => vec![tile(Part::Recall(*step))],
        Node::Parallel { branches, .. } => {
            let words = branches.iter().map(|_| None).collect();
            vec![beside(branches.iter().map(|branch| sequence(branch, room)).collect(), words)]
        }
        Node::Choose { by, arms } => {
            let by = tile(Part::Decide(*by));
            let words = arms.iter().map(|(word, _)| Some(word.clone())).collect();
            vec![by, beside(arms.iter().map(|(_, body)| sequence(body, room)).collect(), words)]
        }
        Node::Map { body, concurrency, tolerance, names } => {
            let names = names.map(|names| tile(Part::Step(names)));
            let counts = body.iter().flat_map(Node::steps).next();
            let around = Around::Each { concurrency: *concurrency, tolerance: *tolerance, counts };
            let map = framed(sequence(body, room), around, 0);
            names.into_iter().chain([map]).collect()
        }
        Node::Repeat { by, body, rounds_max } => {
            let round = vec![tile(Part::Decide(*by)), sequence(body, room)];
            let mut round = below(round);
            let aside = round.w + BACK / 2;
            let turn = TILE.1 / 2;
            let points = vec![
                (round.axis, round.h),
                (round.axis, round.h + PAD / 2),
                (aside, round.h + PAD / 2),
                (aside, turn),
                (round.axis + TILE.0 / 2, turn),
            ];
            round.ways.push(Way { points, arrives: true });
            vec![framed(round, Around::Again { rounds_max: *rounds_max, by: *by }, BACK)]
        }
    }
}

/// Blocks beside each other, between a fork and a join.
fn beside(mut blocks: Vec<Block>, words: Vec<Option<String>>) -> Block {
    if blocks.is_empty() {
        return Block::empty();
    }
    let tallest = blocks.iter().map(|block| block.h).max().unwrap_or_default();
    let w = blocks.iter().map(|block| block.w + ASIDE).sum::<i32>() - ASIDE;
    let h = tallest + 2 * FORK - GAP / 2;
    let mut left = 0;
    for block in &mut blocks {
        block.shift(left, FORK);
        block.axis += left;
        left += block.w + ASIDE;
    }
    let axis = (blocks[0].axis + blocks[blocks.len() - 1].axis) / 2;
    let mut all = Block { w, h, axis, ..Block::default() };
    let (top, bottom) = (GAP / 2, h - GAP / 2);
    for (block, word) in blocks.into_iter().zip(words) {
        let (x, end) = (block.axis, FORK + block.h);
        all.ways
            .push(Way { points: vec![(axis, 0), (axis, top), (x, top), (x, FORK)], arrives: block.is_met });
        all.ways.push(Way { points: vec![(x, end), (x, bottom), (axis, bottom), (axis, h)], arrives: false });
        all.labels.extend(word.map(|text| Label { x: x + 6, y: FORK - 8, text }));
        all.take(block);
    }
    all
}

/// A block with a frame around it, and room at its right side.
fn framed(mut block: Block, around: Around, right: i32) -> Block {
    let room = if right > 0 { PAD / 2 } else { 0 };
    let own = block.w + right + 2 * PAD;
    let w = own.max(TITLED);
    let left = PAD + (w - own) / 2;
    block.shift(left, TITLE);
    let h = block.h + TITLE + PAD + room;
    let axis = block.axis + left;
    let frame = Frame { x: 0, y: 0, w, h, around };
    let (entry, exit) = (vec![(axis, 0), (axis, TITLE)], vec![(axis, h - PAD - room), (axis, h)]);
    let arrives = block.is_met;
    let mut all = Block { w, h, axis, ..Block::default() };
    all.frames.push(frame);
    all.ways.push(Way { points: entry, arrives });
    all.ways.push(Way { points: exit, arrives: false });
    all.take(block);
    all
}

#[cfg(test)]
mod tests {
    use stepwell::StepPolicy;
    use stepwell::contract::Name;
    use stepwell::workflow::graph::{Join, Sequence, StepSpec};

    use super::*;

    /// Definitions that are different each time and the same for the same seed.
    struct Draw {
        seed: u64,
        graph: Graph,
    }

    impl Draw {
        fn next(&mut self, below: u64) -> u64 {
            self.seed =
                self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.seed >> 33) % below
        }

        fn step(&mut self) -> StepIndex {
            let name = Name::new(format!("step-{}", self.graph.steps.len())).expect("a name");
            self.graph.steps.push(StepSpec::new(name, StepPolicy::default()));
            StepIndex(self.graph.steps.len() - 1)
        }

        fn sequence(&mut self, depth: u32, least: u64) -> Sequence {
            let nodes = self.next(4).max(least);
            (0..nodes).map(|_| self.node(depth)).collect()
        }

        fn node(&mut self, depth: u32) -> Node {
            let kinds = if depth == 0 { 4 } else { 8 };
            let several = |draw: &mut Self| -> Vec<Sequence> {
                let branches = draw.next(3) + 1;
                (0..branches).map(|_| draw.sequence(depth - 1, 0)).collect()
            };
            match self.next(kinds) {
                0 => Node::Wait { step: self.step(), signals: Vec::new(), timeout_ms: None },
                1 => {
                    let (by, step) = (self.step(), self.step());
                    Node::Sleep { step, until: Until::Said(by) }
                }
                2 => Node::Sleep { step: self.step(), until: Until::After(1) },
                3 => Node::Step(self.step()),
                4 => Node::Parallel { branches: several(self), join: Join::FailFast },
                5 => {
                    let by = self.step();
                    let arms = several(self).into_iter().map(|body| ("word".to_owned(), body)).collect();
                    Node::Choose { by, arms }
                }
                6 => {
                    let names = Some(self.step());
                    Node::Map { body: self.sequence(depth - 1, 1), concurrency: 3, tolerance: None, names }
                }
                _ => {
                    let by = self.step();
                    Node::Repeat { by, body: self.sequence(depth - 1, 1), rounds_max: 9 }
                }
            }
        }
    }

    fn drawn(seed: u64) -> Graph {
        let mut draw = Draw { seed, graph: Graph::default() };
        draw.graph.nodes = draw.sequence(3, 1);
        draw.graph
    }

    #[test]
    fn every_step_has_a_tile_that_overlaps_no_other() {
        for seed in 0..300 {
            let graph = drawn(seed);
            let picture = picture(&graph);
            let mut steps: Vec<_> = picture.tiles.iter().filter_map(|tile| tile.part.step()).collect();
            steps.sort_unstable();
            let all: Vec<_> = (0..graph.steps.len()).map(StepIndex).collect();
            assert_eq!(steps, all, "seed {seed}");
            let (w, h) = TILE;
            for (nth, a) in picture.tiles.iter().enumerate() {
                assert!(a.x >= 0 && a.y >= 0, "seed {seed}: {a:?}");
                assert!(a.x + w <= picture.width && a.y + h <= picture.height, "seed {seed}: {a:?}");
                for b in &picture.tiles[nth + 1..] {
                    let apart = a.x + w <= b.x || b.x + w <= a.x || a.y + h <= b.y || b.y + h <= a.y;
                    assert!(apart, "seed {seed}: {a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn no_way_leads_through_a_tile_or_out_of_the_picture() {
        for seed in 0..300 {
            let picture = picture(&drawn(seed));
            for way in &picture.ways {
                for two in way.points.windows(2) {
                    let ((x, y), (to_x, to_y)) = (two[0], two[1]);
                    let (left, right) = (x.min(to_x), x.max(to_x));
                    let (top, bottom) = (y.min(to_y), y.max(to_y));
                    assert!(left >= 0 && top >= 0, "seed {seed}: {way:?}");
                    assert!(right <= picture.width && bottom <= picture.height, "seed {seed}: {way:?}");
                    let hit = picture.tiles.iter().find(|tile| {
                        left < tile.x + TILE.0 && right > tile.x && top < tile.y + TILE.1 && bottom > tile.y
                    });
                    assert_eq!(hit, None, "seed {seed}: {way:?}");
                }
            }
        }
    }

    #[test]
    fn frames_hold_their_parts_and_cross_no_tile() {
        for seed in 0..300 {
            let picture = picture(&drawn(seed));
            for frame in &picture.frames {
                for tile in &picture.tiles {
                    let inside = tile.x >= frame.x
                        && tile.y >= frame.y
                        && tile.x + TILE.0 <= frame.x + frame.w
                        && tile.y + TILE.1 <= frame.y + frame.h;
                    let outside = tile.x + TILE.0 <= frame.x
                        || frame.x + frame.w <= tile.x
                        || tile.y + TILE.1 <= frame.y
                        || frame.y + frame.h <= tile.y;
                    assert!(inside || outside, "seed {seed}: {frame:?} {tile:?}");
                }
            }
        }
    }

    #[test]
    fn a_definition_of_ten_thousand_steps_has_a_picture_of_a_few_hundred() {
        let mut draw = Draw { seed: 1, graph: Graph::default() };
        draw.graph.nodes = (0..10_000).map(|_| Node::Step(draw.step())).collect();
        let picture = picture(&draw.graph);
        assert_eq!(picture.tiles.len(), TILES_MAX + 1);
        assert_eq!(picture.tiles.last().map(|tile| &tile.part), Some(&Part::More(10_000 - TILES_MAX)));
    }
}
