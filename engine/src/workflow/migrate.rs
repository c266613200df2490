//! How values that an older version of the code has stored become what the present one reads. Pure: what is stored stays as
//! it is, and each reader turns it anew.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value;
use stepwell_contract::{Name, Payload};

use crate::workflow::definition::BuildError;
use crate::workflow::failure::payload_of_panic;
use crate::workflow::graph::StepSpec;

/// Makes the next form of a stored value, or says why there is none.
pub(crate) type Migrate = Arc<dyn Fn(Value) -> Result<Value, String> + Send + Sync>;

/// The migrations of a definition.
#[derive(Clone, Default)]
pub(crate) struct Migrations {
    /// By the step and the version of its output's form; each makes the version after it.
    outputs: BTreeMap<(Name, u32), Migrate>,
    /// By the version of the workflow that the input was given to; each makes what the versions after it take.
    input: BTreeMap<u32, Migrate>,
}

impl Migrations {
    pub(crate) fn add_output(&mut self, step: Name, from: u32, migrate: Migrate) {
        self.outputs.insert((step, from), migrate);
    }

    pub(crate) fn add_input(&mut self, from: u32, migrate: Migrate) {
        self.input.insert(from, migrate);
    }

    /// Takes over those of the steps of another definition, under their new names.
    pub(crate) fn include(&mut self, other: &Self, renamed: impl Fn(&Name) -> Option<Name>) {
        for ((step, from), migrate) in &other.outputs {
            if let Some(step) = renamed(step) {
                self.add_output(step, *from, Arc::clone(migrate));
            }
        }
    }

    /// The present form of a step's output that was stored in another one.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub(crate) fn output(&self, step: &StepSpec, stored: u32, output: &Payload) -> Result<Payload, String> {
        let wanted = step.version;
        if stored > wanted {
            return Err(format!(
                "it was stored in version {stored}, newer than version {wanted} of this code"
            ));
        }
        let mut chain = Vec::new();
        for from in stored..wanted {
            let link = self.outputs.get(&(step.name.clone(), from));
            chain.push((from, link.ok_or_else(|| format!("there is no migration from version {from}"))?));
        }
        run(&chain, output)
    }

    /// The input as version `wanted` of the workflow takes it. A version without a migration left the form as it was.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub(crate) fn input(&self, stored: u32, wanted: u32, input: &Payload) -> Result<Payload, String> {
        if stored >= wanted {
            return Ok(input.clone());
        }
        let chain: Vec<_> =
            self.input.range(stored..wanted).map(|(from, migrate)| (*from, migrate)).collect();
        run(&chain, input)
    }

    /// Finds migrations that nothing could ever use, and gaps between them.
    pub(crate) fn check(&self, workflow: &str, version: u32, steps: &[StepSpec]) -> Result<(), BuildError> {
        let refuse = |why| Err(BuildError::Migration { workflow: workflow.to_owned(), why });
        if let Some(from) = self.input.keys().find(|from| **from == 0 || **from >= version) {
            return refuse(format!(
                "a migration of the input from version {from} is none: the workflow has version {version}"
            ));
        }
        for (name, from) in self.outputs.keys() {
            let Some(step) = steps.iter().find(|step| step.name == *name) else {
                return refuse(format!("there is a migration for step {name}, which it does not have"));
            };
            let wanted = step.version;
            if *from == 0 || *from >= wanted {
                return refuse(format!(
                    "a migration of {name} from version {from} is none: the step has version {wanted}"
                ));
            }
            let next = from + 1;
            if next < wanted && !self.outputs.contains_key(&(name.clone(), next)) {
                return refuse(format!("{name} has a migration from version {from} and none from {next}"));
            }
        }
        Ok(())
    }
}

fn run(chain: &[(u32, &Migrate)], stored: &Payload) -> Result<Payload, String> {
    if chain.is_empty() {
        return Ok(stored.clone());
    }
    let mut value: Value = stored.decode().map_err(|error| error.to_string())?;
    for (from, migrate) in chain {
        // Code of the user, run by whoever reads the run.
        let migrated = catch_unwind(AssertUnwindSafe(|| migrate(value)));
        let migrated =
            migrated.unwrap_or_else(|panic| Err(format!("it panicked: {}", payload_of_panic(panic))));
        value = migrated.map_err(|why| format!("the migration from version {from} failed: {why}"))?;
    }
    Payload::encode(&value).map_err(|error| format!("the migrated value cannot be stored: {error}"))
}

impl fmt::Debug for Migrations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.outputs.keys()).entries(self.input.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::workflow::policy::StepPolicy;

    fn step(version: u32) -> StepSpec {
        let name = Name::new("total").expect("a name");
        StepSpec { version, ..StepSpec::new(name, StepPolicy::default()) }
    }

    fn payload(value: &Value) -> Payload {
        Payload::encode(value).expect("a payload")
    }

    fn migrations(links: &[u32]) -> Migrations {
        let mut migrations = Migrations::default();
        for from in links {
            let from = *from;
            let migrate: Migrate = Arc::new(move |old| match old {
                Value::Array(mut list) => {
                    list.push(json!(from));
                    Ok(Value::Array(list))
                }
                Value::Null => panic!("no value"),
                other => Err(format!("{other} is no list")),
            });
            migrations.add_output(step(1).name, from, Arc::clone(&migrate));
            migrations.add_input(from, migrate);
        }
        migrations
    }

    #[test]
    fn migrations_are_applied_one_after_the_other_from_the_stored_version_on() {
        let made = |stored, wanted| {
            let made = migrations(&[1, 2, 3]).output(&step(wanted), stored, &payload(&json!([])));
            made.map(|made| made.text().to_owned())
        };
        assert_eq!(made(1, 4).as_deref(), Ok("[1,2,3]"));
        assert_eq!(made(3, 4).as_deref(), Ok("[3]"));
        assert_eq!(made(4, 4).as_deref(), Ok("[]"));
        let missing = migrations(&[1]).output(&step(3), 1, &payload(&json!([])));
        assert_eq!(missing.expect_err("a gap"), "there is no migration from version 2");
        assert!(made(5, 4).expect_err("written by newer code").contains("newer than version 4"));
    }

    #[test]
    fn a_version_of_the_workflow_without_a_migration_left_the_input_as_it_was() {
        let made = |stored| {
            let made = migrations(&[2, 4]).input(stored, 6, &payload(&json!([])));
            made.expect("an input").text().to_owned()
        };
        assert_eq!([made(1), made(3), made(5), made(6)], ["[2,4]", "[4]", "[]", "[]"]);
    }

    #[test]
    fn a_migration_that_fails_or_panics_says_which_and_why() {
        let failed =
            |value: &Value| migrations(&[1]).output(&step(2), 1, &payload(value)).expect_err("it fails");
        assert_eq!(failed(&json!(7)), "the migration from version 1 failed: 7 is no list");
        assert_eq!(failed(&Value::Null), "the migration from version 1 failed: it panicked: no value");
    }

    #[test]
    fn migrations_that_can_never_be_used_and_gaps_are_refused() {
        let checked = |links: &[u32], version| migrations(links).check("w", 9, &[step(version)]);
        assert_eq!(checked(&[1, 2], 3), Ok(()));
        assert!(checked(&[1], 3).expect_err("a gap").to_string().contains("and none from 2"));
        assert!(checked(&[3], 3).expect_err("too new").to_string().contains("the step has version 3"));
        assert!(
            migrations(&[1]).check("w", 9, &[]).expect_err("no step").to_string().contains("does not have")
        );
        assert!(
            migrations(&[1]).check("w", 1, &[step(2)]).expect_err("too new").to_string().contains("input")
        );
    }
}
