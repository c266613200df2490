//! `stepwell groups|workers|queues|schedules|stats|audit …`.

use clap::{Args, Subcommand};

use crate::args::care::Care;
use crate::args::part::PartArgs;
use crate::args::runs::Level;

/// What is asked of failure groups.
#[derive(Debug, Subcommand)]
#[command(infer_subcommands = true)]
pub(crate) enum GroupsCommand {
    /// Lists groups, the latest first
    #[command(visible_alias = "ls")]
    List(GroupsListArgs),
    /// Shows a group and its runs
    Show(GroupArgs),
    /// Lets all its held and failed runs be tried again
    Retry(GroupVerbArgs),
    /// Lets all its held runs go on
    Resume(GroupVerbArgs),
    /// Passes over a step in all its held and failed runs
    Skip(GroupSkipArgs),
    /// Forgets how a group was first seen; its runs stay, and while some are held or failed it comes back as new
    Forget(GroupForgetArgs),
}

#[derive(Debug, Args)]
pub(crate) struct GroupsListArgs {
    /// Only with this code
    #[arg(long, value_name = "SWnnnn")]
    pub(crate) code: Option<String>,
    /// Only of this workflow
    #[arg(long, value_name = "NAME")]
    pub(crate) workflow: Option<String>,
    /// Also those of which no run is held or failed any more
    #[arg(long)]
    pub(crate) past: bool,
    #[command(flatten)]
    pub(crate) part: PartArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GroupArgs {
    /// Its fingerprint
    #[arg(value_name = "FINGERPRINT")]
    pub(crate) group: String,
    #[command(flatten)]
    pub(crate) part: PartArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GroupForgetArgs {
    /// Its fingerprint
    #[arg(value_name = "FINGERPRINT")]
    pub(crate) group: String,
    /// Does not ask; needed without a terminal
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GroupVerbArgs {
    /// Its fingerprint
    #[arg(value_name = "FINGERPRINT")]
    pub(crate) group: String,
    /// At most so many runs
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) max: u32,
    #[command(flatten)]
    pub(crate) care: Care,
}

#[derive(Debug, Args)]
pub(crate) struct GroupSkipArgs {
    /// Its fingerprint
    #[arg(value_name = "FINGERPRINT")]
    pub(crate) group: String,
    /// The step
    pub(crate) step: String,
    /// The output it is to have: JSON, `@FILE` or `-`
    #[arg(long, value_name = "VALUE")]
    pub(crate) value: Option<String>,
    /// At most so many runs
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) max: u32,
    #[command(flatten)]
    pub(crate) care: Care,
}

#[derive(Debug, Args)]
pub(crate) struct WorkersArgs {
    /// Only those that are there
    #[arg(long)]
    pub(crate) alive: bool,
}

/// What is asked of workflows.
#[derive(Debug, Subcommand)]
#[command(infer_subcommands = true)]
pub(crate) enum WorkflowsCommand {
    /// Lists them, each version by itself
    #[command(visible_alias = "ls")]
    List,
    /// Shows the steps of one
    Show(WorkflowArgs),
    /// Posts one as data, whose steps are done outside; it holds for all tenants
    #[command(after_help = POST_HELP)]
    Post(PostArgs),
}

const POST_HELP: &str = "\
It has `name`, `version`, if wanted `queue` and `run_deadline_ms`, and `steps`, each with its `name`
and `timeout_ms` and, if wanted, `estimate_ms`, `max_attempts`, `retry_delay_ms`, `deadline_ms`,
`effect` and `on_exhausted`; or several under `parallel`. The same one again has no effect; another
one needs another version.

Example:
  stepwell workflows post @photo.json";

#[derive(Debug, Args)]
pub(crate) struct WorkflowArgs {
    /// Its name
    #[arg(value_name = "WORKFLOW")]
    pub(crate) name: String,
    /// Its version; the newest when missing
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct PostArgs {
    /// The workflow: JSON, `@FILE` or `-`
    #[arg(value_name = "WORKFLOW")]
    pub(crate) value: String,
}

/// What is asked of queues.
#[derive(Debug, Subcommand)]
#[command(infer_subcommands = true)]
pub(crate) enum QueuesCommand {
    /// Lists queues with their limits and who holds them up
    #[command(visible_alias = "ls")]
    List,
    /// Takes no more runs from a queue
    Pause(QueueVerbArgs),
    /// Takes runs from a queue again
    Resume(QueueVerbArgs),
    /// Lets runs that have begun end, and begins no others
    Drain(QueueVerbArgs),
    /// Who paused and resumed it
    History(QueueArgs),
}

#[derive(Debug, Args)]
pub(crate) struct QueueArgs {
    /// Its name
    pub(crate) queue: String,
}

#[derive(Debug, Args)]
pub(crate) struct QueueVerbArgs {
    /// Its name
    pub(crate) queue: String,
    /// Why, for the audit log
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Says what it would do, and does nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What is asked of schedules.
#[derive(Debug, Subcommand)]
#[command(infer_subcommands = true)]
pub(crate) enum SchedulesCommand {
    /// Lists schedules with their next times
    #[command(visible_alias = "ls")]
    List(PartArgs),
    /// Shows a schedule: next times, what it started, what it passed over
    Show(ScheduleArgs),
    /// Makes a schedule, or makes the one of that name another from now on
    #[command(after_help = PUT_HELP)]
    Put(PutArgs),
    /// Ends a schedule; runs that were started go on
    Delete(DeleteArgs),
    /// Starts nothing until it is resumed
    Pause(ScheduleVerbArgs),
    /// Starts again what comes due
    Resume(ScheduleVerbArgs),
    /// Starts a run now
    Trigger(TriggerArgs),
    /// Starts the runs of times gone by
    Backfill(BackfillArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ScheduleArgs {
    /// Its name
    #[arg(value_name = "SCHEDULE")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct ScheduleVerbArgs {
    /// Its name
    #[arg(value_name = "SCHEDULE")]
    pub(crate) name: String,
    /// Why, for the audit log
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Says what it would do, and does nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

const PUT_HELP: &str = "\
The plan has `workflow`, and either `cron`, with its `timezone`, or `every_ms`; if wanted `input`,
`tags`, `queue`, `priority`, `version`, `from`, `until`, `overlap` (skip, queue, cancel_old, allow),
`catch_up_ms`, `jitter_ms`.

Examples:
  stepwell schedules put nightly '{\"workflow\":\"report\",\"cron\":\"0 2 * * *\"}'
  stepwell schedules put hourly @hourly.json --reason 'the new format is there'";

#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// Its name
    #[arg(value_name = "SCHEDULE")]
    pub(crate) name: String,
    /// What it starts, and when: JSON, `@FILE` or `-`
    #[arg(value_name = "PLAN")]
    pub(crate) value: String,
    /// Why, for the audit log
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Its name
    #[arg(value_name = "SCHEDULE")]
    pub(crate) name: String,
    /// Why, for the audit log
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Does not ask; needed without a terminal
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TriggerArgs {
    /// Its name
    #[arg(value_name = "SCHEDULE")]
    pub(crate) name: String,
    /// An id of yours; a repetition with the same id starts nothing
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Why, for the audit log
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Says what it would do, and does nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  stepwell schedules backfill nightly --from 2026-01-01T00:00:00Z --to 2026-01-08T00:00:00Z --dry-run"
)]
pub(crate) struct BackfillArgs {
    /// Its name
    #[arg(value_name = "SCHEDULE")]
    pub(crate) name: String,
    /// The first time, or one before it (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) from: String,
    /// The last time, or one behind it (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) care: Care,
}

#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// Only of this workflow
    #[arg(long, value_name = "NAME")]
    pub(crate) workflow: Option<String>,
    /// Runs made since, as in `2h` or RFC 3339
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Runs made before
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ChangesArgs {
    #[command(flatten)]
    pub(crate) part: PartArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stepwell audit --since 2h --category operator
  stepwell audit --run order-1042 --level warn -o jsonl")]
pub(crate) struct AuditArgs {
    /// Words to be found in what is told
    #[arg(value_name = "TEXT")]
    pub(crate) text: Vec<String>,
    /// Only of this run
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// Only of this workflow
    #[arg(long, value_name = "NAME")]
    pub(crate) workflow: Option<String>,
    /// Only what is about this: state, step, operator, store, validation, performance, error, consistency
    #[arg(long, value_name = "CATEGORY")]
    pub(crate) category: Option<String>,
    /// Entries of this level and worse
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(crate) level: Option<Level>,
    /// Only with this code
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Option<String>,
    /// Only what they did
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// Since, as in `2h` or RFC 3339
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Before
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// The oldest first
    #[arg(long)]
    pub(crate) oldest: bool,
    #[command(flatten)]
    pub(crate) part: PartArgs,
}
