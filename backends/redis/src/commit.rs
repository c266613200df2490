//! Writing: one script call for each shard, all shards at once.
//!
//! A script judges all its batches before it writes any, so one call is whole by itself. Of several calls, one could
//! apply its batches while another finds a batch that contradicts its run, a fault of the caller that has to
//! fail the call with nothing applied. Such a batch is therefore found beforehand, from what is known of the version it
//! names; only when that version was never seen here is the head read first. Nothing else in the
//! batches can fail a call; if the server fails one after another was applied, the outcome is `Indefinite`.

use std::collections::HashMap;

use futures_util::future::join_all;
use stepwell_contract::{BackendError, Batch, Fault, FaultKind, Guard, Head, RunKey, Seq, Verdict, Version};

use crate::backend::RedisBackend;
use crate::fault::Stage;
use crate::known::Known;
use crate::layout::run_text;
use crate::link::Arguments;
use crate::mark::{self, NONE};
use crate::script;

/// Most batches in one script call: longer calls would hold up everybody else.
const CALL_BATCHES_MAX: usize = 1_000;
/// From this many bytes on a script call is sent without waiting for more batches.
const CALL_BYTES_MAX: usize = 8 << 20;

/// What one shard made of its part.
#[derive(Debug, Default)]
struct Part {
    verdicts: Vec<(usize, Verdict)>,
    error: Option<BackendError>,
}

impl RedisBackend {
    pub(crate) async fn write(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        for batch in batches {
            batch.check()?;
        }
        let mut parts: Vec<Vec<usize>> = vec![Vec::new(); usize::from(self.layout.shards)];
        for (nth, batch) in batches.iter().enumerate() {
            parts[usize::from(self.layout.shard_of(&batch.key))].push(nth);
        }
        let busy: Vec<(u16, Vec<usize>)> = (0..).zip(parts).filter(|(_, part)| !part.is_empty()).collect();
        // Several batches may need several calls, by shard or by size.
        if batches.len() > 1 {
            self.foresee(batches).await?;
        }
        let calls = busy.iter().map(|(shard, part)| self.write_shard(*shard, batches, part));
        self.conclude(batches, join_all(calls).await)
    }

    /// Writes the batches of one shard, in as few calls as their number and size allow.
    async fn write_shard(&self, shard: u16, batches: &[Batch], part: &[usize]) -> Part {
        let mut done = Part::default();
        let mut rest = part;
        while !rest.is_empty() {
            let mut packed = Arguments::default();
            let mut count = 0;
            while count < rest.len() && count < CALL_BATCHES_MAX && packed.len_bytes() < CALL_BYTES_MAX {
                if let Err(error) = pack(&batches[rest[count]], &mut packed) {
                    done.error = Some(error);
                    return done;
                }
                count += 1;
            }
            let (now, later) = rest.split_at(count);
            let mut arguments = Arguments::default();
            arguments.push_number(self.options.shift()).push(self.layout.channel()).push_number(count);
            arguments.append(packed);
            let answer: Result<String, BackendError> =
                self.run(&script::COMMIT, shard, &arguments, Stage::Writing).await;
            match answer.and_then(|words| read_verdicts(&words, now)) {
                Ok(verdicts) => done.verdicts.extend(verdicts),
                Err(error) => {
                    done.error = Some(error);
                    return done;
                }
            }
            rest = later;
        }
        done
    }

    fn conclude(&self, batches: &[Batch], parts: Vec<Part>) -> Result<Vec<Verdict>, BackendError> {
        let mut verdicts = vec![Verdict::Rejected { current: None }; batches.len()];
        let mut error: Option<BackendError> = None;
        for part in parts {
            for (nth, verdict) in part.verdicts {
                verdicts[nth] = verdict;
            }
            error = match (error, part.error) {
                (Some(BackendError::Definite(_)) | None, Some(worse)) => Some(worse),
                (first, _) => first,
            };
        }
        let accepted = || batches.iter().zip(&verdicts).filter(|(_, verdict)| verdict.is_accepted());
        self.known.learn(accepted().filter_map(|(batch, _)| batch.head.as_ref()));
        match error {
            None => Ok(verdicts),
            // One shard wrote, another could not: as a whole the call is neither done nor undone.
            Some(BackendError::Definite(fault)) if accepted().next().is_some() => {
                Err(BackendError::Indefinite(fault))
            }
            Some(error) => Err(error),
        }
    }

    /// Finds batches that contradict their run although their guard holds.
    async fn foresee(&self, batches: &[Batch]) -> Result<(), BackendError> {
        let mut known: HashMap<(&RunKey, Version), Known> = HashMap::new();
        for (batch, seen) in batches.iter().zip(self.known.recall(batches.iter().map(|batch| &batch.key))) {
            let written = batch.head.as_ref().map(Known::of);
            for known_head in [seen, written].into_iter().flatten() {
                known.insert((&batch.key, known_head.version), known_head);
            }
        }
        let mut strange = Vec::new();
        for batch in batches {
            let Some(head) = &batch.head else { continue };
            match batch.guard {
                Guard::At(from) => match known.get(&(&batch.key, from)) {
                    Some(base) => base.check(batch, head)?,
                    None => strange.push((batch, head)),
                },
                // Right for a new run. If the run is there the guard does not hold, which is no contradiction.
                Guard::Absent if first_seq(batch, head) == Seq::FIRST => {}
                Guard::Absent | Guard::Exists => strange.push((batch, head)),
            }
        }
        let keys: Vec<RunKey> = strange.iter().map(|(batch, _)| batch.key.clone()).collect();
        for ((batch, head), stored) in strange.into_iter().zip(self.heads(&keys).await?) {
            match (batch.guard, stored) {
                (Guard::At(from), Some(stored)) if stored.head.version == from => {
                    Known::of(&stored.head).check(batch, head)?;
                }
                (Guard::Absent, None) => return Err(out_of_place(batch, head, Seq::FIRST)),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Known {
    /// The second half of `Batch::judge`: whether a batch whose guard names this head fits it.
    fn check(&self, batch: &Batch, head: &Head) -> Result<(), BackendError> {
        if first_seq(batch, head) != self.next_seq {
            return Err(out_of_place(batch, head, self.next_seq));
        }
        if head.fence < self.fence || head.created_at != self.created_at {
            let why = format!("batch for {} lowers the fence or moves created_at", batch.key);
            return Err(BackendError::Definite(Fault::new(FaultKind::Invalid, why)));
        }
        Ok(())
    }
}

fn first_seq(batch: &Batch, head: &Head) -> Seq {
    batch.append.first().map_or(head.next_seq, |record| record.seq)
}

fn out_of_place(batch: &Batch, head: &Head, next: Seq) -> BackendError {
    let first = first_seq(batch, head);
    let why = format!("batch for {} continues at record {first}, the journal at {next}", batch.key);
    BackendError::Definite(Fault::new(FaultKind::Invalid, why))
}

/// Packs a batch as `commit.lua` reads it.
fn pack(batch: &Batch, into: &mut Arguments) -> Result<(), BackendError> {
    into.push(run_text(&batch.key));
    match batch.guard {
        Guard::Absent => into.push("+"),
        Guard::Exists => into.push("?"),
        Guard::At(version) => into.push_number(version),
    };
    match &batch.head {
        Some(head) => {
            into.push_number(head.version).push_number(head.fence).push_number(first_seq(batch, head));
            into.push_number(head.next_seq);
            match &head.lease {
                Some(lease) => into.push_number(lease.ttl_ms),
                None => into.push(NONE),
            };
            match head.wake_at {
                Some(at) => into.push_number(at.0),
                None => into.push(NONE),
            };
            into.push(mark::place(head));
            push_json(into, "\n", head)?;
        }
        None => {
            for _ in 0..8 {
                into.push("");
            }
        }
    }
    into.push_number(batch.append.len()).push_number(batch.post.len()).push_number(batch.take.len());
    for record in &batch.append {
        push_json(into, "", record)?;
    }
    for message in &batch.post {
        into.push(message.id.as_str());
        push_json(into, "", message)?;
    }
    for id in &batch.take {
        into.push(id.as_str());
    }
    Ok(())
}

fn push_json(into: &mut Arguments, before: &str, value: &impl serde::Serialize) -> Result<(), BackendError> {
    let mut written = Ok(());
    into.push_with(|bytes| {
        bytes.extend_from_slice(before.as_bytes());
        written = serde_json::to_writer(bytes, value);
    });
    written.map_err(|error| {
        BackendError::Definite(Fault::new(FaultKind::Invalid, format!("a batch has no JSON form: {error}")))
    })
}

/// Reads the words that `commit.lua` answers with, one for each batch.
fn read_verdicts(words: &str, batches: &[usize]) -> Result<Vec<(usize, Verdict)>, BackendError> {
    let read = |word: &str| match word.split_at_checked(1)? {
        ("a", "") => Some(Verdict::Accepted),
        ("!", "") => Some(Verdict::Rejected { current: None }),
        ("!", version) => Some(Verdict::Rejected { current: Some(version.parse().ok()?) }),
        _ => None,
    };
    let verdicts: Option<Vec<Verdict>> = words.split(' ').map(read).collect();
    match verdicts {
        Some(verdicts) if verdicts.len() == batches.len() => {
            Ok(batches.iter().copied().zip(verdicts).collect())
        }
        // The script has run: what it did is not known.
        _ => {
            let why = format!(
                "the commit script answered {} words to {} batches",
                words.split(' ').count(),
                batches.len()
            );
            Err(BackendError::Indefinite(Fault::new(FaultKind::Other, why)))
        }
    }
}
