//! Which keys a store has, and the texts in them that sort.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `PREFIX:store` | string | the store's description (`identity`) |
//! | `{PREFIX:N}:store` | string | the store's id: the mark of shard N |
//! | `{PREFIX:N}:head:ID` | string | the head of a run (`mark`) |
//! | `{PREFIX:N}:journal:ID` | list | its records, the first at 0 |
//! | `{PREFIX:N}:inbox:ID` | list | ids of the messages that wait, oldest first |
//! | `{PREFIX:N}:mail:ID` | hash | message id → message; empty once it was taken |
//! | `{PREFIX:N}:later` | zset | ids by the time at which to look at them |
//! | `{PREFIX:N}:ready:LANE`, `…:LANE:TENANT` | zset | due runs by priority, age and id |
//! | `{PREFIX:N}:lanes`, `…:lanes:TENANT` | set | lanes that may have ready runs |
//! | `{PREFIX:N}:status:STATUS` | zset | every run by age and id, in the set of its status |
//! | `{PREFIX:N}:worker:WORKER` | zset | runs whose lease names the worker, by age and id |
//! | `{PREFIX:N}:workflow:WORKFLOW` | zset | every run by age and id, in the set of its workflow |
//! | `{PREFIX:N}:tally` | hash | `TENANT,STATUS,QUEUE,WORKFLOW` → how many such runs |
//! | `{PREFIX:N}:recount` | hash | how far a count from the beginning has come (`tally`) |
//! | `{PREFIX:N}:with-mail` | zset | runs with something in their inbox, by age and id |
//!
//! `ID` is `TENANT,RUN`; a lane is `QUEUE,WORKFLOW,VERSION`, so that a worker never has to step over runs of others.
//! No id or name holds `:`, `,`, a space or a brace. All keys of a shard share a hash tag, hence a cluster slot, and no
//! script touches two shards.
//!
//! # What is written in which order
//!
//! A script is applied whole or not at all, as long as the server lives and when it reads a whole append-only file. A file whose
//! last transaction was torn by a crash it reads in two ways: a cut between two commands undoes the transaction; after one inside
//! a command Redis leaves the commands before it in the file, without their end, and applies them together with whatever was
//! written next when it reads the file the next time
//! ([valkey#4342](https://github.com/valkey-io/valkey/pull/4342); Valkey is mended since, Redis 7.0 does so).
//! Meanwhile nobody has seen them. So that no first part of a script does harm:
//!
//! - a script adds what is new, then writes heads, all in one command, then takes away what was before: a run or message may be in
//!   a set too much, which whoever reads sees by the head, or too early, not missing and not too late;
//! - a journal ends where its head says, and is cut there before it is written on, by a command that is always in the file;
//! - an inbox may hold an id twice, and counts it once.
//!
//! What can happen all the same: the last part was torn, the run was then written differently without a change of its status, and
//! the server was started once more. Then the run may be missing in the list of its status until that changes.

use stepwell_contract::{Cursor, Head, Name, RunId, RunKey, TenantId, Timestamp};

/// The shift that makes the times of the years −29 000 to 33 000 sort as sixteen digits.
const TIME_OFFSET: i64 = 1_000_000_000_000_000;

/// The digits of priority and age in front of an id in the ready lists.
pub(crate) const ORDER_BYTES: usize = 21;
/// The digits of the age in front of an id in the sets that scans read.
const AGE_BYTES: usize = 16;

/// Where the keys of a store are.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) prefix: String,
    pub(crate) shards: u16,
}

impl Layout {
    /// The key of the store's description.
    pub(crate) fn store(&self) -> String {
        format!("{}:store", self.prefix)
    }

    /// The channel of hints.
    pub(crate) fn channel(&self) -> String {
        format!("{}:changed", self.prefix)
    }

    /// The key of a shard's mark.
    pub(crate) fn shard_mark(&self, shard: u16) -> String {
        self.shard_key(shard, "store")
    }

    /// A key of a shard that belongs to no run.
    pub(crate) fn shard_key(&self, shard: u16, name: &str) -> String {
        format!("{{{}:{shard}}}:{name}", self.prefix)
    }

    /// A key of a run.
    pub(crate) fn run_key(&self, name: &str, key: &RunKey) -> String {
        format!("{{{}:{}}}:{name}:{}", self.prefix, self.shard_of(key), run_text(key))
    }

    /// The shard of a run: the same for ever, since the number of shards never changes.
    pub(crate) fn shard_of(&self, key: &RunKey) -> u16 {
        let mut hash = crc32fast::Hasher::new();
        hash.update(key.tenant.as_str().as_bytes());
        hash.update(b",");
        hash.update(key.run.as_str().as_bytes());
        u16::try_from(hash.finalize() % u32::from(self.shards)).unwrap_or(0)
    }
}

/// `TENANT,RUN`: a comma sorts before every character of an id, so these texts sort as the keys do.
pub(crate) fn run_text(key: &RunKey) -> String {
    format!("{},{}", key.tenant, key.run)
}

fn run_of(text: &str) -> Option<RunKey> {
    let (tenant, run) = text.split_once(',')?;
    Some(RunKey::new(TenantId::new(tenant).ok()?, RunId::new(run).ok()?))
}

/// What a worker filters by.
pub(crate) fn lane(head: &Head) -> String {
    format!("{},{}", head.queue, workflow(&head.workflow, head.workflow_version))
}

/// A workflow and its version as a part of a lane.
pub(crate) fn workflow(name: &Name, version: u32) -> String {
    format!("{name},{version}")
}

/// Priority and age: sorts the highest priority first, then the oldest.
pub(crate) fn order(head: &Head) -> String {
    format!("{:05}{}", i32::from(i16::MAX) - i32::from(head.priority), age_digits(head.created_at))
}

fn age_digits(at: Timestamp) -> String {
    let shifted = at.0.saturating_add(TIME_OFFSET).clamp(0, 9_999_999_999_999_999);
    format!("{shifted:016}")
}

/// The run in a member of a ready list.
pub(crate) fn ready_run(member: &str) -> Option<RunKey> {
    run_of(member.get(ORDER_BYTES..)?)
}

/// The place of a cursor among the members of the sets that scans read.
pub(crate) fn age_member(cursor: &Cursor) -> String {
    format!("{}{}", age_digits(cursor.created_at), run_text(&cursor.key))
}

/// The place in a scan of a member.
pub(crate) fn age_cursor(member: &str) -> Option<Cursor> {
    let at: i64 = member.get(..AGE_BYTES)?.parse().ok()?;
    Some(Cursor { created_at: Timestamp(at - TIME_OFFSET), key: run_of(member.get(AGE_BYTES..)?)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(at: i64, tenant: &str, run: &str) -> Cursor {
        let key = RunKey::new(TenantId::new(tenant).expect("valid"), RunId::new(run).expect("valid"));
        Cursor { created_at: Timestamp(at), key }
    }

    #[test]
    fn members_sort_as_cursors_do_and_give_them_back() {
        let mut cursors = vec![
            cursor(5, "a", "b"),
            cursor(5, "a-x", "a"),
            cursor(5, "a", "b.c"),
            cursor(-7, "z", "z"),
            cursor(1_763_777_623_000, "A", "Z_"),
            cursor(5, "a.x", "a"),
        ];
        let mut members: Vec<String> = cursors.iter().map(age_member).collect();
        cursors.sort();
        members.sort();
        let back: Vec<Cursor> = members.iter().filter_map(|member| age_cursor(member)).collect();
        assert_eq!(back, cursors);
    }
}
