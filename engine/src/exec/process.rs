//! What the operating system says of this process. Where it does not say, the answer is missing.

use std::path::Path;

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

/// The limits of the control group that this process is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cgroup {
    pub(crate) memory_max_bytes: Option<u64>,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) oom_kills: Option<u64>,
}

/// What the control group says, of version 2 or 1.
pub(crate) fn cgroup() -> Cgroup {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some((version, path)) = group_of(&own) else { return Cgroup::default() };
    let root = Path::new("/sys/fs/cgroup");
    let (root, names) = match version {
        2 => (root.to_owned(), ["memory.max", "memory.current", "memory.events"]),
        _ => (root.join("memory"), ["memory.limit_in_bytes", "memory.usage_in_bytes", "memory.oom_control"]),
    };
    let own = root.join(path.trim_start_matches('/'));
    // Inside a container the path is that of the host, and what is mounted is the container's own.
    let folder = if own.join(names[1]).exists() { own } else { root };
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    Cgroup {
        // Version 1 says "no limit" with a number that no machine has.
        memory_max_bytes: number(names[0]).filter(|bytes| *bytes < 1 << 60),
        memory_bytes: number(names[1]),
        oom_kills: read(names[2]).and_then(|text| oom_kills(&text)),
    }
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
        assert_eq!(oom_kills("low 0\noom 3\noom_kill 2\n"), Some(2));
    }
}
