//! What a program gives, worked out without an engine: no time, no attempts, no order.

use std::collections::BTreeMap;

use crate::harness::programs::program::{Data, Part, Sort, mix};

/// What a signal of a part says.
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
}

impl Model {
    /// What the parts give for `data`; `None` when they fail.
    pub fn run(&mut self, parts: &[Part], data: Data) -> Option<Data> {
        parts.iter().try_fold(data, |data, part| self.part(part, data))
    }

    fn part(&mut self, part: &Part, data: Data) -> Option<Data> {
        let salt = part.salt;
        match &part.sort {
            Sort::Step { dies, .. } => {
                if *dies > 0 && data.v.is_multiple_of(*dies) {
                    return None;
                }
                Some(data.mixed(salt))
            }
            Sort::StepIf => Some(if data.v.is_multiple_of(2) { data.mixed(salt) } else { data }),
            Sort::Sleep { .. } | Sort::SleepUntil => Some(data),
            Sort::Wait | Sort::WaitWithin { comes: true } => {
                let said = said(part);
                self.signals.entry(part.name.clone()).or_insert((said, 0)).1 += 1;
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
                let ended: Vec<Option<Data>> = given.into_iter().map(|item| self.run(body, item)).collect();
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
                while data.left.last().is_some_and(|left| *left > 0) {
                    data = self.run(body, data)?;
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
