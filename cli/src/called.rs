//! How this program was called, as far as another call has to say the same: commands that are printed can be pasted.

use stepwell_backends::StoreUrl;
use stepwell_server::quoted;

use crate::args::Place;

/// The flags that say where the runs are and whose. What the environment and the settings file say holds for the next call, too.
#[derive(Debug, Clone, Default)]
pub(crate) struct Called {
    flags: String,
}

impl Called {
    /// As the arguments say.
    pub(crate) fn of(place: &Place) -> Self {
        // A password is not repeated: whoever pastes it writes it again.
        let store = place.store.as_ref().map(|text| match text.parse::<StoreUrl>() {
            Ok(url) => url.to_string(),
            Err(_) => text.clone(),
        });
        let path = |path: &std::path::PathBuf| path.display().to_string();
        let said = [
            ("store", store),
            ("server", place.server.clone()),
            ("token-file", place.token_file.as_ref().map(path)),
            ("config", place.config.as_ref().map(path)),
            ("tenant", place.tenant.clone()),
        ];
        let flags =
            said.into_iter().filter_map(|(name, value)| Some(format!(" --{name} {}", quoted(&value?))));
        Self { flags: flags.collect() }
    }

    /// A command of this program as it has to be called from here, in one line or several. Where a value is meant it names a file:
    /// that of an input is fetched first. What is no command of this program stays as it is.
    pub(crate) fn paste(&self, command: &str) -> Vec<String> {
        let Some(rest) = command.strip_prefix("stepwell ") else { return vec![command.to_owned()] };
        // What a code means is the same everywhere.
        if rest.starts_with("explain ") {
            return vec![command.to_owned()];
        }
        let line = |rest: &str| format!("stepwell{} {rest}", self.flags);
        if let Some(run) = rest.strip_prefix("runs edit-input ").and_then(|rest| rest.strip_suffix(" @FILE"))
        {
            return vec![
                line(&format!("runs input {run} --secrets > input.json")),
                line(&format!("runs edit-input {run} @input.json")),
            ];
        }
        match rest.strip_suffix(" JSON") {
            Some(rest) => vec![line(&format!("{rest} @output.json"))],
            None => vec![line(rest)],
        }
    }

    /// The same for a command of one line.
    pub(crate) fn line(&self, command: &str) -> String {
        self.paste(command).join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_printed_as_it_has_to_be_called_from_here() {
        let place = Place {
            store: Some("redis://u:hunter2@h/0".to_owned()),
            tenant: Some("a b".to_owned()),
            ..Place::default()
        };
        let called = Called::of(&place);
        let rows: [(&str, &[&str]); 4] = [
            ("stepwell runs retry r", &["stepwell --store 'redis://u:***@h/0' --tenant 'a b' runs retry r"]),
            ("stepwell explain SW1203", &["stepwell explain SW1203"]),
            ("timedatectl status", &["timedatectl status"]),
            ("", &[""]),
        ];
        for (command, lines) in rows {
            assert_eq!(called.paste(command), lines);
        }
        let plain = Called::default();
        assert_eq!(
            plain.paste("stepwell runs set-output r pack[2] JSON"),
            ["stepwell runs set-output r pack[2] @output.json"]
        );
        assert_eq!(
            plain.paste("stepwell runs edit-input r @FILE"),
            ["stepwell runs input r --secrets > input.json", "stepwell runs edit-input r @input.json"]
        );
    }
}
