//! Reading one run. Every read fetches the mark of the shard along with what it wants, so that a store which was emptied
//! is never mistaken for one without the run.

use std::collections::HashSet;

use futures_util::future::try_join_all;
use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{BackendError, Message, Record, RunKey, Seq};

use crate::backend::RedisBackend;
use crate::fault::{Stage, corrupt};
use crate::mark::{self, Stored};

impl RedisBackend {
    /// The heads of runs, in the order of the keys.
    pub(crate) async fn heads(&self, keys: &[RunKey]) -> Result<Vec<Option<Stored>>, BackendError> {
        let mut parts: Vec<Vec<usize>> = vec![Vec::new(); usize::from(self.layout.shards)];
        for (nth, key) in keys.iter().enumerate() {
            parts[usize::from(self.layout.shard_of(key))].push(nth);
        }
        let reads = (0..).zip(&parts).filter(|(_, part)| !part.is_empty()).map(async |(shard, part)| {
            let mut get = redis::cmd("MGET");
            get.arg(self.layout.shard_mark(shard));
            for nth in part {
                get.arg(self.layout.run_key("head", &keys[*nth]));
            }
            let mut values: Vec<Option<Vec<u8>>> = self.link.query(&get, Stage::Reading).await?;
            self.check_mark(values.first().and_then(Option::as_deref))?;
            let mut heads = Vec::with_capacity(part.len());
            for (nth, value) in part.iter().zip(values.drain(1..)) {
                heads.push((*nth, value.map(|value| self.stored(&keys[*nth], &value)).transpose()?));
            }
            Ok::<_, BackendError>(heads)
        });
        let mut found: Vec<Option<Stored>> = keys.iter().map(|_| None).collect();
        for (nth, stored) in try_join_all(reads).await?.into_iter().flatten() {
            found[nth] = stored;
        }
        self.known.learn(found.iter().flatten().map(|stored| &stored.head));
        Ok(found)
    }

    pub(crate) fn stored(&self, key: &RunKey, value: &[u8]) -> Result<Stored, BackendError> {
        mark::decode(value).map_err(|why| corrupt(&format!("the head of {key}"), why))
    }

    pub(crate) async fn records(
        &self,
        key: &RunKey,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Record>, BackendError> {
        let limit = limit.min(PAGE_ITEMS_MAX) as u64;
        // Past the largest index a list can have there is nothing.
        let Some(start) = i64::try_from(from.0.saturating_sub(1)).ok().filter(|_| limit > 0) else {
            return Ok(Vec::new());
        };
        let end = start.saturating_add_unsigned(limit - 1);
        let journal = self.layout.run_key("journal", key);
        let mut pipe = self.marked(key);
        // The head is asked first: what it does not know of is not the run's yet.
        pipe.getrange(self.layout.run_key("head", key), 0, mark::LINE_BYTES as isize - 1);
        pipe.cmd("LRANGE").arg(journal).arg(start).arg(end);
        let (mark, line, mut values): (Option<Vec<u8>>, Vec<u8>, Vec<Vec<u8>>) =
            self.link.read_all(&pipe).await?;
        self.check_mark(mark.as_deref())?;
        if line.is_empty() {
            return Ok(Vec::new());
        }
        let next = mark::next_seq(&line).map_err(|why| corrupt(&format!("the head of {key}"), why))?;
        let known = next.0.saturating_sub(from.max(Seq::FIRST).0);
        values.truncate(usize::try_from(known).unwrap_or(usize::MAX));
        let decode = |(nth, value): (usize, Vec<u8>)| {
            let expected = from.max(Seq::FIRST).plus(nth);
            let what = || format!("record {expected} of {key}");
            let record: Record = serde_json::from_slice(&value).map_err(|error| corrupt(&what(), error))?;
            if record.seq == expected {
                Ok(record)
            } else {
                Err(corrupt(&what(), format!("record {} stands in its place", record.seq)))
            }
        };
        values.into_iter().enumerate().map(decode).collect()
    }

    pub(crate) async fn messages(&self, key: &RunKey, limit: usize) -> Result<Vec<Message>, BackendError> {
        let limit = i64::try_from(limit.min(PAGE_ITEMS_MAX)).unwrap_or(0);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut pipe = self.marked(key);
        pipe.cmd("LRANGE").arg(self.layout.run_key("inbox", key)).arg(0).arg(limit - 1);
        let (mark, mut ids): (Option<Vec<u8>>, Vec<Vec<u8>>) = self.link.read_all(&pipe).await?;
        self.check_mark(mark.as_deref())?;
        // One that came out of a torn file too is there twice.
        let mut seen = HashSet::new();
        ids.retain(|id| seen.insert(id.clone()));
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut get = redis::cmd("HMGET");
        get.arg(self.layout.run_key("mail", key)).arg(&ids);
        let texts: Vec<Option<Vec<u8>>> = self.link.query(&get, Stage::Reading).await?;
        // Empty, or gone with its run: taken since its id was read.
        let waiting = texts.into_iter().flatten().filter(|text| !text.is_empty());
        let decode = |text: Vec<u8>| {
            serde_json::from_slice(&text).map_err(|error| corrupt(&format!("a message to {key}"), error))
        };
        waiting.map(decode).collect()
    }

    /// Commands that begin with reading the mark of a run's shard.
    fn marked(&self, key: &RunKey) -> redis::Pipeline {
        let mut pipe = redis::pipe();
        pipe.get(self.layout.shard_mark(self.layout.shard_of(key)));
        pipe
    }

    /// Looks whether a shard still carries the store's mark.
    pub(crate) async fn check_shard(&self, shard: u16) -> Result<(), BackendError> {
        let get = redis::cmd("GET").arg(self.layout.shard_mark(shard)).to_owned();
        let mark: Option<Vec<u8>> = self.link.query(&get, Stage::Reading).await?;
        self.check_mark(mark.as_deref())
    }

    fn check_mark(&self, mark: Option<&[u8]>) -> Result<(), BackendError> {
        if mark == Some(self.store.id.to_string().as_bytes()) {
            Ok(())
        } else {
            Err(self.link.lose(Stage::Reading))
        }
    }
}
