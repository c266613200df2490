//! Whatever moment the power is cut at, and whatever part of the unsynced writes the disk keeps: the store opens, every
//! acknowledged write is there, and nothing is there that nobody wrote.

use std::collections::HashSet;

use crate::disk::sim::{Keep, SimDisk};
use crate::tests::work::{Call, Work, carry_out, fits, on_runtime, open, open_keeping, read_all};

const SEEDS: u64 = 2;
const CALLS: usize = 24;
const IMAGES_MIN: usize = 400;

#[test]
fn no_power_cut_loses_what_was_acknowledged() {
    let mut images = HashSet::new();
    for seed in 0..SEEDS {
        let work = Work::new(seed, CALLS);
        let disk = SimDisk::default();
        on_runtime(async {
            let mut store = open(&disk).expect("opens");
            for (nth, call) in work.calls.iter().enumerate() {
                carry_out(&store, call).await.expect("nothing fails");
                disk.answered(nth + 1);
                if nth == CALLS / 2 {
                    drop(store);
                    store = open(&disk).expect("opens");
                }
            }
        });
        for ops in 0..=disk.len() {
            let more = (0..4).map(|nth| Keep::Some(seed ^ (ops as u64) << 8 ^ nth << 32));
            for keep in [Keep::All, Keep::Nothing, Keep::Lengths].into_iter().chain(more) {
                let (image, answers) = disk.after_crash(ops, keep);
                if images.insert(image.fingerprint()) {
                    check(&work, &image, answers, &format!("seed {seed}, {ops} operations, {keep:?}"));
                }
            }
        }
    }
    assert!(images.len() >= IMAGES_MIN, "only {} distinct images: this run showed little", images.len());
}

/// Opens what is left, twice, and goes on writing.
fn check(work: &Work, image: &SimDisk, answers: usize, what: &str) {
    let acknowledged = &work.states[answers];
    let in_flight = work.in_flight.get(answers).map_or(&[][..], Vec::as_slice);
    on_runtime(async {
        let store = open_keeping(image, 100).unwrap_or_else(|error| panic!("{what}: does not open: {error}"));
        let found = read_all(&store).await.unwrap_or_else(|error| panic!("{what}: does not read: {error}"));
        fits(&found, acknowledged, in_flight).unwrap_or_else(|why| panic!("{what}: {why}"));
        let finished = found.iter().filter(|(_, seen)| seen.head.status.is_finished());
        let finished: Vec<_> = finished.map(|(key, _)| key.clone()).collect();
        carry_out(&store, &Call::Remove(finished.clone())).await.expect("removes");
        drop(store);
        // A second crash, right after the first recovery.
        image.lose_index();
        let store =
            open_keeping(image, 100).unwrap_or_else(|error| panic!("{what}: does not open again: {error}"));
        let left = read_all(&store).await.unwrap_or_else(|error| panic!("{what}: does not read: {error}"));
        let expected = found.into_iter().filter(|(key, _)| !finished.contains(key)).collect();
        assert_eq!(left, expected, "{what}: after opening again");
    });
}
