//! Why it failed, pure: evidence in, [`Diagnosis`] out. No waiting, no input or output, no clock, no randomness.
//!
//! Facts are what the engine saw; inference is what follows from them if nothing unseen was at work. They are kept apart, and
//! where the facts carry nothing the answer is `SW9001`: unknown.

mod card;
mod catalogue;
mod compare;
pub mod evidence;
mod finding;
pub mod fingerprint;
mod judge;
mod marks;
mod numbers;
pub mod page;
mod rules;
mod seen;
mod signal;
mod support;
pub mod text;
#[doc(hidden)]
pub mod user;
pub mod verdict;
mod wording;

#[cfg(test)]
mod tests;

pub use evidence::Case;
pub use fingerprint::fingerprint;
pub use judge::diagnose;
pub use page::{Page, explain_code};
pub use text::{Language, Params, Sentence};
pub use user::{Diagnose, RuleRefused, Rules, Told};
pub use verdict::{Action, Confidence, Diagnosis, RetrySafety};
