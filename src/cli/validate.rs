//! `postrider validate`: every problem of the configuration, with its place and what to do.

use super::failure::Failure;
use super::{Exit, Global, block_on};
use crate::config::{self, Destination, Loaded, Problem, Problems};
use crate::sink::webhook::probe;
use clap::{Args, ValueEnum};
use std::io::Write;

/// Options of `postrider validate`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Also resolve each webhook's host, connect, and do the TLS handshake
    #[arg(long)]
    online: bool,
    /// Accept variables that are not set
    #[arg(long)]
    no_env: bool,
    /// Fail on warnings too
    #[arg(long)]
    deny_warnings: bool,
    /// How to print
    #[arg(long, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn execute(options: &Options, global: &Global) -> Result<Exit, Failure> {
    let mut load = global.load_options();
    load.no_env = options.no_env;
    let (mut problems, loaded) = match config::load(&load) {
        Ok(loaded) => {
            (Problems { problems: Vec::new(), warnings: loaded.warnings.clone() }, Some(loaded))
        }
        Err(problems) => (problems, None),
    };
    if let Some(loaded) = loaded.as_ref().filter(|_| options.online) {
        problems.problems.extend(block_on(online(loaded))?);
    }
    let denied = options.deny_warnings && !problems.warnings.is_empty();
    let wrong = !problems.problems.is_empty() || denied;
    print(options.format, &problems, loaded.as_ref().filter(|_| !wrong));
    if wrong { Err(Failure::Said) } else { Ok(Exit::Done) }
}

/// Connects to each webhook's host.
async fn online(loaded: &Loaded) -> Result<Vec<Problem>, Failure> {
    let mut problems = Vec::new();
    for export in &loaded.config.exports {
        let Destination::Webhook(webhook) = &export.destination else { continue };
        if let Err((trouble, error)) = probe(webhook).await {
            let message = format!("{}: {error}", webhook.url.masked());
            let fix = Some(trouble.explain().fix.to_owned());
            let place = loaded.urls.get(&*export.name).cloned();
            problems.extend(place.map(|place| Problem { message, fix, ..place }));
        }
    }
    Ok(problems)
}

fn print(format: Format, problems: &Problems, loaded: Option<&Loaded>) {
    let mut out = std::io::stdout().lock();
    // Whoever closed the pipe does not want the rest.
    let _ = match format {
        Format::Json => {
            let json = serde_json::json!({
                "valid": loaded.is_some(),
                "problems": problems.problems,
                "warnings": problems.warnings,
            });
            writeln!(out, "{json:#}")
        }
        Format::Text => text(&mut out, problems, loaded),
    };
}

fn text(out: &mut impl Write, problems: &Problems, loaded: Option<&Loaded>) -> std::io::Result<()> {
    for problem in &problems.problems {
        writeln!(out, "{problem}")?;
    }
    for warning in &problems.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    if let Some(loaded) = loaded {
        let config = &loaded.config;
        let files: Vec<_> = loaded.files.iter().map(|file| file.display().to_string()).collect();
        let (sources, exports) = (config.sources.len(), config.exports.len());
        writeln!(out, "valid: {} (sources: {sources}, exports: {exports})", files.join(", "))?;
    } else if problems.problems.is_empty() {
        let (count, plural) = (problems.warnings.len(), plural(problems.warnings.len()));
        writeln!(out, "{count} warning{plural}, and `--deny-warnings` takes none")?;
    } else {
        let count = problems.problems.len();
        writeln!(out, "{count} problem{}", plural(count))?;
    }
    Ok(())
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
