//! Data files that are part of the program: YAML, read when one is first needed.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads a data file. By way of a tree of values: a reader of YAML for each of the types in these
/// files would be half a megabyte of the program.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    // `no` is a word.
    let options = serde_saphyr::options! { strict_booleans: true };
    let tree: Value =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())?;
    serde_json::from_value(tree).map_err(|error| error.to_string())
}
