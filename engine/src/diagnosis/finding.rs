//! What a built-in rule answers: a code of the catalogue with what it says of the case at hand.

use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

/// What a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) code: &'static str,
    pub(crate) confidence: Confidence,
    pub(crate) params: Params,
    /// Facts: sentences of the catalogue with their parameters.
    pub(crate) facts: Vec<(&'static str, Params)>,
    /// Inferences, the same way.
    pub(crate) inferences: Vec<(&'static str, Params)>,
    /// Actions that go before those of the code.
    pub(crate) actions: Vec<&'static str>,
    /// The step did not begin, so that nothing it does can be repeated.
    pub(crate) untouched: bool,
}

impl Finding {
    pub(crate) fn new(code: &'static str, confidence: Confidence) -> Self {
        Self {
            code,
            confidence,
            params: Params::new(),
            facts: Vec::new(),
            inferences: Vec::new(),
            actions: Vec::new(),
            untouched: false,
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.params.set(name, value);
        self
    }

    pub(crate) fn fact(mut self, says: &'static str, params: Params) -> Self {
        self.facts.push((says, params));
        self
    }

    pub(crate) fn fact_if(self, fact: Option<(&'static str, Params)>) -> Self {
        match fact {
            Some((says, params)) => self.fact(says, params),
            None => self,
        }
    }

    pub(crate) fn infer(mut self, says: &'static str, params: Params) -> Self {
        self.inferences.push((says, params));
        self
    }

    pub(crate) fn infer_if(self, holds: bool, says: &'static str, params: Params) -> Self {
        if holds { self.infer(says, params) } else { self }
    }

    pub(crate) fn action(mut self, action: &'static str) -> Self {
        self.actions.push(action);
        self
    }

    pub(crate) fn action_if(self, holds: bool, action: &'static str) -> Self {
        if holds { self.action(action) } else { self }
    }

    pub(crate) fn untouched(mut self) -> Self {
        self.untouched = true;
        self
    }
}
