//! `stepwell doctor`: whether this installation works, check by check, each with what to do.

mod checks;
mod probe;

use serde::Serialize;
use serde_json::Value;
use stepwell_server::problem::Code;

use crate::args::Place;
use crate::args::own::DoctorArgs;
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::progress::Progress;
use crate::output::table::{As, Column, column};
use crate::output::{Output, note};
use crate::settings::Settings;
use crate::target::Target;

const CHECKS: &[Column] = &[
    column("CHECK", &["/check"], As::Word),
    column("VERDICT", &["/verdict"], As::Mark),
    column("WHAT", &["/what"], As::Text),
    column("TO DO", &["/fix"], As::Text),
];

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and may not for long.
    Warn,
    /// It does not work.
    Fail,
}

/// A check that was made.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Check {
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    pub(super) what: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) fix: String,
}

impl Check {
    pub(super) fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, what: what.into(), fix: String::new() }
    }

    pub(super) fn warn(check: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warn, what: what.into(), fix: fix.into() }
    }

    pub(super) fn fail(check: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Fail, what: what.into(), fix: fix.into() }
    }

    /// A check that could not be made.
    fn failed(check: &'static str, failure: &Failure) -> Self {
        let text = failure.text();
        let mut lines =
            text.lines().map(|line| line.trim().trim_start_matches("error: ").trim_start_matches("to do: "));
        let (what, fix) = (lines.next().unwrap_or_default().to_owned(), String::new());
        let fix = lines
            .fold(fix, |fix, line| if fix.is_empty() { line.to_owned() } else { format!("{fix}; {line}") });
        // What is everyone's is not shown to the token of one tenant: that says nothing of the installation.
        let is_hidden =
            matches!(failure, Failure::Problem(problem) if problem.code == Code::Forbidden.as_str());
        if is_hidden { Self::warn(check, what, fix) } else { Self::fail(check, what, fix) }
    }
}

pub(super) async fn doctor(
    args: &DoctorArgs,
    place: &Place,
    settings: &Result<Settings, Failure>,
    output: Output,
) -> Result<Exit, Failure> {
    let mut progress = Progress::begin(false);
    let (checks, is_reached) = examine(args, place, settings, &mut progress).await;
    drop(progress);
    let rows =
        checks.iter().map(serde_json::to_value).collect::<Result<Vec<Value>, _>>().map_err(Failure::other)?;
    output.rows(CHECKS, &rows, "")?;
    let worst = checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Ok);
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    note(&format!(
        "{} ok, {} warnings, {} failed",
        count(Verdict::Ok),
        count(Verdict::Warn),
        count(Verdict::Fail)
    ));
    Ok(match worst {
        Verdict::Fail if is_reached => Exit::Found,
        Verdict::Fail => Exit::Unreachable,
        Verdict::Ok | Verdict::Warn => Exit::Ok,
    })
}

/// Makes every check that can be made; also says whether the store or the server was reached, or not even tried for wrong settings.
async fn examine(
    args: &DoctorArgs,
    place: &Place,
    settings: &Result<Settings, Failure>,
    progress: &mut Progress,
) -> (Vec<Check>, bool) {
    let mut checks = Vec::new();
    let target = match settings {
        Ok(settings) => Target::choose(place, settings).map(|target| (target, settings)),
        Err(failure) => {
            checks.push(Check::failed("settings", failure));
            return (checks, true);
        }
    };
    let target = match target {
        Ok((target, settings)) => {
            checks.push(checks::settings(settings, &target));
            target
        }
        Err(failure) => {
            checks.push(Check::failed("settings", &failure));
            return (checks, true);
        }
    };
    progress.say("opening the store".to_owned(), None);
    let began = std::time::Instant::now();
    let client = match Client::open(&target, place.tenant.clone(), false).await {
        Ok(client) => client,
        Err(failure) => {
            checks.push(Check::failed("store", &failure));
            checks.extend(checks::space(&target));
            return (checks, false);
        }
    };
    let opened_ms = began.elapsed().as_millis();
    let is_reached = checks::store(&client, opened_ms, &mut checks).await;
    checks.extend(checks::space(&target));
    if is_reached {
        if let Some(engine) = client.engine() {
            progress.say("writing to the store".to_owned(), None);
            checks.push(probe::probe(engine).await);
        }
        checks.push(checks::workers(&client).await);
        checks.push(checks::stuck(&client).await);
        let runs_max = u64::try_from(args.runs_max).unwrap_or(u64::MAX);
        let look = |looked: u64| progress.say(format!("looking through journals: {looked}"), None);
        checks.push(checks::journals(&client, runs_max, look).await);
    }
    client.close().await;
    (checks, is_reached)
}
