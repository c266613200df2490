//! A step that begins, tells so, and goes on when it is let: for tests that harm a run in the middle.

use std::sync::Arc;
use std::time::Duration;

use stepwell::{StepContext, StepPolicy, StepResult, Workflow};
use tokio::sync::watch;

/// How long any event of a test may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Reaches into the step. Clones are the same.
#[derive(Debug, Clone)]
pub struct Hold {
    begun: Arc<watch::Sender<u32>>,
    open: Arc<watch::Sender<bool>>,
}

impl Default for Hold {
    fn default() -> Self {
        Self { begun: Arc::new(watch::Sender::new(0)), open: Arc::new(watch::Sender::new(false)) }
    }
}

impl Hold {
    /// A workflow named `hold` of one step, `held`, which gives the number of the attempt that ended.
    ///
    /// # Panics
    /// Never: the definition is valid.
    #[must_use]
    pub fn workflow(&self, policy: StepPolicy) -> Workflow<(), u32> {
        let hold = self.clone();
        let workflow = Workflow::named("hold").step_fn("held", move |ctx: StepContext, (): ()| {
            let hold = hold.clone();
            async move { hold.pass(&ctx).await }
        });
        workflow.policy(policy).build().expect("a valid definition")
    }

    async fn pass(&self, ctx: &StepContext) -> StepResult<u32> {
        self.begun.send_modify(|begun| *begun += 1);
        let mut open = self.open.subscribe();
        // The sender lives in `self`: the wait cannot end any other way.
        let _ = open.wait_for(|open| *open).await;
        Ok(ctx.attempt())
    }

    /// Returns when so many attempts have begun.
    ///
    /// # Panics
    /// When they do not begin in time.
    pub async fn begun(&self, attempts: u32) {
        let mut begun = self.begun.subscribe();
        let waited = tokio::time::timeout(PATIENCE, begun.wait_for(|begun| *begun >= attempts)).await;
        assert!(waited.is_ok(), "attempt {attempts} did not begin");
    }

    /// How many attempts have begun.
    #[must_use]
    pub fn count(&self) -> u32 {
        *self.begun.borrow()
    }

    /// Lets every attempt end, those to come as well.
    pub fn release(&self) {
        self.open.send_replace(true);
    }

    /// Holds again what begins from now on.
    pub fn hold_again(&self) {
        self.open.send_replace(false);
    }
}
