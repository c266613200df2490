//! `stepwell check|doctor|explain|config|serve|token|completions …`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;
use stepwell_server::access::Role;

#[derive(Debug, Args)]
#[command(after_help = "\
Exits 6 when something is wrong.

Examples:
  stepwell check -o jsonl
  stepwell check --repair --dry-run")]
pub(crate) struct CheckArgs {
    /// Mends what can be mended safely; the rest is told
    #[arg(long)]
    pub(crate) repair: bool,
    /// With --repair: says what it would write, and writes nothing
    #[arg(long, requires = "repair")]
    pub(crate) dry_run: bool,
    /// With --repair: why, for the audit log
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// With --repair: does not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exits 5 when the store or the server cannot be reached, and 6 when something else fails."
)]
pub(crate) struct DoctorArgs {
    /// How many runs are looked through for unreadable journals, at most
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) runs_max: usize,
}

/// A language of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tongue {
    // English.
    En,
    // Japanese.
    Ja,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The code; all codes are listed when missing
    #[arg(value_name = "SWnnnn")]
    pub(crate) code: Option<String>,
    /// The language
    #[arg(long, value_enum, value_name = "LANGUAGE", default_value_t = Tongue::En)]
    pub(crate) language: Tongue,
}

/// What is asked of the settings.
#[derive(Debug, Subcommand)]
#[command(infer_subcommands = true)]
pub(crate) enum ConfigCommand {
    /// Shows every setting; secrets are masked
    Show(ConfigShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigShowArgs {
    /// Also where each came from
    #[arg(long)]
    pub(crate) origins: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without tokens it answers this host alone. SIGTERM or Ctrl-C lets requests end; a second one does not.
It has no code of steps. Runs of posted workflows, whose steps are done outside, it moves on, and so
it is one of the workers. All other runs it shows and steers; programs with the workflows advance
them. A store that one process owns (file:, sled:) is served by the program with the workflows, or
while that is stopped.

Examples:
  stepwell serve --store redis://127.0.0.1/0
  stepwell serve --store redis://127.0.0.1/0 --bind 0.0.0.0:8080 --config /etc/stepwell.toml")]
pub(crate) struct ServeArgs {
    /// Where it listens [default: 127.0.0.1:8080, or `server.bind`]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) bind: Option<SocketAddr>,
    /// The path under which it is, behind a proxy [default: `server.prefix`]
    #[arg(long, value_name = "PATH")]
    pub(crate) prefix: Option<String>,
    /// How lines on stderr look
    #[arg(long, value_enum, value_name = "FORM", default_value_t = LogForm::Text)]
    pub(crate) log: LogForm,
}

/// How lines of the server's log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogForm {
    // For people.
    Text,
    // One JSON object a line.
    Json,
}

/// What is asked of tokens.
#[derive(Debug, Subcommand)]
#[command(infer_subcommands = true)]
pub(crate) enum TokenCommand {
    /// Draws a token: prints it once, and the lines for the settings file
    New(TokenArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The name under which what its holder does is recorded
    pub(crate) name: String,
    /// What its holder may do: viewer, operator or admin
    #[arg(long, value_name = "ROLE", default_value = "viewer", value_parser = role)]
    pub(crate) role: Role,
}

fn role(text: &str) -> Result<Role, String> {
    text.parse()
}

#[derive(Debug, Args)]
pub(crate) struct ShellArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stepwell man --dir /usr/local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Writes a page for every command into this folder instead
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,
}
