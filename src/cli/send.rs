//! `postrider send`: standard input to one webhook, without a configuration.

use super::failure::Failure;
use super::{Exit, Global, run};
use crate::pipeline::Ending;
use crate::presets;
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Options of `postrider send`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Where to send
    #[arg(long, value_name = "URL")]
    to: String,
    /// Whose webhook it is; by the URL's host
    #[arg(long, default_value = presets::AUTO, value_name = "P",
        value_parser = PossibleValuesParser::new(presets::names()))]
    platform: String,
    /// Least severity to send
    #[arg(long, value_name = "S")]
    min_severity: Option<String>,
    /// Kinds to send; globs
    #[arg(long, value_name = "K")]
    kind: Vec<String>,
}

pub(super) fn execute(options: &Options, global: &Global) -> Result<Exit, Failure> {
    let folder = folder()?;
    let file = folder.join("postrider.json");
    write_configuration(&file, options)
        .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
    let global = Global { config: vec![file.clone()], log_level: level(global), ..global.clone() };
    let ended = run::carry(&run::Options::default(), &global);
    match &ended {
        Ok(ending) if ending.buried > 0 || ending.kept > 0 => kept(ending, &folder, &file),
        // Nothing is left in it that anybody could want.
        _ => drop(std::fs::remove_dir_all(&folder)),
    }
    ended.map(run::exit).map_err(of_options)
}

/// Problems of the configuration as those of the options that it was made from.
fn of_options(failure: Failure) -> Failure {
    let Failure::Configuration(mut problems) = failure else { return failure };
    for problem in &mut problems.problems {
        let options = [
            ("exports[0].webhook.url", "--to"),
            ("exports[0].webhook.platform", "--platform"),
            ("exports[0].filters.min_severity", "--min-severity"),
            ("exports[0].filters.event_kinds", "--kind"),
        ];
        let option = options.iter().find(|(key, _)| problem.key.starts_with(key));
        if let Some((_, option)) = option {
            (problem.line, problem.column) = (None, None);
            (problem.origin, problem.key) = ((*option).to_owned(), String::new());
        }
    }
    Failure::Configuration(problems)
}

/// Says where the store is that holds what was not delivered: also where this was stopped.
fn kept(ending: &Ending, folder: &Path, file: &Path) {
    let (folder, file) = (folder.display(), file.display());
    if ending.buried > 0 {
        eprintln!(
            "what could not be delivered is kept: postrider dlq list -c {file}, postrider dlq replay -c {file}"
        );
    }
    if ending.kept > 0 {
        eprintln!("what still waits is kept: postrider run -c {file} </dev/null sends it");
    }
    eprintln!("that file holds the URL: remove {folder} when you are done");
}

/// A folder of this run's own, for its store.
fn folder() -> Result<PathBuf, Failure> {
    let name = format!("postrider-send-{}", crate::event::StreamId::random());
    let folder = std::env::temp_dir().join(name);
    DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
    Ok(folder)
}

/// Only faults are said, but where more is asked for.
fn level(global: &Global) -> Option<String> {
    let asked = global.verbose > 0 || global.quiet;
    global.log_level.clone().or_else(|| (!asked).then(|| "warn".to_owned()))
}

fn write_configuration(file: &Path, options: &Options) -> std::io::Result<()> {
    let mut filters = serde_json::Map::new();
    if let Some(severity) = &options.min_severity {
        filters.insert("min_severity".to_owned(), severity.as_str().into());
    }
    if !options.kind.is_empty() {
        filters.insert("event_kinds".to_owned(), options.kind.clone().into());
    }
    let config = json!({
        "data_dir": "data",
        "admin": false,
        "exports": [{
            "name": "send",
            "destination": "webhook",
            "webhook": { "url": options.to, "platform": options.platform },
            "filters": filters,
        }],
    });
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    file.write_all(config.to_string().as_bytes())
}
