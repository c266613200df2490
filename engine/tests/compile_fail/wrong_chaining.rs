//! A step that does not take what stands before it.

use stepwell::prelude::*;

struct Count;

#[async_trait]
impl Step for Count {
    type Input = String;
    type Output = usize;
    const NAME: &'static str = "count";

    async fn run(&self, _ctx: &StepContext, text: String) -> StepResult<usize> {
        Ok(text.len())
    }
}

fn main() {
    let _ = Workflow::named("w").step(Count).step(Count);
}
