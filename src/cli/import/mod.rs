//! `postrider import`: another system's own file as a configuration of postrider, and a list of
//! what it cannot carry over.

mod contextforge;
mod foreign;
mod literal;
mod output;
mod rampart;

use super::Exit;
use super::failure::Failure;
use crate::config::{self, LoadOptions, Problems};
use clap::{Args, ValueEnum};
use foreign::Foreign;
use output::Config;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Options of `postrider import`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Whose file it is
    system: System,
    /// The file; `-` for standard input
    file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum System {
    /// A policy file of Rampart with its `notify:`
    Rampart,
    /// The configuration of ContextForge's webhook notification plugin
    Contextforge,
}

/// What became of a file.
struct Imported {
    config: Config,
    /// What could not be carried over, or is done differently.
    notes: Vec<String>,
}

pub(super) fn execute(options: &Options) -> Result<Exit, Failure> {
    let text = read(&options.file)?;
    let file = Foreign::read(&text).map_err(|error| unreadable(&options.file, &error))?;
    let imported = match options.system {
        System::Rampart => rampart::import(file),
        System::Contextforge => contextforge::import(file),
    };
    let Imported { config, notes } = imported.map_err(|error| unreadable(&options.file, &error))?;
    let page = page(options, &config, &notes)?;
    let checked = check(&page);
    std::io::stdout().write_all(page.as_bytes()).map_err(Failure::new)?;
    let mut stderr = std::io::stderr();
    for note in &notes {
        let _ = writeln!(stderr, "note: {note}");
    }
    checked.map(|()| Exit::Done).map_err(|problems| {
        let count = problems.problems.len();
        let s = if count == 1 { "" } else { "s" };
        Failure::new(format_args!(
            "{problems}\nthe configuration that was printed has {count} problem{s}: correct them there"
        ))
    })
}

/// Whether the configuration can be used as it is printed, apart from its variables.
fn check(page: &str) -> Result<(), Problems> {
    let working_dir = std::env::current_dir().unwrap_or_default();
    let options = LoadOptions { no_env: true, working_dir, ..LoadOptions::default() };
    config::load_text("printed.yaml", page, &options).map(drop)
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(MAX_FILE).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
    };
    read.map_err(|error| unreadable(path, &error.to_string()))?;
    Ok(text)
}

fn unreadable(path: &Path, error: &str) -> Failure {
    Failure::usage(format!("{}: {error}", path.display()), "name a file of that system")
}

/// The configuration with what is to be known about it.
fn page(options: &Options, config: &Config, notes: &[String]) -> Result<String, Failure> {
    let name = match options.file.file_name() {
        Some(name) if options.file != Path::new("-") => name.to_string_lossy().into_owned(),
        _ => "standard input".to_owned(),
    };
    let system = match options.system {
        System::Rampart => "Rampart",
        System::Contextforge => "ContextForge",
    };
    let mut page = format!("# Made by `postrider import` from {name}, a file of {system}.\n");
    page.push_str(
        "# Check it with `postrider validate -c FILE`; try it with `postrider render`.\n",
    );
    if !notes.is_empty() {
        page.push_str("#\n# Not carried over, or done differently:\n");
    }
    for note in notes {
        page.push_str(&format!("# - {}\n", note.replace(char::is_control, " ")));
    }
    page.push('\n');
    page.push_str(&serde_saphyr::to_string(config).map_err(Failure::new)?);
    Ok(page)
}
