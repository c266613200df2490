//! Whatever operation fails: the call says so, no answer is a lie, and opening again finds what was acknowledged.

use rustix::io::Errno;
use stepwell_contract::{Backend, BackendError, FaultKind, Health};

use crate::disk::sim::SimDisk;
use crate::tests::work::{Work, carry_out, fits, on_runtime, open, read_all};

const CALLS: usize = 25;
/// A full disk that has space again takes the call within this many repetitions.
const REPEATS_MAX: usize = 3;

/// Lets the operation fail that comes after `after` others, and returns whether there was one.
fn run(work: &Work, after: usize, error: Errno) -> bool {
    let what = format!("operation {after} fails with {error}");
    let disk = SimDisk::default();
    disk.fail_after(after, error);
    on_runtime(async {
        let mut answers = 0;
        let mut is_unknown = false;
        if let Ok(store) = open(&disk) {
            'calls: for call in &work.calls {
                for repeat in 0.. {
                    match carry_out(&store, call).await {
                        Ok(()) => break,
                        Err(BackendError::Definite(_)) if repeat < REPEATS_MAX => {}
                        Err(BackendError::Poisoned(_)) => {
                            is_unknown = true;
                            let again = carry_out(&store, call).await.expect_err("stays poisoned");
                            assert!(matches!(again, BackendError::Poisoned(_)), "{what}: {again}");
                            let health = store.info().await.expect("tells").health;
                            assert!(matches!(health, Health::Poisoned(_)), "{what}: {health:?}");
                            break 'calls;
                        }
                        // The index cannot be used any more: the store says so and is to be opened again.
                        Err(failure) if error == Errno::IO => {
                            assert!(failure.kind() != FaultKind::Full, "{what}: {failure}");
                            break 'calls;
                        }
                        Err(failure) => panic!("{what}: {failure}"),
                    }
                }
                answers += 1;
            }
        }
        let fired = disk.end_plan();
        let store = open(&disk).unwrap_or_else(|failure| panic!("{what}: does not open: {failure}"));
        let found = read_all(&store).await.unwrap_or_else(|failure| panic!("{what}: {failure}"));
        let in_flight = if is_unknown { work.in_flight[answers].as_slice() } else { &[] };
        fits(&found, &work.states[answers], in_flight).unwrap_or_else(|why| panic!("{what}: {why}"));
        fired
    })
}

#[test]
fn no_failing_operation_loses_what_was_acknowledged() {
    let work = Work::new(7, CALLS);
    for error in [Errno::IO, Errno::NOSPC] {
        let mut after = 0;
        while run(&work, after, error) {
            after += 1;
        }
        assert!(after > 100, "only {after} operations: this run showed little");
    }
}
