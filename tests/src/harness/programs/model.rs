//! What a program gives, worked out without an engine: no time, no attempts, no order.

use std::collections::BTreeMap;

use crate::harness::programs::program::{Data, Inner, Part, Sort, mix};

/// What a signal of a part says, and what someone outside says of it.
#[must_use]
pub fn said(part: &Part) -> u64 {
    mix(part.salt, 77)
}

/// What an item that failed counts for.
pub const FAILED: u64 = 0xfa11;

/// A program worked out.
#[derive(Debug, Default)]
pub struct Model {
    /// How many signals of each name are waited for at most.
    pub signals: BTreeMap<String, (u64, u32)>,
    /// What steps may write into the document that they share, by the place where they run.
    pub merged: BTreeMap<String, u64>,
    /// Whether anything failed on the way, so that some of it may not have been begun.
    pub has_failed: bool,
    /// The outputs of the steps so far.
    outputs: BTreeMap<String, Data>,
    /// In which items and rounds it is.
    path: Vec<usize>,
}

impl Model {
    /// What the parts give for `data`; `None` when they fail.
    pub fn run(&mut self, parts: &[Part], data: Data) -> Option<Data> {
        parts.iter().try_fold(data, |data, part| self.part(part, data))
    }

    fn expect(&mut self, signal: String, said: u64) {
        self.signals.entry(signal).or_insert((said, 0)).1 += 1;
    }

    /// What parts give in an item or a round.
    fn inside(&mut self, nth: usize, parts: &[Part], data: Data) -> Option<Data> {
        self.path.push(nth);
        let given = self.run(parts, data);
        self.path.pop();
        given
    }

    /// What a child gives.
    fn child(&mut self, program: &[Part], data: Data) -> Option<Data> {
        Self::default().run(program, data)
    }

    fn wait(&mut self, part: &Part, nth: usize, wait: &Inner, data: &Data) -> Option<u64> {
        let (signal, said) = (format!("{}.{nth}", part.name), said(part));
        Some(match wait {
            Inner::Sleep { .. } => 2,
            Inner::Signal | Inner::Within { comes: true } => {
                self.expect(signal, said);
                said
            }
            Inner::Within { comes: false } => 1,
            Inner::Any { comes } => {
                self.expect(format!("{signal}.{}", ["a", "b"][*comes as usize]), said);
                mix(said, u64::from(*comes))
            }
            Inner::Child { tolerates, program } => {
                let ended = self.child(program, Data { v: data.v, left: Vec::new() });
                match ended {
                    Some(ended) => ended.v,
                    None if *tolerates => FAILED,
                    None => return None,
                }
            }
        })
    }

    fn part(&mut self, part: &Part, data: Data) -> Option<Data> {
        let given = self.sort(part, data);
        self.has_failed |= given.is_none();
        given
    }

    fn sort(&mut self, part: &Part, data: Data) -> Option<Data> {
        let salt = part.salt;
        match &part.sort {
            Sort::Step { dies, merges, .. } => {
                if *dies > 0 && data.v.is_multiple_of(*dies) {
                    return None;
                }
                let data = data.mixed(salt);
                if *merges {
                    let path: String = self.path.iter().map(|nth| format!("[{nth}]")).collect();
                    self.merged.insert(format!("{}{path}", part.name), data.v);
                }
                self.outputs.insert(part.name.clone(), data.clone());
                Some(data)
            }
            Sort::WaitAny { comes: None } => Some(data.mixed(1)),
            Sort::WaitAny { comes: Some(nth) } => {
                let said = said(part);
                self.expect(format!("{}.{}", part.name, ["a", "b"][*nth as usize]), said);
                Some(data.mixed(mix(said, u64::from(*nth))))
            }
            Sort::Waits(waits) => waits.iter().enumerate().try_fold(data, |data, (nth, wait)| {
                let said = self.wait(part, nth, wait, &data)?;
                Some(data.mixed(said))
            }),
            Sort::External(_) => Some(data.mixed(said(part))),
            Sort::Child(program) => self.child(program, data),
            Sort::LeftChild { .. } => Some(data.mixed(salt)),
            Sort::Recall { of } => self.outputs.get(of).cloned(),
            Sort::StepIf => Some(if data.v.is_multiple_of(2) { data.mixed(salt) } else { data }),
            Sort::Sleep { .. } | Sort::SleepUntil => Some(data),
            Sort::Wait | Sort::WaitWithin { comes: true } => {
                let said = said(part);
                self.expect(part.name.clone(), said);
                Some(data.mixed(said))
            }
            Sort::WaitWithin { comes: false } => Some(data.mixed(1)),
            Sort::Both { left, right, .. } => {
                // Both are worked out, also when one fails: signals are counted for both.
                let (left, right) = (self.run(left, data.clone()), self.run(right, data.clone()));
                Some(Data { v: mix(left?.v, right?.v), left: data.left })
            }
            Sort::Map { items, tolerated, body, .. } => {
                let given: Vec<Data> = items_of(&data, *items);
                let ended: Vec<Option<Data>> =
                    given.into_iter().enumerate().map(|(nth, item)| self.inside(nth, body, item)).collect();
                let failed = ended.iter().filter(|item| item.is_none()).count();
                if failed > tolerated.unwrap_or(0) as usize {
                    return None;
                }
                let sum = ended
                    .iter()
                    .fold(data.v, |sum, item| mix(sum, item.as_ref().map_or(FAILED, |item| item.v)));
                Some(Data { v: sum, left: data.left })
            }
            Sort::Branch { then, otherwise } => {
                self.run(if data.v.is_multiple_of(2) { then } else { otherwise }, data)
            }
            Sort::Choose { arms } => self.run(&arms[(data.v % 3) as usize], data),
            Sort::Repeat { rounds, body } => {
                let mut data = Data { left: pushed(&data.left, (data.v % rounds) as u32), ..data };
                let mut round = 0;
                while data.left.last().is_some_and(|left| *left > 0) {
                    data = self.inside(round, body, data)?;
                    round += 1;
                    if let Some(left) = data.left.last_mut() {
                        *left -= 1;
                    }
                }
                data.left.pop();
                Some(data)
            }
        }
    }
}

/// The items that a map makes of the data.
#[must_use]
pub fn items_of(data: &Data, items: u64) -> Vec<Data> {
    (0..data.v % items).map(|nth| data.mixed(nth)).collect()
}

/// The rounds left with a loop more.
#[must_use]
pub fn pushed(left: &[u32], rounds: u32) -> Vec<u32> {
    left.iter().copied().chain([rounds]).collect()
}
