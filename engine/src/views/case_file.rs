//! Gathers what the case files of runs are made of.

use std::collections::BTreeMap;

use stepwell_contract::{Head, Health, RunKey, Seq};

use crate::diagnosis::evidence::AttemptRecord;
use crate::error::Error;
use crate::exec::engine::Engine;
use crate::exec::{load, outlines, process};
use crate::observe::case_file::{
    Around, CaseFile, Gathering, Joining, JointCaseFile, MEMBERS_MAX, Surroundings, TAIL_RECORDS_MAX,
};
use crate::run::ledger::Ledger;
use crate::run::place::Place;

/// Longest journal of which the attempts are looked for once more, in records.
const LEDGER_RECORDS_MAX: u64 = 200_000;
/// How often a run that has moved while it was read is read again.
const LOOKS_AGAIN_MAX: usize = 2;
/// Most facts of the store.
const FACTS_MAX: usize = 32;

impl Engine {
    /// What is known of a run in one document, to be attached to a ticket: what happened, why, what to do, its attempts, steps
    /// and timeline, where it ran, its limits and its definition. Without secrets that can be told by their form, without the
    /// values that it takes and gives, and within [`BYTES_MAX`](crate::observe::case_file::BYTES_MAX): long journals are cut in the
    /// middle.
    ///
    /// A journal that this version cannot read makes a file too, which says so. The journal is read twice, page by page; a run that moves meanwhile is read again, a few times at most, and
    /// its file may then tell more in one part than in another.
    ///
    /// # Errors
    /// [`Error::NoSuchRun`]; [`Error::Store`].
    pub async fn case_file(&self, key: &RunKey) -> Result<CaseFile, Error> {
        self.make(key, Gathering::file).await
    }

    /// The same for several runs, such as those of one kind of failure: what they have in common, a line for each, and some in
    /// short case files of their own. It looks at the first [`MEMBERS_MAX`] keys; of each run it reads the head and the last
    /// [`TAIL_RECORDS_MAX`] records.
    ///
    /// # Errors
    /// [`Error::Store`]. Runs that are not there are counted, and no error.
    pub async fn joint_case_file(
        &self,
        keys: impl IntoIterator<Item = RunKey>,
    ) -> Result<JointCaseFile, Error> {
        let mut joining = Joining::default();
        let (mut is_complete, mut looked_at) = (true, 0);
        for key in keys {
            if looked_at == MEMBERS_MAX {
                is_complete = false;
                break;
            }
            looked_at += 1;
            let Some(head) = self.get(&key).await? else {
                joining.miss();
                continue;
            };
            let from = head.next_seq.0.saturating_sub(TAIL_RECORDS_MAX as u64).max(Seq::FIRST.0);
            joining.add(&head, &self.backend().journal(&key, Seq(from), TAIL_RECORDS_MAX).await?);
        }
        let mut samples = Vec::new();
        for key in joining.samples() {
            match self.make(&key, Joining::sample).await {
                Ok(sample) => samples.push(sample),
                // Removed meanwhile.
                Err(Error::NoSuchRun(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let environment = self.surroundings().await;
        joining.file((samples, is_complete), environment, self.now()).map_err(internal)
    }

    /// Gathers what a case file is made of, and makes it.
    async fn make(
        &self,
        key: &RunKey,
        file: impl FnOnce(Gathering, Around<'_>) -> Result<CaseFile, serde_json::Error>,
    ) -> Result<CaseFile, Error> {
        let (mut head, mut gathered) = self.gather(key).await?;
        // Of a run that moves, the head and the journal should speak of the same moment.
        for _ in 0..LOOKS_AGAIN_MAX {
            if gathered.is_of(&head) {
                break;
            }
            (head, gathered) = self.gather(key).await?;
        }
        let attempts = self.ledgers(key, &gathered).await?;
        // What cannot be told of it is no reason to tell nothing.
        let waits_for = match self.cause(key).await {
            // The file may go to people of this tenant.
            Ok(cause) => cause.map(|cause| cause.for_tenant(&key.tenant).to_string()),
            Err(Error::Store(error)) => return Err(Error::Store(error)),
            Err(_) => None,
        };
        let registered = outlines::definition_of(self.core(), &head).await?;
        let around = Around {
            now: self.now(),
            head: &head,
            waits_for,
            definition: registered.as_ref().map(|registered| &registered.definition),
            attempts,
            environment: self.surroundings().await,
        };
        file(gathered, around).map_err(internal)
    }

    async fn gather(&self, key: &RunKey) -> Result<(Head, Gathering), Error> {
        let head = self.get(key).await?.ok_or_else(|| Error::NoSuchRun(key.clone()))?;
        let mut gathered = Gathering::of(&head);
        let mut pages = load::Pages::new(self.backend().as_ref(), key, Seq::FIRST);
        while let Some(page) = pages.next().await? {
            gathered.add(&page);
        }
        Ok((head, gathered))
    }

    /// The attempts of the steps that are of interest, from one more reading of the journal.
    async fn ledgers(
        &self,
        key: &RunKey,
        gathered: &Gathering,
    ) -> Result<Vec<(Place, Vec<AttemptRecord>)>, Error> {
        let mut ledgers: Vec<_> =
            gathered.places().into_iter().map(|place| (place.clone(), Ledger::at(place))).collect();
        if ledgers.is_empty() {
            return Ok(Vec::new());
        }
        let mut pages = load::Pages::new(self.backend().as_ref(), key, Seq::FIRST);
        let mut records = 0;
        while records < LEDGER_RECORDS_MAX
            && let Some(page) = pages.next().await?
        {
            records += page.len() as u64;
            for (_, ledger) in &mut ledgers {
                ledger.add(&page);
            }
        }
        Ok(ledgers.into_iter().map(|(place, ledger)| (place, ledger.attempts())).collect())
    }

    /// The store and this engine.
    async fn surroundings(&self) -> Surroundings {
        let core = self.core();
        let options = &core.options;
        let settings = [
            ("concurrency", options.concurrency as u64),
            ("threads", options.threads as u64),
            ("lease_ms", options.lease_ms),
            ("poll_ms", options.poll_ms),
            ("shutdown_grace_ms", options.shutdown_grace_ms),
            ("stop_grace_ms", options.stop_grace_ms),
            ("commit_patience_ms", options.commit_patience_ms),
        ];
        let (store, health) = match core.backend.info().await {
            Ok(info) => {
                let health = match &info.health {
                    Health::Ok => "ok".to_owned(),
                    Health::Degraded(why) => format!("degraded: {why}"),
                    Health::Poisoned(why) => format!("poisoned: {why}"),
                };
                (info, health)
            }
            Err(error) => (core.store.clone(), format!("it could not be asked: {error}")),
        };
        Surroundings {
            engine: env!("CARGO_PKG_VERSION").to_owned(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            host: process::host(),
            worker: core.worker.to_string(),
            settings: settings.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(),
            store: store.backend,
            store_id: store.id.to_string(),
            durability: store.durability.to_string(),
            health,
            facts: store.facts.into_iter().take(FACTS_MAX).collect::<BTreeMap<_, _>>(),
            workers: Vec::new(),
        }
    }
}

fn internal(error: serde_json::Error) -> Error {
    Error::Internal(format!("a case file does not come back from JSON: {error}"))
}
