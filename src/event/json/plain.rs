//! The plain bytes of a string: how many there are before the next quote, backslash or control
//! character.
//!
//! Many bytes are looked at in one go, as most keys and values fit into it: what a loop costs here
//! is the guess, wrong half of the time, whether it goes on.

use wide::u8x32;

/// Bytes that are looked at in one go.
pub(super) const WINDOW: usize = size_of::<u8x32>();

/// The first window of these bytes, filled up with zeros.
#[inline]
pub(super) fn window(bytes: &[u8]) -> u8x32 {
    match bytes.first_chunk() {
        Some(window) => u8x32::new(*window),
        None => {
            let mut window = [0; WINDOW];
            window[..bytes.len()].copy_from_slice(bytes);
            u8x32::new(window)
        }
    }
}

/// How many bytes stand before the first quote, backslash or control character; all, where there
/// is none.
#[inline]
pub(crate) fn first_special(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((window, more)) = rest.split_first_chunk::<WINDOW>() {
        let found = specials(u8x32::new(*window));
        if found != 0 {
            return bytes.len() - rest.len() + found.trailing_zeros() as usize;
        }
        rest = more;
    }
    bytes.len() - rest.len() + narrow(rest)
}

/// How many quotes there are; `None` where there is a backslash too, which may escape one.
pub(crate) fn quotes(bytes: &[u8]) -> Option<u32> {
    bytes.chunks(WINDOW).try_fold(0, |count, chunk| {
        let window = window(chunk);
        let found = |byte| window.simd_eq(u8x32::splat(byte)).to_bitmask();
        (found(b'\\') == 0).then(|| count + found(b'"').count_ones())
    })
}

/// The quotes, backslashes and control characters among these bytes, one bit for each byte.
#[inline]
fn specials(bytes: u8x32) -> u32 {
    // With this bit turned over, quotes and control characters are the bytes up to a blank.
    let turned = bytes ^ u8x32::splat(0x02);
    let below = turned.min(u8x32::splat(b' ')).simd_eq(turned);
    let backslash = bytes.simd_eq(u8x32::splat(b'\\'));
    (below | backslash).to_bitmask()
}

/// [`first_special`] eight bytes at a time, for what is shorter than a window. Most strings are:
/// postrider is compiled for size, and a call would be a good part of what this costs.
#[inline(always)]
fn narrow(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((chunk, more)) = rest.split_first_chunk::<8>() {
        let found = specials_of_word(u64::from_le_bytes(*chunk));
        if found != 0 {
            return bytes.len() - rest.len() + found.trailing_zeros() as usize / 8;
        }
        rest = more;
    }
    let special = |byte: &u8| matches!(*byte, b'"' | b'\\' | 0..0x20);
    bytes.len() - rest.len() + rest.iter().position(special).unwrap_or(rest.len())
}

/// The high bits of the quotes, backslashes and control characters among eight bytes. A borrow can
/// mark bytes above a real one, never below the lowest.
#[inline]
fn specials_of_word(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let turned = word ^ (ONES * 0x02);
    let below = turned.wrapping_sub(ONES * 0x21) & !turned;
    let differs = word ^ (ONES * b'\\' as u64);
    let backslash = differs.wrapping_sub(ONES) & !differs;
    (below | backslash) & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one_by_one(bytes: &[u8]) -> usize {
        let special = |byte: &u8| matches!(*byte, b'"' | b'\\' | 0..0x20);
        bytes.iter().position(special).unwrap_or(bytes.len())
    }

    #[test]
    fn every_byte_is_told_right_at_every_place() {
        for byte in 0..=u8::MAX {
            for at in 0..70 {
                let mut bytes = [b'a'; 70];
                bytes[at] = byte;
                let expected = one_by_one(&bytes);
                assert_eq!(first_special(&bytes), expected, "{byte:#x} at {at}");
                assert_eq!(narrow(&bytes), expected, "{byte:#x} at {at}, narrow");
            }
        }
    }

    #[test]
    fn quotes_are_counted() {
        for at in 0..70 {
            let mut bytes = [b'a'; 70];
            bytes[at] = b'"';
            bytes[69 - at] = b'"';
            assert_eq!(quotes(&bytes), Some(2), "{at}");
            assert_eq!(quotes(&bytes[..=at]), Some(if at < 35 { 1 } else { 2 }), "{at}");
            bytes[at] = b'\\';
            assert_eq!(quotes(&bytes), None, "{at}");
        }
        assert_eq!(quotes(b""), Some(0));
    }

    proptest! {
        #[test]
        fn all_ways_of_looking_find_the_same(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(first_special(&bytes), one_by_one(&bytes));
            prop_assert_eq!(narrow(&bytes), one_by_one(&bytes));
        }
    }
}
