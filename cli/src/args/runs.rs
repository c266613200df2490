//! `stepwell runs …`.

use clap::{Args, Subcommand, ValueEnum};

use crate::args::care::{Care, IfMatch};
use crate::args::part::{OwnPartArgs, PartArgs};

/// What is asked of runs.
#[derive(Debug, Subcommand)]
#[command(infer_subcommands = true)]
pub(crate) enum RunsCommand {
    /// Lists runs, the newest first
    #[command(visible_alias = "ls", after_help = QUERY_HELP)]
    List(ListArgs),
    /// Shows a run: where it is, and what is wrong
    Show(RunArgs),
    /// Starts a run
    #[command(after_help = START_HELP)]
    Start(StartArgs),
    /// Waits until runs have ended or are held, and exits 1 unless all succeeded
    Wait(WaitArgs),
    /// Shows how a run gets on, until it has ended or is held
    Watch(WatchArgs),
    /// What the steps of a run logged
    Logs(LogsArgs),
    /// Everything that happened to a run
    History(HistoryArgs),
    /// Why a run is where it is, who can change it, and what to do
    Explain(RunArgs),
    /// The case file of a run: all that bears on its failure
    Report(RunArgs),
    /// How far a run is: percentage, remaining time, every step
    Progress(RunArgs),
    /// The steps of a run as they are now, each item and round by itself
    Steps(StepsArgs),
    /// The attempts of a step, or of all steps
    Attempts(AttemptsArgs),
    /// The input of a run, as JSON
    Input(DocumentArgs),
    /// The output of a run that has succeeded, or of a step, as JSON
    Output(OutputArgs),
    /// The document that the steps of a run share, as JSON
    Context(DocumentArgs),
    /// Whether a run can go on with the workflows that are known; exits 4 when not
    CanResume(RunArgs),
    /// Lists the runs that have not ended, with what is wrong with them
    Unfinished(UnfinishedArgs),
    /// Lets held or failed runs be tried again, with fresh attempts
    Retry(VerbArgs),
    /// Lets held runs go on
    Resume(VerbArgs),
    /// Holds runs once their running attempts have ended
    Pause(HoldArgs),
    /// Stops running attempts and holds the runs
    Interrupt(HoldArgs),
    /// Ends runs, once their steps have stopped
    Cancel(VerbArgs),
    /// Ends runs and undoes what their steps did, where the workflow says how
    Undo(VerbArgs),
    /// Ends runs at once, even when their worker hangs
    Terminate(VerbArgs),
    /// Sets aside a step and all after it, and goes on from there
    Restart(StepVerbArgs),
    /// Passes over a step that stands in the way
    Skip(StepVerbArgs),
    /// Says what the output of a step is
    #[command(after_help = VALUE_HELP)]
    SetOutput(SetOutputArgs),
    /// Changes the input of a run that has made nothing of it yet; `retry` lets it go on
    #[command(after_help = VALUE_HELP)]
    EditInput(EditInputArgs),
    /// Changes the document that the steps of a run share
    #[command(after_help = VALUE_HELP)]
    MergeContext(MergeContextArgs),
    /// Makes a new run that goes on from a step of another one
    #[command(after_help = VALUE_HELP)]
    Fork(ForkArgs),
    /// Sends a signal to a run that waits for it
    #[command(after_help = VALUE_HELP)]
    Signal(SignalArgs),
}

const QUERY_HELP: &str = "\
A query is a list of terms, all of which have to fit:
  status:failed,paused   is:unfinished|finished|held|stuck   workflow:order   queue:bulk
  step:charge   tag:region=eu   tag:eu   code:SW1203   class:timeout   group:FINGERPRINT
  worker:w-1   id:order-10   since:2h   until:2026-01-31T12:00:00Z   and plain words

Examples:
  stepwell runs list status:failed step:charge since:2h
  stepwell runs list is:stuck -o jsonl | jq -r .run";

const START_HELP: &str = "\
The input is JSON, `@FILE`, or `-` for stdin. Workflows are known that programs on the store
have registered; whichever has it goes on with the run.

Examples:
  stepwell runs start order '{\"total\": 12}' --id order-1042 --wait
  stepwell runs start import @job.json --tag region=eu";

const VALUE_HELP: &str = "A value is JSON, `@FILE`, or `-` for stdin; a string needs its quotes: '\"good\"'.";

/// A run.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Its id
    pub(crate) run: String,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Which runs; all when missing
    #[arg(value_name = "TERM")]
    pub(crate) terms: Vec<String>,
    /// The same as one text
    #[arg(short, long, value_name = "QUERY")]
    pub(crate) query: Option<String>,
    /// The oldest first
    #[arg(long)]
    pub(crate) oldest: bool,
    #[command(flatten)]
    pub(crate) part: PartArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UnfinishedArgs {
    /// With what the steps of each share, in short; reads the journal of each
    #[arg(long)]
    pub(crate) context: bool,
    #[command(flatten)]
    pub(crate) part: PartArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// The workflow
    pub(crate) workflow: String,
    /// The input: JSON, `@FILE` or `-`
    #[arg(value_name = "INPUT")]
    pub(crate) input: Option<String>,
    /// The id of the run; starting it again with the same input starts nothing. Drawn when missing
    #[arg(long, value_name = "RUN")]
    pub(crate) id: Option<String>,
    /// A key of yours; a repetition with the same key starts nothing
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// The version of the workflow; the newest when missing
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u32>,
    /// A tag to find it by
    #[arg(long = "tag", value_name = "NAME=VALUE")]
    pub(crate) tags: Vec<String>,
    /// Higher goes first
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority: i16,
    /// The queue; that of the workflow when missing
    #[arg(long, value_name = "NAME")]
    pub(crate) queue: Option<String>,
    /// How long it waits before it begins, as in `90s`, `2h`
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) delay: Option<std::time::Duration>,
    /// Waits until it has ended or is held
    #[arg(short, long)]
    pub(crate) wait: bool,
    /// How long to wait at most
    #[arg(long, value_name = "TIME", requires = "wait", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<std::time::Duration>,
}

/// Until when is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Until {
    // It has ended, or is held until someone moves it on.
    Rest,
    // It has ended.
    Finished,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Their ids
    #[arg(value_name = "RUN", required = true)]
    pub(crate) runs: Vec<String>,
    /// How long at most, as in `30s`, `2h`; then it exits 124
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<std::time::Duration>,
    /// Until when
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Until::Rest)]
    pub(crate) until: Until,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Its id
    pub(crate) run: String,
    /// How long at most; then it exits 124
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<std::time::Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Its id
    pub(crate) run: String,
    /// Only this step's, with all its items and rounds; as in `pack[2]`, only that one's
    pub(crate) step: Option<String>,
    /// Only this attempt's
    #[arg(long, value_name = "N")]
    pub(crate) attempt: Option<u32>,
    /// Lines of this level and worse
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(crate) level: Option<Level>,
    /// Goes on with what is logged, until the run has ended
    #[arg(short, long, conflicts_with_all = ["limit", "cursor"])]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) part: OwnPartArgs,
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Level {
    // Everything.
    Debug,
    // What is worth to know.
    Info,
    // What may be wrong.
    Warn,
    // What is wrong.
    Error,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Its id
    pub(crate) run: String,
    /// Only what is about this
    #[arg(long, value_name = "CATEGORY")]
    pub(crate) category: Option<String>,
    /// Entries of this level and worse
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(crate) level: Option<Level>,
    /// The newest first
    #[arg(long)]
    pub(crate) newest: bool,
    #[command(flatten)]
    pub(crate) part: OwnPartArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StepsArgs {
    /// Its id
    pub(crate) run: String,
    /// Only this step, with all its items and rounds
    pub(crate) step: Option<String>,
    /// Only steps that are there, as in `failed`
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<String>,
    #[command(flatten)]
    pub(crate) part: OwnPartArgs,
}

/// A document of a run.
#[derive(Debug, Args)]
pub(crate) struct DocumentArgs {
    /// Its id
    pub(crate) run: String,
    /// With what has the form of a secret
    #[arg(long)]
    pub(crate) secrets: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Its id
    pub(crate) run: String,
    /// That of this step, as in `pack` or `pack[2]`
    pub(crate) step: Option<String>,
    /// With what has the form of a secret
    #[arg(long)]
    pub(crate) secrets: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MergeContextArgs {
    /// Its id
    pub(crate) run: String,
    /// The change, a JSON merge patch: objects are merged, `null` takes a field away. JSON, `@FILE` or `-`
    #[arg(value_name = "PATCH", allow_hyphen_values = true)]
    pub(crate) value: String,
    #[command(flatten)]
    pub(crate) care: Care,
    #[command(flatten)]
    pub(crate) if_match: IfMatch,
}

#[derive(Debug, Args)]
pub(crate) struct AttemptsArgs {
    /// The run
    pub(crate) run: String,
    /// The step, as in `pack` or `pack[2]`; all when missing
    pub(crate) step: Option<String>,
}

/// The runs that a query finds, instead of named ones.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Many {
    /// All runs that this query finds now; later ones are left alone
    #[arg(short, long, value_name = "QUERY", conflicts_with_all = ["runs", "group"])]
    pub(crate) query: Option<String>,
    /// All runs of this failure group that are held or failed
    #[arg(long, value_name = "FINGERPRINT", conflicts_with = "runs")]
    pub(crate) group: Option<String>,
    /// At most so many runs
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) max: u32,
}

/// What holds runs.
#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    #[command(flatten)]
    pub(crate) verb: VerbArgs,
    /// What you call it, as in `MAINTENANCE-7`: the run, its audit log and its reports tell it
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stepwell runs retry order-1042 --reason 'the gateway is back'
  stepwell runs cancel --query 'workflow:import status:queued' --dry-run")]
pub(crate) struct VerbArgs {
    /// Their ids
    #[arg(value_name = "RUN", required_unless_present_any = ["query", "group"])]
    pub(crate) runs: Vec<String>,
    #[command(flatten)]
    pub(crate) many: Many,
    #[command(flatten)]
    pub(crate) care: Care,
    #[command(flatten)]
    pub(crate) if_match: IfMatch,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stepwell runs skip order-1042 charge --reason 'paid by hand'
  stepwell runs restart --query 'status:failed step:pack' --step pack --dry-run")]
pub(crate) struct StepVerbArgs {
    /// The run
    #[arg(value_name = "RUN", required_unless_present_any = ["query", "group"])]
    pub(crate) runs: Option<String>,
    /// The step, as in `pack` or `pack[2]`
    #[arg(value_name = "STEP", required_unless_present = "step_of_all", conflicts_with_all = ["query", "group"])]
    pub(crate) step: Option<String>,
    /// The step, with --query or --group
    #[arg(long = "step", value_name = "STEP", id = "step_of_all", conflicts_with = "step")]
    pub(crate) step_of_all: Option<String>,
    /// `skip`: the output it is to have; `restart`: the new input. JSON, `@FILE` or `-`
    #[arg(long, value_name = "VALUE")]
    pub(crate) value: Option<String>,
    #[command(flatten)]
    pub(crate) many: Many,
    #[command(flatten)]
    pub(crate) care: Care,
}

#[derive(Debug, Args)]
pub(crate) struct SetOutputArgs {
    /// The run
    pub(crate) run: String,
    /// The step, as in `pack` or `pack[2]`
    pub(crate) step: String,
    /// Its output: JSON, `@FILE` or `-`
    #[arg(allow_hyphen_values = true)]
    pub(crate) value: String,
    #[command(flatten)]
    pub(crate) care: Care,
}

#[derive(Debug, Args)]
pub(crate) struct EditInputArgs {
    /// The run
    pub(crate) run: String,
    /// Its input: JSON, `@FILE` or `-`
    #[arg(allow_hyphen_values = true)]
    pub(crate) value: String,
    #[command(flatten)]
    pub(crate) care: Care,
}

#[derive(Debug, Args)]
pub(crate) struct ForkArgs {
    /// The run
    pub(crate) run: String,
    /// The step at which the new run begins; what came before is copied
    #[arg(long, value_name = "STEP")]
    pub(crate) from: String,
    /// The id of the new run; drawn when missing
    #[arg(long, value_name = "RUN")]
    pub(crate) id: Option<String>,
    /// The version of the workflow; that of the run when missing
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u32>,
    /// Another input, where nothing is copied: JSON, `@FILE` or `-`
    #[arg(long, value_name = "VALUE")]
    pub(crate) input: Option<String>,
    #[command(flatten)]
    pub(crate) care: Care,
}

#[derive(Debug, Args)]
pub(crate) struct SignalArgs {
    /// The run
    pub(crate) run: String,
    /// The name of the signal
    pub(crate) name: String,
    /// What it says: JSON, `@FILE` or `-`; `null` when missing
    #[arg(allow_hyphen_values = true)]
    pub(crate) value: Option<String>,
    /// An id of yours; a repetition with the same id is one signal
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Says what it would do, and does nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}
