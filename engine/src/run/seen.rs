//! What the engine saw of an attempt that failed, at the moment of it.

use serde::{Deserialize, Serialize};
use stepwell_contract::Timestamp;

use crate::diagnosis::evidence::{EnvironmentFact, ErrorLink};
use crate::run::notes::{Progress, within};

/// Longest backtrace kept, in bytes.
pub const BACKTRACE_BYTES_MAX: usize = 8 << 10;
/// Longest cursor shown, in bytes.
pub const CURSOR_BYTES_MAX: usize = 1 << 10;
/// Most errors of a chain kept.
pub const LINKS_MAX: usize = 16;
/// Longest text of one error of a chain, in bytes.
pub const LINK_BYTES_MAX: usize = 1 << 10;
/// Most facts about the surroundings kept.
pub const FACTS_MAX: usize = 24;

/// What the engine saw of an attempt that failed, at the moment of it. What the platform or the step did not tell is missing.
/// Texts are bounded and without secrets. What the step logged is in its own events.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Seen {
    /// The host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The version of the code, as the program names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_version: Option<String>,
    /// The size of the input, in bytes of JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_bytes: Option<u64>,
    /// The first 16 digits of the SHA-256 of the input's JSON, in hexadecimal: the same for the same input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_hash: Option<String>,
    /// The size of an output that was refused, in bytes of JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// The error and its sources with what their types tell, the outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<ErrorLink>,
    /// Where it panicked, as `file:line:column`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panic_at: Option<String>,
    /// The backtrace of the panic, where the program was started so that there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backtrace: Option<String>,
    /// The last cursor, shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The last progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// When the step last gave a sign of life, later than its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_of_life_at: Option<Timestamp>,
    /// Processor time that its process used meanwhile, in milliseconds: all that the attempt can have used. Left out where
    /// other runs were under way and it would say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// The longest that it kept its thread without giving it back, in milliseconds; left out below what counts as blocking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_ms: Option<u64>,
    /// The most memory that its process has held since it was started, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rss_peak_bytes: Option<u64>,
    /// What was found out about its surroundings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<EnvironmentFact>,
}

impl Seen {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The same within bounds: together with the worst failure it fits one record.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.chain.truncate(LINKS_MAX);
        for link in &mut self.chain {
            link.text = within(std::mem::take(&mut link.text), LINK_BYTES_MAX);
        }
        self.backtrace = self.backtrace.map(|text| within(text, BACKTRACE_BYTES_MAX));
        self.cursor = self.cursor.map(|text| within(text, CURSOR_BYTES_MAX));
        self.environment.truncate(FACTS_MAX);
        self
    }
}
