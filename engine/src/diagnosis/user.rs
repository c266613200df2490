//! Rules of the program's own, for its own errors.

use std::fmt::Debug;
use std::sync::Arc;

use crate::diagnosis::evidence::Case;
use crate::diagnosis::verdict::{Action, Confidence, RetrySafety};
use crate::run::code::{NotACode, OwnCode};

/// A rule for errors that only the program knows.
///
/// ```
/// use stepwell::diagnosis::evidence::{Case, Dossier};
/// use stepwell::diagnosis::{Confidence, Diagnose, Rules, Told, diagnose};
/// use stepwell::ErrorClass;
///
/// #[derive(Debug)]
/// struct QuotaOfTheDay;
///
/// impl Diagnose for QuotaOfTheDay {
///     fn code(&self) -> &str {
///         "SHIP0007"
///     }
///
///     fn diagnose(&self, case: &Case<'_>) -> Option<Told> {
///         let last = case.failed().filter(|last| last.has_code(&["carrier.quota"]))?;
///         Some(
///             Told::new("The carrier takes no more parcels today.", "Its quota of the day is used up.")
///                 .confidence(Confidence::High)
///                 .fact(format!("the carrier answered: {}", last.message))
///                 .action("Retry after midnight UTC.", Some("stepwell runs retry {run}"), true),
///         )
///     }
/// }
///
/// let rules = Rules::none().with(QuotaOfTheDay)?;
/// let case = Dossier::failed(ErrorClass::Throttled, Some("carrier.quota"), "quota 500/500");
/// let diagnosis = diagnose(&case.case(), &rules);
/// assert_eq!(diagnosis.code, "SHIP0007");
/// assert_eq!(diagnosis.actions[0].command.as_deref(), Some("stepwell runs retry run-1"));
/// # Ok::<(), stepwell::diagnosis::RuleRefused>(())
/// ```
pub trait Diagnose: Debug + Send + Sync {
    /// The code of its diagnosis, with a prefix of the program's own. It is stable: people and alerts know it.
    fn code(&self) -> &str;

    /// What it says of the case; `None` where it is about something else. It only looks: it does not wait, read files or clocks.
    fn diagnose(&self, case: &Case<'_>) -> Option<Told>;
}

/// What a rule of the program's own says. `{run}`, `{workflow}`, `{step}` and `{fingerprint}` in its summary, cause and actions are
/// filled in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    pub(crate) summary: String,
    pub(crate) cause: String,
    pub(crate) confidence: Confidence,
    pub(crate) evidence: Vec<String>,
    pub(crate) inference: Vec<String>,
    pub(crate) actions: Vec<Action>,
    pub(crate) retry: Option<RetrySafety>,
    pub(crate) docs: String,
}

impl Told {
    /// What happened and why, each in one sentence; fairly sure, until said otherwise.
    #[must_use]
    pub fn new(summary: impl Into<String>, cause: impl Into<String>) -> Self {
        Self {
            summary: summary.into(),
            cause: cause.into(),
            confidence: Confidence::Medium,
            ..Self::default()
        }
    }

    /// How sure it is. [`Confidence::High`] without a [`fact`](Self::fact) becomes [`Confidence::Medium`].
    #[must_use]
    pub fn confidence(mut self, confidence: Confidence) -> Self {
        self.confidence = confidence;
        self
    }

    /// Something that was seen.
    #[must_use]
    pub fn fact(mut self, text: impl Into<String>) -> Self {
        self.evidence.push(text.into());
        self
    }

    /// Something that seems to follow.
    #[must_use]
    pub fn inference(mut self, text: impl Into<String>) -> Self {
        self.inference.push(text.into());
        self
    }

    /// Something to do; `safe_to_retry` says whether the step may be tried again once it is done.
    #[must_use]
    pub fn action(mut self, text: impl Into<String>, command: Option<&str>, safe_to_retry: bool) -> Self {
        let (says, command) = (String::new(), command.map(str::to_owned));
        self.actions.push(Action { says, text: text.into(), command, safe_to_retry });
        self
    }

    /// Whether a repetition can do harm; without this word the step's own definition decides.
    #[must_use]
    pub fn retry(mut self, retry: RetrySafety) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Where more is written.
    #[must_use]
    pub fn docs(mut self, place: impl Into<String>) -> Self {
        self.docs = place.into();
        self
    }
}

/// A rule cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleRefused {
    /// Its code is none, or one of the engine's own.
    #[error(transparent)]
    Code(#[from] NotACode),
    /// Another rule has the same code.
    #[error("there is a rule with the code {0:?} already")]
    Twice(String),
}

/// The rules of the program's own, in the order they are asked.
#[derive(Debug, Clone, Default)]
pub struct Rules(Vec<Arc<dyn Diagnose>>);

impl Rules {
    /// No rules: only those of the engine.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// With this rule, after those already there.
    ///
    /// # Errors
    /// [`RuleRefused`] when its code is no code, the engine's, or taken: choose another.
    pub fn with(mut self, rule: impl Diagnose + 'static) -> Result<Self, RuleRefused> {
        let code = rule.code();
        OwnCode::new(code)?;
        if self.0.iter().any(|other| other.code() == code) {
            return Err(RuleRefused::Twice(code.to_owned()));
        }
        self.0.push(Arc::new(rule));
        Ok(self)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &dyn Diagnose> {
        self.0.iter().map(AsRef::as_ref)
    }
}

/// Tests of a rule of the program's own: one for each case that it recognises, and one for each that it must leave alone. A rule
/// without both kinds does not compile.
///
/// ```
/// # use stepwell::diagnosis::evidence::{Case, Dossier};
/// # use stepwell::diagnosis::{Diagnose, Told};
/// # use stepwell::ErrorClass;
/// # #[derive(Debug)]
/// # struct QuotaOfTheDay;
/// # impl Diagnose for QuotaOfTheDay {
/// #     fn code(&self) -> &str { "SHIP0007" }
/// #     fn diagnose(&self, case: &Case<'_>) -> Option<Told> {
/// #         case.failed().filter(|last| last.has_code(&["carrier.quota"])).map(|_| Told::new("a", "b"))
/// #     }
/// # }
/// stepwell::diagnosis_test! {
///     rule: QuotaOfTheDay,
///     recognises: {
///         the_quota_of_the_day => Dossier::failed(ErrorClass::Throttled, Some("carrier.quota"), "500/500"),
///     },
///     leaves: {
///         a_plain_throttling => Dossier::failed(ErrorClass::Throttled, Some("http.429"), "slow down"),
///     },
/// }
/// ```
#[macro_export]
macro_rules! diagnosis_test {
    (
        rule: $rule:expr,
        recognises: { $($positive:ident => $seen:expr),+ $(,)? },
        leaves: { $($decoy:ident => $other:expr),+ $(,)? } $(,)?
    ) => {
        $(
            #[test]
            fn $positive() {
                $crate::diagnosis::user::assert_recognised($rule, &$seen);
            }
        )+
        $(
            #[test]
            fn $decoy() {
                $crate::diagnosis::user::assert_left($rule, &$other);
            }
        )+
    };
}

#[doc(hidden)]
#[track_caller]
#[allow(missing_docs)]
pub fn assert_recognised(rule: impl Diagnose + 'static, dossier: &crate::diagnosis::evidence::Dossier) {
    let diagnosis = of_fixture(rule, dossier);
    let (code, diagnosis) = diagnosis;
    assert_eq!(diagnosis.code, code, "the rule does not recognise it: {diagnosis:#?}");
}

#[doc(hidden)]
#[track_caller]
#[allow(missing_docs)]
pub fn assert_left(rule: impl Diagnose + 'static, dossier: &crate::diagnosis::evidence::Dossier) {
    let (code, diagnosis) = of_fixture(rule, dossier);
    assert_ne!(diagnosis.code, code, "the rule must leave it alone: {diagnosis:#?}");
}

#[track_caller]
fn of_fixture(
    rule: impl Diagnose + 'static,
    dossier: &crate::diagnosis::evidence::Dossier,
) -> (String, crate::diagnosis::Diagnosis) {
    let code = rule.code().to_owned();
    let rules = match Rules::none().with(rule) {
        Ok(rules) => rules,
        Err(refused) => panic!("{refused}"),
    };
    (code, crate::diagnosis::diagnose(&dossier.case(), &rules))
}
