//! `postrider exports`: how exports stand, pausing and resuming them; through the control socket of
//! a running postrider, or else in its store, under the lock of the data directory.

use super::failure::Failure;
use super::place::{Format, LOCK_WAIT, Place, say};
use super::table::{cell, lay_out};
use super::{Exit, Global, block_on};
use crate::api::control::{self, ExportRow, Found, Named};
use crate::config;
use crate::export::stored;
use crate::store::{DataDirLock, Reader, Store, StoreError, StoreOptions};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// How each export stands, and what waits for it
    List(List),
    /// Send nothing through these exports until they are resumed; outlives a restart
    Pause(Change),
    /// Send again, at once to receivers that are down or gone too
    Resume(Change),
}

/// Options of `postrider exports list`.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    place: Place,
    /// How to print
    #[arg(long, default_value = "table")]
    format: Format,
}

/// Options of `postrider exports pause` and `resume`.
#[derive(Debug, Args)]
pub(super) struct Change {
    /// Their names
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    place: Place,
}

pub(super) fn execute(command: &Command, global: &Global) -> Result<Exit, Failure> {
    match command {
        Command::List(options) => block_on(list(options, global)),
        Command::Pause(options) => block_on(change(options, global, true)),
        Command::Resume(options) => block_on(change(options, global, false)),
    }
}

async fn list(options: &List, global: &Global) -> Result<Exit, Failure> {
    let data_dir = options.place.data_dir(global)?;
    let running: Option<Vec<ExportRow>> =
        control::ask(&data_dir, "/v1/exports", &json!({})).await.map_err(Failure::new)?;
    let rows = match running {
        Some(rows) => rows,
        None => {
            let still = Still::open(&data_dir, &options.place, global).await?;
            let rows = still.rows().await.map_err(Failure::new);
            still.store.close().await.map_err(Failure::new)?;
            rows?
        }
    };
    match options.format {
        Format::Table => say(&table(&rows))?,
        Format::Json => say(&format!("{:#}\n", json!(rows)))?,
        Format::Ndjson => rows.iter().try_for_each(|row| say(&format!("{}\n", json!(row))))?,
    }
    Ok(Exit::Done)
}

async fn change(options: &Change, global: &Global, pause: bool) -> Result<Exit, Failure> {
    let data_dir = options.place.data_dir(global)?;
    let named = Named { names: options.names.clone() };
    let route = if pause { "/v1/exports/pause" } else { "/v1/exports/resume" };
    let running: Option<Found> =
        control::ask(&data_dir, route, &named).await.map_err(Failure::new)?;
    let found = match running {
        Some(found) => found,
        None => {
            let still = Still::open(&data_dir, &options.place, global).await?;
            let found = still.change(&named.names, pause).await.map_err(Failure::new);
            still.store.close().await.map_err(Failure::new)?;
            found?
        }
    };
    if let Some(unknown) = found.unknown.first() {
        return Err(no_such_export(unknown, &found.known));
    }
    for name in &options.names {
        say(&format!("{} is {}\n", cell(name, 200), if pause { "paused" } else { "resumed" }))?;
    }
    Ok(Exit::Done)
}

/// A name that no export has.
pub(super) fn no_such_export(unknown: &str, known: &[String]) -> Failure {
    let fix = match config::nearest(unknown, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "name the configuration with `-c`".to_owned(),
        None => format!("there are `{}`", known.join("`, `")),
    };
    Failure::usage(format!("there is no export `{}`; nothing was changed", cell(unknown, 200)), fix)
}

/// The store of a postrider that does not run.
struct Still {
    store: Store,
    /// Exports of the configuration, and those of which the store knows anything.
    names: Vec<Arc<str>>,
    /// How many of them are those of the configuration, the first ones.
    configured: usize,
    _lock: DataDirLock,
}

impl Still {
    async fn open(data_dir: &Path, place: &Place, global: &Global) -> Result<Still, Failure> {
        // Before the lock: it would make a file where there is no store.
        Reader::open(data_dir)?;
        let lock = DataDirLock::take(data_dir, LOCK_WAIT).await.map_err(Failure::new)?;
        let store = Store::open_existing(data_dir, StoreOptions::default())?;
        let mut names: Vec<Arc<str>> = Vec::new();
        if !place.is_named() || !global.config.is_empty() {
            let configured = config::load_exports(&global.load_options());
            names.extend(configured.into_iter().map(|export| Arc::from(export.name)));
        }
        let configured = names.len();
        for name in stored::names(&store).await.map_err(Failure::new)? {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(Still { store, names, configured, _lock: lock })
    }

    async fn rows(&self) -> Result<Vec<ExportRow>, StoreError> {
        let mut rows = Vec::new();
        for (index, name) in self.names.iter().enumerate() {
            let standing = stored::standing(&self.store, name).await?;
            let row = ExportRow::new(name, &standing, &self.store);
            let has_any = row.pending > 0 || row.dead_letters > 0 || row.state != "up";
            // Of an export that was renamed or taken out the store keeps its empty totals.
            if index < self.configured || self.configured == 0 || has_any {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    async fn change(&self, names: &[String], pause: bool) -> Result<Found, StoreError> {
        let known = self.names.iter().map(|name| name.to_string()).collect();
        let mut found = Found::new(names, known);
        if self.configured == 0 {
            // Nobody knows which names are right, unless one is nearly that of a known export.
            let known: Vec<_> = self.names.iter().map(|name| &**name).collect();
            found.unknown.retain(|name| {
                let near = config::nearest(name, known.iter().copied()).is_some();
                if !near {
                    let name = cell(name, 200);
                    eprintln!(
                        "no configuration was read that could tell whether `{name}` is right"
                    );
                }
                near
            });
        }
        if found.unknown.is_empty() {
            for name in names {
                let name = Arc::from(name.as_str());
                if pause {
                    stored::pause(&self.store, &name).await?;
                } else {
                    stored::resume(&self.store, &name).await?;
                }
            }
        }
        Ok(found)
    }
}

fn table(rows: &[ExportRow]) -> String {
    let row = |row: &ExportRow| {
        vec![
            cell(&row.name, 60),
            row.state.clone(),
            if row.by_hand { "yes" } else { "-" }.to_owned(),
            row.pending.to_string(),
            row.on_disk.to_string(),
            row.dead_letters.to_string(),
        ]
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    lay_out(&["NAME", "STATE", "BY_HAND", "PENDING", "ON_DISK", "DEAD_LETTERS"], &rows)
}
