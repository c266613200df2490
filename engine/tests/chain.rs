use std::sync::Arc;
use stepwell::contract::MemoryBackend;
use stepwell::prelude::*;

struct AddOne;

#[async_trait]
impl Step for AddOne {
    type Input = u64;
    type Output = u64;
    const NAME: &'static str = "add_one";
    async fn run(&self, _ctx: &StepContext, n: u64) -> StepResult<u64> {
        Ok(n + 1)
    }
}

#[tokio::test]
async fn a_chain_of_steps_gives_its_result() {
    let flow = Workflow::named("sum")
        .step(AddOne)
        .step_named("again", AddOne)
        .step_fn("x", |_ctx, n: u64| async move { Ok(n * 2) })
        .build()
        .unwrap();
    let engine = Engine::builder(Arc::new(MemoryBackend::new())).register(flow).start().await.unwrap();
    let run = engine.start_run("sum", "r1", &40u64).await.unwrap();
    let sum: u64 = run.result().await.unwrap();
    assert_eq!(sum, 84);
    for r in engine.history(run.key()).await.unwrap() {
        println!("{} {} {:?}", r.seq, r.kind.as_str(), r.payload);
    }
    println!("{}", serde_json::to_string(&run.head().await.unwrap()).unwrap());
    engine.shutdown().await;
}
