//! Where a checked array or object ends, told by its brackets alone: a window of bytes at a time,
//! without a look at what they enclose.

use super::plain::{WINDOW, window};
use wide::u8x32;

/// The bit in which `[` and `{` differ, and `]` and `}`.
const CURLY: u8 = 0x20;

/// The length of the array or object that begins here and was checked before; all, where its end
/// is missing.
pub(crate) fn nested_length(bytes: &[u8]) -> usize {
    let mut depth = 0;
    let mut in_string = false;
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let looked = window(rest);
        let found = |bytes: u8x32, byte| bytes.simd_eq(u8x32::splat(byte)).to_bitmask();
        if found(looked, b'\\') != 0 {
            match by_bytes(rest, &mut depth, &mut in_string) {
                Ok(length) => return at + length,
                Err(length) => at += length,
            }
            continue;
        }
        let strings = behind_quotes(found(looked, b'"')) ^ if in_string { u32::MAX } else { 0 };
        let brackets = looked | u8x32::splat(CURLY);
        let opening = found(brackets, b'{') & !strings;
        let closing = found(brackets, b'}') & !strings;
        let mut left = opening | closing;
        while left != 0 {
            let bit = left & left.wrapping_neg();
            if opening & bit != 0 {
                depth += 1;
            } else if depth <= 1 {
                return at + bit.trailing_zeros() as usize + 1;
            } else {
                depth -= 1;
            }
            left ^= bit;
        }
        in_string = strings >> (WINDOW - 1) != 0;
        at += WINDOW;
    }
    bytes.len()
}

/// Which bits have an odd number of ones among themselves and those below: from an opening quote up
/// to the byte before the closing one.
fn behind_quotes(quotes: u32) -> u32 {
    [1, 2, 4, 8, 16].iter().fold(quotes, |bits, shift| bits ^ bits << shift)
}

/// One window, or a byte more where that is escaped: where the value ends, or how many bytes were
/// looked at in vain.
fn by_bytes(rest: &[u8], depth: &mut u32, in_string: &mut bool) -> Result<usize, usize> {
    let mut at = 0;
    while at < WINDOW.min(rest.len()) {
        match rest[at] {
            b'\\' => at += 1,
            b'"' => *in_string = !*in_string,
            b'{' | b'[' if !*in_string => *depth += 1,
            b'}' | b']' if !*in_string => {
                if *depth <= 1 {
                    return Ok(at + 1);
                }
                *depth -= 1;
            }
            _ => {}
        }
        at += 1;
    }
    Err(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::json::Json;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            r#"[a-z"\\{}\[\] \n]{0,40}"#.prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            Just(Value::Null),
        ];
        leaf.prop_recursive(6, 60, 6, |inner| {
            let key = r#"[a-z"\\{}]{0,12}"#;
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..6).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_ends_where_the_checker_says(value in values(), rest in r#"[]}"\\a{]{0,70}"#) {
            let text = value.to_string();
            prop_assume!(text.starts_with(['{', '[']));
            prop_assert_eq!(Json::check(&text).map(Json::text), Ok(&*text));
            prop_assert_eq!(nested_length((text.clone() + &rest).as_bytes()), text.len());
        }

        #[test]
        fn what_was_never_checked_does_no_harm(bytes in prop::collection::vec(
            prop::sample::select(&b"{}[]\"\\a,:"[..]), 0..200)) {
            prop_assert!(nested_length(&bytes) <= bytes.len());
        }
    }

    #[test]
    fn brackets_and_quotes_are_told_at_every_place() {
        for at in 0..70 {
            for inside in ["", "{}", r#""}""#, r#""\"}""#, r#""\\",[1,[2]]"#] {
                let text = format!("[{}{inside}]", " ".repeat(at));
                assert_eq!(nested_length(format!("{text}]}}").as_bytes()), text.len(), "{text}");
            }
        }
    }
}
