//! How people change what a run has recorded: which event answers them, or why not.

use stepwell_contract::{Payload, Status};

use crate::run::cut::{Cut, Role, cuts, role};
use crate::run::event::{Event, InputEdited, OutputSet, StepSkipped, StepsReset};
use crate::run::output::word;
use crate::run::place::Place;
use crate::run::request::{Ask, Verb};
use crate::run::state::{State, StepState, StepStatus};
use crate::workflow::graph::Graph;

/// The event that answers a request to change what is recorded.
///
/// # Errors
/// Why not, for people.
pub(crate) fn edit(ask: &Ask, state: &State, graph: Option<&Graph>) -> Result<Event, String> {
    let (actor, message) = (ask.actor.clone(), ask.message.clone());
    match ask.verb {
        Verb::Skip => {
            let (place, role) = open_step(ask, state, graph)?;
            match (&ask.value, role) {
                (None, Role::Chooses(_) | Role::Repeats | Role::Times | Role::Names) => {
                    return Err(format!("{place} decides what comes next: say with an output what"));
                }
                (Some(_), Role::Sleeps) => {
                    return Err(format!("{place} is a sleep, which has no output: skip it without"));
                }
                (Some(output), role) => fits(place, role, output)?,
                (None, _) => {}
            }
            let (place, output, version) = (place.clone(), ask.value.clone(), version_of(place, graph));
            Ok(StepSkipped { place, reason: message, actor, output, version }.into())
        }
        Verb::SetOutput => {
            let (place, role) = open_step(ask, state, graph)?;
            let output = ask.value.clone().ok_or("it does not say which output")?;
            if role == Role::Sleeps {
                return Err(format!("{place} is a sleep, which has no output: `skip` it"));
            }
            // The steps between would never run, and nobody could tell from the history that this was meant.
            if state.step(place).is_none() {
                return Err(format!("{place} has not begun: `skip` it with an output"));
            }
            fits(place, role, &output)?;
            let version = version_of(place, graph);
            Ok(OutputSet { place: place.clone(), output, version, actor, message }.into())
        }
        Verb::Restart => {
            let (place, cuts) = restart_at(ask, state, graph)?;
            if let Some((place, _, child)) = state.open_children().find(|(place, ..)| covers(&cuts, place)) {
                return Err(format!(
                    "{place} has started run {}, which has not ended: `cancel` that first",
                    child.run
                ));
            }
            let input = ask.value.clone();
            if input.is_some() && state.places().any(|(place, _)| !covers(&cuts, &place)) {
                return Err(
                    "steps before that one have had the old input: with another input restart from the first step"
                        .to_owned(),
                );
            }
            Ok(StepsReset { from: place.clone(), cuts, input, actor, message }.into())
        }
        Verb::EditInput => {
            let input = ask.value.clone().ok_or("it does not say which input")?;
            match state.places().find(|(place, step)| has_used_input(place, step)) {
                Some((place, _)) => Err(format!(
                    "{place} has gone on from its input: `restart` from the first step with another one"
                )),
                None => Ok(InputEdited { input, actor, message }.into()),
            }
        }
        verb => Err(format!("{} changes nothing that is recorded", verb.as_str())),
    }
}

/// The version of the form in which the definition at hand takes the step's output.
fn version_of(place: &Place, graph: Option<&Graph>) -> u32 {
    let spec = graph.and_then(|graph| graph.find(&place.step).map(|step| graph.step(step)));
    spec.map_or(1, |spec| spec.version)
}

/// Whether one of the cuts covers the place.
pub(crate) fn covers(cuts: &[Cut], place: &Place) -> bool {
    cuts.iter().any(|cut| cut.step == place.step && cut.covers(&place.item))
}

/// Where a restart begins, and what it sets aside.
fn restart_at<'a>(
    ask: &'a Ask,
    state: &'a State,
    graph: Option<&Graph>,
) -> Result<(&'a Place, Vec<Cut>), String> {
    let graph = graph.ok_or(NO_DEFINITION)?;
    let place = ask.step(state).ok_or(NO_STEP)?;
    let cuts = cuts(graph, place).ok_or_else(|| no_such_place(graph, place))?;
    let begun =
        |(found, _): (Place, &StepState)| found.step == place.step && found.item.is_within(&place.item);
    if !state.places().any(begun) {
        return Err(format!("{place} has not begun"));
    }
    Ok((place, cuts))
}

const NO_STEP: &str = "it does not say which step";
const NO_DEFINITION: &str = "its workflow is not registered here, without which its steps are not known";

pub(crate) fn no_such_place(graph: &Graph, place: &Place) -> String {
    match graph.find(&place.step) {
        None => format!("its workflow has no step {}", place.step),
        Some(step) => {
            let depth = graph.step(step).depth;
            let example = format!("{}{}", place.step, "[0]".repeat(depth));
            format!("{place} is not a place: {} is in {depth} maps and loops, like {example}", place.step)
        }
    }
}

/// The step that is asked about: it has no result yet, and nothing has gone on from it.
fn open_step<'a>(
    ask: &'a Ask,
    state: &'a State,
    graph: Option<&'a Graph>,
) -> Result<(&'a Place, Role<'a>), String> {
    let graph = graph.ok_or(NO_DEFINITION)?;
    let place = ask.step(state).ok_or(NO_STEP)?;
    let step = graph.find(&place.step).filter(|step| graph.step(*step).depth == place.item.numbers().len());
    let step = step.ok_or_else(|| no_such_place(graph, place))?;
    match state.step(place).map(|step| step.status) {
        Some(StepStatus::Running) => {
            return Err(format!("{place} is running; `interrupt` the run, or let it end"));
        }
        Some(StepStatus::Succeeded | StepStatus::Skipped) => {
            return Err(format!("{place} has its result; `restart` from it to have another"));
        }
        // Its map may have tolerated that.
        Some(StepStatus::Failed) if has_gone_on(graph, state, place) => {
            return Err(format!("later steps have gone on without {place}; `restart` from it"));
        }
        _ => {}
    }
    Ok((place, role(graph, step)))
}

/// Whether a step that comes after the place has begun.
fn has_gone_on(graph: &Graph, state: &State, place: &Place) -> bool {
    let Some(cuts) = cuts(graph, place) else { return false };
    let mut later = state.places().filter(|(later, _)| later != place && covers(&cuts, later));
    later.any(|(_, step)| step.status != StepStatus::Skipped)
}

/// Whether an output says what the definition needs from the step.
fn fits(place: &Place, role: Role<'_>, output: &Payload) -> Result<(), String> {
    let wanted = match role {
        Role::Works | Role::Waits | Role::Sleeps => return Ok(()),
        Role::Chooses(arms) => {
            if word(output).is_some_and(|word| arms.iter().any(|(arm, _)| *arm == word)) {
                return Ok(());
            }
            let words: Vec<&str> = arms.iter().map(|(word, _)| word.as_str()).collect();
            format!("one of {}", words.join(", "))
        }
        Role::Repeats if matches!(output.text(), "true" | "false") => return Ok(()),
        Role::Repeats => "true or false".to_owned(),
        Role::Times if output.decode::<i64>().is_ok() => return Ok(()),
        Role::Times => "a time in milliseconds since 1970".to_owned(),
        Role::Names if output.decode::<Vec<String>>().is_ok() => return Ok(()),
        Role::Names => "a list of names".to_owned(),
    };
    Err(format!("{place} has to give {wanted}"))
}

/// Whether something is recorded that was made of the run's input. What stands outside maps and loops and has no result
/// takes its input anew.
fn has_used_input(place: &Place, step: &StepState) -> bool {
    !place.item.is_root()
        || !step.children.is_empty()
        || matches!(
            step.status,
            StepStatus::Running
                | StepStatus::Succeeded
                | StepStatus::Skipped
                | StepStatus::Sleeping(_)
                | StepStatus::Awaiting(_)
                | StepStatus::Suspended
        )
}

impl State {
    /// Every step that has begun or was passed over, by its place.
    pub fn places(&self) -> impl Iterator<Item = (Place, &StepState)> {
        self.steps.iter().flat_map(|(step, group)| {
            group.all().map(|(item, state)| (Place { step: step.clone(), item }, state))
        })
    }

    /// Whether what is recorded may be changed: an owner answers for itself.
    pub(crate) fn is_editable(&self) -> bool {
        match self.status {
            Status::Running => self.owner.is_some(),
            Status::Queued | Status::Waiting | Status::Paused | Status::Failed => true,
            Status::Cancelling | Status::Succeeded | Status::Cancelled => false,
        }
    }
}
