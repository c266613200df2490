//! Stores that break a law are found out: each of these is sound but for one fault, and fails the laws named.

mod stores;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use stepwell_contract::conformance::{self, Harness};
use stepwell_contract::{
    Backend, BackendError, Batch, Claim, Cursor, Guard, Head, MemoryBackend, Message, MessageId, Order, Page,
    Payload, Query, Record, RunKey, Seq, Status, StoreId, StoreInfo, Tally, Timestamp, Verdict, async_trait,
};
use stores::Memory;

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    AcksWithoutApplying,
    AppliesOneByOne,
    StopsAtARejection,
    ReversesBatches,
    PostsForRejectedBatches,
    ComparesNoncesAsFloats,
    ComparesCountersOnly,
    RefusesRepeats,
    ChecksBeforeItLocks,
    ForgetsTakenIds,
    ReversesTheInbox,
    KeepsTheCallersLeaseEnd,
    ClaimsWithoutWriting,
    ClaimsByAgeOnly,
    MissesMail,
    IgnoresTheTenant,
    PagesByTimeOnly,
    CutsJournalPages,
    ReencodesPayloads,
    CountsEveryRemoval,
    TalliesAllQueuesAsOne,
    TalliesRemovedRuns,
    TalliesOnce,
    TalliesByPages,
    KeepsLeasesAtOpening,
    LosesEverythingAtClosing,
    HasANewIdentityAtOpening,
    OpensTwice,
}

struct BrokenStore {
    memory: Memory,
    wrong: Wrong,
    held: Mutex<Option<Arc<MemoryBackend>>>,
}

#[async_trait]
impl Harness for BrokenStore {
    async fn open(&self) -> Result<Arc<dyn Backend>, BackendError> {
        let mut held = self.held.lock().expect("no test panics while it opens");
        let inner = match (self.wrong, &*held) {
            (Wrong::KeepsLeasesAtOpening | Wrong::OpensTwice, Some(held)) => Arc::clone(held),
            (Wrong::LosesEverythingAtClosing, Some(_)) => Memory::new().open_memory()?,
            _ => self.memory.open_memory()?,
        };
        if matches!(
            self.wrong,
            Wrong::KeepsLeasesAtOpening | Wrong::OpensTwice | Wrong::LosesEverythingAtClosing
        ) {
            *held = Some(Arc::clone(&inner));
        }
        let id = StoreId(uuid::Uuid::new_v4());
        Ok(Arc::new(Broken {
            inner,
            wrong: self.wrong,
            id,
            taken: Mutex::default(),
            ends: Mutex::default(),
            tallied: Mutex::default(),
        }))
    }

    fn advance_ms(&self, ms: i64) {
        self.memory.advance_ms(ms);
    }
}

#[derive(Debug)]
struct Broken {
    inner: Arc<MemoryBackend>,
    wrong: Wrong,
    id: StoreId,
    /// How often each message was taken, for `ForgetsTakenIds`: it is stored under a new id each time.
    taken: Mutex<BTreeMap<(RunKey, MessageId), usize>>,
    /// What callers said of the ends of leases, for `KeepsTheCallersLeaseEnd`.
    ends: Mutex<BTreeMap<RunKey, Timestamp>>,
    /// What was tallied before, for `TalliesOnce` and `TalliesRemovedRuns`.
    tallied: Mutex<Option<Vec<Tally>>>,
}

const ACCEPTED: Verdict = Verdict::Accepted;

impl Broken {
    async fn one_by_one(&self, batches: &[Batch], stop: bool) -> Result<Vec<Verdict>, BackendError> {
        let mut verdicts: Vec<Verdict> = Vec::new();
        for batch in batches {
            let stopped = verdicts.iter().copied().find(|verdict| stop && !verdict.is_accepted());
            verdicts.push(match stopped {
                Some(rejected) => rejected,
                None => self.inner.commit(std::slice::from_ref(batch)).await?[0],
            });
        }
        Ok(verdicts)
    }

    /// The batch with its guard set to the present version where `alike` says that both are the same.
    async fn forgiving(
        &self,
        batch: &Batch,
        alike: impl Fn(u64, u64) -> bool,
    ) -> Result<Batch, BackendError> {
        let mut batch = batch.clone();
        if let (Guard::At(from), Some(present)) = (batch.guard, self.inner.head(&batch.key).await?)
            && from.counter == present.version.counter
            && alike(from.nonce, present.version.nonce)
        {
            batch.guard = Guard::At(present.version);
        }
        Ok(batch)
    }

    /// Judges by a head that may be old by the time of the write.
    async fn check_then_write(&self, batch: &Batch) -> Result<Verdict, BackendError> {
        let read = self.inner.head(&batch.key).await?;
        tokio::task::yield_now().await;
        let holds = match batch.guard {
            Guard::Absent => read.is_none(),
            Guard::At(version) => read.as_ref().is_some_and(|head| head.version == version),
            Guard::Exists => read.is_some(),
        };
        let mut batch = batch.clone();
        let present = self.inner.head(&batch.key).await?;
        if let (true, Some(head), Some(present)) = (holds, &mut batch.head, present) {
            batch.guard = Guard::At(present.version);
            head.version.counter = present.version.counter + 1;
            head.next_seq = present.next_seq.plus(batch.append.len());
            for (i, record) in batch.append.iter_mut().enumerate() {
                record.seq = present.next_seq.plus(i);
            }
        }
        Ok(self.inner.commit(&[batch]).await?[0])
    }

    fn renamed(&self, key: &RunKey, id: &MessageId) -> MessageId {
        let taken = self.taken.lock().expect("not poisoned").get(&(key.clone(), id.clone())).copied();
        MessageId::new(format!("{id}__{}", taken.unwrap_or(0))).expect("a valid id")
    }

    async fn commit_and_forget_takes(&self, batch: &Batch) -> Result<Verdict, BackendError> {
        let mut renamed = batch.clone();
        for message in &mut renamed.post {
            message.id = self.renamed(&batch.key, &message.id);
        }
        for id in &mut renamed.take {
            *id = self.renamed(&batch.key, id);
        }
        let verdict = self.inner.commit(&[renamed]).await?[0];
        if verdict.is_accepted() {
            let mut taken = self.taken.lock().expect("not poisoned");
            for id in &batch.take {
                *taken.entry((batch.key.clone(), id.clone())).or_default() += 1;
            }
        }
        Ok(verdict)
    }
}

#[async_trait]
impl Backend for Broken {
    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        let mut verdicts = Vec::new();
        match self.wrong {
            Wrong::AcksWithoutApplying => return Ok(vec![ACCEPTED; batches.len()]),
            Wrong::AppliesOneByOne => return self.one_by_one(batches, false).await,
            Wrong::StopsAtARejection => return self.one_by_one(batches, true).await,
            Wrong::ReversesBatches => {
                let reversed: Vec<Batch> = batches.iter().rev().cloned().collect();
                verdicts = self.inner.commit(&reversed).await?;
                verdicts.reverse();
            }
            Wrong::PostsForRejectedBatches => {
                verdicts = self.inner.commit(batches).await?;
                for batch in batches {
                    let post = Batch {
                        guard: Guard::Exists,
                        head: None,
                        append: vec![],
                        take: vec![],
                        ..batch.clone()
                    };
                    self.inner.commit(&[post]).await?;
                }
            }
            Wrong::ComparesNoncesAsFloats | Wrong::ComparesCountersOnly => {
                let floats = self.wrong == Wrong::ComparesNoncesAsFloats;
                for batch in batches {
                    let batch = self.forgiving(batch, |a, b| !floats || a as f64 == b as f64).await?;
                    verdicts.extend(self.inner.commit(&[batch]).await?);
                }
            }
            Wrong::RefusesRepeats => {
                for batch in batches {
                    let current = self.inner.head(&batch.key).await?.map(|head| head.version);
                    let is_repeat = current.is_some() && current == batch.written_version();
                    verdicts.push(if is_repeat {
                        Verdict::Rejected { current }
                    } else {
                        self.inner.commit(std::slice::from_ref(batch)).await?[0]
                    });
                }
            }
            Wrong::ChecksBeforeItLocks => {
                for batch in batches {
                    verdicts.push(self.check_then_write(batch).await?);
                }
            }
            Wrong::ForgetsTakenIds => {
                for batch in batches {
                    verdicts.push(self.commit_and_forget_takes(batch).await?);
                }
            }
            _ => {
                verdicts = self.inner.commit(batches).await?;
                let mut ends = self.ends.lock().expect("not poisoned");
                for head in batches.iter().filter_map(|batch| batch.head.as_ref()) {
                    if let Some(lease) = &head.lease {
                        ends.insert(head.key.clone(), lease.expires_at);
                    }
                }
            }
        }
        Ok(verdicts)
    }

    async fn head(&self, key: &RunKey) -> Result<Option<Head>, BackendError> {
        let mut head = self.inner.head(key).await?;
        if self.wrong == Wrong::KeepsTheCallersLeaseEnd
            && let Some(lease) = head.as_mut().and_then(|head| head.lease.as_mut())
            && let Some(end) = self.ends.lock().expect("not poisoned").get(key)
        {
            lease.expires_at = *end;
        }
        Ok(head)
    }

    async fn journal(&self, key: &RunKey, from: Seq, limit: usize) -> Result<Vec<Record>, BackendError> {
        let limit = if self.wrong == Wrong::CutsJournalPages { limit.min(100) } else { limit };
        let mut records = self.inner.journal(key, from, limit).await?;
        if self.wrong == Wrong::ReencodesPayloads {
            for record in &mut records {
                let value: serde_json::Value = record.payload.decode().expect("a payload is JSON");
                record.payload = Payload::encode(&value).expect("a value encodes");
            }
        }
        Ok(records)
    }

    async fn inbox(&self, key: &RunKey, limit: usize) -> Result<Vec<Message>, BackendError> {
        let mut inbox = self.inner.inbox(key, limit).await?;
        if self.wrong == Wrong::ReversesTheInbox {
            inbox.reverse();
        }
        if self.wrong == Wrong::ForgetsTakenIds {
            for message in &mut inbox {
                let id = message.id.as_str().rsplit_once("__").expect("it was renamed").0.to_owned();
                message.id = MessageId::new(id).expect("a valid id");
            }
        }
        Ok(inbox)
    }

    async fn scan(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, BackendError> {
        let mut query = query.clone();
        if self.wrong == Wrong::IgnoresTheTenant {
            query.tenant = None;
        }
        let mut page = self.inner.scan(&query, after.clone(), limit).await?;
        match (self.wrong, after) {
            (Wrong::PagesByTimeOnly, Some(after)) => {
                page.items.retain(|head| head.created_at != after.created_at);
            }
            (Wrong::MissesMail, _) if query.due => page.items.retain(|head| head.wake_at.is_some()),
            _ => {}
        }
        Ok(page)
    }

    async fn remove(&self, keys: &[RunKey]) -> Result<usize, BackendError> {
        if self.wrong == Wrong::TalliesRemovedRuns {
            let before = self.inner.tally().await?;
            *self.tallied.lock().expect("not poisoned") = Some(before);
        }
        let removed = self.inner.remove(keys).await?;
        Ok(if self.wrong == Wrong::CountsEveryRemoval { keys.len() } else { removed })
    }

    async fn info(&self) -> Result<StoreInfo, BackendError> {
        let mut info = self.inner.info().await?;
        if self.wrong == Wrong::HasANewIdentityAtOpening {
            info.id = self.id;
        }
        Ok(info)
    }

    async fn tally(&self) -> Result<Vec<Tally>, BackendError> {
        let mut tally = self.inner.tally().await?;
        match self.wrong {
            Wrong::TalliesAllQueuesAsOne => {
                let mut merged: BTreeMap<_, Tally> = BTreeMap::new();
                for one in tally {
                    let sort = (one.tenant.clone(), one.workflow.clone(), one.status);
                    merged.entry(sort).and_modify(|all| all.runs += one.runs).or_insert(one);
                }
                tally = merged.into_values().collect();
            }
            Wrong::TalliesRemovedRuns => {
                let before = self.tallied.lock().expect("not poisoned").take();
                tally = before.unwrap_or(tally);
            }
            Wrong::TalliesOnce => {
                tally = self.tallied.lock().expect("not poisoned").get_or_insert(tally).clone();
            }
            // As a walk over sets of each status would that may change in between.
            Wrong::TalliesByPages => {
                tally.clear();
                for status in Status::ALL {
                    let now = self.inner.tally().await?;
                    tally.extend(now.into_iter().filter(|one| one.status == status));
                    tokio::task::yield_now().await;
                }
            }
            _ => {}
        }
        Ok(tally)
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Head>, BackendError> {
        let due = Query { tenant: claim.tenant.clone(), due: true, order: Order::Oldest, ..Query::default() };
        match self.wrong {
            Wrong::ClaimsWithoutWriting => {
                let due = self.scan(&due, None, claim.limit).await?.items;
                let now = self.info().await?.now;
                Ok(due.iter().enumerate().map(|(nth, head)| claim.taken(head, nth, now)).collect())
            }
            Wrong::ClaimsByAgeOnly => {
                let mut claimed = Vec::new();
                for head in self.scan(&due, None, 1_000).await?.items {
                    if claimed.len() < claim.limit && claim.wants(&head) {
                        let taken = claim.taken(&head, claimed.len(), Timestamp(0));
                        self.inner.commit(&[Batch::replace(head.version, taken, Vec::new())]).await?;
                        claimed.extend(self.inner.head(&head.key).await?);
                    }
                }
                Ok(claimed)
            }
            Wrong::MissesMail => {
                let mut claimed = self.inner.claim(claim).await?;
                claimed.retain(|head| head.wake_at.is_some());
                Ok(claimed)
            }
            _ => self.inner.claim(claim).await,
        }
    }
}

fn holds(wrong: Wrong, law: impl AsyncFnOnce(&dyn Harness)) -> bool {
    let store = async { BrokenStore { memory: Memory::new(), wrong, held: Mutex::new(None) } };
    catch_unwind(AssertUnwindSafe(|| conformance::check(store, law))).is_ok()
}

macro_rules! found_out {
    ($($test:ident: $wrong:ident breaks $($module:ident::$law:ident),+;)+) => {
        $(
            #[test]
            fn $test() {
                $(
                    let law = concat!(stringify!($module), "::", stringify!($law));
                    assert!(
                        holds(Wrong::Nothing, conformance::$module::$law),
                        "{law} must hold for the store without the fault"
                    );
                    assert!(
                        !holds(Wrong::$wrong, conformance::$module::$law),
                        "{law} must not hold for a store that is {:?}",
                        Wrong::$wrong
                    );
                )+
            }
        )+
    };
}

found_out! {
    a_store_that_acks_without_applying_is_found_out: AcksWithoutApplying breaks
        commit::an_accepted_batch_is_read_back, model::random_commits_give_what_the_reference_gives;
    a_store_that_applies_half_of_a_failing_call_is_found_out: AppliesOneByOne breaks
        commit::an_invalid_batch_fails_its_whole_call, size::a_batch_over_a_limit_fails_its_whole_call;
    a_store_that_stops_at_a_rejection_is_found_out: StopsAtARejection breaks
        guard::a_rejected_batch_does_not_touch_its_neighbours, model::random_commits_give_what_the_reference_gives;
    a_store_that_loses_the_order_of_batches_is_found_out: ReversesBatches breaks
        commit::batches_of_one_call_follow_each_other, guard::of_two_batches_in_one_call_under_one_version_the_first_wins,
        model::random_commits_give_what_the_reference_gives;
    a_store_that_posts_for_rejected_batches_is_found_out: PostsForRejectedBatches breaks
        guard::a_rejected_batch_leaves_no_trace, inbox::a_stale_owner_takes_no_message;
    a_store_that_keeps_nonces_as_floats_is_found_out: ComparesNoncesAsFloats breaks
        guard::a_nonce_counts_to_its_last_bit;
    a_store_that_ignores_nonces_is_found_out: ComparesCountersOnly breaks
        guard::the_same_counter_with_another_nonce_is_refused, isolation::a_version_of_another_tenant_opens_nothing,
        model::random_commits_give_what_the_reference_gives;
    a_store_that_refuses_repeats_is_found_out: RefusesRepeats breaks
        commit::a_repeated_batch_is_accepted_without_effect, commit::a_repeated_creation_is_accepted_without_effect,
        durability::a_batch_repeated_after_reopening_is_accepted_without_effect;
    a_store_that_checks_before_it_locks_is_found_out: ChecksBeforeItLocks breaks
        concurrency::racing_replacements_have_one_winner;
    a_store_that_forgets_taken_ids_is_found_out: ForgetsTakenIds breaks
        inbox::a_taken_message_does_not_come_back, model::random_commits_give_what_the_reference_gives;
    a_store_that_loses_the_order_of_messages_is_found_out: ReversesTheInbox breaks
        inbox::messages_are_returned_in_the_order_of_posting;
    a_store_that_believes_the_caller_about_leases_is_found_out: KeepsTheCallersLeaseEnd breaks
        lease::the_store_sets_the_end_of_a_lease;
    a_store_that_claims_twice_is_found_out: ClaimsWithoutWriting breaks
        claim::a_claimed_run_is_not_claimed_again, claim::claimed_heads_are_the_stored_heads,
        concurrency::sixteen_claimers_never_claim_a_run_twice,
        concurrency::an_owner_and_a_claimer_never_both_win;
    a_store_that_ignores_priorities_is_found_out: ClaimsByAgeOnly breaks
        claim::a_claim_goes_by_priority_then_age,
        model::random_claims_on_a_jumping_clock_give_what_the_reference_gives;
    a_store_that_loses_wake_ups_is_found_out: MissesMail breaks
        inbox::a_message_between_reading_and_parking_is_not_lost, inbox::a_message_wakes_a_waiting_run;
    a_store_that_mixes_tenants_is_found_out: IgnoresTheTenant breaks
        isolation::no_scan_or_claim_reaches_another_tenant, scan::a_scan_finds_by_tenant;
    a_store_that_skips_between_pages_is_found_out: PagesByTimeOnly breaks
        scan::pages_of_any_size_join_to_the_whole;
    a_store_that_cuts_journal_pages_is_found_out: CutsJournalPages breaks
        journal::a_long_journal_is_read_page_by_page;
    a_store_that_looks_into_payloads_is_found_out: ReencodesPayloads breaks
        payload::records_come_back_byte_for_byte;
    a_store_that_miscounts_removals_is_found_out: CountsEveryRemoval breaks
        remove::the_count_of_removed_runs_is_right, remove::an_unfinished_run_is_not_removed;
    a_store_that_tallies_all_queues_as_one_is_found_out: TalliesAllQueuesAsOne breaks
        tally::runs_are_counted_by_tenant_workflow_queue_and_status,
        tally::a_changed_head_is_counted_where_it_is_now, model::random_commits_give_what_the_reference_gives;
    a_store_that_tallies_removed_runs_is_found_out: TalliesRemovedRuns breaks
        tally::a_removed_run_is_not_counted, model::random_removals_give_what_the_reference_gives;
    a_store_that_tallies_only_once_is_found_out: TalliesOnce breaks
        tally::a_changed_head_is_counted_where_it_is_now, model::random_commits_give_what_the_reference_gives;
    a_store_that_tallies_status_by_status_is_found_out: TalliesByPages breaks
        tally::a_tally_among_writes_counts_each_run_once;
    a_store_that_leaves_dead_owners_their_leases_is_found_out: KeepsLeasesAtOpening breaks
        lease::opening_ends_the_leases_of_an_exclusive_store_only,
        model::random_work_across_reopenings_gives_what_the_reference_gives;
    a_store_that_forgets_is_found_out: LosesEverythingAtClosing breaks
        durability::reopening_keeps_every_part_of_every_run, durability::a_store_keeps_its_identity;
    a_store_that_changes_its_identity_is_found_out: HasANewIdentityAtOpening breaks
        durability::a_store_keeps_its_identity;
    a_store_that_opens_twice_is_found_out: OpensTwice breaks
        durability::a_second_opener_is_refused_or_sees_the_same;
}

/// The seed is the whole difference between two runs: a failure can be repeated from what it prints.
#[test]
fn a_failing_model_prints_the_seed_and_the_command_that_repeats_it() {
    let told = std::thread::spawn(|| {
        let store = async {
            BrokenStore { memory: Memory::new(), wrong: Wrong::ReversesTheInbox, held: Mutex::new(None) }
        };
        conformance::check(store, conformance::model::random_commits_give_what_the_reference_gives);
    })
    .join()
    .expect_err("a reversed inbox differs from the reference");
    let told = told.downcast_ref::<String>().expect("a panic with a message");
    for part in ["the inbox of ", "STEPWELL_SEED=", "STEPWELL_STEPS=", "cargo test -p "] {
        assert!(told.contains(part), "{part:?} is missing in: {told}");
    }
}
