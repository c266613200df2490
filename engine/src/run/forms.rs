//! The stored values of a run in the forms that the present code reads. Only the state in memory is changed: the journal keeps
//! what was stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use stepwell_contract::{Name, Payload};

use crate::run::place::Place;
use crate::run::state::State;
use crate::workflow::definition::Definition;

/// Stored values that have no present form, and why.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stale {
    /// The workflow's input.
    pub input: Option<String>,
    /// Outputs of steps.
    pub outputs: BTreeMap<Place, String>,
}

impl Stale {
    /// The steps whose outputs have no present form, by name.
    #[must_use]
    pub fn steps(&self) -> BTreeMap<Name, String> {
        self.outputs.iter().map(|(place, why)| (place.step.clone(), why.clone())).collect()
    }
}

/// Gives every value in a state that was just read from its journal its present form, and tells which have none; those stay as
/// they are. The versions in the state go on saying what is stored.
pub fn bring_up(definition: &Definition, state: &mut State) -> Stale {
    let mut stale = Stale::default();
    let (stored, wanted) = (state.input_version, definition.version());
    if stored != wanted {
        match definition.migrations.input(stored, wanted, &state.created.input) {
            Ok(input) => Arc::make_mut(&mut state.created).input = input,
            Err(why) => stale.input = Some(why),
        }
    }
    let mut outermost: Vec<(Name, Payload)> = Vec::new();
    for (name, group) in &mut state.steps {
        let Some(spec) = definition.graph().find(name).map(|step| definition.graph().step(step)) else {
            continue;
        };
        for (item, step) in group.all_by_path_mut() {
            let Some(output) = step.output.as_ref().filter(|_| step.version != spec.version) else {
                continue;
            };
            match definition.migrations.output(spec, step.version, output) {
                Ok(output) => {
                    if item.is_root() {
                        outermost.push((name.clone(), output.clone()));
                    }
                    step.output = Some(output);
                }
                Err(why) => {
                    stale.outputs.insert(Place { step: name.clone(), item }, why);
                }
            }
        }
    }
    for (name, migrated) in outermost {
        let outputs = Arc::make_mut(&mut state.outputs);
        if let Some((_, output)) = outputs.iter_mut().rev().find(|(step, _)| *step == name) {
            *output = migrated;
        }
    }
    stale
}
