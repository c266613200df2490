//! Faults of stores, met by a step that uses one: stores that are locked, damaged, full, gone, or told to fail.

use std::fs;
use std::sync::Arc;

use stepwell::contract::fault::{Effect, FaultBackend, FaultPlan, Method};
use stepwell::contract::{Backend, BackendError, FaultKind, MemoryBackend, RunId, RunKey, TenantId};
use stepwell::{StepContext, StepError};
use stepwell_file::{FileBackend, FileOptions};
use stepwell_redis::test_server::TestServer;
use stepwell_redis::{RedisBackend, RedisOptions};
use stepwell_sled::{SledBackend, SledOptions};

use crate::cases;
use crate::harness::faults::case::{Case, Outcome};
use crate::harness::faults::files::text;
use crate::harness::faults::lab::Lab;

pub(super) const CASES: &[Case] = cases! {
    a_redis_that_was_killed: Fault ["SW7001"] "start_store", |lab: Lab| async move {
        let mut server = TestServer::start(&[]).map_err(text)?;
        let store = RedisBackend::open(&server.url("faults"), RedisOptions::default()).await;
        let store: Arc<dyn Backend> = Arc::new(store.map_err(|error| error.to_string())?);
        server.kill().map_err(text)?;
        let outcome = uses(lab, store).await;
        drop(server);
        outcome
    };
    a_redis_that_is_not_there: Fault ["SW7001"] "start_store", |lab: Lab| async move {
        let url = format!("redis+unix://{}?prefix=x", lab.path("redis.sock"));
        lab.fails(move || {
            let url = url.clone();
            async move {
                RedisBackend::open(&url, RedisOptions::default()).await?;
                Ok(String::new())
            }
        }).await
    };
    a_redis_that_wants_a_password: Fault ["SW7007"] "change_store_settings", |lab: Lab| async move {
        let server = TestServer::start(&[("requirepass", "open-sesame")]).map_err(text)?;
        let url = server.url("faults");
        let outcome = lab.fails(move || {
            let url = url.clone();
            async move {
                RedisBackend::open(&url, RedisOptions::default()).await?;
                Ok(String::new())
            }
        }).await;
        drop(server);
        outcome
    };
    a_store_that_another_process_has: Fault ["SW7006"] "close_other_process", |lab: Lab| async move {
        let path = lab.path("store");
        let held = FileBackend::open(&path, FileOptions::default()).map_err(|error| error.to_string())?;
        let outcome = lab.fails(move || {
            let path = path.clone();
            async move {
                FileBackend::open(&path, FileOptions::default())?;
                Ok(String::new())
            }
        }).await;
        drop(held);
        outcome
    };
    a_sled_that_another_has: Fault ["SW7006"] "close_other_process", |lab: Lab| async move {
        let path = lab.path("store");
        let held = SledBackend::open(&path, SledOptions::default()).map_err(|error| error.to_string())?;
        let outcome = lab.fails(move || {
            let path = path.clone();
            async move {
                SledBackend::open(&path, SledOptions::default())?;
                Ok(String::new())
            }
        }).await;
        drop(held);
        outcome
    };
    a_store_that_is_damaged: Fault ["SW7005", "SW7008"] "", |lab: Lab| async move {
        let path = lab.path("store");
        drop(FileBackend::open(&path, FileOptions::default()).map_err(|error| error.to_string())?);
        for entry in fs::read_dir(&path).map_err(text)? {
            let entry = entry.map_err(text)?;
            if entry.file_type().map_err(text)?.is_file() {
                fs::write(entry.path(), "no store\n{{{\n").map_err(text)?;
            }
        }
        lab.fails(move || {
            let path = path.clone();
            async move {
                FileBackend::open(&path, FileOptions::default())?;
                Ok(String::new())
            }
        }).await
    };
    the_engines_own_store_is_away: Fault ["SW7001"] "start_store", |lab: Lab| {
        told_to(lab, FaultKind::Unavailable)
    };
    the_engines_own_store_is_slow: Fault ["SW7002"] "relieve_store", |lab: Lab| told_to(lab, FaultKind::Timeout);
    the_engines_own_store_is_full: Fault ["SW7003"] "free_store", |lab: Lab| told_to(lab, FaultKind::Full);
    the_engines_own_store_is_read_only: Fault ["SW7004"] "make_store_writable", |lab: Lab| {
        told_to(lab, FaultKind::ReadOnly)
    };
    the_engines_own_store_lost_its_identity: Fault ["SW7008"] "find_store", |lab: Lab| {
        told_to(lab, FaultKind::IdentityLost)
    };
    a_store_that_must_not_be_written_any_more: Fault ["SW7009"] "restart_worker", |lab: Lab| {
        let inner = Arc::new(MemoryBackend::new());
        let store = Arc::new(FaultBackend::new(inner, FaultPlan::seeded(1).nth(Method::Commit, 1, Effect::Poison)));
        lab.fails(move || {
            let store = Arc::clone(&store);
            async move {
                store.commit(&[]).await?;
                Ok(String::new())
            }
        })
    };
    a_full_store_in_a_wrapper: Wording ["SW7003"] "free_store", |lab: Lab| async move {
        let inner = Arc::new(MemoryBackend::new());
        let plan = FaultPlan::seeded(1).from(Method::Commit, 1, Effect::Refuse(FaultKind::Full));
        let store = Arc::new(FaultBackend::new(inner, plan));
        lab.fails(move || {
            let store = Arc::clone(&store);
            async move {
                let written: Result<_, BackendError> = store.commit(&[]).await;
                let written = written.map_err(|error| anyhow::Error::new(error).context("the snapshot was not taken"));
                written.map(|_| String::new()).map_err(StepError::from)
            }
        }).await
    };
};

fn run() -> Result<RunKey, String> {
    Ok(RunKey::new(TenantId::default(), RunId::new("other").map_err(|error| error.to_string())?))
}

/// A step that asks a store of its own.
async fn uses(lab: Lab, store: Arc<dyn Backend>) -> Result<Outcome, String> {
    let key = run()?;
    lab.fails(move || {
        let (store, key) = (Arc::clone(&store), key.clone());
        async move {
            store.head(&key).await?;
            Ok(String::new())
        }
    })
    .await
}

/// A step that asks the engine of a run, and the engine's store, which fails so once.
async fn told_to(lab: Lab, kind: FaultKind) -> Result<Outcome, String> {
    let store = Arc::new(FaultBackend::new(Arc::clone(lab.backend()), FaultPlan::seeded(1)));
    let key = run()?;
    let failing = Arc::clone(&store);
    let act = move |ctx: StepContext, _: String| {
        let (failing, key) = (Arc::clone(&failing), key.clone());
        async move {
            // The engine asks for heads of its own meanwhile, and may be the one that is refused.
            for _ in 0..100 {
                failing.hit_next(Method::Head, Effect::Refuse(kind));
                ctx.runs()?.get(&key).await?;
            }
            Ok(String::new())
        }
    };
    lab.on(store).plays(&["in"], act).await
}
