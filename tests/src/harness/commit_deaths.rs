//! Lets a process die just before and just after each of its commits, and after each claim, while it runs an errand with one
//! of everything; another one goes on. A third of the deaths is followed by a second one, early in the life that takes over.

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};

use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{Backend, Query, RunKey};
use stepwell_redis::test_server::TestServer;

use crate::audit::{Audit, audit, check_journal, journal};
use crate::harness::dying::Death;
use crate::harness::errand::{EFFECTS, ENDS};
use crate::harness::lanes::in_lanes;
use crate::harness::trial::{PATIENCE, panics};
use crate::place::{Kind, folder_in_memory};
use crate::process::{Signal, Watched, binary, was_ended_by};
use crate::report::{Arguments, Report};
use crate::site::key;
use crate::witness::{self, Line};

/// The stores that outlive a process.
const KINDS: [Kind; 3] = [Kind::File, Kind::Sled, Kind::Redis];
/// An errand takes now and then a commit more than another: so many more are looked for at once.
const MORE: u64 = 6;
/// Places to die at, in each store: with fewer, the errand was not what it is.
const LEAST: u64 = 100;
/// A second death comes at one of so many first commits or claims of the life that takes over.
const EARLY: u64 = 12;

/// One store, and the processes that come to it one after the other.
struct Errand {
    folder: tempfile::TempDir,
    url: String,
    more: Vec<String>,
}

/// What the processes of a store came to.
#[derive(Debug, Default)]
struct Sum {
    /// Places at which a process died.
    points: u64,
    deaths: u64,
    effects: u64,
    effects_repeated: u64,
    audit: Audit,
}

/// Runs the harness. `--store KIND` takes only that store; `--plant NAME` goes to the workers.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    let mut report = Report::new("commit_deaths", arguments);
    let more: Vec<String> =
        arguments.text("plant").map_or(Vec::new(), |plant| vec!["--plant".to_owned(), plant.to_owned()]);
    let only = arguments.text("store");
    let server = match TestServer::start(&[]) {
        Ok(server) => server,
        Err(error) => {
            report.violations([format!("no redis-server: {error}")]);
            return report.finish();
        }
    };
    let kinds: Vec<Kind> =
        KINDS.into_iter().filter(|kind| only.is_none_or(|only| only == kind.as_str())).collect();
    let url = server.url("errand");
    // Side by side: an errand waits most of the time.
    let sums = std::thread::scope(|scope| {
        let of_kind = |kind: Kind| {
            let base = (kind == Kind::Redis).then_some(url.as_str());
            let more = &more;
            (kind, scope.spawn(move || die_everywhere(kind, base, more)))
        };
        let under_way: Vec<_> = kinds.into_iter().map(of_kind).collect();
        let ended = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        under_way.into_iter().map(|(kind, thread)| (kind, ended(thread))).collect::<Vec<_>>()
    });
    let mut all = Sum::default();
    for (kind, sum) in sums {
        match sum {
            Ok(sum) => {
                report.count_at_least(&format!("{}_points", kind.as_str()), sum.points, LEAST);
                all.add(sum);
            }
            Err(error) => report.violations([format!("{}: {error}", kind.as_str())]),
        }
    }
    report.count("deaths", all.deaths);
    report.count("acknowledged", all.audit.acknowledged);
    report.count("effects", all.effects);
    report.count("effects_repeated", all.effects_repeated);
    report.violations(all.audit.violations);
    report.finish()
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.points += other.points;
        self.deaths += other.deaths;
        self.effects += other.effects;
        self.effects_repeated += other.effects_repeated;
        self.audit.add(other.audit);
    }
}

/// Lets a process die at every place there is in the life of an errand.
fn die_everywhere(kind: Kind, base: Option<&str>, more: &[String]) -> Result<Sum, String> {
    let calm = Errand::new(kind, base, "calm", more);
    let mut sum = calm.goes_through(&[])?;
    if !sum.audit.violations.is_empty() {
        return Err(format!("where nobody dies: {}", sum.audit.violations.join("; ")));
    }
    let (commits, claims) = calm.counts()?;
    let mut ways = Vec::new();
    for nth in 1..=commits + MORE {
        ways.extend([Death::BeforeCommit(nth), Death::AfterCommit(nth)]);
    }
    ways.extend((1..=claims + MORE).map(Death::AfterClaim));
    let lanes = {
        let (base, more) = (base.map(str::to_owned), more.to_vec());
        move |death: Death| (side_of(death), die_at(kind, base.as_deref(), &more, death))
    };
    let mut last = BTreeMap::new();
    for ((side, nth), one) in in_lanes(ways, lanes) {
        if one.points > 0 {
            last.entry(side).and_modify(|last: &mut u64| *last = nth.max(*last)).or_insert(nth);
        }
        sum.add(one);
    }
    // Until one comes to its end: no place is left out.
    for (side, planned) in [("before", commits + MORE), ("after", commits + MORE), ("claim", claims + MORE)] {
        let mut nth = planned;
        while last.get(side).is_some_and(|last| *last == nth) {
            nth += 1;
            let one = die_at(kind, base, more, at(side, nth));
            if one.points > 0 {
                last.insert(side, nth);
            }
            sum.add(one);
        }
    }
    Ok(sum)
}

fn side_of(death: Death) -> (&'static str, u64) {
    match death {
        Death::BeforeCommit(nth) => ("before", nth),
        Death::AfterCommit(nth) => ("after", nth),
        Death::AfterClaim(nth) => ("claim", nth),
    }
}

fn at(side: &str, nth: u64) -> Death {
    match side {
        "before" => Death::BeforeCommit(nth),
        "after" => Death::AfterCommit(nth),
        _ => Death::AfterClaim(nth),
    }
}

/// A fresh store whose first process dies there; in a third of the cases the second one dies too.
fn die_at(kind: Kind, base: Option<&str>, more: &[String], death: Death) -> Sum {
    let errand = Errand::new(kind, base, &death.to_string(), more);
    let mut deaths = vec![death];
    let (side, nth) = side_of(death);
    if nth % 3 == 0 {
        deaths.push(at(side, 1 + nth / 3 % EARLY));
    }
    let mut sum = errand.goes_through(&deaths).unwrap_or_else(|error| {
        let audit = Audit { violations: vec![error], ..Audit::default() };
        Sum { audit, ..Sum::default() }
    });
    let deaths: Vec<String> = deaths.iter().map(Death::to_string).collect();
    for violation in &mut sum.audit.violations {
        *violation = format!("{} {}: {violation}", kind.as_str(), deaths.join(", then "));
    }
    sum
}

impl Errand {
    fn new(kind: Kind, base: Option<&str>, name: &str, more: &[String]) -> Self {
        let folder = folder_in_memory();
        let of_folder = || format!("{}:{}", kind.as_str(), folder.path().join("store").display());
        let url = base.map_or_else(of_folder, |base| format!("{base}-{name}"));
        Self { folder, url, more: more.to_vec() }
    }

    fn start(&self, life: usize, death: Option<Death>) -> Result<Watched, String> {
        let mut command = Command::new(binary("worker"));
        command.args(["errand", "--store", &self.url, "--life", &life.to_string()]);
        command.arg("--witness").arg(self.folder.path().join("witness"));
        if let Some(death) = death {
            command.args(["--die", &death.to_string()]);
        }
        Watched::start(command.args(&self.more)).map_err(|error| error.to_string())
    }

    fn lines(&self) -> Result<Vec<Line>, String> {
        witness::read(&self.folder.path().join("witness")).map_err(|error| error.to_string())
    }

    /// One process after the other dies; the last one ends the errand. Then everything is looked at.
    fn goes_through(&self, deaths: &[Death]) -> Result<Sum, String> {
        let mut sum = Sum::default();
        for (life, death) in deaths.iter().map(Some).chain([None]).enumerate() {
            let mut worker = self.start(life, death.copied())?;
            let status = worker.wait(PATIENCE)?;
            if death.is_some() && was_ended_by(status, Signal::ABORT) {
                sum.deaths += 1;
                // The second one may die although the first had come to its end.
                sum.points += u64::from(life == 0);
            } else if !status.success() {
                let last = self.lines()?.into_iter().rev().take(3).collect::<Vec<_>>();
                let violation = format!("life {life} ended with {status}: {} {last:?}", worker.last_words());
                sum.audit.violations.push(violation);
                return Ok(sum);
            }
        }
        let lines = self.lines()?;
        self.look_at_effects(&lines, &mut sum);
        sum.audit.violations.extend(panics(&lines));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let looked = runtime.block_on(async {
            let backend = stepwell_backends::open(&self.url).await.map_err(|error| error.to_string())?;
            look_at(backend.as_ref(), &lines).await.map_err(|error| error.to_string())
        });
        sum.audit.add(looked?);
        Ok(sum)
    }

    /// Each effect is there, and as often as there were deaths more at the most; nobody did anything else.
    fn look_at_effects(&self, lines: &[Line], sum: &mut Sum) {
        let mut effects: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for line in lines {
            if let Line::Said(words) = line
                && let [effect, run, place] = words.as_slice()
                && effect == "effect"
            {
                *effects.entry((run, place)).or_default() += 1;
            }
        }
        for expected in EFFECTS {
            let times = effects.remove(&expected).unwrap_or(0);
            sum.effects += times;
            sum.effects_repeated += times.saturating_sub(1);
            if times == 0 || times > 1 + sum.deaths {
                let (run, place) = expected;
                let violation =
                    format!("{place} of {run} was done {times} times, with {} deaths", sum.deaths);
                sum.audit.violations.push(violation);
            }
        }
        let others = effects.keys().map(|(run, place)| format!("{place} of {run} was never asked for"));
        sum.audit.violations.extend(others);
    }

    /// The commits and claims of the process that came to its end.
    fn counts(&self) -> Result<(u64, u64), String> {
        let counts = self.lines()?.into_iter().rev().find_map(|line| match line {
            Line::Said(words) if words[0] == "counts" => {
                Some((words.get(1)?.parse().ok()?, words.get(2)?.parse().ok()?))
            }
            _ => None,
        });
        counts.ok_or_else(|| "it did not say how many commits it took".to_owned())
    }
}

/// Every run of the store: those that have to be there have ended as they should, and there is no other.
async fn look_at(backend: &dyn Backend, lines: &[Line]) -> Result<Audit, stepwell_contract::BackendError> {
    let results: Vec<(RunKey, String)> =
        ENDS.iter().filter_map(|(run, end)| Some((key(run), end.ok()?.to_owned()))).collect();
    let mut found = audit(backend, &results, lines).await;
    let mut others = Vec::new();
    for head in backend.scan(&Query::default(), None, PAGE_ITEMS_MAX).await?.items {
        let records = journal(backend, &head.key).await?;
        if head.workflow.as_str().starts_with("stepwell.") {
            // Of the engine's own the schedule has a journal.
            found.violations.extend(check_journal(&head.key, &records));
            continue;
        }
        match ENDS.iter().find(|(run, _)| head.key.run.as_str() == *run) {
            Some((_, Ok(_))) => {}
            Some((_, Err(status))) => {
                found.violations.extend(check_journal(&head.key, &records));
                if head.status != *status {
                    found.violations.push(format!("{}: it is {}, not {status}", head.key, head.status));
                }
            }
            None => others.push(format!("{}: a run that nobody started", head.key)),
        }
        if head.live_lease(backend.info().await?.now).is_some() {
            others.push(format!("{}: it has ended and is leased", head.key));
        }
    }
    found.violations.extend(others);
    Ok(found)
}
