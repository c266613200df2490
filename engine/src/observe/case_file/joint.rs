//! One case file for several runs that have something in common.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stepwell_contract::{Head, Record, RunKey, Status, Timestamp};

use crate::diagnosis::Diagnosis;
use crate::observe::case_file::bounds::BYTES_MAX;
use crate::observe::case_file::gather::{Around, Gathering};
use crate::observe::case_file::markdown::{Page, about, code, diagnosis, environment, escaped};
use crate::observe::case_file::secrets::without_secrets;
use crate::observe::case_file::{CaseFile, FORMAT, Surroundings};
use crate::observe::telling::bounded;
use crate::run::event::Event;
use crate::run::summary::Summary;
use crate::workflow::error::ErrorClass;

/// Most runs that a joint case file is about.
pub const MEMBERS_MAX: usize = 500;
/// Most runs that it tells of as their own case files do, in short.
pub const SAMPLES_MAX: usize = 3;
/// How many records at the end of each journal are looked at for a diagnosis.
pub const TAIL_RECORDS_MAX: usize = 100;
/// Most bytes of one of these, in each of its forms.
const SAMPLE_BYTES_MAX: usize = 48 << 10;
/// Longest message of a member, in bytes, before the mark that it was cut.
const MESSAGE_CHARS: usize = 160;

/// What is known of several runs, in one document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JointCaseFile {
    /// The version of its form.
    pub format: u32,
    /// When it was made.
    pub made_at: Timestamp,
    /// How many runs it is about: all below counts these.
    pub runs: u64,
    /// Whether these were all that were named and are there. There may be more than [`MEMBERS_MAX`].
    pub is_complete: bool,
    /// Runs that were named and are not there any more.
    pub missing: u64,
    /// When the first of them was made.
    pub first_at: Option<Timestamp>,
    /// When the last of them was made.
    pub last_at: Option<Timestamp>,
    /// How many are in each status.
    pub by_status: BTreeMap<Status, u64>,
    /// How many are of each workflow and version.
    pub by_workflow: BTreeMap<String, u64>,
    /// How many are of each tenant.
    pub by_tenant: BTreeMap<String, u64>,
    /// How many were diagnosed last with each code.
    pub by_code: BTreeMap<String, u64>,
    /// How many workers, by their code version, had a run of them when it failed last, as far as the ends of journals tell.
    pub by_code_version: BTreeMap<String, u64>,
    /// The same by host.
    pub by_host: BTreeMap<String, u64>,
    /// The latest diagnosis among them.
    pub diagnosis: Option<Diagnosis>,
    /// Where the file was made.
    pub environment: Surroundings,
    /// The runs, in the order in which they were named.
    pub members: Vec<Member>,
    /// Runs that are counted above and not listed here.
    pub members_left_out: u64,
    /// Some of them in full: the first and the last that were made, and one with another code, if there is one.
    pub samples: Vec<CaseFile>,
}

/// A run of a joint case file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Its tenant and id.
    pub run: String,
    /// Its workflow.
    pub workflow: String,
    /// The version of that.
    pub workflow_version: u32,
    /// Where it is.
    pub status: Status,
    /// When it was made.
    pub created_at: Timestamp,
    /// The step it failed at or is held for.
    pub place: Option<String>,
    /// The class of the failure.
    pub class: Option<ErrorClass>,
    /// The code of its latest diagnosis.
    pub code: Option<String>,
    /// What is said to people.
    pub message: String,
}

/// A joint case file in the making.
#[derive(Debug, Default)]
pub struct Joining {
    members: Vec<(RunKey, Member)>,
    missing: u64,
    by_code_version: BTreeMap<String, u64>,
    by_host: BTreeMap<String, u64>,
    latest: Option<(Timestamp, Diagnosis)>,
}

impl Joining {
    /// Takes in a run with the end of its journal.
    pub fn add(&mut self, head: &Head, tail: &[Record]) {
        let summary: Summary = head.summary.decode().unwrap_or_default();
        let mut code = None;
        let mut failed = None;
        for record in tail {
            match record.kind.as_str() {
                "diagnosed" | "attempt_failed" => {}
                _ => continue,
            }
            match Event::read(record) {
                Ok(Event::Diagnosed(told)) if told.late_by.is_none() => {
                    code = Some(told.diagnosis.code.clone());
                    if self.latest.as_ref().is_none_or(|(at, _)| *at <= record.at) {
                        self.latest = Some((record.at, *told.diagnosis));
                    }
                }
                Ok(Event::AttemptFailed(attempt)) => failed = Some(attempt.seen),
                _ => {}
            }
        }
        if let Some(seen) = failed {
            count(&mut self.by_code_version, seen.code_version);
            count(&mut self.by_host, seen.host);
        }
        let trouble = summary.trouble;
        let message = trouble.as_ref().map(|trouble| bounded(trouble.message.clone())).unwrap_or_default();
        let member = Member {
            run: head.key.to_string(),
            workflow: head.workflow.to_string(),
            workflow_version: head.workflow_version,
            status: head.status,
            created_at: head.created_at,
            place: trouble.as_ref().and_then(|trouble| trouble.place.as_ref().map(ToString::to_string)),
            class: trouble.as_ref().and_then(|trouble| trouble.class),
            code,
            message: message.chars().take(MESSAGE_CHARS).collect(),
        };
        self.members.push((head.key.clone(), member));
    }

    /// Counts a run that is not there any more.
    pub fn miss(&mut self) {
        self.missing += 1;
    }

    /// How many runs were taken in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The runs to tell of in full.
    #[must_use]
    pub fn samples(&self) -> Vec<RunKey> {
        let made = |(_, member): &&(RunKey, Member)| member.created_at;
        let first = self.members.iter().min_by_key(made);
        let last = self.members.iter().max_by_key(made);
        let known = last.and_then(|(_, member)| member.code.clone());
        let other = self.members.iter().find(|(_, member)| member.code.is_some() && member.code != known);
        let mut samples: Vec<RunKey> = Vec::new();
        for (key, _) in last.into_iter().chain(first).chain(other) {
            if !samples.contains(key) {
                samples.push(key.clone());
            }
        }
        samples.truncate(SAMPLES_MAX);
        samples
    }

    /// The short case file of one of the samples.
    ///
    /// # Errors
    /// As for [`Gathering::file`].
    pub fn sample(gathered: Gathering, around: Around<'_>) -> Result<CaseFile, serde_json::Error> {
        gathered.file_within(around, SAMPLE_BYTES_MAX)
    }

    /// The file: without secrets, and within bounds.
    ///
    /// # Errors
    /// As for [`Gathering::file`].
    pub fn file(
        self,
        (samples, is_complete): (Vec<CaseFile>, bool),
        environment: Surroundings,
        made_at: Timestamp,
    ) -> Result<JointCaseFile, serde_json::Error> {
        let all = || self.members.iter().map(|(_, member)| member);
        let by_workflow =
            |member: &Member| format!("{} version {}", member.workflow, member.workflow_version);
        let file = JointCaseFile {
            format: FORMAT,
            made_at,
            runs: self.members.len() as u64,
            is_complete,
            missing: self.missing,
            first_at: all().map(|member| member.created_at).min(),
            last_at: all().map(|member| member.created_at).max(),
            by_status: counted(all().map(|member| member.status)),
            by_workflow: counted(all().map(by_workflow)),
            by_tenant: counted(self.members.iter().map(|(key, _)| key.tenant.to_string())),
            by_code: counted(all().filter_map(|member| member.code.clone())),
            by_code_version: self.by_code_version,
            by_host: self.by_host,
            diagnosis: self.latest.map(|(_, diagnosis)| diagnosis),
            environment,
            members: self.members.into_iter().map(|(_, member)| member).collect(),
            members_left_out: 0,
            samples,
        };
        Ok(without_secrets(&file)?.fitted())
    }
}

impl JointCaseFile {
    /// The file as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("names, numbers and texts have a JSON form")
    }

    /// The file as Markdown (CommonMark), escaped as a [`CaseFile`] is.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut page = Page::default();
        page.heading(1, &format!("Case file of {} runs", self.runs));
        if !self.is_complete {
            page.line("There are more runs; these figures are about the ones that were looked at.");
            page.line("");
        }
        page.item("File made", &self.made_at.to_string());
        if let (Some(first), Some(last)) = (self.first_at, self.last_at) {
            page.item("Runs made", &format!("from {first} to {last}"));
        }
        if self.missing > 0 {
            page.item("Runs that are not there any more", &self.missing.to_string());
        }
        let statuses = self.by_status.iter().map(|(status, count)| (status.to_string(), *count));
        let counts = [
            ("Status", statuses.collect()),
            ("Workflow", self.by_workflow.clone()),
            ("Tenant", self.by_tenant.clone()),
            ("Code", self.by_code.clone()),
            ("Code version at the last failure", self.by_code_version.clone()),
            ("Host at the last failure", self.by_host.clone()),
        ];
        for (name, counted) in counts {
            let counted: Vec<_> = counted.iter().map(|(of, count)| format!("{} {count}", code(of))).collect();
            if !counted.is_empty() {
                page.item(name, &counted.join(", "));
            }
        }
        if let Some(latest) = &self.diagnosis {
            page.heading(2, "The latest diagnosis");
            diagnosis(&mut page, latest, 3);
        }
        page.heading(2, "Runs");
        for member in &self.members {
            let place =
                member.place.as_deref().map(|place| format!(" at {}", code(place))).unwrap_or_default();
            let by_code = member.code.as_deref().map(|by| format!(" {}", code(by))).unwrap_or_default();
            let class = member.class.map(|class| format!(" {class}")).unwrap_or_default();
            page.line(&format!(
                "- {} {}, made {}{place}{by_code}{class} {}",
                code(&member.run),
                member.status,
                member.created_at,
                escaped(&member.message)
            ));
        }
        if self.members_left_out > 0 {
            page.line(&format!("- … {} runs are not listed here", self.members_left_out));
        }
        page.heading(2, "Environment");
        environment(&mut page, &self.environment);
        for sample in &self.samples {
            page.heading(2, &format!("Run {}: {}", sample.run.key, sample.run.status));
            about(&mut page, sample, 3);
        }
        page.text()
    }

    /// Leaves out ever more until both forms fit.
    fn fitted(mut self) -> Self {
        while self.json().len().max(self.markdown().len()) > BYTES_MAX {
            let keep = self.members.len() / 2;
            self.members_left_out += (self.members.len() - keep) as u64;
            self.members.truncate(keep);
            for counts in [
                &mut self.by_workflow,
                &mut self.by_tenant,
                &mut self.by_code,
                &mut self.by_code_version,
                &mut self.by_host,
            ] {
                // What is rare goes first.
                let mut most: Vec<_> = std::mem::take(counts).into_iter().collect();
                most.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
                most.truncate(most.len().div_ceil(2).max(8));
                counts.extend(most);
            }
            if keep == 0 && self.samples.pop().is_none() {
                return self;
            }
        }
        self
    }
}

fn counted<T: Ord>(all: impl Iterator<Item = T>) -> BTreeMap<T, u64> {
    let mut counts = BTreeMap::new();
    for one in all {
        *counts.entry(one).or_default() += 1;
    }
    counts
}

fn count(counts: &mut BTreeMap<String, u64>, of: Option<String>) {
    if let Some(of) = of {
        *counts.entry(of).or_default() += 1;
    }
}
