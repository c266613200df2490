//! Who does a step that was left outside, and which steps of a run are.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use stepwell_contract::Timestamp;

use crate::run::event::Event;
use crate::run::notes::within;
use crate::run::place::Place;
use crate::run::state::{State, StepState, StepStatus};

/// A process or person outside that does a step.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outsider {
    /// Its name, one that nobody else goes by at the same time: whoever begins an attempt first has it.
    pub name: String,
    /// The host it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The version of its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_version: Option<String>,
}

impl Outsider {
    /// Longest text of it that is kept, in bytes.
    pub const TEXT_BYTES_MAX: usize = 128;

    /// One of that name.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), host: None, code_version: None }
    }

    /// On this host.
    #[must_use]
    pub fn on_host(self, host: impl Into<String>) -> Self {
        Self { host: Some(host.into()), ..self }
    }

    /// With this version of its code.
    #[must_use]
    pub fn with_code(self, version: impl Into<String>) -> Self {
        Self { code_version: Some(version.into()), ..self }
    }

    /// The same within bounds.
    pub(crate) fn bounded(self) -> Self {
        let short = |text| within(text, Self::TEXT_BYTES_MAX);
        Self {
            name: short(self.name),
            host: self.host.map(short),
            code_version: self.code_version.map(short),
        }
    }
}

/// That someone outside has begun an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Who.
    pub by: Outsider,
    /// When.
    pub at: Timestamp,
}

/// The steps of a run that are left to someone outside.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LeftOutside {
    /// Those that nobody has begun.
    pub open: BTreeSet<Place>,
    /// Those that somebody has.
    pub begun: BTreeSet<Place>,
}

impl StepState {
    /// Whether it is left to someone outside, who has not told how it ended.
    #[must_use]
    pub fn is_left_outside(&self) -> bool {
        self.status == StepStatus::Suspended && self.waiting.as_ref().is_some_and(|waiting| waiting.outside)
    }
}

impl State {
    /// Keeps account of what is left outside after an event: a look at one step, but where many were set aside.
    pub(super) fn note_outside(&mut self, event: &Event) {
        let is_about_outside = matches!(event, Event::StepSuspended(_) | Event::StepReported(_));
        if self.outside == LeftOutside::default() && !is_about_outside {
            return;
        }
        match event.place() {
            Some(place) => self.look_outside(place),
            None if matches!(event, Event::StepsReset(_) | Event::RunResumed(_)) => {
                let all: Vec<Place> = self.outside.open.iter().chain(&self.outside.begun).cloned().collect();
                all.iter().for_each(|place| self.look_outside(place));
            }
            None => {}
        }
    }

    fn look_outside(&mut self, place: &Place) {
        let left = self.step(place).filter(|step| step.is_left_outside());
        let (is_open, is_begun) = match left {
            Some(step) => (step.outsider.is_none(), step.outsider.is_some()),
            None => (false, false),
        };
        let LeftOutside { open, begun } = &mut self.outside;
        for (set, belongs) in [(open, is_open), (begun, is_begun)] {
            match belongs {
                true if !set.contains(place) => {
                    set.insert(place.clone());
                }
                true => {}
                false => {
                    set.remove(place);
                }
            }
        }
    }
}
