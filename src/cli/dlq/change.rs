//! `postrider dlq replay` and `purge`: through the control socket of a running postrider, or else
//! in this process under the lock of the data directory.

use super::Filters;
use crate::api::control::{self, ExportRow, Purged, Replaying};
use crate::cli::exports::no_such_export;
use crate::cli::failure::Failure;
use crate::cli::place::{LOCK_WAIT, Place, say};
use crate::cli::table::cell;
use crate::cli::{Exit, Global, block_on, logging};
use crate::config::{self, LogLevel};
use crate::export::Export;
use crate::metrics::Metrics;
use crate::pipeline::{Handle, Pipeline, ReplayRequest, Scope};
use crate::store::{DataDirLock, LetterState, Reader, ReplayScope, Selection, Store, StoreOptions};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

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

/// Where a replay would put dead letters: on the exports of a running postrider, or else on those
/// of the configuration, of which nothing else is needed.
async fn scope(options: &Replay, data_dir: &Path, global: &Global) -> Result<ReplayScope, Failure> {
    let running: Option<Vec<ExportRow>> =
        control::ask(data_dir, "/v1/exports", &json!({})).await.map_err(Failure::new)?;
    let exports: Vec<String> = match running {
        Some(rows) => rows.into_iter().map(|row| row.name).collect(),
        None => config::load_exports(&global.load_options())
            .into_iter()
            .filter(|export| export.enabled)
            // What stands under a former name is carried over before anything is replayed.
            .flat_map(|export| [export.name].into_iter().chain(export.former_names))
            .collect(),
    };
    let orphans_to = options.to.as_deref().map(Arc::from);
    Ok(ReplayScope { exports: exports.into_iter().map(Arc::from).collect(), orphans_to })
}

/// Tells of the dead letters that cannot be replayed, and why. Those that are named are told of by
/// who looks for them.
fn tell_left(reader: &Reader, selection: &Selection, scope: &ReplayScope) -> Result<(), Failure> {
    if !selection.ids.is_empty() {
        return Ok(());
    }
    let dead = Selection { states: vec![LetterState::Dead], ..selection.clone() };
    let mut no_events = 0;
    let mut gone: BTreeMap<String, u64> = BTreeMap::new();
    for stat in reader.stats(&dead)? {
        match stat.export {
            None => no_events += stat.letters,
            Some(export) if scope.exports.iter().any(|known| **known == *export) => {}
            Some(_) if scope.orphans_to.is_some() => {}
            Some(export) => *gone.entry(export.to_string()).or_default() += stat.letters,
        }
    }
    if no_events > 0 {
        let lines = if no_events == 1 {
            "it is a line that is no event"
        } else {
            "they are lines that are no events"
        };
        eprintln!("{} be replayed: {lines}", count(no_events, "cannot", "cannot"));
    }
    for (export, letters) in gone {
        eprintln!(
            "{} be replayed: there is no export `{}` now; `--to EXPORT` sends them through another",
            count(letters, "cannot", "cannot"),
            cell(&export, 200)
        );
    }
    Ok(())
}

pub(super) fn replay(options: &Replay, global: &Global) -> Result<Exit, Failure> {
    let data_dir = options.place.data_dir(global)?;
    let selection = options.filters.selection();
    let reader = Reader::open(&data_dir)?;
    let scope = block_on(scope(options, &data_dir, global))?;
    if options.dry_run {
        let letters = reader.count_replayable(&selection, &scope)?;
        say(&format!("{} be replayed\n", count(letters, "would", "would")))?;
        tell_left(&reader, &selection, &scope)?;
        return Ok(Exit::Done);
    }
    tell_left(&reader, &selection, &scope)?;
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
    let pipeline = Pipeline::start(&config, Scope::Exports, Metrics::new(&loaded.hash)).await?;
    let exports = pipeline.handle().exports();
    // No source brings anything: a receiver that was down or gone is tried at once.
    exports.iter().for_each(|export| export.lift_barriers());
    let stop = CancellationToken::new();
    let replayed = replay_through(&pipeline.handle(), &exports, request, reader).await;
    if replayed.is_err() {
        // Nobody waits for the rest, which goes on at the next start. It comes to its end all the
        // same, so that what was delivered is not replayed again.
        stop.cancel();
    }
    let ending = pipeline.run(stop).await;
    let Replayed { letters, waiting } = replayed?;
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

/// How many letters were replayed, and how many wait for an export that is paused by hand.
struct Replayed {
    letters: u64,
    waiting: u64,
}

/// Marks the letters, says so, and waits until none of them is being replayed any more.
async fn replay_through(
    pipeline: &Handle,
    exports: &[Arc<Export>],
    request: ReplayRequest,
    reader: &Reader,
) -> Result<Replayed, Failure> {
    let marked = pipeline.replay(request).await.map_err(Failure::new)?;
    let by_export: BTreeMap<_, _> =
        marked.by_export.iter().map(|(export, letters)| (export.to_string(), *letters)).collect();
    let (paused, exports): (Vec<_>, Vec<_>) =
        exports.iter().partition(|export| export.standing().by_hand);
    let waiting: u64 = paused.iter().filter_map(|export| by_export.get(&**export.name())).sum();
    tell(&Replaying { by_export, refused: marked.refused, only: None })?;
    let exports = exports.iter().map(|export| export.name().to_string()).collect();
    let letters = marked.letters().saturating_sub(waiting);
    wait(reader, exports, letters).await?;
    Ok(Replayed { letters, waiting })
}

fn tell(replaying: &Replaying) -> Result<(), Failure> {
    if replaying.by_export.is_empty() {
        say("no dead letters that can be replayed\n")?;
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
    let letters = Reader::open(&data_dir).and_then(|reader| reader.count(&selection))?;
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
                let store = Store::open_existing(&data_dir, StoreOptions::default())?;
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
