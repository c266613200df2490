//! Says why a run is held that no worker goes on with, where there is no runner to say it.

use stepwell_contract::{Clock, Head};

use crate::diagnosis::evidence::{AttemptRecord, Case, QueueFacts, RunFacts, WorkerFacts};
use crate::diagnosis::{Rules, diagnose};
use crate::exec::core::Core;
use crate::run::event::{Diagnosed, Event};
use crate::run::state::State;
use crate::workflow::error::ErrorClass;

/// Why nobody took the run in time.
pub(crate) fn unclaimed(core: &Core, head: &Head, state: &State, message: &str) -> Event {
    let definitions = core.definitions.all();
    let known = definitions.keys().map(|known| (known.name.to_string(), known.version));
    let own = WorkerFacts {
        worker: core.worker.to_string(),
        alive: core.is_working(),
        queues: core.options.queues.iter().map(ToString::to_string).collect(),
        workflows: known.collect(),
        room: u32::try_from(core.permits.available_permits()).ok(),
        ..WorkerFacts::default()
    };
    let queue = QueueFacts {
        queue: head.queue.to_string(),
        since: state.begins_at(),
        workers: vec![own],
        // A store that one process owns has no other worker.
        workers_complete: core.store.exclusive,
        ..QueueFacts::default()
    };
    say(core, head, state, None, message, Some(&queue))
}

/// Why what the run did cannot be recorded.
pub(crate) fn unrecordable(core: &Core, head: &Head, state: &State, message: &str) -> Event {
    say(core, head, state, Some(ErrorClass::Bug), message, None)
}

fn say(
    core: &Core,
    head: &Head,
    state: &State,
    class: Option<ErrorClass>,
    message: &str,
    queue: Option<&QueueFacts>,
) -> Event {
    let now = core.time.now();
    let run = RunFacts {
        tenant: head.key.tenant.to_string(),
        run: head.key.run.to_string(),
        workflow: head.workflow.to_string(),
        version: head.workflow_version,
        created_at: head.created_at,
        deadline_at: state.deadline_at,
        ..RunFacts::default()
    };
    // No attempt has this failure: it is the run's.
    let failure = AttemptRecord {
        class,
        message: message.to_owned(),
        started_at: now,
        ended_at: Some(now),
        ..AttemptRecord::default()
    };
    let attempts = [failure];
    let case = Case { attempts: &attempts, queue, ..Case::new(&run, now) };
    // Rules of the program's own are its code, and this thread is one that writes and leases depend on.
    let diagnosis = diagnose(&case, &Rules::default());
    let (code, summary) = (&diagnosis.code, &diagnosis.summary);
    tracing::warn!(run = %head.key, code, "{summary}");
    Diagnosed { place: None, attempt: None, diagnosis: Box::new(diagnosis), late_by: None }.into()
}
