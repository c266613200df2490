//! Who is let in: the state of a queue's limits, kept in the summary of one head. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stepwell_contract::limits::SUMMARY_BYTES_MAX;
use stepwell_contract::{Fence, Name, RunId, RunKey, TenantId, Timestamp};

use crate::exec::limits::queue::{COUNTED_MAX, QueueLimits};
use crate::exec::limits::rate::Meter;
use crate::run::actor::Actor;
use crate::run::parked::ParkedFor;

/// Most keys of which it is known that runs wait. Runs of others look again by themselves.
const WAITING_MAX: usize = 8;
/// Room in the summary that is left for a pause.
const PAUSE_BYTES: usize = 800;
/// Longest words of a pause that the summary has, in bytes. Its record has all of them.
const WORDS_BYTES: usize = 160;

/// The state of a queue's limits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Roster {
    #[serde(default)]
    pub(super) limits: QueueLimits,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) paused: Option<QueuePause>,
    /// Who counts. Never more than the limits allow, unless they were lowered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) held: Vec<Holder>,
    /// Keys of which runs wait for room.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) waiting: Vec<Name>,
    #[serde(default)]
    pub(super) meter: Meter,
}

/// Why a queue is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuePause {
    /// Who paused it.
    pub actor: Actor,
    /// Why, in their words.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
}

/// A run that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub(super) struct Holder {
    pub(super) run: RunKey,
    pub(super) fence: Fence,
    /// Its limit key, where that is not its tenant.
    key: Option<Name>,
    /// The room is kept for it until then; `None` once it is advanced.
    pub(super) until: Option<Timestamp>,
}

/// A holder as it is stored: many have to fit. The default tenant goes without saying.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Short(String, Fence),
    Long(String, Fence, Option<Name>, Option<Timestamp>),
}

impl From<Holder> for Stored {
    fn from(holder: Holder) -> Self {
        let default = TenantId::default();
        let tenant = if holder.run.tenant == default { "" } else { holder.run.tenant.as_str() };
        let run = format!("{tenant}/{}", holder.run.run);
        match (holder.key, holder.until) {
            (None, None) => Self::Short(run, holder.fence),
            (key, until) => Self::Long(run, holder.fence, key, until),
        }
    }
}

impl TryFrom<Stored> for Holder {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let (text, fence, key, until) = match stored {
            Stored::Short(run, fence) => (run, fence, None, None),
            Stored::Long(run, fence, key, until) => (run, fence, key, until),
        };
        let (tenant, run) = text.split_once('/').ok_or("a holder without a tenant")?;
        let tenant = match tenant {
            "" => TenantId::default(),
            tenant => TenantId::new(tenant).map_err(|error| error.to_string())?,
        };
        let run = RunKey::new(tenant, RunId::new(run).map_err(|error| error.to_string())?);
        Ok(Self { run, fence, key, until })
    }
}

impl QueuePause {
    /// A pause in words that fit beside all else.
    pub(super) fn new(actor: Actor, message: &str, since: Timestamp) -> Self {
        let actor = match actor {
            Actor::Person(name) => Actor::Person(shortened(&name)),
            other => other,
        };
        Self { actor, message: shortened(message), since }
    }
}

/// The beginning of a text that has at most so many bytes as JSON.
fn shortened(text: &str) -> String {
    let mut short = String::new();
    let mut bytes = 0;
    for character in text.chars() {
        bytes +=
            if character.is_control() || matches!(character, '"' | '\\') { 6 } else { character.len_utf8() };
        if bytes > WORDS_BYTES {
            break;
        }
        short.push(character);
    }
    short
}

impl Holder {
    fn new(run: RunKey, fence: Fence, key: &Name, until: Option<Timestamp>) -> Self {
        let key = (key.as_str() != run.tenant.as_str()).then(|| key.clone());
        Self { run, fence, key, until }
    }

    fn has_key(&self, key: &Name) -> bool {
        self.key.as_ref().map_or(self.run.tenant.as_str(), Name::as_str) == key.as_str()
    }
}

impl Roster {
    pub(super) fn holds(&self, run: &RunKey) -> bool {
        self.held.iter().any(|holder| holder.run == *run)
    }

    fn count_of(&self, key: &Name) -> usize {
        self.held.iter().filter(|holder| holder.has_key(key)).count()
    }

    /// Whether one more run of the key may count.
    fn room(&self, key: &Name) -> Result<(), ParkedFor> {
        if let Some(limit) = self.limits.per_key
            && self.count_of(key) >= limit as usize
        {
            return Err(ParkedFor::PerKey(limit));
        }
        let limit = self.limits.counted().unwrap_or(COUNTED_MAX);
        if self.held.len() >= limit as usize { Err(ParkedFor::Concurrency(limit)) } else { Ok(()) }
    }

    /// Counts a run from here on; one that counts already does so under its new fence.
    ///
    /// # Errors
    /// The limit that leaves no room for it: nothing changed.
    pub(super) fn take(&mut self, run: &RunKey, fence: Fence, key: &Name) -> Result<(), ParkedFor> {
        if let Some(holder) = self.held.iter_mut().find(|holder| holder.run == *run) {
            holder.fence = holder.fence.max(fence);
            holder.until = None;
            return Ok(());
        }
        self.room(key)?;
        self.add(Holder::new(run.clone(), fence, key, None))
    }

    /// Keeps room for a run until `until`.
    ///
    /// # Errors
    /// As for [`take`](Self::take).
    pub(super) fn reserve(
        &mut self,
        run: &RunKey,
        fence: Fence,
        key: &Name,
        until: Timestamp,
    ) -> Result<(), ParkedFor> {
        self.room(key)?;
        self.add(Holder::new(run.clone(), fence, key, Some(until)))
    }

    /// Keeps the room of a run that is not advanced yet until `until`.
    pub(super) fn keep(&mut self, run: &RunKey, until: Timestamp) {
        if let Some(holder) = self.held.iter_mut().find(|holder| holder.run == *run) {
            holder.until = Some(until);
        }
    }

    fn add(&mut self, holder: Holder) -> Result<(), ParkedFor> {
        self.held.push(holder);
        // With very long ids fewer fit; one always does.
        if self.held.len() > 1 && !self.fits() {
            self.held.pop();
            return Err(ParkedFor::Concurrency(u32::try_from(self.held.len()).unwrap_or(COUNTED_MAX)));
        }
        Ok(())
    }

    /// Whether it can be stored, also once it is paused.
    fn fits(&self) -> bool {
        let running = Self { paused: None, ..self.clone() };
        serde_json::to_vec(&running).is_ok_and(|text| text.len() + PAUSE_BYTES <= SUMMARY_BYTES_MAX)
    }

    /// Counts a run no longer, unless a later owner of it counts. Returns whether it counted.
    pub(super) fn free(&mut self, run: &RunKey, fence: Fence) -> bool {
        let before = self.held.len();
        self.held.retain(|holder| holder.run != *run || holder.fence > fence);
        self.held.len() < before
    }

    /// Lets room go that is kept for a run. One that is advanced goes on to count.
    pub(super) fn unreserve(&mut self, run: &RunKey) -> bool {
        let before = self.held.len();
        self.held.retain(|holder| holder.run != *run || holder.until.is_none());
        self.held.len() < before
    }

    /// Lets room go that was kept for too long.
    pub(super) fn lapse(&mut self, now: Timestamp) -> bool {
        let before = self.held.len();
        self.held.retain(|holder| holder.until.is_none_or(|until| until > now));
        self.held.len() < before
    }

    /// Remembers that runs of a key wait. Returns whether that is new; with too many keys it is not kept.
    pub(super) fn wait(&mut self, key: &Name) -> bool {
        let is_new = !self.waiting.contains(key) && self.waiting.len() < WAITING_MAX;
        if is_new {
            self.waiting.push(key.clone());
            if !self.fits() {
                self.waiting.pop();
                return false;
            }
        }
        is_new
    }

    /// No run of the key waits.
    pub(super) fn wait_no_more(&mut self, key: &Name) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting != key);
        self.waiting.len() < before
    }

    /// The key whose turn it is, if there is room for one of its runs: the one of which the fewest count, the longest
    /// unserved among equals.
    pub(super) fn next_key(&self) -> Option<Name> {
        let with_room = self.waiting.iter().filter(|key| self.room(key).is_ok());
        with_room.min_by_key(|key| self.count_of(key)).cloned()
    }

    /// Puts a key that was served behind the others.
    pub(super) fn served(&mut self, key: &Name) {
        if self.wait_no_more(key) {
            self.waiting.push(key.clone());
        }
    }

    /// How many runs count, by key.
    pub(super) fn by_key(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for holder in &self.held {
            let key = holder.key.as_ref().map_or(holder.run.tenant.as_str(), Name::as_str);
            *counts.entry(key.to_owned()).or_default() += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    fn run(text: &str) -> RunKey {
        RunKey::new(TenantId::default(), RunId::new(text).expect("an id"))
    }

    fn roster(concurrency: Option<u32>, per_key: Option<u32>) -> Roster {
        Roster { limits: QueueLimits { concurrency, per_key, ..Default::default() }, ..Default::default() }
    }

    #[test]
    fn neither_the_queue_nor_a_key_gets_one_more_than_its_limit() {
        let mut roster = roster(Some(3), Some(2));
        assert_eq!(roster.take(&run("a1"), Fence(1), &name("a")), Ok(()));
        assert_eq!(roster.take(&run("a2"), Fence(1), &name("a")), Ok(()));
        assert_eq!(roster.take(&run("a3"), Fence(1), &name("a")), Err(ParkedFor::PerKey(2)));
        assert_eq!(roster.take(&run("b1"), Fence(1), &name("b")), Ok(()));
        assert_eq!(roster.take(&run("c1"), Fence(1), &name("c")), Err(ParkedFor::Concurrency(3)));
    }

    #[test]
    fn a_run_that_is_taken_over_keeps_its_place_and_its_former_owner_cannot_give_it_away() {
        let mut roster = roster(Some(1), None);
        roster.take(&run("a"), Fence(1), &name("a")).expect("room");
        roster.take(&run("a"), Fence(2), &name("a")).expect("its own");
        assert!(!roster.free(&run("a"), Fence(1)));
        assert!(roster.holds(&run("a")));
        assert!(roster.free(&run("a"), Fence(2)));
    }

    #[test]
    fn room_that_is_kept_for_a_run_is_nobody_elses_until_the_time_is_over() {
        let mut roster = roster(Some(1), None);
        roster.reserve(&run("a"), Fence(1), &name("a"), NOW.plus_ms(10)).expect("room");
        assert!(roster.take(&run("b"), Fence(1), &name("a")).is_err());
        assert!(!roster.lapse(NOW.plus_ms(9)));
        assert!(roster.lapse(NOW.plus_ms(10)));
        assert!(roster.take(&run("b"), Fence(1), &name("a")).is_ok());
    }

    #[test]
    fn the_key_with_the_fewest_runs_is_next_and_the_one_served_last_comes_last() {
        let mut roster = roster(Some(4), None);
        for key in ["a", "b", "c"] {
            roster.wait(&name(key));
        }
        roster.take(&run("a1"), Fence(1), &name("a")).expect("room");
        assert_eq!(roster.next_key(), Some(name("b")));
        roster.served(&name("b"));
        assert_eq!(roster.next_key(), Some(name("c")));
        roster.wait_no_more(&name("c"));
        assert_eq!(roster.next_key(), Some(name("b")));
    }

    #[test]
    fn a_full_roster_with_the_longest_ids_fits_a_summary() {
        let mut roster = roster(Some(COUNTED_MAX), Some(COUNTED_MAX));
        let long = "k".repeat(128);
        for nth in 0..COUNTED_MAX {
            let id = format!("{}{nth:02}", "r".repeat(126));
            // What does not fit is refused.
            let _ = roster.take(&run(&id), Fence(u64::MAX), &name(&long));
        }
        for nth in 0..20 {
            roster.wait(&name(&format!("{}{nth:02}", "k".repeat(126))));
        }
        assert!(roster.held.len() >= 5, "{}", roster.held.len());
        let long = "\u{1}\"ä€".repeat(1_000);
        roster.paused = Some(QueuePause::new(Actor::Person(long.clone()), &long, NOW));
        let text = serde_json::to_string(&roster).expect("json");
        assert!(text.len() <= SUMMARY_BYTES_MAX, "{}", text.len());
        assert_eq!(serde_json::from_str::<Roster>(&text).expect("json"), roster);
    }

    #[test]
    fn as_many_runs_with_uuids_fit_as_can_be_counted() {
        let mut roster = roster(Some(COUNTED_MAX), None);
        let taken = (0..100)
            .filter(|nth| roster.take(&run(&format!("{nth:036}")), Fence(1), &name("default")).is_ok());
        assert_eq!(taken.count(), COUNTED_MAX as usize);
    }
}
