//! What the `worker` binary does, by its first word.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stepwell::{Engine, EngineOptions, RunError, RunHandle, StepContext, StepPolicy, Workflow};
use stepwell_contract::Backend;
use stepwell_contract::seeded::{Bug, is_planted};
use tokio::signal::unix::{SignalKind, signal};

use crate::chain;
use crate::harness::{errand, limited, soaked, zombies};
use crate::report::Arguments;
use crate::witness::{Witness, WitnessedBackend};

/// The store has told that it must not be written any more.
pub const POISONED: u8 = 3;
/// The work was not done in time.
pub const GAVE_UP: u8 = 4;
/// The store did not open.
pub const UNOPENED: u8 = 74;

/// Does what the arguments say.
///
/// # Panics
/// When the arguments do not fit together: a mistake of the harness.
#[must_use]
pub fn run(arguments: &Arguments) -> ExitCode {
    let witness = Witness::open(Path::new(arguments.needed("witness"))).expect("a witness file");
    watch_panics(witness.clone());
    plant(arguments);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let code = runtime.block_on(async {
        match arguments.word() {
            "chain" => chain(arguments, &witness).await,
            "soak" => match open(arguments, &witness).await {
                Ok(store) => soaked::work(arguments, &witness, store).await,
                Err(code) => code,
            },
            "limited" => match open(arguments, &witness).await {
                Ok(store) => limited::work(arguments, &witness, store).await,
                Err(code) => code,
            },
            "abort" => abort(arguments, &witness).await,
            "errand" => errand::work(arguments, &witness).await,
            "hold" => hold(arguments, &witness).await,
            "zombie" => zombie(arguments, &witness).await,
            other => panic!("a worker cannot {other:?}"),
        }
    });
    ExitCode::from(code)
}

/// Plants the bug that the arguments name with `--plant`.
///
/// # Panics
/// When there is no such bug, or this build cannot plant any: what would run then shows nothing.
pub fn plant(arguments: &Arguments) {
    if let Some(name) = arguments.text("plant") {
        let bug = Bug::ALL.into_iter().find(|bug| bug.as_str() == name);
        let bug = bug.unwrap_or_else(|| panic!("there is no bug {name:?}"));
        #[cfg(feature = "seeded-bugs")]
        stepwell_contract::seeded::plant(bug);
        assert!(is_planted(bug), "rebuild with `--features seeded-bugs`");
    }
}

/// A panic outside a step is a fault: the witness hears of it whichever thread it is on.
fn watch_panics(witness: Witness) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        witness.tell(&format!("panic {place}"));
        before(info);
    }));
}

/// Opens the store that the arguments name and stands the witness before it.
async fn open(arguments: &Arguments, witness: &Witness) -> Result<Arc<WitnessedBackend>, u8> {
    match stepwell_backends::open(arguments.needed("store")).await {
        Ok(backend) => Ok(Arc::new(WitnessedBackend::new(backend, witness.clone()))),
        Err(error) => {
            witness.tell(&format!("unopened {}", error.to_string().replace('\n', " ")));
            Err(UNOPENED)
        }
    }
}

fn options(arguments: &Arguments) -> EngineOptions {
    EngineOptions {
        lease_ms: arguments.value("lease-ms", 2_000),
        shutdown_grace_ms: arguments.value("grace-ms", 2_000),
        stop_grace_ms: 200,
        heartbeat_ms: arguments.value("heartbeat-ms", 10_000),
        poll_ms: 50,
        threads: 2,
        commit_patience_ms: arguments.value("commit-patience-ms", 30_000),
        ..EngineOptions::default()
    }
}

/// Builds an engine whose store is witnessed.
async fn engine<I, O>(
    arguments: &Arguments,
    store: &Arc<WitnessedBackend>,
    witness: &Witness,
    workflow: Workflow<I, O>,
) -> Result<Engine, u8> {
    let backend: Arc<dyn Backend> = Arc::clone(store) as _;
    match Engine::builder(backend).register(workflow).options(options(arguments)).start().await {
        Ok(engine) => Ok(engine),
        Err(error) => {
            witness.tell(&format!("unstarted {}", error.to_string().replace('\n', " ")));
            Err(UNOPENED)
        }
    }
}

/// Starts runs of the chain, or finds those that are there, and sees them to their end: one after the other, or all
/// at once.
async fn chain(arguments: &Arguments, witness: &Witness) -> u8 {
    let store = match open(arguments, witness).await {
        Ok(store) => store,
        Err(code) => return code,
    };
    let steps = arguments.value("steps", 10);
    let padding = arguments.value("padding", 0);
    let engine = match engine(arguments, &store, witness, chain::workflow(steps, padding, witness)).await {
        Ok(engine) => engine,
        Err(code) => return code,
    };
    let patience = Duration::from_millis(arguments.value("patience-ms", 60_000));
    let work = see_through(&engine, arguments, witness);
    let code = tokio::select! {
        () = work => 0,
        code = trouble(&engine, patience) => code,
    };
    if code == 0 {
        engine.shutdown().await;
    }
    drop(engine);
    leave(store).await;
    code
}

async fn see_through(engine: &Engine, arguments: &Arguments, witness: &Witness) {
    let runs: u32 = arguments.value("runs", 5);
    let at_once: bool = arguments.value("at-once", false);
    let mut open = Vec::new();
    for nth in 1..=runs {
        let handle = start(engine, witness, nth).await;
        if at_once {
            open.push((nth, handle));
        } else {
            tell_result(&handle, nth, witness).await;
        }
    }
    for (nth, handle) in open {
        tell_result(&handle, nth, witness).await;
    }
}

/// Starts the n-th run; a start that failed is tried again until somebody stops it.
async fn start(engine: &Engine, witness: &Witness, nth: u32) -> RunHandle {
    loop {
        match chain::start(engine, witness, nth).await {
            Ok(handle) => return handle,
            Err(error) => {
                witness.tell(&format!("start-failed {} {error}", chain::run_id(nth)));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn tell_result(handle: &RunHandle, nth: u32, witness: &Witness) {
    loop {
        match handle.result::<chain::Link>().await {
            Ok((value, _)) => return witness.tell(&format!("result {} {value}", chain::run_id(nth))),
            Err(RunError::Engine(error)) => {
                // The store may be away for a while.
                witness.tell(&format!("wait-failed {} {error}", chain::run_id(nth)));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return witness.tell(&format!("ended {} {error}", chain::run_id(nth))),
        }
    }
}

/// Returns when the work cannot be done any more.
async fn trouble(engine: &Engine, patience: Duration) -> u8 {
    let until = Instant::now() + patience;
    loop {
        if engine.is_poisoned() {
            return POISONED;
        }
        if Instant::now() >= until {
            return GAVE_UP;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until the engine has let go of the store, so that closing it is part of what is done.
async fn leave(store: Arc<WitnessedBackend>) {
    let inner = Arc::clone(store.inner());
    drop(store);
    let until = Instant::now() + Duration::from_secs(5);
    while Arc::strong_count(&inner) > 1 && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Sees runs of a chain to their end beside one whose step ends the process, until that one is put aside.
async fn abort(arguments: &Arguments, witness: &Witness) -> u8 {
    let store = match open(arguments, witness).await {
        Ok(store) => store,
        Err(code) => return code,
    };
    let step = |_ctx: StepContext, (): ()| async { std::process::abort() };
    let bad = Workflow::named("abort").step_fn::<(), (), _, _>("aborts", step);
    let bad = bad.policy(StepPolicy::default().crash_max(3)).build().expect("a valid definition");
    let builder = Engine::builder(store).register(chain::workflow(10, 0, witness)).register(bad);
    let engine = match builder.options(options(arguments)).start().await {
        Ok(engine) => engine,
        Err(error) => {
            witness.tell(&format!("unstarted {error}"));
            return UNOPENED;
        }
    };
    let work = async {
        let others = see_through(&engine, arguments, witness);
        let aborts = async {
            let Ok(handle) = engine.start_run("abort", "aborts", &()).await else { return false };
            matches!(handle.result::<()>().await, Err(RunError::Paused { .. }))
        };
        tokio::join!(others, aborts).1
    };
    match tokio::time::timeout(Duration::from_secs(30), work).await {
        Ok(true) => 0,
        Ok(false) | Err(_) => GAVE_UP,
    }
}

/// Starts a run whose step waits for the file `--go`, and obeys signals: the first stops in an orderly way, the
/// second at once.
async fn hold(arguments: &Arguments, witness: &Witness) -> u8 {
    let mut terminated = signal(SignalKind::terminate()).expect("a handler");
    let store = match open(arguments, witness).await {
        Ok(store) => store,
        Err(code) => return code,
    };
    let go: std::path::PathBuf = arguments.needed("go").into();
    let told = witness.clone();
    let step = move |ctx: StepContext, (): ()| {
        let (go, told) = (go.clone(), told.clone());
        async move {
            told.executes(&ctx);
            while !go.exists() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Ok(())
        }
    };
    let workflow = Workflow::named("hold").step_fn("held", step).build().expect("a valid definition");
    let engine = match engine(arguments, &store, witness, workflow).await {
        Ok(engine) => engine,
        Err(code) => return code,
    };
    let work = async {
        let handle = engine.start_run("hold", "held", &()).await.map_err(RunError::Engine)?;
        handle.result::<()>().await
    };
    tokio::select! {
        ended = work => match ended {
            Ok(()) => return 0,
            Err(error) => {
                witness.tell(&format!("ended held {error}"));
                return GAVE_UP;
            }
        },
        _ = terminated.recv() => witness.tell("stopping"),
    }
    tokio::select! {
        () = engine.shutdown() => 0,
        _ = terminated.recv() => std::process::exit(130),
    }
}

/// Starts a run that waits inside its step until the file `--go` is there, and then tries everything that a worker
/// must not do which has lost its run. With `--run none` it only ends what others began.
async fn zombie(arguments: &Arguments, witness: &Witness) -> u8 {
    let store = match open(arguments, witness).await {
        Ok(store) => store,
        Err(code) => return code,
    };
    let (done, mut is_done) = tokio::sync::mpsc::channel(1);
    let held = Arc::new(Held {
        store: Arc::clone(&store),
        witness: witness.clone(),
        go: arguments.needed("go").into(),
        done,
    });
    let workflow = Workflow::named("zombie").step_fn("hold", move |ctx: StepContext, (): ()| {
        let held = Arc::clone(&held);
        async move { Ok(held.step(ctx).await) }
    });
    let workflow = workflow.build().expect("a valid definition");
    let engine = match engine(arguments, &store, witness, workflow).await {
        Ok(engine) => engine,
        Err(code) => return code,
    };
    let run = arguments.needed("run");
    if run == "none" {
        // Until it is killed.
        std::future::pending::<()>().await;
    }
    if let Err(error) = engine.start_run("zombie", run, &()).await {
        witness.tell(&format!("start-failed {run} {error}"));
        return GAVE_UP;
    }
    let told = tokio::time::timeout(Duration::from_secs(60), is_done.recv()).await;
    if told.is_ok() { 0 } else { GAVE_UP }
}

/// What the step of a zombie holds on to.
struct Held {
    store: Arc<WitnessedBackend>,
    witness: Witness,
    go: std::path::PathBuf,
    done: tokio::sync::mpsc::Sender<()>,
}

impl Held {
    async fn step(self: &Arc<Self>, ctx: StepContext) -> &'static str {
        if ctx.attempt() > 1 {
            return "successor";
        }
        let (held, of) = (Arc::clone(self), ctx.clone());
        // On a task of its own: the engine drops the step as soon as it knows that the run is lost.
        let tried = tokio::spawn(async move { held.try_everything(&of).await });
        self.witness.tell(&format!("holding {}", ctx.run_id()));
        // Not before everything was tried does the step give its result, which is the last stale write.
        if tried.await.is_err() {
            self.witness.tell(&format!("answer {} accepted by-a-panic", ctx.run_id()));
        }
        "zombie"
    }

    async fn try_everything(&self, ctx: &StepContext) {
        while !self.go.exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let run = ctx.run_id();
        let key = stepwell_contract::RunKey::new(ctx.tenant().clone(), run.clone());
        let mut answers = Vec::new();
        if let Some(mine) = self.store.last_head(&key) {
            answers.extend(zombies::try_stale(self.store.inner().as_ref(), &mine, "hold").await);
        }
        answers.extend(zombies::try_through(ctx).await);
        for (what, refused) in answers {
            let word = if refused { "refused" } else { "accepted" };
            self.witness.tell(&format!("answer {run} {word} {what}"));
        }
        // Whoever waits for it may be gone.
        let _ = self.done.send(()).await;
    }
}
