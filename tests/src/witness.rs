//! What a worker did and what it was told, in a file that outlives it.
//!
//! The file is only ever appended to, a whole group of lines with one write, so that what stands in it has happened
//! before whatever stands below it, in whichever process. It does not survive a power cut and does not have to:
//! the harnesses kill processes.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Error, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stepwell::StepContext;
use stepwell_contract::pass_on::PassOn;
use stepwell_contract::{Backend, BackendError, Batch, Claim, Head, RunKey, Verdict, async_trait};

/// The file.
#[derive(Debug, Clone)]
pub struct Witness(Arc<File>);

impl Witness {
    /// Opens it to add lines, and makes it if it is not there.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self(Arc::new(File::options().append(true).create(true).open(path)?)))
    }

    /// Adds lines.
    ///
    /// # Panics
    /// When they cannot be written: without its witness a worker shows nothing.
    pub fn tell(&self, lines: &str) {
        if !lines.is_empty() {
            let lines = format!("{}\n", lines.trim_end());
            let mut file = self.0.as_ref();
            let written = file.write(lines.as_bytes()).expect("the witness file can be written");
            assert_eq!(written, lines.len(), "the witness file takes each write whole");
        }
    }

    /// Tells that an attempt of a step has begun to run.
    pub fn executes(&self, ctx: &StepContext) {
        let fence = ctx.fencing_token();
        self.tell(&format!("exec {} {} {} {fence}", ctx.run_id(), ctx.place(), ctx.attempt()));
    }
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// An attempt of a step ran: `exec RUN STEP ATTEMPT FENCE`.
    Executed {
        /// The run.
        run: String,
        /// The step.
        step: String,
        /// The attempt.
        attempt: u32,
        /// The fencing token of its owner.
        fence: u64,
    },
    /// A part of a step ran: `part RUN STEP NAME`.
    Part {
        /// The run.
        run: String,
        /// The step.
        step: String,
        /// The part.
        name: String,
    },
    /// The store said that a record is durable: `ack RUN SEQ KIND CRC STEP ATTEMPT`.
    Acknowledged {
        /// The run.
        run: String,
        /// Its place in the journal.
        seq: u64,
        /// The kind of event.
        kind: String,
        /// The checksum of its payload.
        crc: u32,
        /// The step it is about, or `-`.
        step: String,
        /// The attempt it is about, or 0.
        attempt: u32,
    },
    /// The store refused a batch: `reject RUN`.
    Rejected {
        /// The run.
        run: String,
    },
    /// A call that writes failed: `error CLASS KIND …`.
    Failed {
        /// `Definite`, `Indefinite` or `Poisoned`.
        class: String,
        /// The kind of fault.
        kind: String,
    },
    /// Anything that a worker has to say of its own: the words of the line.
    Said(Vec<String>),
}

/// Reads the file. A last line without its end, cut off by a kill, is left out.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn read(path: &Path) -> Result<Vec<Line>, Error> {
    let text = match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    Ok(whole.lines().map(parse).collect())
}

fn parse(line: &str) -> Line {
    let words: Vec<&str> = line.split(' ').collect();
    let owned = |n: usize| words[n].to_owned();
    match words.as_slice() {
        ["exec", _, _, attempt, fence] => Line::Executed {
            run: owned(1),
            step: owned(2),
            attempt: attempt.parse().unwrap_or(0),
            fence: fence.parse().unwrap_or(0),
        },
        ["part", _, _, _] => Line::Part { run: owned(1), step: owned(2), name: owned(3) },
        ["ack", _, seq, _, crc, _, attempt] => Line::Acknowledged {
            run: owned(1),
            seq: seq.parse().unwrap_or(0),
            kind: owned(3),
            crc: crc.parse().unwrap_or(0),
            step: owned(5),
            attempt: attempt.parse().unwrap_or(0),
        },
        ["reject", _] => Line::Rejected { run: owned(1) },
        ["error", _, _, ..] => Line::Failed { class: owned(1), kind: owned(2) },
        _ => Line::Said(words.into_iter().map(str::to_owned).collect()),
    }
}

/// A backend that tells the witness what the one behind it answered, before whoever asked hears of it.
#[derive(Debug)]
pub struct WitnessedBackend {
    inner: Arc<dyn Backend>,
    witness: Witness,
    heads: Mutex<HashMap<RunKey, Head>>,
}

impl WitnessedBackend {
    /// Stands around `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Backend>, witness: Witness) -> Self {
        Self { inner, witness, heads: Mutex::default() }
    }

    /// The store behind it.
    #[must_use]
    pub fn inner(&self) -> &Arc<dyn Backend> {
        &self.inner
    }

    /// The head that this process last wrote or claimed for the run: what it believes is there.
    #[must_use]
    pub fn last_head(&self, key: &RunKey) -> Option<Head> {
        self.heads().get(key).cloned()
    }

    fn heads(&self) -> MutexGuard<'_, HashMap<RunKey, Head>> {
        // Nothing that can panic runs under the lock.
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell<T>(&self, answer: &Result<T, BackendError>) {
        if let Err(error) = answer {
            let class = match error {
                BackendError::Definite(_) => "Definite",
                BackendError::Indefinite(_) => "Indefinite",
                BackendError::Poisoned(_) => "Poisoned",
            };
            self.witness.tell(&format!("error {class} {:?} {}", error.kind(), one_line(&error.to_string())));
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The step that an event's fields are about, or `-`.
#[must_use]
pub fn place_of(fields: &serde_json::Value) -> String {
    let Some(step) = fields["step"].as_str() else { return "-".to_owned() };
    let items = fields["item"].as_array().into_iter().flatten();
    items.fold(step.to_owned(), |place, item| format!("{place}[{item}]"))
}

/// What is told of a batch that is durable.
fn acknowledged(batch: &Batch) -> String {
    let mut lines = String::new();
    for record in &batch.append {
        let fields: serde_json::Value = record.payload.decode().unwrap_or_default();
        let step = place_of(&fields);
        let attempt = fields["attempt"].as_u64().unwrap_or(0);
        let (run, seq, kind, crc) = (&batch.key.run, record.seq, record.kind.as_str(), record.crc);
        let _ = writeln!(lines, "ack {run} {seq} {kind} {crc} {step} {attempt}");
    }
    lines
}

#[async_trait]
impl PassOn for WitnessedBackend {
    fn inner(&self) -> &dyn Backend {
        &*self.inner
    }

    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        let answer = self.inner.commit(batches).await;
        self.tell(&answer);
        if let Ok(verdicts) = &answer {
            let mut lines = String::new();
            for (batch, verdict) in batches.iter().zip(verdicts) {
                if !verdict.is_accepted() {
                    let _ = writeln!(lines, "reject {}", batch.key.run);
                    continue;
                }
                if let Some(head) = &batch.head {
                    self.heads().insert(batch.key.clone(), head.clone());
                }
                lines.push_str(&acknowledged(batch));
            }
            self.witness.tell(&lines);
        }
        answer
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Head>, BackendError> {
        let answer = self.inner.claim(claim).await;
        self.tell(&answer);
        if let Ok(taken) = &answer {
            let mut heads = self.heads();
            heads.extend(taken.iter().map(|head| (head.key.clone(), head.clone())));
        }
        answer
    }
}
