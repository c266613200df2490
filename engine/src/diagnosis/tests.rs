//! Every rule recognises what it should and leaves alone what only looks like it.

use std::collections::BTreeSet;

use super::catalogue::{self, COMMON, UNKNOWN};
use super::evidence::{AttemptEnd, Dossier, RunFacts};
use super::rules::{FIXTURES, RULES};
use super::seen::Seen;
use super::*;
use crate::workflow::error::ErrorClass;
use stepwell_contract::Timestamp;

fn of(dossier: &Dossier) -> Diagnosis {
    diagnose(&dossier.case(), &Rules::none())
}

#[test]
fn every_rule_recognises_its_fixtures() {
    let mut wrong = Vec::new();
    for fixtures in FIXTURES {
        let positives = (fixtures.positives)();
        assert!(!positives.is_empty(), "{} has no fixture", fixtures.rule);
        for (nth, (code, dossier)) in positives.iter().enumerate() {
            let found = (fixtures.find)(&Seen::new(dossier.case())).map(|finding| finding.code);
            let diagnosed = of(dossier).code;
            if found != Some(code) || diagnosed != *code {
                wrong
                    .push(format!("{} {nth}: {code}, found {found:?}, diagnosed {diagnosed}", fixtures.rule));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_leaves_its_decoys_alone() {
    let mut wrong = Vec::new();
    for fixtures in FIXTURES {
        let decoys = (fixtures.decoys)();
        assert!(!decoys.is_empty(), "{} has no decoy", fixtures.rule);
        for (nth, (code, dossier)) in decoys.iter().enumerate() {
            let found = (fixtures.find)(&Seen::new(dossier.case())).map(|finding| finding.code);
            let diagnosed = of(dossier).code;
            // One rule may have several codes, so that a decoy for one of them is another of its own.
            let fooled = found.is_some_and(|found| found != *code);
            if fooled || diagnosed != *code {
                wrong
                    .push(format!("{} {nth}: {code}, found {found:?}, diagnosed {diagnosed}", fixtures.rule));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_is_reached_and_every_rule_answers_with_its_own() {
    let mut reached = BTreeSet::from([UNKNOWN.to_owned()]);
    for fixtures in FIXTURES {
        for (code, dossier) in (fixtures.positives)() {
            assert!(fixtures.codes.contains(&code), "{} answers {code}", fixtures.rule);
            let finding = (fixtures.find)(&Seen::new(dossier.case())).expect("a finding");
            let declared = catalogue::entry(finding.code).map(|entry| entry.params).unwrap_or_default();
            for name in declared {
                assert!(finding.params.get(name).is_some(), "{} does not say {name}", fixtures.rule);
            }
            let unknown: Vec<_> = finding.params.names().filter(|name| !declared.contains(name)).collect();
            assert!(unknown.is_empty(), "{} says {unknown:?}, which no text uses", fixtures.rule);
            reached.insert(of(&dossier).code);
        }
    }
    let missing: Vec<_> =
        catalogue::entries().map(|entry| entry.code).filter(|code| !reached.contains(*code)).collect();
    assert!(missing.is_empty(), "no fixture reaches {missing:?}");
    for code in RULES.iter().flat_map(|rule| rule.codes) {
        assert!(catalogue::entry(code).is_some(), "{code} has no texts");
    }
}

#[test]
fn a_diagnosis_is_whole_in_every_language() {
    for (_, dossier) in all_fixtures() {
        let diagnosis = of(&dossier);
        let entry = catalogue::entry(&diagnosis.code).expect("an entry");
        for name in entry.params.iter().chain(COMMON) {
            assert!(diagnosis.params.get(name).is_some(), "{} lacks {name}", diagnosis.code);
        }
        let stored = serde_json::to_string(&diagnosis).expect("JSON");
        let read: Diagnosis = serde_json::from_str(&stored).expect("a diagnosis");
        assert_eq!(read, diagnosis);
        assert!(stored.len() < 32 << 10, "{} takes {} bytes", diagnosis.code, stored.len());
        let japanese = read.in_language(Language::Japanese);
        assert_ne!(japanese.summary, diagnosis.summary);
        for told in [&diagnosis, &japanese] {
            let sentences = told.evidence.iter().chain(&told.inference);
            for sentence in sentences {
                let said = catalogue::sentence(&sentence.says).expect("a sentence of the catalogue");
                let names: BTreeSet<_> = text::names(said.english).collect();
                assert_eq!(sentence.params.names().collect::<BTreeSet<_>>(), names, "{}", sentence.says);
            }
            assert!(!told.actions.is_empty() && told.actions.iter().all(|action| !action.text.is_empty()));
        }
        assert_eq!(japanese.in_language(Language::English), diagnosis);
    }
}

#[test]
fn nothing_is_highly_sure_without_a_fact_and_the_unknown_is_not_sure_at_all() {
    for (_, dossier) in all_fixtures() {
        let diagnosis = of(&dossier);
        match diagnosis.confidence {
            Confidence::High => assert!(!diagnosis.evidence.is_empty(), "{}", diagnosis.code),
            Confidence::Unknown => assert_eq!(diagnosis.code, UNKNOWN),
            Confidence::Low | Confidence::Medium => assert_ne!(diagnosis.code, UNKNOWN),
        }
    }
    for (code, dossier) in all_fixtures().filter(|(_, dossier)| {
        let words = |attempt: &evidence::AttemptRecord| attempt.code.is_none() && attempt.chain.is_empty();
        dossier
            .attempts
            .last()
            .is_some_and(|last| words(last) && last.class == Some(ErrorClass::Unclassified))
    }) {
        if of(&dossier).confidence == Confidence::High {
            assert!(code.starts_with("SW6") || code.starts_with("SW8"), "words alone made {code} sure");
        }
    }
}

#[test]
fn a_case_of_which_nothing_is_known_is_unknown() {
    let run = RunFacts { workflow: "order".into(), ..RunFacts::default() };
    let diagnosis = diagnose(&Case::new(&run, Timestamp(0)), &Rules::none());
    assert_eq!((diagnosis.code.as_str(), diagnosis.confidence), (UNKNOWN, Confidence::Unknown));
    assert_eq!(diagnosis.retry, RetrySafety::Unknown);
}

#[test]
fn a_step_that_must_not_be_repeated_is_unsafe_where_its_effect_may_have_happened() {
    use crate::workflow::policy::{Effect, StepPolicy, effective};
    let none = StepPolicy::default();
    let retry = |class, effect| {
        let mut case = Dossier::failed(class, None, "x");
        case.step.as_mut().expect("a step").limits = Some(effective(&none.effect(effect), &none, &none));
        let diagnosis = of(&case);
        let first = diagnosis.actions[0].says.clone();
        (
            diagnosis.retry,
            first == "check_effect",
            diagnosis.actions.iter().any(|action| action.safe_to_retry),
        )
    };
    assert_eq!(retry(ErrorClass::Timeout, Effect::NotIdempotent), (RetrySafety::Unsafe, true, false));
    assert_eq!(retry(ErrorClass::Auth, Effect::NotIdempotent).0, RetrySafety::Unknown);
    assert_eq!(retry(ErrorClass::Auth, Effect::Idempotent), (RetrySafety::Safe, false, true));
}

#[derive(Debug)]
struct Own(&'static str, fn() -> Option<Told>);

impl Diagnose for Own {
    fn code(&self) -> &str {
        self.0
    }
    fn diagnose(&self, _: &Case<'_>) -> Option<Told> {
        (self.1)()
    }
}

#[test]
fn rules_of_the_program_go_first_and_keep_to_their_own_codes() {
    let told = || Some(Told::new("{step} is closed.", "It is Sunday.").confidence(Confidence::High));
    let rules = Rules::none().with(Own("SHOP-1", told)).expect("a rule");
    let case = Dossier::failed(ErrorClass::Validation, None, "x");
    let diagnosis = diagnose(&case.case(), &rules);
    assert_eq!((diagnosis.code.as_str(), diagnosis.summary.as_str()), ("SHOP-1", "charge is closed."));
    assert_eq!(diagnosis.confidence, Confidence::Medium, "no fact proves it");
    assert!(diagnosis.fingerprint.starts_with("SHOP-1-"));
    assert_eq!(diagnosis.in_language(Language::Japanese).summary, "charge is closed.");
    for (code, refused) in [
        ("SW1203", crate::run::code::NotACode::Reserved("SW1203".into()).into()),
        ("swim", crate::run::code::NotACode::Reserved("swim".into()).into()),
        ("", crate::run::code::NotACode::Malformed(String::new()).into()),
        ("7UP", crate::run::code::NotACode::Malformed("7UP".into()).into()),
        ("SHOP-1", RuleRefused::Twice("SHOP-1".into())),
    ] {
        assert_eq!(rules.clone().with(Own(code, || None)).err(), Some(refused));
    }
}

#[test]
fn a_rule_of_the_program_that_panics_is_passed_over_and_named() {
    let rules = Rules::none().with(Own("SHOP-2", || panic!("boom"))).expect("a rule");
    let case = Dossier::failed(ErrorClass::Validation, None, "x");
    let diagnosis = diagnose(&case.case(), &rules);
    assert_eq!(diagnosis.code, "SW1101");
    assert!(diagnosis.inference.iter().any(|said| said.text.contains("SHOP-2")), "{diagnosis:?}");
}

#[test]
fn the_largest_case_is_diagnosed_within_bounds() {
    let long = "ö\u{1}".repeat(20_000);
    let case = Dossier::failed(ErrorClass::Unclassified, Some(&long), &long).times(1_000, |attempt| {
        attempt.ended = if attempt.attempt % 2 == 0 { AttemptEnd::Failed } else { AttemptEnd::Suspended };
        attempt.elapsed_ms = Some(u64::MAX);
    });
    let diagnosis = of(&case);
    let stored = serde_json::to_string(&diagnosis).expect("JSON");
    assert!(stored.len() < 64 << 10, "{} bytes", stored.len());
}

fn all_fixtures() -> impl Iterator<Item = (&'static str, Dossier)> {
    FIXTURES.iter().flat_map(|fixtures| (fixtures.positives)().into_iter().chain((fixtures.decoys)()))
}

crate::diagnosis_test! {
    rule: Quota,
    recognises: {
        a_quota_that_is_used_up => Dossier::failed(ErrorClass::Throttled, Some("carrier.quota"), "500/500"),
    },
    leaves: {
        a_throttling_that_is_no_quota => Dossier::failed(ErrorClass::Throttled, Some("http.429"), "slow"),
    },
}

#[derive(Debug)]
struct Quota;

impl Diagnose for Quota {
    fn code(&self) -> &str {
        "SHIP0007"
    }
    fn diagnose(&self, case: &Case<'_>) -> Option<Told> {
        case.failed()
            .filter(|last| last.has_code(&["carrier.quota"]))
            .map(|_| Told::new("No more.", "Quota."))
    }
}
