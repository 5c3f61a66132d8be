//! Texts cut to what a platform takes, with a word about what is missing.

/// The length of a text in UTF-16 code units: no platform counts a text longer than this, whether
/// it counts characters or units.
pub fn units(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}

/// A text of at most `most` units (see [`units`]); `None` where the text has no more. Cut between
/// characters, never inside of an escape such as `&amp;`, and ended with what is missing, as in
/// `… (1,234 more characters)`; a code span that is cut stays one.
pub fn cut(text: &str, most: usize) -> Option<String> {
    if units(text) <= most {
        return None;
    }
    let close = if text.starts_with('`') && text.ends_with('`') { "`" } else { "" };
    // The longest that the notice can become.
    let reserve = units(&notice(text.chars().count())) + close.len();
    let Some(room) = most.checked_sub(reserve).filter(|room| *room > close.len()) else {
        let room = most.saturating_sub(1);
        let tail = if most > 0 { "…" } else { "" };
        return Some(format!("{}{tail}", &text[..prefix(text, room)]));
    };
    let kept = &text[..prefix(text, room)];
    let missing = text[kept.len()..].chars().count();
    Some(format!("{kept}{close}{}", notice(missing)))
}

fn notice(missing: usize) -> String {
    let what = if missing == 1 { "character" } else { "characters" };
    format!("… ({} more {what})", thousands(missing))
}

/// A number with a comma between each three digits.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const ESCAPES: [&str; 4] = ["&amp;", "&lt;", "&gt;", "&quot;"];

/// Where a prefix of at most `most` units ends that breaks neither a character nor an escape.
fn prefix(text: &str, most: usize) -> usize {
    let mut left = most;
    let mut end = 0;
    for (at, letter) in text.char_indices() {
        let Some(rest) = left.checked_sub(letter.len_utf16()) else { break };
        (left, end) = (rest, at + letter.len_utf8());
    }
    let kept = &text[..end];
    let backslashes = kept.bytes().rev().take_while(|byte| *byte == b'\\').count();
    if !backslashes.is_multiple_of(2) {
        end -= 1;
    }
    // The longest escape is `&quot;`.
    match kept.char_indices().rev().take(6).find(|(_, letter)| matches!(letter, '&' | ';')) {
        Some((at, '&')) if ESCAPES.iter().any(|escape| text[at..].starts_with(escape)) => at,
        _ => end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_cut_says_so() {
        let long = "a".repeat(2000);
        for (text, most, result) in [
            ("short", 5, None),
            ("😀😀", 4, None),
            ("a text that is rather long", 24, Some("a … (24 more characters)")),
            ("😀😀😀😀😀😀😀😀😀😀😀😀😀😀", 27, Some("😀😀… (12 more characters)")),
            ("longer", 3, Some("lo…")),
            ("longer", 1, Some("…")),
            ("longer", 0, Some("")),
            ("abcde&amp;&amp;fghijklmnopqrstuvwxyz", 30, Some("abcde… (31 more characters)")),
            ("abcde\\*fghijklmnopqrstuvwxyzabcd", 28, Some("abcde… (27 more characters)")),
            ("`rm -rf a b c d e f g h i j`", 27, Some("`rm `… (24 more characters)")),
        ] {
            assert_eq!(cut(text, most).as_deref(), result, "{text}");
        }
        assert!(cut(&long, 1000).unwrap().ends_with("a… (1,025 more characters)"));
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }

    proptest! {
        #[test]
        fn no_cut_is_longer_than_it_may_be(text in "\\PC{0,200}|[a&;\\\\`😀]{0,200}", most in 0usize..120) {
            match cut(&text, most) {
                None => prop_assert!(units(&text) <= most),
                Some(cut) => prop_assert!(units(&cut) <= most, "{cut}"),
            }
        }
    }
}
