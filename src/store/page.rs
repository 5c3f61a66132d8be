//! Reading rows in pages that are bounded in number and bytes. A row that is not what this program
//! writes is skipped and counted: it must not keep the others from being read.

use super::StoreError;
use rusqlite::{Error, ErrorCode, Row, Rows};

/// A page that has read this many bytes takes no further row.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Some rows, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What was read.
    pub items: Vec<T>,
    /// Rows that could not be understood and were left out.
    pub skipped: usize,
    /// Where the next page starts: hand it in as `after`. `None`: there is no further row.
    pub next: Option<i64>,
}

/// Reads at most `limit` rows, whose first column is the cursor, from a query that was given
/// [`sql_limit`].
pub(super) fn read<T>(
    mut rows: Rows<'_>,
    limit: usize,
    item: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Page<T>, StoreError> {
    let mut page = Page { items: Vec::new(), skipped: 0, next: None };
    let (mut bytes, mut read) = (0, 0);
    let mut last = None;
    while let Some(row) = rows.next()? {
        if read == limit || bytes >= MAX_BYTES {
            page.next = last;
            break;
        }
        read += 1;
        last = Some(row.get(0)?);
        bytes += size(row);
        match item(row) {
            Ok(item) => page.items.push(item),
            Err(error) if is_foreign(&error) => page.skipped += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(page)
}

/// One row more than asked for tells whether there is another page.
pub(super) fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}

/// The bytes of the last column, which holds a row's text.
fn size(row: &Row<'_>) -> usize {
    let last = row.as_ref().column_count().saturating_sub(1);
    row.get_ref(last).ok().and_then(|value| value.as_bytes_or_null().ok()?).map_or(0, <[u8]>::len)
}

/// Whether the row, not the store, is to blame.
pub(super) fn is_foreign(error: &Error) -> bool {
    matches!(
        error,
        Error::FromSqlConversionFailure(..)
            | Error::InvalidColumnType(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::Utf8Error(..)
    )
}

/// What was read of a row; `None` where the row, not the store, is to blame.
pub(super) fn known<T>(read: rusqlite::Result<T>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(known) => Ok(Some(known)),
        Err(error) if is_foreign(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a row, not the store, is why it could not be written.
pub(super) fn is_of_row(error: &Error) -> bool {
    is_foreign(error)
        || matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
        )
}

/// The error of a value in `column` that this program never writes.
pub(super) fn foreign(column: usize, what: &'static str) -> Error {
    Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, what.into())
}
