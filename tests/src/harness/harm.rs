//! What is done to processes at random: killed, told to stop, put to sleep.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::process::{Signal, Watched};
use crate::wait::wait_for;

/// How often processes were harmed, and how.
#[derive(Debug, Default, Clone, Copy)]
pub struct Harm {
    /// By SIGKILL.
    pub killed: u64,
    /// By SIGTERM.
    pub terminated: u64,
    /// By SIGSTOP, and later SIGCONT.
    pub paused: u64,
}

impl Harm {
    /// How often in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.killed + self.terminated + self.paused
    }

    /// Adds what was done elsewhere.
    pub fn add(&mut self, other: Self) {
        self.killed += other.killed;
        self.terminated += other.terminated;
        self.paused += other.paused;
    }
}

/// What became of a process.
#[derive(Debug)]
pub enum Blow {
    /// It is dead.
    Killed,
    /// It was told to stop and has ended like this.
    Ended(ExitStatus),
    /// It sleeps, for longer or shorter than its leases last.
    Asleep,
}

/// A process that is harmed.
#[derive(Debug)]
pub struct Victim {
    /// The process.
    pub process: Watched,
    /// When it is woken, while it sleeps.
    wake_at: Option<Instant>,
}

impl Victim {
    /// A process that is awake.
    #[must_use]
    pub fn new(process: Watched) -> Self {
        Self { process, wake_at: None }
    }

    /// Wakes it when its time has come.
    pub fn wake_when_due(&mut self) {
        if self.wake_at.is_some_and(|at| at <= Instant::now()) {
            self.wake();
        }
    }

    /// Wakes it if it sleeps.
    pub fn wake(&mut self) {
        if self.wake_at.take().is_some() {
            self.process.signal(Signal::CONT);
        }
    }
}

/// Harms the `nth` of the team, unless it sleeps.
///
/// # Errors
/// When it does not end within `patience` of being told to.
pub fn strike(
    team: &mut [Victim],
    nth: usize,
    random: &mut Rng,
    lease_ms: u64,
    patience: Duration,
    harm: &mut Harm,
) -> Result<Blow, String> {
    let victim = &mut team[nth];
    if victim.wake_at.is_some() {
        return Ok(Blow::Asleep);
    }
    match random.u32(..10) {
        0 => {
            victim.process.signal(Signal::STOP);
            let rest = random.u64(lease_ms / 2..lease_ms * 5 / 2);
            victim.wake_at = Some(Instant::now() + Duration::from_millis(rest));
            harm.paused += 1;
            Ok(Blow::Asleep)
        }
        1 | 2 => {
            victim.process.signal(Signal::TERM);
            harm.terminated += 1;
            // It may have to wait for a lock on a file that one who sleeps holds.
            let ended = wait_for("the end of the process", patience, || {
                team.iter_mut().for_each(Victim::wake_when_due);
                team[nth].process.ended()
            });
            ended.map(Blow::Ended).map_err(|late| {
                let words = team[nth].process.last_words();
                format!("{late} of being told to stop; it said: {words}")
            })
        }
        _ => {
            victim.process.kill();
            harm.killed += 1;
            Ok(Blow::Killed)
        }
    }
}
