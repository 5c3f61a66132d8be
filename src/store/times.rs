//! Times as the store keeps them: Unix milliseconds.

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Error, Row};

/// The time in a column; one that no calendar has is a damaged row.
pub(super) fn get(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    time(row.get(column)?, column)
}

/// The time in a column that may be empty.
pub(super) fn get_option(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column)?.map(|ms| time(ms, column)).transpose()
}

fn time(ms: i64, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(ms)
        .map_err(|error| Error::FromSqlConversionFailure(column, Type::Integer, Box::new(error)))
}

/// The time for people and programs, RFC 3339 with milliseconds.
pub(super) fn text(ms: i64) -> String {
    format!("{:.3}", Timestamp::from_millisecond(ms).unwrap_or_default())
}
