//! The markup of chat platforms: what in a text they would read as more than text, and how it is
//! kept from it.

use serde::Deserialize;
use std::fmt;

/// How a platform marks up text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Markup {
    /// Slack's: `&`, `<` and `>` are control characters, and only they.
    Slack,
    /// Discord's: markdown, and mentions that begin with `@`.
    Discord,
    /// CommonMark and its dialects.
    Markdown,
}

impl Markup {
    /// Writes a text so that it shows as it is.
    pub(super) fn write(self, text: &str, out: &mut dyn fmt::Write) -> fmt::Result {
        match self {
            Markup::Slack => replaced(text, out, &SLACK, |_, byte| match byte {
                b'&' => Some("&amp;"),
                b'<' => Some("&lt;"),
                _ => Some("&gt;"),
            }),
            // A space of no width after `@` keeps it from naming anyone.
            Markup::Discord => replaced(text, out, &DISCORD, |_, byte| match byte {
                b'@' => Some("@\u{200b}"),
                _ => Some(escaped(byte)),
            }),
            Markup::Markdown => replaced(text, out, &MARKDOWN, |before, byte| {
                let marks = match byte {
                    // What opens a line, and what ends a number.
                    b'+' | b'-' | b'=' => before == b'\n',
                    b'.' | b')' => before.is_ascii_digit(),
                    _ => true,
                };
                marks.then(|| escaped(byte))
            }),
        }
    }

    /// The text so that it shows as it is.
    pub(super) fn escaped(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        // Writing into a string cannot fail.
        let _ = self.write(text, &mut out);
        out
    }
}

/// The bytes that may have to be replaced, by their values.
type Marks = [bool; 256];

static SLACK: Marks = marks(b"&<>");
static DISCORD: Marks = marks(b"@\\*_~`|<>[]()#");
static MARKDOWN: Marks = marks(b"\\`*_[]<>#|~!&+-=.)");

const fn marks(bytes: &[u8]) -> Marks {
    let mut marks = [false; 256];
    let mut at = 0;
    while at < bytes.len() {
        marks[bytes[at] as usize] = true;
        at += 1;
    }
    marks
}

/// Writes a text with some of its ASCII characters replaced; the rule is asked about the marked
/// ones, and sees the byte before, a line break at the start.
fn replaced(
    text: &str,
    out: &mut dyn fmt::Write,
    marks: &Marks,
    rule: impl Fn(u8, u8) -> Option<&'static str>,
) -> fmt::Result {
    let bytes = text.as_bytes();
    let (mut start, mut at) = (0, 0);
    while let Some(ahead) = bytes[at..].iter().position(|byte| marks[usize::from(*byte)]) {
        at += ahead;
        let before = if at > 0 { bytes[at - 1] } else { b'\n' };
        if let Some(instead) = rule(before, bytes[at]) {
            out.write_str(&text[start..at])?;
            out.write_str(instead)?;
            start = at + 1;
        }
        at += 1;
    }
    out.write_str(&text[start..])
}

/// A character behind a backslash.
fn escaped(byte: u8) -> &'static str {
    const ESCAPED: &str = "\\\\\\*\\_\\~\\`\\|\\<\\>\\[\\]\\(\\)\\#\\+\\-\\=\\.\\!\\&";
    let at = ESCAPED.bytes().skip(1).step_by(2).position(|known| known == byte);
    at.map_or("", |at| &ESCAPED[2 * at..2 * at + 2])
}

/// The text as a code span: between backticks, with look-alikes for what would end it.
pub(super) fn code_span(text: &str) -> String {
    let mut span = String::with_capacity(text.len() + 2);
    span.push('`');
    for letter in text.trim().chars() {
        match letter {
            '`' => span.push('ˋ'),
            '\n' => span.push('⏎'),
            '\r' => {}
            other => span.push(other),
        }
    }
    span.push('`');
    span
}

/// A URL that may stand as a link's target in any markup: http or https, of at most `most` bytes,
/// with everything percent-encoded that could end the link.
pub(super) fn link(text: &str, most: usize) -> Option<String> {
    let text = text.trim();
    let scheme = |scheme: &str| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    if !scheme("https://") && !scheme("http://") {
        return None;
    }
    let mut link = String::with_capacity(text.len().min(most) + 3);
    for byte in text.bytes() {
        if link.len() > most {
            return None;
        }
        match byte {
            b'!' | b'#'..=b'\'' | b'*'..=b';' | b'=' | b'?'..=b'Z' | b'_' | b'~' => {
                link.push(char::from(byte));
            }
            b'a'..=b'z' => link.push(char::from(byte)),
            _ => link.push_str(&format!("%{byte:02X}")),
        }
    }
    (link.len() <= most).then_some(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_show_as_they_are() {
        for (markup, text, shown) in [
            (Markup::Slack, "a<b>&c *d*", "a&lt;b&gt;&amp;c *d*"),
            (Markup::Slack, "", ""),
            (Markup::Discord, "é*_~`|<>[]()#\\", "é\\*\\_\\~\\`\\|\\<\\>\\[\\]\\(\\)\\#\\\\"),
            (Markup::Discord, "@everyone", "@\u{200b}everyone"),
            (Markup::Markdown, "+ 1. a\n- b-c !&", "\\+ 1\\. a\n\\- b-c \\!\\&"),
            (Markup::Markdown, "=-)", "\\=-)"),
        ] {
            assert_eq!(markup.escaped(text), shown, "{markup:?} {text:?}");
        }
    }

    #[test]
    fn a_code_span_ends_where_its_text_does() {
        for (text, span) in
            [("rm -rf /tmp/*", "`rm -rf /tmp/*`"), ("a`b\r\nc", "`aˋb⏎c`"), ("", "``")]
        {
            assert_eq!(code_span(text), span);
        }
    }

    #[test]
    fn links_are_of_the_web_and_end_where_they_do() {
        let signed = "https://yourserver/approve?id=abc123&sig=...";
        for (text, safe) in [
            (signed, Some(signed)),
            ("HTTP://x/a%20b", Some("HTTP://x/a%20b")),
            ("https://x/) <b>|[c]\"é", Some("https://x/%29%20%3Cb%3E%7C%5Bc%5D%22%C3%A9")),
            ("javascript:alert(1)", None),
            ("ftp://x", None),
            ("", None),
        ] {
            assert_eq!(link(text, 100).as_deref(), safe, "{text}");
        }
        assert_eq!(link(signed, 20), None);
    }
}
