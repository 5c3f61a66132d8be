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
    let (mut body, mut before) = unnoticed(text);
    let close = if body.starts_with('`') && body.ends_with('`') { "`" } else { "" };
    if before == 0
        && let Some(inside) = body.strip_suffix('`').filter(|_| !close.is_empty())
        && let (inside, missing @ 1..) = unnoticed(inside)
    {
        (body, before) = (inside, missing);
    }
    // The longest that the notice can become.
    let reserve = units(&notice(body.chars().count() + before)) + close.len();
    let Some(room) = most.checked_sub(reserve).filter(|room| *room > close.len()) else {
        let room = most.saturating_sub(1);
        let tail = if most > 0 { "…" } else { "" };
        return Some(format!("{}{tail}", &text[..prefix(text, room)]));
    };
    let kept = &body[..prefix(body, room)];
    let missing = body[kept.len()..].chars().count();
    Some(format!("{kept}{close}{}", notice(missing + before)))
}

/// A text without the notice of an earlier cut, and how many characters that says are missing.
fn unnoticed(text: &str) -> (&str, usize) {
    let found = || {
        // Markup may have escaped the brackets.
        let rest = text.strip_suffix(')')?;
        let rest = rest.strip_suffix('\\').unwrap_or(rest);
        let rest = rest.strip_suffix('s').unwrap_or(rest).strip_suffix(" more character")?;
        let digits =
            rest.len() - rest.trim_end_matches(|c: char| c.is_ascii_digit() || c == ',').len();
        let (rest, number) = rest.split_at(rest.len() - digits);
        let rest = rest.strip_suffix('(')?;
        let kept = rest.strip_suffix('\\').unwrap_or(rest).strip_suffix("… ")?;
        Some((kept, number.replace(',', "").parse().ok()?))
    };
    found().unwrap_or((text, 0))
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

    #[test]
    fn a_second_cut_knows_what_the_first_one_took() {
        let long = "a".repeat(5000);
        let once = cut(&long, 2000).unwrap();
        assert!(once.ends_with("a… (3,025 more characters)"), "{once}");
        for once in [once.clone(), once.replace('(', "\\(").replace(')', "\\)")] {
            assert_eq!(cut(&once, 100), cut(&long, 100));
        }
        let spans = [format!("`{once}`"), cut(&format!("`{long}`"), 2000).unwrap()];
        for span in spans {
            let twice = cut(&span, 100).unwrap();
            assert!(twice.starts_with("`aaa") && twice.contains("a`… (4,9"), "{twice}");
        }
        for other in ["… (more characters)", "(5 more characters)", "… (x more characters)", ")"]
        {
            assert_eq!(unnoticed(other), (other, 0));
        }
    }

    proptest! {
        #[test]
        fn no_cut_is_longer_than_it_may_be(text in "\\PC{0,200}|[a&;\\\\`😀]{0,200}|`?[ab]{0,150}… \\(1?2,345 more characters\\)`?", most in 0usize..120) {
            match cut(&text, most) {
                None => prop_assert!(units(&text) <= most),
                Some(cut) => prop_assert!(units(&cut) <= most, "{cut}"),
            }
        }
    }
}
