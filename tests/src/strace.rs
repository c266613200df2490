//! Runs a program under `strace`: records its system calls, and kills or fails it at a chosen one.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// The system calls by which a store changes what is on the disk.
pub const WRITES: &str = "write,pwrite64,writev,fsync,fdatasync,sync_file_range,ftruncate,fallocate,rename,renameat,\
renameat2,openat,unlink,unlinkat,mkdirat,mkdir";

/// The n-th call, counted within its thread, of that name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// The system call.
    pub call: String,
    /// Which one, from 1.
    pub nth: u32,
}

/// A call as the trace tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    /// The thread.
    pub thread: u32,
    /// The system call.
    pub call: String,
    /// Its arguments and its result, as printed; the result is missing when other threads came between.
    pub text: String,
    /// Which call of that name of the thread it is, from 1.
    pub nth: u32,
    /// Whether strace made it fail.
    pub injected: bool,
}

/// The program under `strace`, its calls written to `log`.
#[must_use]
pub fn recording(program: impl AsRef<OsStr>, calls: &str, log: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-y", "-s", "96", "-e", "signal=none"]);
    command.arg("-o").arg(log).arg("-e").arg(format!("trace={calls}")).arg("--").arg(program);
    command
}

/// The program under `strace`, killed as it enters the point.
#[must_use]
pub fn killing(program: impl AsRef<OsStr>, point: &Point) -> Command {
    let Point { call, nth } = point;
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "signal=none"]);
    command.arg("-e").arg(format!("trace={call}"));
    command.arg("-e").arg(format!("inject={call}:signal=KILL:when={nth}"));
    command.arg("--").arg(program);
    command
}

/// The program under `strace`, whose call at the point fails, and with `from_then_on` every later one too. The calls
/// named in `calls` are written to `log`.
#[must_use]
pub fn failing(
    program: impl AsRef<OsStr>,
    point: &Point,
    error: &str,
    from_then_on: bool,
    calls: &str,
    log: &Path,
) -> Command {
    let Point { call, nth } = point;
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-y", "-s", "96", "-e", "signal=none"]);
    command.arg("-o").arg(log).arg("-e").arg(format!("trace={calls}"));
    let plus = if from_then_on { "+" } else { "" };
    command.arg("-e").arg(format!("inject={call}:error={error}:when={nth}{plus}"));
    command.arg("--").arg(program);
    command
}

/// Reads a log, in its order: the order in which the calls were begun.
///
/// # Errors
/// When it cannot be read.
pub fn read(log: &Path) -> Result<Vec<Traced>, std::io::Error> {
    let text = String::from_utf8_lossy(&std::fs::read(log)?).into_owned();
    let mut met: HashMap<(u32, String), u32> = HashMap::new();
    let mut traced: Vec<Traced> = Vec::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let (Ok(thread), rest) = (thread.parse::<u32>(), rest.trim_start()) else { continue };
        if rest.starts_with("<... ") {
            // The end of a call that another thread's came between: only whether it was made to fail matters.
            if rest.contains("(INJECTED)")
                && let Some(begun) = traced.iter_mut().rev().find(|traced| traced.thread == thread)
            {
                begun.injected = true;
            }
            continue;
        }
        let Some((call, text)) = rest.split_once('(') else { continue };
        if !call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let nth = met.entry((thread, call.to_owned())).or_default();
        *nth += 1;
        let injected = text.contains("(INJECTED)");
        traced.push(Traced { thread, call: call.to_owned(), text: text.to_owned(), nth: *nth, injected });
    }
    Ok(traced)
}

/// The points at which the program changed something in `folder`.
#[must_use]
pub fn points(traced: &[Traced], folder: &Path) -> BTreeSet<Point> {
    let folder = folder.display().to_string();
    let changes = |call: &Traced| {
        call.text.contains(&folder) && (call.call != "openat" || call.text.contains("O_CREAT"))
    };
    traced
        .iter()
        .filter(|call| changes(call))
        .map(|call| Point { call: call.call.clone(), nth: call.nth })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_thread_and_name() {
        let folder = tempfile::tempdir().expect("folder");
        let log = folder.path().join("log");
        let text = "7  openat(3</d>, \"a\", O_RDWR|O_CREAT) = 4</d/a>\n\
                    8  pwrite64(4</d/a>, \"x\", 1, 0) = 1\n\
                    7  pwrite64(4</d/a>, \"y\", 1, 1 <unfinished ...>\n\
                    8  pwrite64(4</d/a>, \"z\", 1, 2) = -1 EIO (Input/output error) (INJECTED)\n\
                    7  <... pwrite64 resumed>) = 1\n\
                    8  +++ exited with 0 +++\n";
        std::fs::write(&log, text).expect("written");
        let traced = read(&log).expect("read");
        let short: Vec<_> = traced.iter().map(|call| (call.thread, call.nth, call.injected)).collect();
        assert_eq!(short, [(7, 1, false), (8, 1, false), (7, 1, false), (8, 2, true)]);
        assert_eq!(points(&traced, Path::new("/d")).len(), 3);
    }
}
