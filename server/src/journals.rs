//! Journals that were read lately, with the states they make: the tabs of a run's page, the people who look at it and the API
//! read it once. Of a run that goes on only what is new is read. What is kept is bounded in bytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use stepwell::contract::limits::PAGE_ITEMS_MAX;
use stepwell::contract::{Head, Record, RunKey, Seq, Version};
use stepwell::run::state::State;
use stepwell::{Engine, Error};

use crate::problem::{Code, Problem};
use crate::ui::run::Timeline;

/// Bytes of journals that are kept, about.
const BYTES_MAX: usize = 64 << 20;
/// About what a record takes beside its payload, and the state that it makes beside the record.
const RECORD_BYTES: usize = 256;
/// About what the place of a journal takes, even of one that could not be read.
const PLACE_BYTES: usize = 512;

/// A run's journal as it was when its head had a version, or a moment later.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    pub(crate) records: Vec<Record>,
    /// Where the run is; why that cannot be told when its journal cannot be read.
    pub(crate) state: Result<State, String>,
    timeline: OnceLock<Timeline>,
    version: Version,
    bytes: usize,
}

impl Journal {
    fn new(version: Version) -> Self {
        let state = State::fold([]).map_err(|error| error.to_string());
        Self { records: Vec::new(), state, timeline: OnceLock::new(), version, bytes: 0 }
    }

    /// What the run did when.
    pub(crate) fn timeline(&self) -> &Timeline {
        self.timeline.get_or_init(|| Timeline::of(&self.records))
    }

    /// Where the run is.
    ///
    /// # Errors
    /// [`Code::Unreadable`].
    pub(crate) fn state(&self, key: &RunKey) -> Result<&State, Problem> {
        let unreadable = |why| Problem::new(Code::Unreadable, format!("the journal of run {key}: {why}"));
        self.state.as_ref().map_err(unreadable)
    }

    fn add(&mut self, records: Vec<Record>) {
        for record in &records {
            self.bytes += 2 * record.payload.text().len() + RECORD_BYTES;
        }
        let is_first = self.records.is_empty();
        match &mut self.state {
            _ if is_first => self.state = State::fold(&records).map_err(|error| error.to_string()),
            Ok(state) => {
                if let Err(error) = records.iter().try_for_each(|record| state.replay(record)) {
                    self.state = Err(error.to_string());
                }
            }
            // What cannot be read stays so, whatever follows.
            Err(_) => {}
        }
        self.records.extend(records);
        self.timeline = OnceLock::new();
    }

    /// Reads what the store has behind the records that are here. Whether it goes on from them: under the id of a run that was
    /// removed another one may have begun.
    async fn follow(&mut self, engine: &Engine, key: &RunKey) -> Result<bool, Error> {
        let mut from = Seq::FIRST;
        if let Some(last) = self.records.last() {
            let page = engine.backend().journal(key, last.seq, PAGE_ITEMS_MAX).await?;
            if page.first() != Some(last) {
                return Ok(false);
            }
            from = last.seq.plus(page.len());
            let is_all = page.len() < PAGE_ITEMS_MAX;
            self.add(page.into_iter().skip(1).collect());
            if is_all {
                return Ok(true);
            }
        }
        loop {
            let page = engine.backend().journal(key, from, PAGE_ITEMS_MAX).await?;
            let Some(last) = page.last() else { return Ok(true) };
            from = last.seq.plus(1);
            let is_all = page.len() < PAGE_ITEMS_MAX;
            // Between two pages others have their turn: a large journal takes a while.
            self.add(page);
            if is_all {
                return Ok(true);
            }
        }
    }
}

/// The place of a run's journal. Whoever reads it keeps the others waiting, who want the same.
type Place = Arc<tokio::sync::Mutex<Option<Arc<Journal>>>>;

/// The journals that are kept.
#[derive(Debug, Default)]
pub(crate) struct Journals(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    places: HashMap<RunKey, Held>,
    /// Counts uses: the place that was used last has the largest.
    uses: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Held {
    place: Place,
    used: u64,
    bytes: usize,
}

impl Journals {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The journal of a run, at least as new as its head is.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn of(&self, engine: &Engine, head: &Head) -> Result<Arc<Journal>, Error> {
        let place = self.lock().place(&head.key);
        let mut kept = place.lock().await;
        if let Some(journal) = kept.as_ref().filter(|journal| journal.version == head.version) {
            return Ok(Arc::clone(journal));
        }
        // Taken out: a reading that is given up half way leaves nothing.
        let mut journal = kept.take().unwrap_or_else(|| Arc::new(Journal::new(head.version)));
        let read = Arc::make_mut(&mut journal);
        if !read.follow(engine, &head.key).await? {
            *read = Journal::new(head.version);
            read.follow(engine, &head.key).await?;
        }
        read.version = head.version;
        self.lock().keep(&head.key, read.bytes);
        *kept = Some(Arc::clone(&journal));
        Ok(journal)
    }
}

impl Kept {
    fn place(&mut self, key: &RunKey) -> Place {
        self.uses += 1;
        let held = self.places.entry(key.clone()).or_insert_with(|| {
            self.bytes += PLACE_BYTES;
            Held { bytes: PLACE_BYTES, ..Held::default() }
        });
        held.used = self.uses;
        Arc::clone(&held.place)
    }

    /// Notes how large a journal is now. When all are too large, those that were used longest ago go.
    fn keep(&mut self, key: &RunKey, bytes: usize) {
        if let Some(held) = self.places.get_mut(key) {
            let bytes = PLACE_BYTES + bytes;
            self.bytes = self.bytes - held.bytes + bytes;
            held.bytes = bytes;
        }
        if self.bytes <= BYTES_MAX {
            return;
        }
        let mut by_use: Vec<_> = self.places.iter().map(|(key, held)| (held.used, key.clone())).collect();
        by_use.sort_unstable_by_key(|(used, _)| *used);
        for (_, key) in by_use {
            // Room for some more: not each of them is to be the one too many.
            if self.bytes <= BYTES_MAX / 4 * 3 {
                return;
            }
            let held = self.places.remove(&key);
            self.bytes -= held.map_or(0, |held| held.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use stepwell::RunHandle;
    use stepwell::contract::MemoryBackend;
    use stepwell::prelude::*;

    use super::*;

    struct Echo;

    #[async_trait]
    impl Step for Echo {
        type Input = Value;
        type Output = Value;
        const NAME: &'static str = "echo";

        async fn run(&self, _: &StepContext, input: Value) -> StepResult<Value> {
            Ok(input)
        }
    }

    async fn engine() -> Engine {
        let workflow = Workflow::named("w").step(Echo).wait_for::<Value>("go").build().expect("a workflow");
        let builder = Engine::builder(Arc::new(MemoryBackend::new())).register(workflow);
        builder.start().await.expect("an engine")
    }

    async fn head(engine: &Engine, run: &RunHandle) -> Head {
        engine.get(run.key()).await.expect("read").expect("a run")
    }

    #[tokio::test]
    async fn only_what_is_new_is_read_and_another_run_of_the_same_id_is_not_taken_for_it() {
        let (engine, journals) = (engine().await, Journals::default());
        let first = engine.start_run("w", "r", &json!(1)).await.expect("started");
        let begun = journals.of(&engine, &head(&engine, &first).await).await.expect("read");
        engine.signal(first.key(), "go", "one", &json!(2)).await.expect("sent");
        first.result::<Value>().await.expect("it ends");
        let ended = head(&engine, &first).await;
        let whole = journals.of(&engine, &ended).await.expect("read");
        let records = engine.history(first.key()).await.expect("a history");
        assert!(begun.records.len() < records.len() && whole.records == records);
        assert_eq!(whole.state.as_ref().ok(), engine.state(first.key()).await.ok().as_ref());
        let again = journals.of(&engine, &ended).await.expect("kept");
        assert!(Arc::ptr_eq(&whole, &again));
        engine.backend().remove(&[first.key().clone()]).await.expect("removed");
        let other = engine.start_run("w", "r", &json!("other")).await.expect("started");
        let found = journals.of(&engine, &head(&engine, &other).await).await.expect("read");
        let input = found.state.as_ref().expect("a state").created.input.text();
        assert_eq!(input, "\"other\"");
    }

    #[test]
    fn what_was_used_longest_ago_goes_when_all_are_too_large() {
        let key = |nth: usize| {
            let run = stepwell::contract::RunId::new(format!("r{nth}")).expect("an id");
            RunKey::new(stepwell::contract::TenantId::default(), run)
        };
        let mut kept = Kept::default();
        for nth in 0..100 {
            kept.place(&key(nth));
            kept.keep(&key(nth), BYTES_MAX / 20);
            kept.place(&key(0));
        }
        assert!(kept.bytes <= BYTES_MAX && kept.bytes > BYTES_MAX / 2, "{}", kept.bytes);
        assert_eq!(kept.bytes, kept.places.values().map(|held| held.bytes).sum::<usize>());
        assert!(kept.places.contains_key(&key(0)) && kept.places.contains_key(&key(99)));
        assert!(!kept.places.contains_key(&key(1)));
    }
}
