//! A variable or a file of settings is missing.

use crate::diagnosis::compare::error;
use crate::diagnosis::evidence::EnvironmentFact;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::signal::Signal;
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;
use crate::workflow::classify::ClassifiedBy;
use crate::workflow::error::ErrorClass;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.failed()?;
    let variable = last.has_code(&["env.variable"]);
    let file = seen.says(Signal::NotFound).is_some();
    let config = last.class == Some(ErrorClass::Config);
    let missing = seen.facts().find_map(|fact| match fact {
        EnvironmentFact::Variable { name, set: false } if variable || config => {
            Some((name, "variable_unset", "name"))
        }
        EnvironmentFact::ConfigFile { path, exists: false } if file || config => {
            Some((path, "config_missing", "path"))
        }
        _ => None,
    });
    if let Some((name, says, param)) = missing {
        let finding = Finding::new("SW3008", Confidence::High).with("name", name);
        return Some(finding.fact(says, Params::new().with(param, name)));
    }
    // A file that the step itself calls its settings.
    let settings = (config && last.classified_by == ClassifiedBy::Declared && file).then(|| seen.path_state()).flatten();
    if let Some(state) = settings.filter(|state| state.found.is_none()) {
        let said = Params::new().with("path", state.path);
        return Some(Finding::new("SW3008", Confidence::Medium).with("name", state.path).fact("config_missing", said));
    }
    if let Some(by) = seen.says(Signal::Unset) {
        let (says, params) = error(last);
        let finding = Finding::new("SW3008", seen.sure(by, false)).with("name", last.root_text());
        return Some(finding.fact(says, params).known_by(by));
    }
    // One that is set, and is no text for instance, is not missing.
    let set = seen.facts().any(|fact| matches!(fact, EnvironmentFact::Variable { set: true, .. }));
    let (says, params) = error(last);
    (variable && !set).then(|| {
        Finding::new("SW3008", Confidence::Medium).with("name", &last.message).fact(says, params)
    })
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::diagnosis::rules::fixtures::*;

    pub(crate) fn positives() -> Specimens {
        let unset = || known(ErrorClass::Config, "env.variable", "environment variable not found");
        let file = known(ErrorClass::Permanent, "io.not_found", "No such file");
        vec![
            ("SW3008", unset().fact(EnvironmentFact::Variable { name: "KEY".into(), set: false })),
            ("SW3008", unset()),
            ("SW3008", words("sh: 1: LEDGER_DSN: parameter not set")),
            ("SW3008", file.fact(EnvironmentFact::ConfigFile { path: "/etc/pay.toml".into(), exists: false })),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        let no_text = known(ErrorClass::Config, "env.variable", "not valid unicode");
        let other = known(ErrorClass::Unavailable, "io.connection_refused", "refused");
        vec![
            ("SW9001", words("pump 4: dosage parameter not set by the physician")),
            ("SW9001", no_text.fact(EnvironmentFact::Variable { name: "KEY".into(), set: true })),
            ("SW4001", other.fact(EnvironmentFact::ConfigFile { path: "/etc/pay.toml".into(), exists: false })),
        ]
    }
}
