//! `postrider dlq`: looks at dead letters, beside a running postrider or without one, and has them
//! replayed or purged.

mod change;
mod print;

use super::failure::Failure;
use super::place::{Format, Place, say};
use super::{Exit, Global};
use crate::event::{Severity, SeverityScale};
use crate::retry::Reason;
use crate::store::{LetterState, Order, Reader, Selection, StoredLetter};
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};

/// Letters that are read at once.
const PAGE: usize = 256;

/// Letters that `list` shows where no limit is given.
const LIST_LIMIT: u64 = 100;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List dead letters, newest first
    List(Looking),
    /// Show dead letters whole
    Show {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<i64>,
        #[command(flatten)]
        place: Place,
        /// How to print
        #[arg(long, default_value = "table")]
        format: Format,
    },
    /// Put dead letters back on their exports
    Replay(change::Replay),
    /// Delete dead letters
    Purge(change::Purge),
    /// Print dead letters with their events, oldest first, one JSON object a line
    Export(Looking),
    /// Count dead letters by export, reason and state
    Stats(Looking),
}

/// Options of the commands that only look.
#[derive(Debug, Args)]
pub(super) struct Looking {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    filters: Filters,
    /// How to print
    #[arg(long)]
    format: Option<Format>,
}

/// Which dead letters are meant; all of these must hold.
#[derive(Debug, Default, Args)]
pub(super) struct Filters {
    /// Of this export; an empty name means lines that are not events
    #[arg(long, value_name = "NAME")]
    export: Vec<String>,
    /// Of events of this kind; a glob
    #[arg(long, value_name = "K")]
    kind: Vec<String>,
    /// Of events of this severity
    #[arg(long, value_name = "S", value_parser = severity)]
    severity: Vec<Severity>,
    /// Dead for this reason
    #[arg(long, value_name = "R", value_parser = reason)]
    reason: Vec<Reason>,
    /// In this state (dead, replaying, replayed), or with this last HTTP status (503, 5xx)
    #[arg(long, value_name = "S", value_parser = status)]
    status: Vec<Status>,
    /// Buried at this time or later: RFC 3339, or an age such as 2h
    #[arg(long, value_name = "T", value_parser = time)]
    since: Option<Timestamp>,
    /// Buried before this time: RFC 3339, or an age such as 2h
    #[arg(long, value_name = "T", value_parser = time)]
    until: Option<Timestamp>,
    /// With this id
    #[arg(long, value_name = "ID")]
    id: Vec<i64>,
    /// At most so many: the newest where they are listed, else the oldest
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// What `--status` can mean.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Status {
    State(LetterState),
    Http(u16, u16),
}

fn status(word: &str) -> Result<Status, String> {
    if let Some(state) = LetterState::parse(word) {
        return Ok(Status::State(state));
    }
    let range = match word.strip_suffix("xx") {
        Some(class) => class
            .parse()
            .ok()
            .filter(|class| (1..=5).contains(class))
            .map(|class: u16| (class * 100, class * 100 + 99)),
        None => word.parse().ok().filter(|code| (100..600).contains(code)).map(|code| (code, code)),
    };
    range.map(|(first, last)| Status::Http(first, last)).ok_or_else(|| {
        "write dead, replaying or replayed, or an HTTP status such as 503 or 5xx".to_owned()
    })
}

fn severity(word: &str) -> Result<Severity, String> {
    match Severity::read(word, SeverityScale::Syslog) {
        Severity::Unknown if word != "unknown" => {
            Err("write debug, info, notice, warn, error, critical, alert, emergency or unknown"
                .to_owned())
        }
        severity => Ok(severity),
    }
}

fn reason(word: &str) -> Result<Reason, String> {
    Reason::parse(word)
        .ok_or_else(|| format!("write one of {}", Reason::ALL.map(Reason::as_str).join(", ")))
}

fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let wrong = || "write an RFC 3339 time, or an age such as 30m, 2h or 7d".to_owned();
    let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let age = number
        .parse::<i64>()
        .ok()
        .and_then(|number| number.checked_mul(seconds))
        .ok_or_else(wrong)?;
    Timestamp::now().checked_sub(SignedDuration::from_secs(age)).map_err(|_| wrong())
}

impl Filters {
    fn selection(&self) -> Selection {
        let mut selection = Selection {
            exports: self.export.clone(),
            kinds: self.kind.clone(),
            severities: self.severity.clone(),
            min_severity: None,
            reasons: self.reason.clone(),
            since: self.since,
            until: self.until,
            ids: self.id.clone(),
            limit: self.limit,
            ..Selection::default()
        };
        for status in &self.status {
            match *status {
                Status::State(state) => selection.states.push(state),
                Status::Http(first, last) => selection.last_status.push((first, last)),
            }
        }
        selection
    }

    fn is_empty(&self) -> bool {
        self.selection() == Selection::default()
    }
}

pub(super) fn execute(command: &Command, global: &Global) -> Result<Exit, Failure> {
    match command {
        Command::List(options) => list(options, global),
        Command::Show { ids, place, format } => show(ids, &place.reader(global)?, *format),
        Command::Export(options) => export(options, global),
        Command::Stats(options) => stats(options, global),
        Command::Replay(options) => change::replay(options, global),
        Command::Purge(options) => change::purge(options, global),
    }
}

fn list(options: &Looking, global: &Global) -> Result<Exit, Failure> {
    let reader = options.place.reader(global)?;
    let mut selection = options.filters.selection();
    let bounded = selection.limit.is_some();
    let limit = *selection.limit.get_or_insert(LIST_LIMIT);
    let mut letters = Vec::new();
    each_letter(&reader, &selection, Order::NewestFirst, |letter| {
        letters.push(letter);
        Ok(())
    })?;
    match options.format.unwrap_or(Format::Table) {
        Format::Table => say(&print::table(&letters))?,
        Format::Json => say(&print::array(&letters))?,
        Format::Ndjson => letters.iter().try_for_each(|letter| say(&print::line(letter)))?,
    }
    if !bounded && letters.len() as u64 == limit {
        eprintln!("the newest {limit}: `--limit` shows more");
    }
    Ok(Exit::Done)
}

fn show(ids: &[i64], reader: &Reader, format: Format) -> Result<Exit, Failure> {
    let mut missing = false;
    for id in ids {
        match reader.letter(*id).map_err(Failure::new)? {
            Some(letter) => say(&match format {
                Format::Table => print::whole(&letter),
                Format::Json => print::array(std::slice::from_ref(&letter)),
                Format::Ndjson => print::line(&letter),
            })?,
            None => {
                missing = true;
                eprintln!("there is no dead letter {id}");
            }
        }
    }
    Ok(if missing { Exit::Failed } else { Exit::Done })
}

fn export(options: &Looking, global: &Global) -> Result<Exit, Failure> {
    let reader = options.place.reader(global)?;
    let selection = options.filters.selection();
    match options.format.unwrap_or(Format::Ndjson) {
        Format::Ndjson => each_letter(&reader, &selection, Order::OldestFirst, |letter| {
            say(&print::line(&letter))
        })?,
        format => {
            let mut letters = Vec::new();
            each_letter(&reader, &selection, Order::OldestFirst, |letter| {
                letters.push(letter);
                Ok(())
            })?;
            say(&if format == Format::Json {
                print::array(&letters)
            } else {
                print::table(&letters)
            })?;
        }
    }
    Ok(Exit::Done)
}

fn stats(options: &Looking, global: &Global) -> Result<Exit, Failure> {
    let reader = options.place.reader(global)?;
    let stats = reader.stats(&options.filters.selection()).map_err(Failure::new)?;
    match options.format.unwrap_or(Format::Table) {
        Format::Table => say(&print::stats_table(&stats))?,
        Format::Json => say(&print::stats_array(&stats))?,
        Format::Ndjson => stats.iter().try_for_each(|stat| say(&print::stat_line(stat)))?,
    }
    Ok(Exit::Done)
}

/// Reads what a selection means, page by page, in short transactions.
fn each_letter(
    reader: &Reader,
    selection: &Selection,
    order: Order,
    mut take: impl FnMut(StoredLetter) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut left = selection.limit.unwrap_or(u64::MAX);
    let mut after = None;
    let mut skipped = 0;
    while left > 0 {
        let limit = usize::try_from(left).unwrap_or(PAGE).min(PAGE);
        let page = reader.letters(selection, order, after, limit).map_err(Failure::new)?;
        left -= page.items.len() as u64;
        skipped += page.skipped;
        page.items.into_iter().try_for_each(&mut take)?;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    if skipped > 0 {
        eprintln!("{skipped} rows are damaged and left out");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_times() {
        assert_eq!(status("dead"), Ok(Status::State(LetterState::Dead)));
        assert_eq!(status("503"), Ok(Status::Http(503, 503)));
        assert_eq!(status("5xx"), Ok(Status::Http(500, 599)));
        assert!(status("9xx").is_err() && status("99").is_err() && status("gone").is_err());
        assert_eq!(time("2026-01-02T03:04:05Z").unwrap().to_string(), "2026-01-02T03:04:05Z");
        let age = Timestamp::now().duration_since(time("2h").unwrap()).as_secs();
        assert!((7_199..7_210).contains(&age), "{age}");
        for wrong in ["", "h", "2", "2y", "é", "99999999999999999d"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
