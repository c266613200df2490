//! Processes in which faults are real that would harm this one: of another user, with small limits.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::harness::faults::case::Judged;

/// Where a case is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Surroundings {
    /// In this process.
    Here,
    /// As a user that is not root.
    Nobody,
    /// Where few files may be open.
    FewFiles,
    /// Where files may not grow.
    SmallFiles,
}

/// The user that owns nothing.
const NOBODY: u32 = 65_534;
/// What a child prints before each outcome.
pub const FOUND: &str = "FOUND ";

impl Surroundings {
    /// Those that need a child.
    pub const CHILDREN: [Self; 3] = [Self::Nobody, Self::FewFiles, Self::SmallFiles];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Nobody => "nobody",
            Self::FewFiles => "few-files",
            Self::SmallFiles => "small-files",
        }
    }

    /// Runs the cases of these surroundings in a child, and returns what they came to.
    ///
    /// # Errors
    /// When the child does not start or does not end well.
    pub fn run(self) -> Result<Vec<Judged>, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let first = self.run_binary(&own);
        // A user without rights may not be able to reach a binary in somebody's home.
        match first {
            Err(_) if self == Self::Nobody => {
                let folder = crate::place::folder_in_memory();
                let copy = copied(&own, folder.path()).map_err(|error| error.to_string())?;
                self.run_binary(&copy)
            }
            other => other,
        }
    }

    fn run_binary(self, binary: &std::path::Path) -> Result<Vec<Judged>, String> {
        let mut command = self.command(binary);
        let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{} ended with {}: {said}{told}", self.as_str(), output.status));
        }
        let lines = said.lines().filter_map(|line| line.strip_prefix(FOUND));
        lines.map(|line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))).collect()
    }

    fn command(self, binary: &std::path::Path) -> Command {
        use std::os::unix::process::CommandExt as _;
        let mut command = match self {
            Self::Here => Command::new(binary),
            Self::Nobody => {
                let mut command = Command::new(binary);
                if rustix::process::geteuid().is_root() {
                    command.uid(NOBODY).gid(NOBODY);
                }
                command
            }
            Self::FewFiles => limited(binary, "ulimit -n 64"),
            // The signal that goes with it would end the process.
            Self::SmallFiles => limited(binary, "trap '' XFSZ; ulimit -f 16"),
        };
        command.args(["child", "--in", self.as_str()]).current_dir("/");
        command
    }
}

fn limited(binary: &std::path::Path, limit: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{limit}; exec \"$0\" \"$@\"")).arg(binary);
    command
}

fn copied(binary: &std::path::Path, folder: &std::path::Path) -> std::io::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder, open.clone())?;
    let copy = folder.join("faults");
    std::fs::copy(binary, &copy)?;
    std::fs::set_permissions(&copy, open)?;
    Ok(copy)
}
