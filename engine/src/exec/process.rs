//! What the operating system says of this process. Where it does not say, the answer is missing.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The name of the host.
pub(crate) fn host() -> Option<String> {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_str().ok().map(str::to_owned);
    #[cfg(not(unix))]
    let name = None;
    name.filter(|name| !name.is_empty())
}

/// Processor time that this process has used, in milliseconds.
pub(crate) fn cpu_ms() -> Option<u64> {
    #[cfg(unix)]
    {
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let (seconds, rest) = (u64::try_from(used.tv_sec).ok()?, u64::try_from(used.tv_nsec).ok()?);
        Some(seconds * 1_000 + rest / 1_000_000)
    }
    #[cfg(not(unix))]
    None
}

/// Memory of this process in bytes: now, and the most it has held since it was started.
pub(crate) fn memory() -> (Option<u64>, Option<u64>) {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    (status_bytes(&text, "VmRSS:"), status_bytes(&text, "VmHWM:"))
}

fn status_bytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1_024)
}

/// How many files this process has open, and how many it may have open.
pub(crate) fn open_files() -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        // The folder that is read for it is open too.
        let count = std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        Some((count as u64, limit.unwrap_or(u64::MAX)))
    }
    #[cfg(not(unix))]
    None
}

/// A control group, as another process of the machine can find it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    folder: PathBuf,
    /// Tells it from one that was made later under the same name.
    id: u64,
    /// Of version 2 or 1.
    version: u8,
}

/// The limits of a control group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cgroup {
    pub(crate) memory_max_bytes: Option<u64>,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) oom_kills: Option<u64>,
}

/// The control group that this process is in, where memory is counted.
pub(crate) fn group() -> Option<Group> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let (version, path) = group_of(&own)?;
    let root = Path::new("/sys/fs/cgroup");
    let root = if version == 2 { root.to_owned() } else { root.join("memory") };
    let own = root.join(path.trim_start_matches('/'));
    // Inside a container the path is that of the host, and what is mounted is the container's own.
    let folder = if own.join(names_of(version)[1]).exists() { own } else { root };
    Some(Group { id: number_of(&folder)?, folder, version })
}

/// What the control group of this process says.
pub(crate) fn cgroup() -> Cgroup {
    group().and_then(|group| group.read()).unwrap_or_default()
}

impl Group {
    /// What it says; `None` when it is gone, or another one has its name.
    pub(crate) fn read(&self) -> Option<Cgroup> {
        if number_of(&self.folder) != Some(self.id) {
            return None;
        }
        let names = names_of(self.version);
        let read = |name: &str| std::fs::read_to_string(self.folder.join(name)).ok();
        let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
        Some(Cgroup {
            // Version 1 says "no limit" with a number that no machine has.
            memory_max_bytes: number(names[0]).filter(|bytes| *bytes < 1 << 60),
            memory_bytes: number(names[1]),
            oom_kills: read(names[2]).and_then(|text| oom_kills(&text)),
        })
    }

    /// How many bytes its name takes.
    pub(crate) fn name_bytes(&self) -> usize {
        self.folder.as_os_str().len()
    }
}

/// The files that tell of memory: its limit, its use, its events.
fn names_of(version: u8) -> [&'static str; 3] {
    match version {
        2 => ["memory.max", "memory.current", "memory.events"],
        _ => ["memory.limit_in_bytes", "memory.usage_in_bytes", "memory.oom_control"],
    }
}

#[cfg(unix)]
fn number_of(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|found| found.ino())
}

#[cfg(not(unix))]
fn number_of(_path: &Path) -> Option<u64> {
    None
}

/// Memory of the machine, in bytes.
pub(crate) fn memory_of_machine() -> Option<u64> {
    status_bytes(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

/// What tells this start of the machine from others.
pub(crate) fn boot() -> Option<String> {
    line_of("/proc/sys/kernel/random/boot_id")
}

/// What tells this machine from others, through all its starts.
pub(crate) fn machine() -> Option<String> {
    line_of("/etc/machine-id")
}

/// What tells the numbers of processes that this one sees from those that others see.
pub(crate) fn pid_space() -> Option<u64> {
    number_of(Path::new("/proc/self/ns/pid"))
}

fn line_of(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty() && text.len() <= 64)
}

/// When a process began, in ticks since the machine was started; `None` when there is none of that number.
pub(crate) fn began(pid: u32) -> Option<u64> {
    began_by(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn began_by(text: &str) -> Option<u64> {
    // The name of the program may have blanks and parentheses of its own.
    let (_, after) = text.rsplit_once(')')?;
    let mut fields = after.split_whitespace();
    // One that has ended and that nobody has asked after is gone too.
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// The version and path of the group that memory is counted in.
fn group_of(text: &str) -> Option<(u8, &str)> {
    let lines = || text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let old = lines().find(|(sorts, _)| sorts.split(',').any(|sort| sort == "memory"));
    let new = lines().find(|(sorts, _)| sorts.is_empty());
    old.map(|(_, path)| (1, path)).or(new.map(|(_, path)| (2, path)))
}

fn oom_kills(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_read() {
        assert_eq!(status_bytes("Name:\tx\nVmHWM:\t   2048 kB\n", "VmHWM:"), Some(2 << 20));
        assert_eq!(group_of("0::/user.slice/x\n"), Some((2, "/user.slice/x")));
        assert_eq!(group_of("9:cpu:/c\n4:memory:/docker/1\n0::/x\n"), Some((1, "/docker/1")));
        let stat = "7 (a) b) S 1 7 7 0 -1 4 1 0 0 0 1 2 0 0 20 0 9 0 4242 1 2 3";
        assert_eq!(began_by(stat), Some(4242));
        assert_eq!(began_by(&stat.replace(") S", ") Z")), None);
        assert_eq!(oom_kills("low 0\noom 3\noom_kill 2\n"), Some(2));
    }
}
