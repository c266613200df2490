//! `stepwell completions` and `stepwell man`.

use clap_mangen::Man;

use crate::args::grammar;
use crate::args::own::{ManArgs, ShellArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, note};

pub(super) fn completions(args: &ShellArgs, output: Output) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut grammar(), "stepwell", &mut text);
    output.text(String::from_utf8_lossy(&text).trim_end()).map(|()| Exit::Ok)
}

pub(super) fn man(args: &ManArgs, output: Output) -> Result<Exit, Failure> {
    // The groups of the terminal's help are not how a page is laid out.
    let grammar = grammar().help_template("{all-args}");
    match &args.dir {
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .map_err(|error| Failure::other(format!("{}: {error}", folder.display())))?;
            let written = clap_mangen::generate_to(grammar, folder);
            written.map_err(|error| Failure::other(format!("{}: {error}", folder.display())))?;
            note(&format!("the pages are in {}", folder.display()));
        }
        None => {
            let mut text = Vec::new();
            Man::new(grammar).render(&mut text).map_err(Failure::other)?;
            output.text(String::from_utf8_lossy(&text).trim_end())?;
        }
    }
    Ok(Exit::Ok)
}
