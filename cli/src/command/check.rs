//! `stepwell check`: whether what is stored agrees with itself.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::args::own::CheckArgs;
use crate::client::{Call, Client, TENANT};
use crate::command::Desk;
use crate::confirm::confirm;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::note;
use crate::output::progress::Progress;
use crate::output::table::{As, Column, column};

const ISSUES: &[Column] = &[
    column("SEVERITY", &["/severity"], As::Mark),
    column("KIND", &["/kind"], As::Word),
    column("RUN", &["/run"], As::Word),
    column("TENANT", &["/tenant"], As::Word),
    column("ABOUT", &["/about"], As::Word),
    column("MENDED", &["/mended"], As::Mark),
    column("WHAT", &["/summary"], As::Text),
    column("TO DO", &["/recommendation"], As::Text),
];

/// A page of what was found.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Findings {
    /// What is wrong, as it was answered.
    pub(super) issues: Vec<Box<RawValue>>,
    #[serde(default)]
    pub(super) looked_at: u64,
    /// Runs that were written to all the time.
    #[serde(default)]
    pub(super) moving: Vec<Value>,
    #[serde(default)]
    next_cursor: Option<String>,
}

/// Looks through runs, page by page, until so many were looked at.
pub(super) async fn findings(
    client: &Client,
    runs_max: Option<u64>,
    mut page: impl FnMut(u64),
) -> Result<(Findings, bool), Failure> {
    let mut all = Findings::default();
    loop {
        let call = Call::get(&["integrity"]).maybe("cursor", all.next_cursor.take());
        let found: Findings = client.call(call).await?.json()?;
        all.issues.extend(found.issues);
        all.moving.extend(found.moving);
        all.looked_at += found.looked_at;
        all.next_cursor = found.next_cursor;
        page(all.looked_at);
        let is_complete = all.next_cursor.is_none();
        if is_complete || runs_max.is_some_and(|max| all.looked_at >= max) {
            return Ok((all, is_complete));
        }
    }
}

pub(super) async fn check(desk: &Desk, args: &CheckArgs) -> Result<Exit, Failure> {
    let mut progress = Progress::begin(false);
    let look = |looked: u64, progress: &mut Progress| progress.say(format!("{looked} runs looked at"), None);
    let (found, _) = findings(&desk.client, None, |looked| look(looked, &mut progress)).await?;
    drop(progress);
    let mut rows = Vec::new();
    let can_mend = |issue: &Value| issue.get("mend").is_some_and(|mend| !mend.is_null());
    for issue in &found.issues {
        rows.push(serde_json::from_str::<Value>(issue.get()).map_err(Failure::other)?);
    }
    let mut left = rows.len();
    if args.repair {
        let mendable = rows.iter().filter(|issue| can_mend(issue)).count();
        if mendable > 0 && !args.dry_run {
            confirm(&format!("mend {mendable} of {} issues?", rows.len()), mendable, args.yes)?;
        }
        for row in rows.iter_mut().filter(|row| can_mend(row)) {
            let body = json!({ "run": row["run"], "issue": row["issue"], "reason": args.reason });
            let call = Call::post(&["integrity", "repair"]).body(&body)?;
            let call = call.maybe(TENANT, row["tenant"].as_str());
            let call = if args.dry_run { call.with("dry_run", true) } else { call };
            row["mended"] = match desk.client.call(call).await {
                Ok(_) if args.dry_run => Value::from("would be"),
                Ok(_) => {
                    left -= 1;
                    Value::from("yes")
                }
                Err(Failure::Problem(problem)) => Value::from(format!("no: {}", problem.detail)),
                Err(failure) => return Err(failure),
            };
        }
    }
    let none = format!("{} runs looked at, nothing is wrong", found.looked_at);
    desk.output.rows(ISSUES, &rows, &none)?;
    if !rows.is_empty() {
        note(&format!("{} runs looked at, {} issues, {left} left", found.looked_at, rows.len()));
    }
    if !found.moving.is_empty() {
        note(&format!("{} runs were written to all the time; look again", found.moving.len()));
    }
    Ok(if left > 0 { Exit::Found } else { Exit::Ok })
}
