//! Follows a run as things happen to it: what it logs, or all of it.

use serde::Deserialize;
use stepwell::Place;
use stepwell_server::json::on_one_line;
use stepwell_server::view::run::{Run, RunStatus};
use tokio::time::Instant;

use crate::args::Form;
use crate::args::part::Part;
use crate::args::runs::{Level, LogsArgs, Until, WatchArgs};
use crate::client::{Call, Event, Patience};
use crate::command::Desk;
use crate::command::runs::{ENTRIES, explanation_of, is_there, level};
use crate::command::wait::is_over;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::progress::Progress;
use crate::output::words::{json_safe, safe, style};
use crate::output::{Output, more, note};

/// What of an entry decides whether and how it is shown.
#[derive(Debug, Deserialize)]
struct Entry {
    at: String,
    kind: String,
    level: String,
    step: Option<String>,
    attempt: Option<u32>,
    text: String,
}

/// The kind of an entry that a step logged.
const LOGGED: &str = "logged";

/// What is told of a run that is followed.
#[derive(Clone, Copy)]
enum Told<'a> {
    /// Something happened.
    Event(&'a Event),
    /// Nothing is heard of it for a while, in words.
    Break(&'a str),
}

/// What is done after that.
enum Then {
    GoOn,
    Stop(Exit),
}

pub(super) async fn logs(desk: &Desk, args: &LogsArgs) -> Result<Exit, Failure> {
    let place = args.step.as_deref().map(str::parse::<Place>).transpose().map_err(Failure::usage)?;
    if !args.follow {
        let call = Call::get(&["runs", &args.run, "logs"])
            .maybe("step", args.step.as_ref())
            .maybe("attempt", args.attempt)
            .maybe("level", args.level.map(level));
        let part = Part::from(args.part.clone());
        if !desk.output.is_for_people() {
            return desk.list(call, part, ENTRIES, "").await;
        }
        let mut is_empty = true;
        let cursor = desk.client.each_page(call, part, |items| {
            is_empty &= items.is_empty();
            items.iter().try_for_each(|item| line(desk.output, item.get()))
        });
        let cursor = cursor.await?;
        cursor.iter().for_each(|cursor| more(cursor));
        if is_empty {
            is_there(desk, &args.run, args.step.as_deref()).await?;
            note("nothing was logged");
        }
        return Ok(Exit::Ok);
    }
    follow(desk, &args.run, |told| {
        let event = match told {
            Told::Event(event) => event,
            Told::Break(words) => {
                note(words);
                return Ok(Then::GoOn);
            }
        };
        match event.kind.as_str() {
            "record" if is_wanted(args, place.as_ref(), &read::<Entry>(&event.data)?) => {
                line(desk.output, &event.data)?;
            }
            "end" => return Ok(Then::Stop(Exit::Ok)),
            _ => {}
        }
        Ok(Then::GoOn)
    })
    .await
}

fn is_wanted(args: &LogsArgs, place: Option<&Place>, entry: &Entry) -> bool {
    let is_there = |wanted: &Place| {
        let at = entry.step.as_ref().and_then(|step| step.parse::<Place>().ok());
        at.is_some_and(|at| at.is_within(wanted))
    };
    let is_bad_enough = args.level.is_none_or(|least| severity(&entry.level) >= least);
    entry.kind == LOGGED
        && is_bad_enough
        && place.is_none_or(is_there)
        && args.attempt.is_none_or(|attempt| entry.attempt == Some(attempt))
}

fn severity(word: &str) -> Level {
    match word {
        "error" => Level::Error,
        "warn" => Level::Warn,
        "info" => Level::Info,
        _ => Level::Debug,
    }
}

pub(super) async fn watch(desk: &Desk, args: &WatchArgs) -> Result<Exit, Failure> {
    let mut progress = Progress::begin(false);
    let watching = follow(desk, &args.run, |told| {
        let event = match told {
            Told::Event(event) => event,
            Told::Break(words) => {
                progress.aside(|| note(words));
                return Ok(Then::GoOn);
            }
        };
        match event.kind.as_str() {
            "record" => progress.aside(|| line(desk.output, &event.data))?,
            "run" => {
                let run: Run = read(&event.data)?;
                if is_over(run.status, Until::Rest) {
                    return Ok(Then::Stop(if run.status == RunStatus::Succeeded {
                        Exit::Ok
                    } else {
                        Exit::Failed
                    }));
                }
                let share = (run.of > 0).then(|| run.done as f64 / run.of as f64 * 100.0);
                let at = run.at.map(|at| format!(" {} {}", at.step, safe(&at.note))).unwrap_or_default();
                progress.say(format!("{} {}/{}{at}", run.run, run.done, run.of), share);
            }
            "end" => return Ok(Then::Stop(Exit::Ok)),
            _ => {}
        }
        Ok(Then::GoOn)
    });
    let exit = match args.timeout {
        None => watching.await?,
        Some(timeout) => match tokio::time::timeout_at(Instant::now() + timeout, watching).await {
            Ok(exit) => exit?,
            Err(_) => Exit::TimedOut,
        },
    };
    drop(progress);
    match exit {
        Exit::TimedOut => note("the time is over; the run is still on its way"),
        Exit::Failed => note(&format!("why, and what to do: {}", explanation_of(desk, &args.run))),
        _ => {}
    }
    Ok(exit)
}

/// Follows a run from its first record on, across breaks, until `tell` stops it.
async fn follow(
    desk: &Desk,
    run: &str,
    mut tell: impl FnMut(Told<'_>) -> Result<Then, Failure>,
) -> Result<Exit, Failure> {
    let (mut last, mut patience) = (None::<String>, Patience::default());
    loop {
        let opened = desk.client.events(Call::get(&["events"]).with("run", run), last.as_deref()).await;
        let broke = match opened {
            Ok(mut events) => loop {
                match events.next().await {
                    Ok(Some(event)) => {
                        patience.answered();
                        if let Then::Stop(exit) = tell(Told::Event(&event))? {
                            return Ok(exit);
                        }
                        last = event.id.or(last);
                    }
                    Ok(None) => {
                        let what = "the stream of events has ended before the run has".to_owned();
                        break Failure::Passing { what, fix: String::new(), retry_after: None };
                    }
                    Err(failure) => break failure,
                }
            },
            Err(failure) => failure,
        };
        let pause = patience.pause(broke)?;
        tell(Told::Break(&pause.words))?;
        tokio::time::sleep(pause.time).await;
    }
}

fn read<T: serde::de::DeserializeOwned>(data: &str) -> Result<T, Failure> {
    serde_json::from_str(data)
        .map_err(|error| Failure::Foreign(format!("an event is not understood: {error}")))
}

/// Prints an entry on a line of its own.
fn line(output: Output, data: &str) -> Result<(), Failure> {
    if output.form != Form::Table {
        return output.text(&on_one_line(&json_safe(data)));
    }
    let entry: Entry = read(data)?;
    let words = output.words;
    let level = words.styled(&format!("{:<5}", entry.level), style(&entry.level));
    let attempt = entry.attempt.map(|attempt| format!("#{attempt}")).unwrap_or_default();
    let step = entry.step.map(|step| format!("{step}{attempt} ")).unwrap_or_default();
    let kind = if entry.kind == LOGGED { String::new() } else { format!("{} ", entry.kind) };
    let at = time_of_day(output, &entry.at);
    // What a step logs may have lines that look like those of others.
    let said = safe(&entry.text).trim_end().replace('\n', "\n    ");
    output.text(&format!("{} {level} {}{kind}{said}", safe(&at), safe(&step)))
}

/// Lines come in order, so that a time from now would say less than a time.
fn time_of_day(output: Output, at: &str) -> String {
    match output.words.times {
        crate::args::Times::Iso => at.to_owned(),
        crate::args::Times::Human => {
            let local =
                at.parse::<chrono::DateTime<chrono::Utc>>().map(|at| at.with_timezone(&chrono::Local));
            local.map_or_else(|_| at.to_owned(), |at| at.format("%H:%M:%S%.3f").to_string())
        }
    }
}
