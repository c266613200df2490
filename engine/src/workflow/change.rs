//! What a builder says of runs that began under older code.

use std::sync::Arc;

use serde_json::Value;
use stepwell_contract::Name;

use crate::workflow::builder::{WorkflowBuilder, WorkflowStart};
use crate::workflow::definition::BuildError;
use crate::workflow::graph::Node;
use crate::workflow::policy::OnChange;
use crate::workflow::step::Step;

impl WorkflowStart {
    /// Says what becomes of runs that began under another definition; see [`OnChange`].
    pub fn on_change(mut self, then: OnChange) -> Self {
        self.draft.policy.on_change = then;
        self
    }

    /// Goes on with runs of an older version as well, with [`OnChange::Migrate`]. A worker that has that version too leaves
    /// them to it.
    pub fn takes_over(mut self, version: u32) -> Self {
        self.draft.takes_over.insert(version);
        self
    }

    /// Says what a run of this version takes for the input that a run of version `from` was started with. Later versions
    /// without a migration of their own take the same. It must give the same for the same value, and must not do anything
    /// else; what is stored stays as it is.
    pub fn migrate_input(
        mut self,
        from: u32,
        migrate: impl Fn(Value) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        self.draft.migrations.add_input(from, Arc::new(migrate));
        self
    }
}

impl<I, C> WorkflowBuilder<I, C> {
    /// Sets the version of the form of the output of the step before, in place of [`Step::VERSION`]: for closures, which have
    /// none of their own.
    pub fn output_version(mut self, version: u32) -> Self {
        match self.draft.nodes.last() {
            Some(Node::Step(step)) => self.draft.steps[step.0].0.version = version,
            _ => {
                let workflow = self.draft.name.clone();
                let why = "`output_version` applies to the step before it, and there is none".to_owned();
                self.draft.refuse(BuildError::Migration { workflow, why });
            }
        }
        self
    }

    /// Says how an output that version `from` of the step has stored becomes one of the version after it: from 1 to 2, from 2
    /// to 3, up to [`Step::VERSION`]. It is applied whenever the stored output is read, and must give the same for the same
    /// value and not do anything else. What is stored stays as it is.
    ///
    /// ```
    /// # use stepwell::prelude::*;
    /// # use serde_json::{Value, json};
    /// struct Total;
    ///
    /// #[async_trait]
    /// impl Step for Total {
    ///     type Input = u64;
    ///     type Output = (u64, String);
    ///     const NAME: &'static str = "total";
    ///     const VERSION: u32 = 2; // version 1 gave the number alone
    ///
    ///     async fn run(&self, _ctx: &StepContext, cents: u64) -> StepResult<(u64, String)> {
    ///         Ok((cents, "EUR".to_owned()))
    ///     }
    /// }
    /// let flow = Workflow::named("w").step(Total).migrate::<Total>(1, |cents: Value| Ok(json!([cents, "EUR"])));
    /// # flow.build().unwrap();
    /// ```
    pub fn migrate<S: Step>(
        self,
        from: u32,
        migrate: impl Fn(Value) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        self.migrate_named(S::NAME, from, migrate)
    }

    /// Like [`migrate`](Self::migrate), for a step that was added under another name.
    pub fn migrate_named(
        mut self,
        step: impl AsRef<str>,
        from: u32,
        migrate: impl Fn(Value) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        match Name::new(step) {
            Ok(step) => self.draft.migrations.add_output(step, from, Arc::new(migrate)),
            Err(error) => self.draft.refuse(error.into()),
        }
        self
    }
}
