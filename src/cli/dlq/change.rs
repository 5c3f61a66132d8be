//! `postrider dlq replay` and `purge`: through the control socket of a running postrider, or else
//! in this process under the lock of the data directory.

use super::Filters;
use crate::api::control::{self, Purged, Replaying};
use crate::cli::exports::no_such_export;
use crate::cli::failure::Failure;
use crate::cli::place::{LOCK_WAIT, Place, say};
use crate::cli::{Exit, Global, block_on, logging};
use crate::config::{self, LogLevel};
use crate::metrics::Metrics;
use crate::pipeline::{Pipeline, ReplayRequest, Scope};
use crate::store::{DataDirLock, LetterState, Reader, Selection, Store, StoreOptions};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

/// How often a waiting command looks how far a replay is.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Options of `postrider dlq replay`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Replay {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    filters: Filters,
    /// At most so many a second and export
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Only say how many there are
    #[arg(long)]
    dry_run: bool,
    /// Replay dead letters of exports that no longer exist, through this one
    #[arg(long, value_name = "EXPORT")]
    to: Option<String>,
}

/// Options of `postrider dlq purge`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Purge {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    filters: Filters,
    /// Delete all of them
    #[arg(long)]
    all: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Only say how many there are
    #[arg(long)]
    dry_run: bool,
}

/// What a selection of dead letters to replay can mean.
fn replayable(selection: &Selection) -> Selection {
    Selection { states: vec![LetterState::Dead], ..selection.clone() }
}

pub(super) fn replay(options: &Replay, global: &Global) -> Result<Exit, Failure> {
    let data_dir = options.place.data_dir(global)?;
    let selection = options.filters.selection();
    let reader = Reader::open(&data_dir).map_err(Failure::new)?;
    if options.dry_run {
        let letters = reader.count(&replayable(&selection)).map_err(Failure::new)?;
        say(&format!("{} be replayed\n", count(letters, "would", "would")))?;
        return Ok(Exit::Done);
    }
    let request = ReplayRequest { selection, to: options.to.clone(), rate: options.rate };
    block_on(async {
        match control::ask::<Replaying>(&data_dir, "/v1/replay", &request)
            .await
            .map_err(Failure::new)?
        {
            Some(Replaying { only: Some(known), .. }) => {
                Err(no_such_export(options.to.as_deref().unwrap_or_default(), &known))
            }
            Some(replaying) => beside(&replaying, &reader).await,
            None => alone(&data_dir, request, &reader, global).await,
        }
    })
}

/// The running postrider replays; only somebody at a terminal waits for it.
async fn beside(replaying: &Replaying, reader: &Reader) -> Result<Exit, Failure> {
    tell(replaying)?;
    if !replaying.by_export.is_empty() && std::io::stderr().is_terminal() {
        wait(
            reader,
            replaying.by_export.keys().cloned().collect(),
            replaying.by_export.values().sum(),
        )
        .await?;
    }
    Ok(Exit::Done)
}

/// This process replays, and waits for the outcome.
async fn alone(
    data_dir: &Path,
    request: ReplayRequest,
    reader: &Reader,
    global: &Global,
) -> Result<Exit, Failure> {
    let loaded = config::load(&global.load_options())?;
    let mut config = loaded.config;
    if let Some(to) = &request.to {
        let known: Vec<_> = config.exports.iter().map(|export| export.name.to_string()).collect();
        if !known.contains(to) {
            return Err(no_such_export(to, &known));
        }
    }
    config.data_dir = data_dir.to_owned();
    config.log.level = global.level(LogLevel::Warn);
    logging::start(config.log);
    let _lock = DataDirLock::take(data_dir, LOCK_WAIT).await.map_err(Failure::new)?;
    let pipeline = Pipeline::start(&config, Scope::Exports, Metrics::new(&loaded.hash))
        .await
        .map_err(Failure::new)?;
    let exports = pipeline.handle().exports();
    // No source brings anything: a receiver that was down or gone is tried at once.
    exports.iter().for_each(|export| export.lift_barriers());
    let marked = pipeline.handle().replay(request).await.map_err(Failure::new)?;
    let by_export: BTreeMap<_, _> =
        marked.by_export.iter().map(|(export, letters)| (export.to_string(), *letters)).collect();
    let (paused, exports): (Vec<_>, Vec<_>) =
        exports.iter().partition(|export| export.standing().by_hand);
    let waiting: u64 = paused.iter().filter_map(|export| by_export.get(&**export.name())).sum();
    tell(&Replaying { by_export, refused: marked.refused, only: None })?;
    let exports = exports.iter().map(|export| export.name().to_string()).collect();
    let letters = marked.letters().saturating_sub(waiting);
    wait(reader, exports, letters).await?;
    let ending = pipeline.run(tokio_util::sync::CancellationToken::new()).await;
    say(&format!(
        "{} delivered, {} dead again\n",
        letters.saturating_sub(ending.buried),
        ending.buried
    ))?;
    if waiting > 0 {
        eprintln!(
            "{} until the export is resumed and postrider runs: it was paused by hand",
            count(waiting, "waits", "wait")
        );
    }
    Ok(match ending {
        ending if ending.failed || ending.lost > 0 => Exit::Failed,
        ending if ending.buried > 0 || waiting > 0 => Exit::LeftInStore,
        _ => Exit::Done,
    })
}

fn tell(replaying: &Replaying) -> Result<(), Failure> {
    if replaying.by_export.is_empty() {
        say("no dead letters to replay\n")?;
    }
    for (export, letters) in &replaying.by_export {
        say(&format!("{} back on {export}\n", count(*letters, "goes", "go")))?;
    }
    if replaying.refused > 0 {
        eprintln!(
            "{} cannot be replayed: not dead, not an event, or of an export that does not exist (`--to` names another)",
            replaying.refused
        );
    }
    Ok(())
}

/// Waits until no letter of these exports is being replayed any more, with a bar where somebody
/// watches.
async fn wait(reader: &Reader, exports: Vec<String>, letters: u64) -> Result<(), Failure> {
    let bar = if std::io::stderr().is_terminal() {
        ProgressBar::new(letters)
    } else {
        ProgressBar::hidden()
    };
    if let Ok(style) =
        ProgressStyle::with_template("replaying {bar:40} {pos}/{len} {per_sec} {eta}")
    {
        bar.set_style(style);
    }
    let replaying =
        Selection { exports, states: vec![LetterState::Replaying], ..Selection::default() };
    loop {
        let left = reader.count(&replaying).map_err(Failure::new)?;
        bar.set_position(letters.saturating_sub(left));
        if left == 0 {
            bar.finish_and_clear();
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

pub(super) fn purge(options: &Purge, global: &Global) -> Result<Exit, Failure> {
    if options.filters.is_empty() && !options.all {
        return Err(Failure::usage(
            "nothing says which dead letters to delete",
            "give a filter, or `--all`",
        ));
    }
    let data_dir = options.place.data_dir(global)?;
    let selection = options.filters.selection();
    let letters = Reader::open(&data_dir)
        .and_then(|reader| reader.count(&selection))
        .map_err(Failure::new)?;
    if options.dry_run {
        say(&format!("{} be deleted\n", count(letters, "would", "would")))?;
        return Ok(Exit::Done);
    }
    if !options.yes && std::io::stdin().is_terminal() && !confirmed(letters)? {
        return Ok(Exit::Failed);
    }
    let purged = block_on(async {
        match control::ask::<Purged>(&data_dir, "/v1/purge", &selection)
            .await
            .map_err(Failure::new)?
        {
            Some(purged) => Ok(purged.letters),
            None => {
                let _lock = DataDirLock::take(&data_dir, LOCK_WAIT).await.map_err(Failure::new)?;
                let store = Store::open_existing(&data_dir, StoreOptions::default())
                    .map_err(Failure::new)?;
                let purged = store.purge(&selection).await.map_err(Failure::new)?;
                store.close().await.map_err(Failure::new)?;
                Ok(purged)
            }
        }
    })?;
    say(&format!("{} deleted\n", count(purged, "was", "were")))?;
    Ok(Exit::Done)
}

/// So many dead letters, and what they do.
fn count(letters: u64, one: &str, more: &str) -> String {
    if letters == 1 {
        format!("1 dead letter {one}")
    } else {
        format!("{letters} dead letters {more}")
    }
}

fn confirmed(letters: u64) -> Result<bool, Failure> {
    eprint!("delete {letters} dead letters? [y/N] ");
    std::io::stderr().flush().map_err(Failure::new)?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(Failure::new)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
