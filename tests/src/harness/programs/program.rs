//! Random programs: what a workflow may consist of, as data.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What flows through a program: a number that every step changes, and the rounds that the loops around have left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// The number.
    pub v: u64,
    /// Rounds left, innermost loop last.
    pub left: Vec<u32>,
}

impl Data {
    /// The data after a step of that salt.
    #[must_use]
    pub fn mixed(&self, salt: u64) -> Self {
        Self { v: mix(self.v, salt), left: self.left.clone() }
    }
}

/// One number from two, without a pattern.
#[must_use]
pub fn mix(a: u64, b: u64) -> u64 {
    let mut x = a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) >> 12
}

/// A part of a program.
#[derive(Debug, Clone)]
pub struct Part {
    /// The names of its steps begin so.
    pub name: String,
    /// What it mixes in.
    pub salt: u64,
    /// What it is.
    pub sort: Sort,
}

/// What a part is.
#[derive(Debug, Clone)]
pub enum Sort {
    /// A step that fails so often before it succeeds, and for good where the number is a multiple of `dies`.
    Step {
        /// Attempts that fail.
        fails: u32,
        /// Of which numbers it dies; 0 of none.
        dies: u64,
        /// Whether it says how it is undone.
        undo: bool,
        /// Whether undoing it fails for good, until a person lets it be tried again.
        undo_dies: bool,
        /// Whether it writes into the document that all steps share.
        merges: bool,
    },
    /// Two things at once.
    Both {
        /// One.
        left: Vec<Part>,
        /// The other.
        right: Vec<Part>,
        /// Whether a failure of one waits for the other.
        wait_all: bool,
    },
    /// A body for each of some items.
    Map {
        /// Of which numbers the count of items is the rest.
        items: u64,
        /// How many at once.
        concurrency: u32,
        /// How many may fail.
        tolerated: Option<u32>,
        /// The body.
        body: Vec<Part>,
    },
    /// One of two ways.
    Branch {
        /// Where the number is even.
        then: Vec<Part>,
        /// Where it is odd.
        otherwise: Vec<Part>,
    },
    /// One of three ways.
    Choose {
        /// By the rest of the number.
        arms: [Vec<Part>; 3],
    },
    /// A step that is passed over where the number is odd.
    StepIf,
    /// A body over and over.
    Repeat {
        /// Of which number the count of rounds is the rest.
        rounds: u64,
        /// The body.
        body: Vec<Part>,
    },
    /// Time that passes.
    Sleep {
        /// How much.
        minutes: u64,
    },
    /// Time that passes until a time that the data names.
    SleepUntil,
    /// A signal.
    Wait,
    /// A signal within a time: it comes long before, or never.
    WaitWithin {
        /// Whether it comes.
        comes: bool,
    },
    /// Any of two signals: the first comes, the second, or none within the time.
    WaitAny {
        /// Which one comes.
        comes: Option<u32>,
    },
    /// A step that waits in the middle of its work, for one thing after the other.
    Waits(Vec<Inner>),
    /// A step that is left to someone outside.
    External(External),
    /// A program of its own as a child.
    Child(Vec<Part>),
    /// The same, begun by a step that does not wait for it.
    LeftChild {
        /// Whether it goes on alone when its parent ends.
        is_abandoned: bool,
        /// The program.
        program: Vec<Part>,
    },
    /// The output of a step that stands before.
    Recall {
        /// The step.
        of: String,
    },
}

/// What a step waits for in the middle of its work.
#[derive(Debug, Clone)]
pub enum Inner {
    /// Time that passes.
    Sleep {
        /// How much.
        minutes: u64,
    },
    /// A signal.
    Signal,
    /// A signal within a time: it comes long before, or never.
    Within {
        /// Whether it comes.
        comes: bool,
    },
    /// Any of two signals.
    Any {
        /// Which of them comes.
        comes: u32,
    },
    /// A child.
    Child {
        /// Whether the step goes on when it fails.
        tolerates: bool,
        /// Its program.
        program: Vec<Part>,
    },
}

/// What is said of a step that is left to someone outside.
#[derive(Debug, Clone, Copy)]
pub struct External {
    /// Attempts that are said to fail.
    pub fails: u32,
    /// Whether nobody says anything of the first attempt.
    pub is_silent: bool,
}

/// Hands every part to `look`, those inside others too, but not those of children.
pub fn visit<'a>(parts: &'a [Part], look: &mut dyn FnMut(&'a Part)) {
    for part in parts {
        look(part);
        match &part.sort {
            Sort::Both { left, right, .. } => {
                visit(left, look);
                visit(right, look);
            }
            Sort::Map { body, .. } | Sort::Repeat { body, .. } => visit(body, look),
            Sort::Branch { then, otherwise } => {
                visit(then, look);
                visit(otherwise, look);
            }
            Sort::Choose { arms } => arms.iter().for_each(|arm| visit(arm, look)),
            _ => {}
        }
    }
}

/// The children of a program, by the names of their workflows, and their children.
#[must_use]
pub fn family<'a>(name: &str, parts: &'a [Part]) -> Vec<(String, &'a [Part])> {
    let mut family: Vec<(String, &[Part])> = vec![(name.to_owned(), parts)];
    visit(parts, &mut |part| match &part.sort {
        Sort::Child(program) | Sort::LeftChild { program, .. } => {
            family.extend(self::family(&child_name(name, &part.name, 0), program));
        }
        Sort::Waits(waits) => {
            for (nth, wait) in waits.iter().enumerate() {
                if let Inner::Child { program, .. } = wait {
                    family.extend(self::family(&child_name(name, &part.name, nth), program));
                }
            }
        }
        _ => {}
    });
    family
}

/// The name of the workflow of a child.
#[must_use]
pub fn child_name(parent: &str, part: &str, nth: usize) -> String {
    format!("{parent}-{part}-{nth}")
}

/// Draws programs.
#[derive(Debug)]
pub struct Maker {
    random: fastrand::Rng,
    left: u32,
    named: u32,
    /// Of how many runs it is a descendant. Nobody sends signals to those that are any.
    generation: u32,
    /// The steps of the outermost sequence so far.
    steps: Vec<String>,
}

impl Maker {
    /// A program of at most so many parts.
    #[must_use]
    pub fn program(seed: u64, parts_max: u32) -> Vec<Part> {
        Self::of_generation(fastrand::Rng::with_seed(seed), parts_max, 0)
    }

    fn of_generation(mut random: fastrand::Rng, parts_max: u32, generation: u32) -> Vec<Part> {
        let left = random.u32(1..=parts_max).max(random.u32(1..=parts_max));
        let mut maker = Self { random, left, named: 0, generation, steps: Vec::new() };
        let mut parts = Vec::new();
        while maker.left > 0 {
            let part = maker.part(0);
            if matches!(part.sort, Sort::Step { .. }) {
                maker.steps.push(part.name.clone());
            }
            parts.push(part);
        }
        parts
    }

    fn parts(&mut self, depth: u32, least: u32) -> Vec<Part> {
        let wanted = self.random.u32(least..=3);
        let mut parts = Vec::new();
        while (parts.len() as u32) < wanted && (self.left > 0 || (parts.len() as u32) < least) {
            parts.push(self.part(depth));
        }
        parts
    }

    fn part(&mut self, depth: u32) -> Part {
        self.left = self.left.saturating_sub(1);
        self.named += 1;
        let name = format!("p{}", self.named);
        let salt = self.random.u64(..);
        // Deep down only what has nothing inside.
        let kind = if depth >= 3 { self.random.u32(0..13) } else { self.random.u32(0..25) };
        let is_heard = self.generation == 0;
        let sort = match kind {
            0..=3 => self.step(),
            4 => Sort::StepIf,
            5 => Sort::Sleep { minutes: [0, 1, 90, 60 * 24 * 3][self.random.usize(0..4)] },
            6 => Sort::SleepUntil,
            7 if is_heard => Sort::Wait,
            7 | 8 => Sort::WaitWithin { comes: is_heard && self.random.bool() },
            9 => Sort::WaitAny { comes: is_heard.then(|| self.random.u32(0..3)).filter(|nth| *nth < 2) },
            10 | 11 => Sort::Waits(self.waits()),
            12 => Sort::External(External {
                fails: if self.random.bool() { self.random.u32(0..3) } else { 0 },
                is_silent: self.random.u32(0..4) == 0,
            }),
            13 | 14 => Sort::Both {
                left: self.parts(depth + 1, 0),
                right: self.parts(depth + 1, 1),
                wait_all: self.random.bool(),
            },
            15..=17 => Sort::Map {
                items: self.random.u64(1..6),
                concurrency: self.random.u32(1..5),
                tolerated: self.random.bool().then(|| self.random.u32(0..3)),
                body: self.parts(depth + 1, 1),
            },
            18 | 19 => Sort::Branch { then: self.parts(depth + 1, 0), otherwise: self.parts(depth + 1, 0) },
            20 => Sort::Choose {
                arms: [self.parts(depth + 1, 0), self.parts(depth + 1, 1), self.parts(depth + 1, 1)],
            },
            21 => Sort::Repeat { rounds: self.random.u64(1..4), body: self.parts(depth + 1, 1) },
            22 if self.generation < 2 => match self.random.u32(0..3) {
                0 => Sort::LeftChild { is_abandoned: self.random.bool(), program: self.child() },
                _ => Sort::Child(self.child()),
            },
            23 if depth == 0 && !self.steps.is_empty() => {
                Sort::Recall { of: self.steps[self.random.usize(0..self.steps.len())].clone() }
            }
            _ => self.step(),
        };
        Part { name, salt, sort }
    }

    fn step(&mut self) -> Sort {
        Sort::Step {
            fails: if self.random.u32(0..4) == 0 { self.random.u32(1..4) } else { 0 },
            dies: if self.random.u32(0..5) == 0 { self.random.u64(2..9) } else { 0 },
            undo: self.random.bool(),
            undo_dies: self.random.u32(0..6) == 0,
            merges: self.random.u32(0..6) == 0,
        }
    }

    fn waits(&mut self) -> Vec<Inner> {
        let is_heard = self.generation == 0;
        let count = self.random.u32(1..4);
        let waits = (0..count).map(|_| match self.random.u32(0..6) {
            0 | 1 => Inner::Sleep { minutes: [0, 1, 90][self.random.usize(0..3)] },
            2 if is_heard => Inner::Signal,
            3 if is_heard => Inner::Any { comes: self.random.u32(0..2) },
            4 if self.generation < 2 => Inner::Child { tolerates: self.random.bool(), program: self.child() },
            _ => Inner::Within { comes: is_heard && self.random.bool() },
        });
        waits.collect()
    }

    /// The program of a child: a small one.
    fn child(&mut self) -> Vec<Part> {
        self.left = self.left.saturating_sub(2);
        Self::of_generation(self.random.fork(), 3, self.generation + 1)
    }
}

/// A program as text, for a failure.
#[derive(Debug)]
pub struct Shown<'a>(pub &'a [Part]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, part) in self.0.iter().enumerate() {
            if nth > 0 {
                f.write_str(" → ")?;
            }
            let name = &part.name;
            match &part.sort {
                Sort::Step { fails, dies, undo, undo_dies, merges } => {
                    let undo = match (undo, undo_dies) {
                        (true, true) => ", undone on request",
                        (true, false) => ", undone",
                        (false, _) => "",
                    };
                    let merges = if *merges { ", merges" } else { "" };
                    write!(f, "{name}(fails {fails}, dies of {dies}{undo}{merges})")?;
                }
                Sort::Both { left, right, wait_all } => {
                    write!(
                        f,
                        "{name}both{{{} | {}}}{}",
                        Shown(left),
                        Shown(right),
                        if *wait_all { "all" } else { "" }
                    )?;
                }
                Sort::Map { items, concurrency, tolerated, body } => {
                    write!(f, "{name}map[<{items} by {concurrency}, {tolerated:?}]{{{}}}", Shown(body))?;
                }
                Sort::Branch { then, otherwise } => {
                    write!(f, "{name}branch{{{} / {}}}", Shown(then), Shown(otherwise))?;
                }
                Sort::Choose { arms: [a, b, c] } => {
                    write!(f, "{name}choose{{{} / {} / {}}}", Shown(a), Shown(b), Shown(c))?;
                }
                Sort::StepIf => write!(f, "{name}if")?,
                Sort::Repeat { rounds, body } => write!(f, "{name}repeat[<{rounds}]{{{}}}", Shown(body))?,
                Sort::Sleep { minutes } => write!(f, "{name}sleep({minutes})")?,
                Sort::SleepUntil => write!(f, "{name}until")?,
                Sort::Wait => write!(f, "{name}wait")?,
                Sort::WaitWithin { comes } => write!(f, "{name}within({comes})")?,
                Sort::WaitAny { comes } => write!(f, "{name}any({comes:?})")?,
                Sort::Waits(waits) => {
                    write!(f, "{name}waits[")?;
                    for wait in waits {
                        match wait {
                            Inner::Child { tolerates, program } => {
                                write!(f, "child({tolerates}){{{}}} ", Shown(program))?;
                            }
                            wait => write!(f, "{wait:?} ")?,
                        }
                    }
                    f.write_str("]")?;
                }
                Sort::External(External { fails, is_silent }) => {
                    write!(f, "{name}external(fails {fails}, silent {is_silent})")?;
                }
                Sort::Child(program) => write!(f, "{name}child{{{}}}", Shown(program))?,
                Sort::LeftChild { is_abandoned, program } => {
                    write!(f, "{name}left({is_abandoned}){{{}}}", Shown(program))?;
                }
                Sort::Recall { of } => write!(f, "{name}recall({of})")?,
            }
        }
        Ok(())
    }
}
