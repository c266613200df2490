//! A diagnosis as people read it in a terminal or a log.

use std::fmt;

use crate::diagnosis::text::Language;
use crate::diagnosis::verdict::{Confidence, Diagnosis, RetrySafety};

/// The words around the texts of a diagnosis.
struct Labels {
    why: &'static str,
    seen: &'static str,
    suggests: &'static str,
    todo: &'static str,
    retry: &'static str,
    more: &'static str,
}

const fn labels(language: Language) -> Labels {
    match language {
        Language::English => Labels {
            why: "why",
            seen: "seen",
            suggests: "suggests",
            todo: "to do",
            retry: "trying again",
            more: "more",
        },
        Language::Japanese => Labels {
            why: "原因",
            seen: "事実",
            suggests: "推定",
            todo: "対処",
            retry: "再試行",
            more: "詳細",
        },
    }
}

const fn sureness(confidence: Confidence, language: Language) -> &'static str {
    match (language, confidence) {
        (Language::English, Confidence::Unknown) => "not known",
        (Language::English, Confidence::Low) => "a guess",
        (Language::English, Confidence::Medium) => "likely",
        (Language::English, Confidence::High) => "proven by what was seen",
        (Language::Japanese, Confidence::Unknown) => "不明",
        (Language::Japanese, Confidence::Low) => "可能性あり",
        (Language::Japanese, Confidence::Medium) => "おそらく",
        (Language::Japanese, Confidence::High) => "事実により確定",
    }
}

const fn danger(retry: RetrySafety, language: Language) -> &'static str {
    match (language, retry) {
        (Language::English, RetrySafety::Safe) => "does no harm",
        (Language::English, RetrySafety::Unsafe) => "may repeat an effect that has happened",
        (Language::English, RetrySafety::Unknown) => "nobody can tell whether it does harm",
        (Language::Japanese, RetrySafety::Safe) => "安全",
        (Language::Japanese, RetrySafety::Unsafe) => "既に起きた作用を繰り返すおそれあり",
        (Language::Japanese, RetrySafety::Unknown) => "安全かどうか不明",
    }
}

/// The whole of it, over several lines, in the language of its texts: code and summary; why, and how sure that is; what was
/// seen; what that suggests; what to do, with commands; whether trying again can do harm; where to read on.
impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Labels { why, seen, suggests, todo, retry, more } = labels(self.language);
        writeln!(f, "{} {}", self.code, self.summary)?;
        writeln!(f, "  {why}: {} ({})", self.cause, sureness(self.confidence, self.language))?;
        for (label, sentences) in [(seen, &self.evidence), (suggests, &self.inference)] {
            if !sentences.is_empty() {
                writeln!(f, "  {label}:")?;
            }
            for sentence in sentences {
                writeln!(f, "    - {}", sentence.text)?;
            }
        }
        if !self.actions.is_empty() {
            writeln!(f, "  {todo}:")?;
        }
        for (nth, action) in self.actions.iter().enumerate() {
            writeln!(f, "    {}. {}", nth + 1, action.text)?;
            if let Some(command) = &action.command {
                writeln!(f, "         {command}")?;
            }
        }
        write!(f, "  {retry}: {}", danger(self.retry, self.language))?;
        if self.docs.is_empty() { Ok(()) } else { write!(f, "\n  {more}: {}", self.docs) }
    }
}
