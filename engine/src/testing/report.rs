//! What a crash test came to.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use stepwell_contract::Name;

use crate::run::event::PauseReason;
use crate::run::place::Place;
use crate::testing::cast::{Body, Played, Scene};
use crate::testing::rehearsal::named;
use crate::testing::rehearsed::{End, Rehearsed};
use crate::testing::stage::Side;
use crate::workflow::graph::Graph;
use crate::workflow::policy::{Effect, Effective};

/// Where a process died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrashPoint {
    /// Which write to the store, from 1.
    pub write: u64,
    /// On which side of it.
    pub side: Side,
    /// What was being written.
    pub writing: String,
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Before => "before",
            Side::After => "after",
        };
        write!(f, "{side} write {} ({})", self.write, self.writing)
    }
}

/// What crashes did to one step, over all runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    /// Its workflow.
    pub workflow: Name,
    /// Its name.
    pub name: Name,
    /// What it declares of a repetition.
    pub effect: Effect,
    /// How often it ran.
    pub ran: usize,
    /// How often it ran again although it had given its result, which the crash then lost: its effect happened twice,
    /// unless the receiver recognised it.
    pub again_after_effect: usize,
    /// How often it ran again after it was cut off in the middle: its effect may have happened twice.
    pub again_after_cut: usize,
    /// How many runs paused because nobody knows whether it had its effect.
    pub in_doubt: usize,
}

/// What is wrong with how a workflow takes crashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// No process died: nothing was tried.
    NothingCrashed,
    /// A run without a crash was given up.
    NoEnd {
        /// The run.
        history: String,
    },
    /// A run ended otherwise than the undisturbed one.
    OtherEnd {
        /// Where its process died.
        at: CrashPoint,
        /// How the undisturbed run ended.
        expected: String,
        /// The run.
        history: String,
    },
    /// A step that declares [`Effect::NotIdempotent`] ran again although it may have had its effect.
    Repeated {
        /// Where the process died.
        at: CrashPoint,
        /// The step.
        step: Place,
        /// The run.
        history: String,
    },
    /// The check of the world found something.
    World {
        /// Where the process died; `None` for the undisturbed run.
        at: Option<CrashPoint>,
        /// What it said.
        found: String,
        /// The run.
        history: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingCrashed => f.write_str("no process died: nothing was tried"),
            Self::NoEnd { history } => write!(f, "without a crash the run does not end\n{history}"),
            Self::OtherEnd { at, expected, history } => {
                write!(f, "crash {at}: without it the run {expected}, with it\n{history}")
            }
            Self::Repeated { at, step, history } => {
                write!(f, "crash {at}: {step} is not idempotent and ran again\n{history}")
            }
            Self::World { at: Some(at), found, history } => write!(f, "crash {at}: {found}\n{history}"),
            Self::World { at: None, found, history } => write!(f, "without a crash: {found}\n{history}"),
        }
    }
}

/// What a crash test came to. Its `Display` is a table of the steps, and the history of every run that went wrong.
#[derive(Debug, Clone)]
pub struct CrashReport {
    workflow: Name,
    expected: String,
    graph: Arc<Graph>,
    crashes: Vec<CrashPoint>,
    same: usize,
    steps: Vec<StepReport>,
    problems: Vec<Problem>,
}

impl CrashReport {
    /// Where processes died, in order: one run each.
    #[must_use]
    pub fn crashes(&self) -> &[CrashPoint] {
        &self.crashes
    }

    /// How many runs ended as the undisturbed one, with the same result.
    #[must_use]
    pub fn same(&self) -> usize {
        self.same
    }

    /// How many runs paused because nobody knows whether a step that is not idempotent had its effect.
    #[must_use]
    pub fn in_doubt(&self) -> usize {
        self.steps.iter().map(|step| step.in_doubt).sum()
    }

    /// What the crashes did to each step, in the order of the workflow, and to those of the workflows that it starts.
    #[must_use]
    pub fn steps(&self) -> &[StepReport] {
        &self.steps
    }

    /// What the crashes did to a step: `charge`, or, of another workflow, `ship/send`.
    ///
    /// # Panics
    /// When there is no such step.
    #[must_use]
    #[track_caller]
    pub fn step(&self, name: &str) -> &StepReport {
        let found = self.steps.iter().find(|step| self.title(step) == name);
        let missing =
            || named(&self.workflow, &self.graph, name).expect_err("a step that is not among the reported");
        found.unwrap_or_else(|| panic!("{}", missing()))
    }

    /// What is wrong.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Sees that there were crashes, that every run ended as the undisturbed one did or paused in doubt at a step that
    /// declares [`Effect::NotIdempotent`], that no such step ran again, and that the check of the world found nothing.
    ///
    /// # Panics
    /// With the whole report otherwise.
    #[track_caller]
    pub fn assert_survives(&self) {
        assert!(self.problems.is_empty(), "{} does not survive every crash\n{self}", self.workflow);
    }

    /// Sees what [`assert_survives`](Self::assert_survives) does, and that no run needs a person to decide.
    ///
    /// # Panics
    /// With the whole report otherwise.
    #[track_caller]
    pub fn assert_never_in_doubt(&self) {
        self.assert_survives();
        assert!(self.in_doubt() == 0, "{} is in doubt after some crashes\n{self}", self.workflow);
    }

    /// The name of a step in the report.
    fn title(&self, step: &StepReport) -> String {
        match step.workflow == self.workflow {
            true => step.name.to_string(),
            false => format!("{}/{}", step.workflow, step.name),
        }
    }

    fn row(&mut self, workflow: &Name, step: &Name) -> Option<&mut StepReport> {
        self.steps.iter_mut().find(|row| row.workflow == *workflow && row.name == *step)
    }

    pub(crate) fn new<O>(undisturbed: &Rehearsed<O>, steps: &[(Name, Name, Effective)]) -> Self {
        let steps = steps.iter().map(|(workflow, step, limits)| StepReport {
            workflow: workflow.clone(),
            name: step.clone(),
            effect: limits.effect.value,
            ran: 0,
            again_after_effect: 0,
            again_after_cut: 0,
            in_doubt: 0,
        });
        Self {
            workflow: undisturbed.workflow().clone(),
            expected: undisturbed.end().to_string(),
            steps: steps.collect(),
            graph: Arc::clone(undisturbed.graph()),
            crashes: Vec::new(),
            same: 0,
            problems: Vec::new(),
        }
    }

    /// Takes account of a run in which no process died.
    pub(crate) fn add_without_crash<O>(&mut self, run: &Rehearsed<O>) {
        if matches!(run.end(), End::GivenUp { .. }) {
            self.problems.push(Problem::NoEnd { history: run.to_string() });
        }
    }

    /// Takes account of what the check of the world said.
    pub(crate) fn add_check<O>(
        &mut self,
        at: Option<CrashPoint>,
        run: &Rehearsed<O>,
        checked: Result<(), String>,
    ) {
        if let Err(found) = checked {
            self.problems.push(Problem::World { at, found, history: run.to_string() });
        }
    }

    /// Takes account of a run whose process died.
    pub(crate) fn add<O>(
        &mut self,
        at: CrashPoint,
        undisturbed: &Rehearsed<O>,
        run: &Rehearsed<O>,
        has_same_result: bool,
        log: &[Body],
    ) {
        let history = || run.to_string();
        for (scene, repeats) in repeats(log) {
            let child = run.children().iter().find(|child| child.id() == scene.run.run.as_str());
            let workflow = child.map_or_else(|| self.workflow.clone(), |child| child.workflow().clone());
            let Some(step) = self.row(&workflow, &scene.place.step) else { continue };
            step.ran += repeats.ran;
            step.again_after_effect += repeats.after_effect;
            step.again_after_cut += repeats.after_cut;
            if step.effect == Effect::NotIdempotent && repeats.after_effect + repeats.after_cut > 0 {
                let (at, step, history) = (at.clone(), scene.place, history());
                self.problems.push(Problem::Repeated { at, step, history });
            }
        }
        let doubtful = in_doubt(run);
        if has_same_result && is_same_end(undisturbed.end(), run.end()) {
            self.same += 1;
        } else if let Some(step) = doubtful
            && let Some(step) = self.row(&step.0, &step.1)
            && step.effect == Effect::NotIdempotent
        {
            step.in_doubt += 1;
        } else {
            let expected = self.expected.clone();
            self.problems.push(Problem::OtherEnd { at: at.clone(), expected, history: history() });
        }
        self.crashes.push(at);
    }

    pub(crate) fn finish(&mut self) {
        if self.crashes.is_empty() {
            self.problems.push(Problem::NothingCrashed);
        }
    }
}

/// The workflow and the step because of which nobody knows how the run goes on, in itself or in one that it waits for.
fn in_doubt<O>(run: &Rehearsed<O>) -> Option<(Name, Name)> {
    match run.end() {
        End::Paused { reason: PauseReason::InDoubt, place: Some(place), .. } => {
            Some((run.workflow().clone(), place.step.clone()))
        }
        End::Waiting => run.children().iter().find_map(in_doubt),
        _ => None,
    }
}

/// Whether two runs ended alike, their results apart.
fn is_same_end<O>(a: &End<O>, b: &End<O>) -> bool {
    match (a, b) {
        (End::Succeeded(_), End::Succeeded(_))
        | (End::Cancelled, End::Cancelled)
        | (End::Waiting, End::Waiting) => true,
        (End::Failed { place: a, failure: why_a }, End::Failed { place: b, failure: why_b }) => {
            a == b && (why_a.class, &why_a.code, &why_a.message) == (why_b.class, &why_b.code, &why_b.message)
        }
        (End::Paused { reason: why_a, place: a, .. }, End::Paused { reason: why_b, place: b, .. }) => {
            (why_a, a) == (why_b, b)
        }
        _ => false,
    }
}

/// What a step did in one run.
#[derive(Debug, Default, PartialEq)]
struct Repeats {
    ran: usize,
    after_effect: usize,
    after_cut: usize,
}

fn repeats(log: &[Body]) -> BTreeMap<Scene, Repeats> {
    let mut repeats: BTreeMap<Scene, Repeats> = BTreeMap::new();
    let mut before: BTreeMap<&Scene, Played> = BTreeMap::new();
    for body in log {
        let repeats = repeats.entry(body.scene.clone()).or_default();
        repeats.ran += 1;
        match before.get(&body.scene) {
            Some(Played::Done) => repeats.after_effect += 1,
            Some(Played::Cut) => repeats.after_cut += 1,
            Some(Played::Refused) | None => {}
        }
        let played = body.played.unwrap_or(Played::Cut);
        // An effect that has happened stays so, whatever a repetition says.
        if before.get(&body.scene) != Some(&Played::Done) {
            before.insert(&body.scene, played);
        }
    }
    repeats
}

impl fmt::Display for CrashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workflow, crashes, same, .. } = self;
        let otherwise = crashes.len() - same - self.in_doubt();
        writeln!(f, "{workflow}, without a crash: {}", self.expected)?;
        writeln!(
            f,
            "{} crashes: {same} runs ended alike, {} in doubt, {otherwise} otherwise",
            crashes.len(),
            self.in_doubt()
        )?;
        let width = self.steps.iter().map(|step| self.title(step).len()).max().unwrap_or(0).max(4);
        let (step, declared, ran) = ("step", "declared", "ran");
        writeln!(f, "  {step:<width$}  {declared:<14}  {ran:>5}  after its effect  after a cut  in doubt")?;
        for step in &self.steps {
            let declared = match step.effect {
                Effect::Pure => "pure",
                Effect::Idempotent => "idempotent",
                Effect::NotIdempotent => "not idempotent",
            };
            let title = self.title(step);
            let StepReport { ran, again_after_effect, again_after_cut, in_doubt, .. } = step;
            writeln!(
                f,
                "  {title:<width$}  {declared:<14}  {ran:>5}  {again_after_effect:>16}  {again_after_cut:>11}  {in_doubt:>8}"
            )?;
        }
        for problem in &self.problems {
            writeln!(f, "✗ {problem}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(step: &str, played: Played) -> Body {
        Body::ended(Place::of(Name::new(step).expect("a name")), played)
    }

    #[test]
    fn a_repetition_counts_by_how_the_body_before_it_ended() {
        use Played::{Cut, Done, Refused};
        let table: [(&[Played], (usize, usize)); 6] = [
            (&[Done], (0, 0)),
            (&[Refused, Done], (0, 0)),
            (&[Cut, Done], (0, 1)),
            (&[Done, Done], (1, 0)),
            (&[Done, Refused, Done], (2, 0)),
            (&[Cut, Refused, Done], (0, 1)),
        ];
        for (played, expected) in table {
            let mut log: Vec<Body> = played.iter().map(|played| body("a", *played)).collect();
            log.insert(1, body("b", Done));
            let repeats = repeats(&log);
            let of_a = &repeats[&log[0].scene];
            assert_eq!((of_a.ran, of_a.after_effect, of_a.after_cut), (played.len(), expected.0, expected.1));
            assert_eq!(repeats[&log[1].scene], Repeats { ran: 1, after_effect: 0, after_cut: 0 });
        }
    }
}
