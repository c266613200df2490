//! Opening a store: read what the derived trees say, then replay the log from the watermark on.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use stepwell_contract::tally::Tallies;
use stepwell_contract::{BackendError, RunKey};

use crate::failure::{corrupt, file, sled};
use crate::folder::Folder;
use crate::frame::{Content, Effect, read_group};
use crate::keeping::Keeping;
use crate::options::SledOptions;
use crate::segments::Segments;
use crate::shared::Shared;
use crate::state::State;
use crate::trees::Trees;
use crate::writer::Writer;

/// Opens the store in a locked folder and returns who writes it.
pub(crate) fn open(folder: &Folder, options: &SledOptions) -> Result<Writer, BackendError> {
    let trees = folder.open(options)?;
    let id = trees.id()?;
    trees.move_to_shelves()?;
    let watermark = trees.watermark()?;
    let last = last_group(&trees)?.max(watermark);
    let mut replay = Replay {
        keeping: Keeping::new(Segments::load(&trees, options.pace)?, watermark, options.pace),
        state: State::default(),
        // Everything in the store was written by a former opening.
        opened_at: last,
        // Runs that were counted before the watermark were last written by a program that does not count.
        counted: trees.tallies()?.filter(|(group, _)| *group >= watermark),
        trees,
    };
    replay.load_live()?;
    for group in watermark + 1..=last {
        replay.group(group)?;
    }
    let Replay { trees, mut state, keeping, counted, .. } = replay;
    state.tallies = match counted {
        Some((_, tallies)) => tallies,
        None => count_all(&trees, &state)?,
    };
    state.end_leases();
    let shared = Shared::new(id, Arc::clone(&options.clock), last, state);
    shared.set_log_totals(keeping.segments.totals());
    let path = folder.db_file();
    let db_file = if options.sync {
        Some(File::open(&path).map_err(|error| file(format_args!("cannot open {}", path.display()), error))?)
    } else {
        None
    };
    Ok(Writer {
        shared: Arc::new(shared),
        trees,
        next_group: last + 1,
        keeping,
        disk: Arc::clone(&options.disk),
        root: Path::to_owned(folder.root()),
        db_file,
    })
}

/// Counts every run, head by head.
fn count_all(trees: &Trees, state: &State) -> Result<Tallies, BackendError> {
    let unfinished = state.runs.values().filter_map(|run| run.head.as_deref());
    let mut tallies: Tallies = unfinished.collect();
    for head in trees.finished() {
        let head = head?;
        // One that goes on after its end may still be there.
        if !state.runs.contains_key(&head.key) {
            tallies.replace(None, Some(&head));
        }
    }
    Ok(tallies)
}

fn last_group(trees: &Trees) -> Result<u64, BackendError> {
    let last = trees.log.last().map_err(|error| sled("tree log", error))?;
    let Some((key, _)) = last else { return Ok(0) };
    let group = key.get(..8).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
    group.map(u64::from_be_bytes).ok_or_else(|| corrupt(format_args!("tree log, key {key:?}"), "not a group"))
}

struct Replay {
    trees: Trees,
    state: State,
    keeping: Keeping,
    opened_at: u64,
    /// What was counted, and as of which group.
    counted: Option<(u64, Tallies)>,
}

impl Replay {
    fn load_live(&mut self) -> Result<(), BackendError> {
        for key in self.trees.live_keys()? {
            // `live` may name a run whose entry says that it is finished, or that was to get its entry only after.
            if let Some(run) = self.trees.run(&key, self.opened_at)?
                && !run.is_finished()
            {
                self.state.load(key, run);
            }
        }
        Ok(())
    }

    fn group(&mut self, number: u64) -> Result<(), BackendError> {
        let place = || format!("log group {number}");
        let bytes = self.trees.group(number)?.ok_or_else(|| corrupt(place(), "it is gone"))?;
        let content = read_group(number, &bytes).map_err(|damage| corrupt(place(), damage))?;
        let Content { effects, record_bytes, tallies } = content;
        if let Some((counted, sum)) = &mut self.counted
            && *counted < number
        {
            sum.merge(&tallies);
        }
        let mut touched = HashSet::new();
        for effect in &effects {
            let (Effect::Write { key, .. } | Effect::Remove { key, .. } | Effect::Move { key, .. }) = effect;
            if !self.state.runs.contains_key(key)
                && let Some(run) = self.trees.run(key, self.opened_at)?
            {
                self.state.load(key.clone(), run);
            }
            let is_newer = self.state.runs.get(key).is_some_and(|run| run.base >= number);
            self.state.apply(number, effect);
            if let Effect::Remove { key, created_at, .. } = effect
                && !is_newer
            {
                let shelf = self.trees.shelf_of(key)?;
                let forgotten = self.trees.forget(key, *created_at, shelf);
                forgotten.map_err(|error| sled(format_args!("cannot delete the entry of {key}"), error))?;
            }
            touched.insert(key.clone());
        }
        self.keeping.count(number, bytes.len() as u64, record_bytes, &effects);
        touched.into_iter().try_for_each(|key| self.settle(key))
    }

    /// As the writer does after a group: finished runs live in the trees.
    fn settle(&mut self, key: RunKey) -> Result<(), BackendError> {
        let Some(run) = self.state.runs.get(&key) else { return Ok(()) };
        let Some(head) = run.head.clone() else { return Ok(()) };
        if !run.is_finished() {
            self.keeping.dirty.insert(key);
            return Ok(());
        }
        if run.applied > run.base {
            let kept = self.trees.keep_finished(run, &head);
            kept.map_err(|error| sled(format_args!("cannot write the entry of {key}"), error))?;
        }
        self.state.forget(&key);
        Ok(())
    }
}
