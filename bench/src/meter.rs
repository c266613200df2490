//! What the operating system says this process, or another, has used.

use std::fs;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::Failure;

/// What was used up to one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) at: Instant,
    /// CPU time of this process, all threads.
    pub(crate) cpu: Duration,
    /// CPU time of the whole machine: busy, and in all.
    pub(crate) machine: (Duration, Duration),
    /// Bytes that this process handed to the kernel in writes, and that the kernel took on to send to a disk.
    pub(crate) written: Written,
}

/// Bytes written by a process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Written {
    /// As handed to `write` and the like.
    pub(crate) calls: u64,
    /// As pages that have to go to a disk: a page that is synced again counts again.
    pub(crate) device: u64,
}

impl Written {
    pub(crate) fn since(self, before: Self) -> Self {
        Self { calls: self.calls - before.calls, device: self.device - before.device }
    }
}

impl Reading {
    pub(crate) fn take() -> Result<Self, Failure> {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu = Duration::new(u64::try_from(cpu.tv_sec)?, u32::try_from(cpu.tv_nsec)?);
        Ok(Self { at: Instant::now(), cpu, machine: machine()?, written: written("self")? })
    }

    /// The share of the machine's CPU that others used since `before`, from 0 to 1. `known` of it belongs to the
    /// measurement although another process used it.
    pub(crate) fn others_since(&self, before: &Self, known: Duration) -> f64 {
        let all = (self.machine.1 - before.machine.1).as_secs_f64();
        let busy = (self.machine.0 - before.machine.0).as_secs_f64();
        let own = (self.cpu - before.cpu + known).as_secs_f64();
        if all > 0.0 { ((busy - own) / all).max(0.0) } else { 0.0 }
    }
}

fn machine() -> Result<(Duration, Duration), Failure> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().ok_or("an empty /proc/stat")?;
    // user, nice, system, idle, iowait, irq, softirq, steal; what follows is counted in those already.
    let ticks: Vec<u64> =
        line.split_whitespace().skip(1).take(8).map(str::parse).collect::<Result<_, _>>()?;
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    let all: u64 = ticks.iter().sum();
    Ok((of_ticks(all - idle), of_ticks(all)))
}

fn of_ticks(ticks: u64) -> Duration {
    Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second())
}

/// Bytes written so far by a process: its id, or `self`.
pub(crate) fn written(process: &str) -> Result<Written, Failure> {
    let text = fs::read_to_string(format!("/proc/{process}/io"))?;
    let field = |name: &str| -> Result<u64, Failure> {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Ok(value.ok_or("no such field in /proc/…/io")?.parse()?)
    };
    Ok(Written { calls: field("wchar")?, device: field("write_bytes")? })
}

/// CPU time of another process, in steps of one clock tick.
pub(crate) fn cpu_of(process: u32) -> Result<Duration, Failure> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field, the name, may hold anything; what is behind its last bracket is plain.
    let (_, fields) = text.rsplit_once(')').ok_or("no name in /proc/…/stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field =
        |n: usize| -> Result<u64, Failure> { Ok(fields.get(n).ok_or("short /proc/…/stat")?.parse()?) };
    Ok(of_ticks(field(11)? + field(12)?))
}

/// Memory that this process holds now, in MiB.
pub(crate) fn rss_mb() -> Result<f64, Failure> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

/// The value in the middle; of an even number, the lower of the two.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    percentile(&mut values.into_iter().collect::<Vec<_>>(), 50)
}

/// The value below which `percent` of the values lie; 0 when there are none.
pub(crate) fn percentile(values: &mut [f64], percent: usize) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_by(f64::total_cmp);
    values[(values.len() * percent / 100).min(values.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_values() {
        let mut values: Vec<f64> = (0..100).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut values, 50), 50.0);
        assert_eq!(percentile(&mut values, 99), 99.0);
        assert_eq!(percentile(&mut [], 99), 0.0);
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
    }
}
