//! Workers that run out of memory: in a control group where this machine lets one be made, else told of by a made-up one.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use stepwell_contract::{Batch, Head, Name, Payload, Query, TenantId};

use crate::harness::faults::files::text;

/// Where control groups are, version 1 and version 2, and the file that holds the limit.
const GROUPS: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];

/// A control group with little memory. It goes with the value, once nobody is in it.
#[derive(Debug)]
pub(super) struct SmallMemory {
    folder: PathBuf,
}

impl SmallMemory {
    /// Makes one; `None` where that is not allowed.
    pub(super) fn make(bytes: u64) -> Option<Self> {
        GROUPS.into_iter().find_map(|(root, limit)| {
            let name = format!("stepwell-faults-{}-{}", std::process::id(), fastrand::u32(..));
            let folder = Path::new(root).join(name);
            fs::create_dir(&folder).ok()?;
            let made = Self { folder };
            // The kernel puts its files into a group; a folder that only looks like one has none.
            let limit = made.folder.join(limit);
            let is_small = limit.exists() && fs::write(limit, bytes.to_string()).is_ok();
            (is_small && made.keeps_from_swap(bytes) && made.lets_in()).then_some(made)
        })
    }

    /// Where a group could swap, it may not.
    fn keeps_from_swap(&self, bytes: u64) -> bool {
        [("memory.memsw.limit_in_bytes", bytes), ("memory.swap.max", 0)].into_iter().all(|(file, limit)| {
            let file = self.folder.join(file);
            !file.exists() || fs::write(file, limit.to_string()).is_ok()
        })
    }

    fn lets_in(&self) -> bool {
        self.command(Path::new("true")).status().is_ok_and(|status| status.success())
    }

    /// The command that runs a binary in it.
    pub(super) fn command(&self, binary: &Path) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg("echo $$ > \"$GROUP/cgroup.procs\" && exec \"$0\" \"$@\"").arg(binary);
        command.env("GROUP", &self.folder);
        command
    }
}

impl Drop for SmallMemory {
    fn drop(&mut self) {
        // The kernel may still be clearing away whoever was in it: what stays is an empty group, and harms nobody.
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Makes the record of a worker that was killed say that it was in a control group, at `folder`, which has counted a kill since.
pub(super) async fn tell_of_kill(store: &str, folder: &str) -> Result<(), String> {
    fs::create_dir(folder).map_err(text)?;
    for (file, content) in
        [("memory.max", "64000000"), ("memory.current", "1"), ("memory.events", "oom 1\noom_kill 1\n")]
    {
        fs::write(Path::new(folder).join(file), content).map_err(text)?;
    }
    let id = fs::metadata(folder).map_err(text)?.ino();
    rewrite(store, |said| {
        said["group"] = json!({ "folder": folder, "id": id, "version": 2 });
        said["heartbeat"]["oom_kills"] = json!(0);
    })
    .await
}

/// Changes the record of the only worker of a store, which nobody has open.
pub(super) async fn rewrite(store: &str, change: impl FnOnce(&mut Value)) -> Result<(), String> {
    let backend = stepwell_backends::open(store).await.map_err(|error| error.to_string())?;
    let query = Query {
        tenant: Some(TenantId::new("stepwell.system").map_err(|error| error.to_string())?),
        workflow: Some(Name::new("stepwell.worker").map_err(|error| error.to_string())?),
        ..Query::default()
    };
    let heads = backend.scan(&query, None, 2).await.map_err(|error| error.to_string())?.items;
    let [head] =
        <[Head; 1]>::try_from(heads).map_err(|heads| format!("there are {} workers", heads.len()))?;
    let mut said: Value = head.summary.decode().map_err(|error| error.to_string())?;
    change(&mut said);
    let summary = Payload::encode(&said).map_err(|error| error.to_string())?;
    let before = head.version;
    let batch = Batch::replace(before, Head { version: before.next(1), summary, ..head }, Vec::new());
    let verdicts = backend.commit(&[batch]).await.map_err(|error| error.to_string())?;
    if verdicts.iter().all(|verdict| verdict.is_accepted()) { Ok(()) } else { Err("not written".to_owned()) }
}
