//! The program that is looked at: an engine over memory with an order that can fail, wait and be mended, behind a socket.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use stepwell::contract::MemoryBackend;
use stepwell::prelude::*;
use stepwell::{StartRun, StepError};
use stepwell_server::{App, ServerOptions};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// What the test decides.
#[derive(Debug)]
pub struct World {
    /// Whether the gateway answers.
    pub is_up: AtomicBool,
    /// Lets `pack` go on, once for each.
    pub gate: Semaphore,
}

/// Refuses an order of nothing.
struct Validate;

#[async_trait]
impl Step for Validate {
    type Input = Value;
    type Output = Value;
    const NAME: &'static str = "validate";

    async fn run(&self, ctx: &StepContext, order: Value) -> StepResult<Value> {
        ctx.info(format!("an order: {order}"));
        match order["pieces"].as_u64() {
            Some(0) | None => Err(StepError::validation(format!("an order has at least one piece: {order}"))),
            Some(_) => Ok(order),
        }
    }
}

/// Needs the gateway.
struct Charge(Arc<World>);

#[async_trait]
impl Step for Charge {
    type Input = Value;
    type Output = Value;
    const NAME: &'static str = "charge";

    fn policy(&self) -> StepPolicy {
        StepPolicy::default().retry(Retry::none())
    }

    async fn run(&self, ctx: &StepContext, order: Value) -> StepResult<Value> {
        match self.0.is_up.load(Ordering::Acquire) {
            true => Ok(order),
            false => {
                ctx.warn("the gateway is silent");
                Err(StepError::config("the gateway pay.invalid:443 is not set up"))
            }
        }
    }
}

/// Waits at the gate, and logs each time that it is let go on.
struct Pack(Arc<World>);

#[async_trait]
impl Step for Pack {
    type Input = Value;
    type Output = Value;
    const NAME: &'static str = "pack";

    async fn run(&self, ctx: &StepContext, order: Value) -> StepResult<Value> {
        for nth in 1..=order["pieces"].as_u64().unwrap_or(1) {
            let pass = self.0.gate.acquire().await;
            pass.map_err(|_| StepError::permanent("the test is over"))?.forget();
            ctx.info(format!("piece {nth} is packed"));
        }
        Ok(order)
    }
}

/// An engine and its server.
#[derive(Debug)]
pub struct Site {
    pub engine: Engine,
    pub world: Arc<World>,
    pub address: String,
    stop: CancellationToken,
}

impl Site {
    /// Serves on a free port.
    pub async fn new() -> Self {
        let world = Arc::new(World { is_up: AtomicBool::new(true), gate: Semaphore::new(0) });
        let charged = Workflow::named("order").step(Validate).step(Charge(Arc::clone(&world)));
        let packed = Workflow::named("parcel").step(Validate).step(Pack(Arc::clone(&world)));
        let approved = Workflow::named("approval").step(Validate).wait_for::<Value>("approved");
        let engine = Engine::builder(Arc::new(MemoryBackend::new()))
            .register(charged.build().expect("a workflow"))
            .register(packed.build().expect("a workflow"))
            .register(approved.build().expect("a workflow"))
            .start()
            .await
            .expect("an engine over memory");
        let app = App::new(&engine, ServerOptions::default()).expect("settings");
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = app.bind(free).await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("its address"));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move { app.serve(listener, stopped.cancelled_owned()).await });
        Self { engine, world, address, stop }
    }

    /// Starts a run with an order of so many pieces.
    pub async fn start(&self, workflow: &str, run: &str, pieces: u64) {
        let run = StartRun::new(workflow, run, &json!({ "pieces": pieces })).expect("an input");
        let run = run.tag("region", "eu").expect("a tag");
        self.engine.start_with(run).await.expect("started");
    }

    /// Starts a run with any input, and waits until it has ended or is held.
    pub async fn run(&self, workflow: &str, run: &str, input: &Value) {
        let run = self.engine.start_run(workflow, run, input).await.expect("started");
        // Whatever the end: the test looks at it.
        let _ = run.result::<Value>().await;
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.world.gate.close();
        self.stop.cancel();
    }
}
