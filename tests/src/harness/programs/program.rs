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
}

/// Draws programs.
#[derive(Debug)]
pub struct Maker {
    random: fastrand::Rng,
    left: u32,
    named: u32,
}

impl Maker {
    /// A program of at most so many parts.
    #[must_use]
    pub fn program(seed: u64, parts_max: u32) -> Vec<Part> {
        let mut random = fastrand::Rng::with_seed(seed);
        let left = random.u32(1..=parts_max).max(random.u32(1..=parts_max));
        let mut maker = Self { random, left, named: 0 };
        let mut parts = Vec::new();
        while maker.left > 0 {
            let part = maker.part(0);
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
        let kind = if depth >= 3 { self.random.u32(0..9) } else { self.random.u32(0..18) };
        let sort = match kind {
            0..=3 => Sort::Step {
                fails: if self.random.u32(0..4) == 0 { self.random.u32(1..4) } else { 0 },
                dies: if self.random.u32(0..5) == 0 { self.random.u64(2..9) } else { 0 },
                undo: self.random.bool(),
            },
            4 => Sort::StepIf,
            5 => Sort::Sleep { minutes: [0, 1, 90, 60 * 24 * 3][self.random.usize(0..4)] },
            6 => Sort::SleepUntil,
            7 => Sort::Wait,
            8 => Sort::WaitWithin { comes: self.random.bool() },
            9 | 10 => Sort::Both {
                left: self.parts(depth + 1, 0),
                right: self.parts(depth + 1, 1),
                wait_all: self.random.bool(),
            },
            11..=13 => Sort::Map {
                items: self.random.u64(1..6),
                concurrency: self.random.u32(1..5),
                tolerated: self.random.bool().then(|| self.random.u32(0..3)),
                body: self.parts(depth + 1, 1),
            },
            14 | 15 => Sort::Branch { then: self.parts(depth + 1, 0), otherwise: self.parts(depth + 1, 0) },
            16 => Sort::Choose {
                arms: [self.parts(depth + 1, 0), self.parts(depth + 1, 1), self.parts(depth + 1, 1)],
            },
            _ => Sort::Repeat { rounds: self.random.u64(1..4), body: self.parts(depth + 1, 1) },
        };
        Part { name, salt, sort }
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
                Sort::Step { fails, dies, undo } => {
                    let undo = if *undo { ", undone" } else { "" };
                    write!(f, "{name}(fails {fails}, dies of {dies}{undo})")?;
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
            }
        }
        Ok(())
    }
}
