//! What a harness is told and what it tells: arguments, the seed, counts, the last line.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, ExitCode};
use std::str::FromStr;

/// The seed when none is given.
pub const SEED: u64 = 20_261_122;

/// The arguments of a harness or a worker: words, and `--name value` pairs.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    words: Vec<String>,
    named: BTreeMap<String, String>,
    given: Vec<String>,
}

impl Arguments {
    /// Those of this process.
    ///
    /// # Panics
    /// When a name has no value: a mistake of whoever typed it.
    #[must_use]
    pub fn of_process() -> Self {
        let mut arguments = Self { given: std::env::args().skip(1).collect(), ..Self::default() };
        let mut rest = arguments.given.clone().into_iter();
        while let Some(word) = rest.next() {
            match word.strip_prefix("--") {
                Some(name) => {
                    let value = rest.next().unwrap_or_else(|| panic!("--{name} needs a value"));
                    arguments.named.insert(name.to_owned(), value);
                }
                None => arguments.words.push(word),
            }
        }
        arguments
    }

    /// The first word.
    #[must_use]
    pub fn word(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The text given as `--name`.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.named.get(name).map(String::as_str)
    }

    /// The text given as `--name`.
    ///
    /// # Panics
    /// When it was not given: a mistake of whoever started the process.
    #[must_use]
    pub fn needed(&self, name: &str) -> &str {
        self.text(name).unwrap_or_else(|| panic!("--{name} is needed"))
    }

    /// The value given as `--name`, or `otherwise`.
    ///
    /// # Panics
    /// When the text is not such a value: a mistake of whoever typed it.
    #[must_use]
    pub fn value<T: FromStr>(&self, name: &str, otherwise: T) -> T {
        self.text(name)
            .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("--{name} cannot be {text:?}")))
    }

    /// The seed: `--seed`, else the variable `STEPWELL_SEED`, else [`SEED`].
    #[must_use]
    pub fn seed(&self) -> u64 {
        let from_environment = std::env::var("STEPWELL_SEED").ok().and_then(|text| text.parse().ok());
        self.value("seed", from_environment.unwrap_or(SEED))
    }
}

/// What a harness did and found.
#[derive(Debug)]
pub struct Report {
    name: &'static str,
    seed: u64,
    again: String,
    counts: Vec<(String, u64)>,
    short: Vec<String>,
    violations: Vec<String>,
}

impl Report {
    /// An empty report of the harness.
    #[must_use]
    pub fn new(name: &'static str, arguments: &Arguments) -> Self {
        let seed = arguments.seed();
        let mut again = format!("cargo run -p stepwell-tests --bin {name} -- --seed {seed}");
        let mut rest = arguments.given.iter();
        while let Some(word) = rest.next() {
            if word == "--seed" {
                rest.next();
            } else {
                let _ = write!(again, " {word}");
            }
        }
        Self { name, seed, again, counts: Vec::new(), short: Vec::new(), violations: Vec::new() }
    }

    /// An empty report of a harness that is a test of another package, under the same name.
    #[must_use]
    pub fn of_test(name: &'static str, package: &str) -> Self {
        let mut report = Self::new(name, &Arguments::default());
        report.again =
            format!("STEPWELL_SEED={} cargo test -p {package} --test {name} -- --nocapture", report.seed);
        report
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Adds a figure to the last line.
    pub fn count(&mut self, name: &str, n: impl TryInto<u64>) {
        self.counts.push((name.to_owned(), n.try_into().unwrap_or(u64::MAX)));
    }

    /// Adds a figure to the last line that must be at least `least`: below it nothing has been shown.
    pub fn count_at_least(&mut self, name: &str, n: impl TryInto<u64>, least: u64) {
        let n = n.try_into().unwrap_or(u64::MAX);
        if n < least {
            self.short.push(format!("{name} is {n}, and {least} are needed to show anything"));
        }
        self.count(name, n);
    }

    /// Adds broken promises, each told at once on standard error.
    pub fn violations(&mut self, found: impl IntoIterator<Item = String>) {
        for violation in found {
            eprintln!("VIOLATION: {violation}");
            self.violations.push(violation);
        }
    }

    /// How many broken promises were added.
    #[must_use]
    pub fn found(&self) -> usize {
        self.violations.len()
    }

    /// Prints the last line. The exit code is a failure when a promise was broken or too little was done.
    #[must_use]
    pub fn finish(self) -> ExitCode {
        for short in &self.short {
            eprintln!("TOO LITTLE: {short}");
        }
        let failed = !self.violations.is_empty() || !self.short.is_empty();
        if failed {
            println!("REPRO: {}", self.again);
        }
        let mut line = format!("HARNESS name={} seed={}", self.name, self.seed);
        for (name, n) in &self.counts {
            let _ = write!(line, " {name}={n}");
        }
        println!("{line} violations={}", self.violations.len());
        if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

/// Runs a harness as a test.
///
/// # Panics
/// When it does not end well: with everything it said.
pub fn passes(binary: &str, arguments: &[&str]) {
    let output = Command::new(binary).args(arguments).output().expect("the harness starts");
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{}", said.trim_end());
    assert!(output.status.success(), "{}\n{said}\n{told}", output.status);
    assert!(said.trim_end().ends_with("violations=0"), "{said}");
}
