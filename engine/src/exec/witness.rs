//! Sees how an attempt failed: gathers what is kept with the failure, at the moment of it and never before.
//!
//! What it costs the success path is one load of a number that the keeper keeps.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use stepwell_contract::{Clock, Payload, Timestamp};
use tokio::runtime::Handle;

use crate::diagnosis::evidence::{EnvironmentFact, ErrorLink};
use crate::exec::panics::Panicked;
use crate::exec::probe::Probe;
use crate::exec::probe::targets::targets;
use crate::exec::time::StoreTime;
use crate::exec::{pool, process};
use crate::lock::lock;
use crate::redact::redact;
use crate::run::notes::within;
use crate::run::seen::{CURSOR_BYTES_MAX, Seen};
use crate::workflow::context::StepContext;
use crate::workflow::error::ErrorClass;
use crate::workflow::failure::Failure;

/// A process that used less than this share of the time was idle, whoever else ran: one part in so many.
const IDLE_SHARE: u64 = 20;

/// The time of day has jumped when it moved so much away from the time that passed, in milliseconds.
const CLOCK_JUMP_MS: i64 = 5_000;

/// The keeper looks some ten times a second: when it has not for so long, the process did not run, in milliseconds.
const STALL_MS: u64 = 1_000;

/// A difference between this machine's clock and the store's that is worth telling, in milliseconds.
const CLOCK_OFFSET_MS: i64 = 100;

/// Sees how attempts fail.
#[derive(Debug)]
pub(crate) struct Witness {
    host: Option<String>,
    pid: u32,
    code_version: Option<String>,
    /// `None` when it is not to look around.
    probe: Option<Probe>,
    /// Processor time of the process as of the keeper's last look, in milliseconds.
    cpu_ms: AtomicU64,
    /// How far the time of day was ahead of a clock that nobody sets, as of the last look, and the latest jump of it.
    day: Mutex<Day>,
    /// When the keeper looked last, and the latest time for which it could not.
    stalls: Mutex<Stalls>,
}

/// Times for which no thread of this process ran, as far as the keeper's tells.
#[derive(Debug, Default)]
struct Stalls {
    looked_at: Option<Instant>,
    latest: Option<Stall>,
}

/// A time for which the process did not run.
#[derive(Debug, Clone, Copy)]
struct Stall {
    ms: u64,
    /// When it was over, by the own clock.
    until: Timestamp,
}

/// What the time of day did.
#[derive(Debug, Default)]
struct Day {
    ahead_ms: Option<i64>,
    jump: Option<Jump>,
}

/// A jump of the time of day.
#[derive(Debug, Clone, Copy)]
struct Jump {
    by_ms: i64,
    /// The first that was seen of the new time.
    at: Timestamp,
}

/// What was noted as an attempt began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Began {
    at: Timestamp,
    cpu_ms: u64,
    /// Whether no other run was under way in this process.
    is_alone: bool,
}

/// What only the place where it failed can tell.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) chain: Vec<ErrorLink>,
    pub(crate) panic: Option<Panicked>,
}

impl Witness {
    pub(crate) fn new(code_version: Option<String>, probes: bool, io: Handle) -> Self {
        let cpu_ms = AtomicU64::new(process::cpu_ms().unwrap_or(0));
        let probe = probes.then(|| Probe::new(io));
        Self {
            host: process::host(),
            pid: std::process::id(),
            code_version,
            probe,
            cpu_ms,
            day: Mutex::default(),
            stalls: Mutex::default(),
        }
    }

    pub(crate) fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Whether it may connect to what an error or a record names.
    pub(crate) fn may_connect(&self) -> bool {
        self.probe.is_some()
    }

    pub(crate) fn code_version(&self) -> Option<&str> {
        self.code_version.as_deref()
    }

    /// Keeps the processor time and looks whether the time of day has jumped; the keeper calls it some ten times a second.
    pub(crate) fn look(&self, time: &StoreTime) {
        self.cpu_ms.store(process::cpu_ms().unwrap_or(0), Ordering::Relaxed);
        self.look_at_day(time);
        self.look_at_stalls(time);
    }

    fn look_at_stalls(&self, time: &StoreTime) -> Option<Stall> {
        let now = Instant::now();
        let mut stalls = lock(&self.stalls);
        let passed =
            stalls.looked_at.replace(now).map_or(Duration::ZERO, |before| now.duration_since(before));
        let ms = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        if ms >= STALL_MS {
            stalls.latest = Some(Stall { ms, until: time.own_now() });
        }
        stalls.latest
    }

    /// How long this process did not run at all, latest, if that was over after `since`, by the own clock, in milliseconds.
    pub(crate) fn stalled_since(&self, since: Timestamp, time: &StoreTime) -> Option<u64> {
        // Whoever wakes first may ask before the keeper has looked.
        self.look_at_stalls(time).filter(|stall| stall.until >= since).map(|stall| stall.ms)
    }

    fn look_at_day(&self, time: &StoreTime) -> Option<Jump> {
        let ahead_ms = time.ahead_of_steady_ms();
        let mut day = lock(&self.day);
        let by_ms = day.ahead_ms.map_or(0, |before| ahead_ms.saturating_sub(before));
        if by_ms.abs() >= CLOCK_JUMP_MS {
            day.jump = Some(Jump { by_ms, at: time.now() });
        }
        // A drift is no jump: each look is compared with the one before.
        day.ahead_ms = Some(ahead_ms);
        day.jump
    }

    /// The jump of the time of day since then, if this process has seen one.
    pub(crate) fn jump_since(&self, since: Timestamp, time: &StoreTime) -> Option<EnvironmentFact> {
        // One that went back may have led to before the beginning.
        let jump = self.look_at_day(time).filter(|jump| jump.at >= since || jump.by_ms < 0)?;
        Some(EnvironmentFact::ClockJump { by_ms: jump.by_ms })
    }

    pub(crate) fn begin(&self, ctx: &StepContext, is_alone: bool) -> Began {
        Began { at: ctx.last_beat(), cpu_ms: self.cpu_ms.load(Ordering::Relaxed), is_alone }
    }

    /// What there is to see of an attempt that has just failed. On the thread on which it failed.
    pub(crate) async fn see(
        &self,
        failure: &Failure,
        told: Told,
        ctx: &StepContext,
        input: &Payload,
        began: Began,
        time: &StoreTime,
    ) -> Seen {
        // First what changes with time and thread.
        let elapsed_ms = time.now().since_ms(began.at);
        let cpu_ms = self.used_ms(began, elapsed_ms);
        let (blocked_ms, rss_peak_bytes) = (pool::blocked_ms(elapsed_ms), process::memory().1);
        let environment = self.look_around(failure, &told.chain, time).await;
        let text = input.text();
        let (panic_at, backtrace) = match &told.panic {
            Some(panic) => (Some(panic.place.clone()), panic.backtrace().map(redact)),
            None => (None, None),
        };
        let cursor = ctx.saved_cursor().map(|cursor| redact(cursor.text().to_owned()));
        Seen {
            host: self.host.clone(),
            pid: Some(self.pid),
            code_version: self.code_version.clone(),
            input_bytes: Some(text.len() as u64),
            input_hash: Some(digest(text)),
            output_bytes: failure.oversize_bytes(),
            chain: told.chain,
            panic_at,
            backtrace,
            cursor: cursor.map(|cursor| within(cursor, CURSOR_BYTES_MAX)),
            progress: ctx.last_progress(),
            sign_of_life_at: Some(ctx.last_beat()).filter(|beat| *beat > began.at),
            cpu_ms,
            blocked_ms,
            rss_peak_bytes,
            environment,
        }
        .bounded()
    }

    async fn look_around(
        &self,
        failure: &Failure,
        chain: &[ErrorLink],
        time: &StoreTime,
    ) -> Vec<EnvironmentFact> {
        let Some(probe) = &self.probe else { return Vec::new() };
        if failure.class == ErrorClass::Cancelled {
            return Vec::new();
        }
        let mut facts = probe.look(targets(failure, chain)).await;
        let offset_ms = time.ahead_of_store_ms();
        if offset_ms.abs() >= CLOCK_OFFSET_MS {
            facts.push(EnvironmentFact::ClockOffset { offset_ms });
        }
        facts
    }

    /// Processor time since then, where it says something of the attempt: nobody else can have used it, or it is next to none.
    fn used_ms(&self, began: Began, elapsed_ms: u64) -> Option<u64> {
        let used_ms = process::cpu_ms()?.saturating_sub(began.cpu_ms);
        (began.is_alone || used_ms < elapsed_ms / IDLE_SHARE).then_some(used_ms)
    }
}

/// The first 16 digits of the SHA-256 of a text.
fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
