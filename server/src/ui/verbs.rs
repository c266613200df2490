//! What can be asked of runs, with its words.

use stepwell::Verb;

use crate::ui::words::runs::Runs;

/// Something that can be asked of a run.
#[derive(Debug)]
pub(crate) struct Deed {
    /// The name in addresses.
    pub(crate) name: &'static str,
    pub(crate) verb: Verb,
    /// Whether it ends the run or changes what is recorded: shown in the colour of danger.
    pub(crate) is_harsh: bool,
    /// Whether a value goes with it.
    pub(crate) takes_value: bool,
    /// Whether whoever asks can call it by a code.
    pub(crate) takes_code: bool,
    /// Whether many runs can be asked at once.
    is_for_many: bool,
}

const fn deed(name: &'static str, verb: Verb) -> Deed {
    Deed { name, verb, is_harsh: false, takes_value: false, takes_code: false, is_for_many: false }
}

/// Everything that people ask of runs, the gentlest first.
pub(crate) const DEEDS: [Deed; 11] = [
    Deed { is_for_many: true, ..deed("resume", Verb::Resume) },
    Deed { is_for_many: true, ..deed("retry", Verb::Retry) },
    Deed { is_for_many: true, takes_code: true, ..deed("pause", Verb::Pause) },
    Deed { takes_code: true, ..deed("interrupt", Verb::Interrupt) },
    Deed { takes_value: true, ..deed("skip", Verb::Skip) },
    Deed { takes_value: true, ..deed("set-output", Verb::SetOutput) },
    deed("restart", Verb::Restart),
    Deed { takes_value: true, ..deed("edit-input", Verb::EditInput) },
    Deed { is_harsh: true, is_for_many: true, ..deed("cancel", Verb::Cancel) },
    Deed { is_harsh: true, ..deed("undo", Verb::Undo) },
    Deed { is_harsh: true, is_for_many: true, ..deed("terminate", Verb::Terminate) },
];

/// What is asked under this name.
pub(crate) fn named(name: &str) -> Option<&'static Deed> {
    DEEDS.iter().find(|deed| deed.name == name)
}

/// A verb that people ask, with its words; the first there is for one that only programs ask.
pub(crate) fn of(verb: Verb) -> &'static Deed {
    DEEDS.iter().find(|deed| deed.verb == verb).unwrap_or(&DEEDS[0])
}

/// What many runs can be asked at once.
pub(crate) fn for_many() -> Vec<&'static Deed> {
    DEEDS.iter().filter(|deed| deed.is_for_many).collect()
}

impl Deed {
    pub(crate) fn is_for_many(&self) -> bool {
        self.is_for_many
    }

    /// The word on its button.
    pub(crate) fn word(&self, t: &Runs) -> &'static str {
        self.texts(t).0
    }

    /// What it does, in a sentence.
    pub(crate) fn does(&self, t: &Runs) -> &'static str {
        self.texts(t).1
    }

    fn texts(&self, t: &Runs) -> (&'static str, &'static str) {
        match self.verb {
            Verb::Resume => (t.verb_resume, t.does_resume),
            Verb::Retry => (t.verb_retry, t.does_retry),
            Verb::Pause => (t.verb_pause, t.does_pause),
            Verb::Interrupt => (t.verb_interrupt, t.does_interrupt),
            Verb::Cancel => (t.verb_cancel, t.does_cancel),
            Verb::Undo => (t.verb_undo, t.does_undo),
            Verb::Terminate => (t.verb_terminate, t.does_terminate),
            Verb::Skip => (t.verb_skip, t.does_skip),
            Verb::SetOutput => (t.verb_set_output, t.does_set_output),
            Verb::Restart => (t.verb_restart, t.does_restart),
            Verb::EditInput => (t.verb_edit_input, t.does_edit_input),
            // The rest is not asked by people.
            Verb::Report | Verb::MergeContext => (self.name, ""),
        }
    }
}
