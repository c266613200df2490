//! Which measurements are made, and with what patience.

use std::path::PathBuf;
use std::time::Duration;

use crate::goals;
use crate::line::Line;
use crate::load::Pace;
use crate::place::Kind;
use crate::worker::Worker;
use crate::{Failure, chain, list, map, recovery, reopen, surfaces};

/// How to call the program.
const USAGE: &str = "stepwell-bench [--quick] [--backend memory|file|sled|redis …] [--workload chain|map|recovery|reopen|alone|list|surfaces|pages|large …] \
                     [--concurrency N …] [--data FOLDER] [--redis-url redis://HOST:PORT]";

/// Runs at once in the chain, unless asked otherwise.
const CONCURRENCIES: [usize; 3] = [1, 64, 1_000];
/// Runs in flight when their worker is killed.
const RECOVERY_RUNS: u64 = 1_000;

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    quick: bool,
    kinds: Vec<Kind>,
    workloads: Vec<String>,
    concurrencies: Vec<usize>,
    data: PathBuf,
    redis: Option<String>,
}

impl Plan {
    /// Reads the options of the command line.
    pub(crate) fn read(options: &[&str]) -> Result<Self, Failure> {
        let mut plan = Self {
            quick: false,
            kinds: Vec::new(),
            workloads: Vec::new(),
            concurrencies: Vec::new(),
            data: "target/bench-data".into(),
            redis: None,
        };
        let mut options = options.iter();
        while let Some(option) = options.next() {
            let mut value = || options.next().copied().ok_or(format!("{option} needs a value\n{USAGE}"));
            match *option {
                "--quick" => plan.quick = true,
                "--backend" => plan.kinds.push(value()?.parse()?),
                "--workload" => plan.workloads.push(value()?.to_owned()),
                "--concurrency" => plan.concurrencies.push(value()?.parse()?),
                "--data" => plan.data = value()?.into(),
                "--redis-url" => plan.redis = Some(value()?.to_owned()),
                other => return Err(format!("unknown option {other}\n{USAGE}").into()),
            }
        }
        if plan.kinds.is_empty() {
            plan.kinds =
                Kind::ALL.into_iter().filter(|kind| *kind != Kind::Redis || plan.redis.is_some()).collect();
        }
        if plan.workloads.is_empty() {
            plan.workloads = ["chain", "map", "recovery", "reopen"].map(str::to_owned).to_vec();
        }
        if plan.concurrencies.is_empty() {
            plan.concurrencies = CONCURRENCIES.to_vec();
        }
        Ok(plan)
    }

    fn pace(&self) -> Pace {
        let ms = Duration::from_millis;
        if self.quick {
            Pace { warm: ms(300), window: ms(1_000), rounds: 3 }
        } else {
            Pace { warm: ms(500), window: ms(2_000), rounds: 5 }
        }
    }

    /// Makes the measurements, each setting in a process of its own, and then tells which aims were met.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut lines = Vec::new();
        for workload in &self.workloads {
            for kind in &self.kinds {
                let settings = match workload.as_str() {
                    "chain" | "alone" => self.concurrencies.clone(),
                    "recovery" | "list" | "pages" if *kind == Kind::Memory => continue,
                    "reopen" if !kind.is_embedded() => continue,
                    _ => vec![1_000],
                };
                for concurrency in settings {
                    let mut one = Worker::start(&self.arguments(workload, *kind, concurrency))?;
                    while let Some(text) = one.line()? {
                        println!("{text}");
                        lines.extend(Line::read(&text));
                    }
                    one.wait()?;
                }
            }
        }
        goals::print(&lines);
        Ok(())
    }

    /// The command line of one measurement.
    fn arguments(&self, workload: &str, kind: Kind, concurrency: usize) -> Vec<String> {
        let mut arguments = vec![
            "one".to_owned(),
            "--workload".to_owned(),
            workload.to_owned(),
            "--backend".to_owned(),
            kind.to_string(),
            "--concurrency".to_owned(),
            concurrency.to_string(),
            "--data".to_owned(),
            self.data.display().to_string(),
        ];
        if self.quick {
            arguments.push("--quick".to_owned());
        }
        if let Some(url) = &self.redis {
            arguments.extend(["--redis-url".to_owned(), url.clone()]);
        }
        arguments
    }
}

/// Makes one measurement in this process.
pub(crate) async fn one(options: &[&str]) -> Result<(), Failure> {
    let plan = Plan::read(options)?;
    let (&[kind], [workload], &[concurrency]) = (&*plan.kinds, &*plan.workloads, &*plan.concurrencies) else {
        return Err("one measurement is of one workload, backend and concurrency".into());
    };
    let (data, redis) = (plan.data.as_path(), plan.redis.as_deref());
    match workload.as_str() {
        "chain" => chain::measure(kind, concurrency, plan.pace(), data, redis).await,
        "alone" => chain::measure_alone(kind, concurrency, plan.pace(), data, redis).await,
        "map" => map::measure(kind, plan.pace().rounds, data, redis).await,
        "recovery" => recovery::measure(kind, RECOVERY_RUNS, data, redis).await,
        "reopen" => reopen::measure(kind, if plan.quick { 10_000 } else { 100_000 }, data).await,
        "surfaces" => surfaces::measure(kind, plan.quick, data, redis).await,
        "pages" => {
            surfaces::pages::measure(kind, if plan.quick { 100_000 } else { 1_000_000 }, data, redis).await
        }
        "large" => surfaces::large::measure(kind, data, redis).await,
        "list" => list::measure(kind, if plan.quick { 100_000 } else { 1_000_000 }, data, redis).await,
        other => Err(format!("unknown workload {other}\n{USAGE}").into()),
    }
}
