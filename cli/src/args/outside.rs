//! `stepwell outside …`.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::args::care::IfMatch;
use crate::args::part::PartArgs;

/// What is said of steps that are done outside.
#[derive(Debug, Subcommand)]
#[command(infer_subcommands = true)]
pub(crate) enum OutsideCommand {
    /// Lists the steps that wait for someone, those of the oldest runs first, with what each is given
    #[command(visible_alias = "ls")]
    List(TasksArgs),
    /// Says that somebody has begun a step; whoever says so first has it
    Start(BegunArgs),
    /// Says how far a step is
    Progress(FractionArgs),
    /// Says that a step has its result
    #[command(after_help = EXAMPLE)]
    Success(SuccessArgs),
    /// Says that an attempt failed; its class decides whether the step is tried again
    #[command(after_help = FAILURE_EXAMPLE)]
    Failure(FailureArgs),
}

const EXAMPLE: &str = "\
Examples:
  stepwell outside success order-7 cut '{\"pieces\": 3}' --attempt 1
  stepwell outside success order-7 cut @result.json";

const FAILURE_EXAMPLE: &str = "\
Example:
  stepwell outside failure order-7 cut 'the saw is hot' --class throttled --retry-after 5m";

#[derive(Debug, Args)]
pub(crate) struct TasksArgs {
    /// Only of runs of this workflow
    #[arg(long, value_name = "NAME")]
    pub(crate) workflow: Option<String>,
    /// Only steps of this name
    #[arg(long, value_name = "STEP")]
    pub(crate) step: Option<String>,
    /// Also those that somebody has begun
    #[arg(long)]
    pub(crate) with_begun: bool,
    #[command(flatten)]
    pub(crate) part: PartArgs,
}

/// A step of a run.
#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    /// The run
    pub(crate) run: String,
    /// The step, as in `cut` or `cut[2]`
    pub(crate) step: String,
    /// The attempt that is meant, so that none is taken for a later one; the present one when missing
    #[arg(long, value_name = "N")]
    pub(crate) attempt: Option<u32>,
    #[command(flatten)]
    pub(crate) if_match: IfMatch,
}

#[derive(Debug, Args)]
pub(crate) struct BegunArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    /// Who has begun it, by a name that nobody else goes by at the same time; you when missing
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The host it runs on
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// The version of the code
    #[arg(long, value_name = "VERSION")]
    pub(crate) code_version: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct FractionArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    /// How far, from 0 to 1
    pub(crate) fraction: f64,
    /// What it is at
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) note: String,
}

#[derive(Debug, Args)]
pub(crate) struct SuccessArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    /// The result: JSON, `@FILE` or `-`; `null` when missing
    #[arg(value_name = "OUTPUT", allow_hyphen_values = true)]
    pub(crate) value: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct FailureArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    /// The text of the error
    pub(crate) message: String,
    /// What sort of failure it was: transient, throttled, timeout, unavailable, auth, config, validation, permanent, bug; tried
    /// again when missing
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: Option<String>,
    /// A stable name, such as `http.503`
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Option<String>,
    /// What was going on, the innermost first; may be given more than once
    #[arg(long, value_name = "TEXT")]
    pub(crate) context: Vec<String>,
    /// What else is known of it, as a JSON object: JSON, `@FILE` or `-`
    #[arg(long, value_name = "JSON")]
    pub(crate) details: Option<String>,
    /// The next attempt waits at least this long
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) retry_after: Option<Duration>,
}
