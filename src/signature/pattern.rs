//! Texts with tokens, such as `t={timestamp},v1={hex}`: written into a header, found in one again,
//! and spelling out what is signed.

use super::{Algorithm, Tag, from_hex};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What a token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// The signature in lower-case hexadecimal digits.
    Hex,
    /// The signature in standard base64.
    Base64,
    /// The name of the hash function.
    Algorithm,
    /// The time of the attempt, in Unix seconds.
    Timestamp,
    /// The delivery's id.
    Id,
    /// The body's bytes, as they are sent.
    Body,
}

/// Every token as it is written.
const TOKENS: [(&str, Token); 6] = [
    ("{hex}", Token::Hex),
    ("{base64}", Token::Base64),
    ("{algorithm}", Token::Algorithm),
    ("{timestamp}", Token::Timestamp),
    ("{id}", Token::Id),
    ("{body}", Token::Body),
];

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text as it stands.
    Text(String),
    /// What an attempt fills in.
    Token(Token),
}

/// A text with tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Braces around another word.
    #[error("there is no `{0}`")]
    UnknownToken(String),
    /// Two tokens that no receiver can tell apart again.
    #[error("nothing stands between two tokens")]
    Adjacent,
}

/// What the tokens of one attempt stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) algorithm: Algorithm,
    /// Unix seconds in decimal.
    pub(super) timestamp: &'a str,
    pub(super) id: &'a str,
}

/// What a received header holds in the places of its tokens.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub(super) tag: Vec<u8>,
    pub(super) timestamp: Option<&'a str>,
    pub(super) id: Option<&'a str>,
}

impl Pattern {
    /// Reads a pattern: `{hex} {base64} {algorithm} {timestamp} {id} {body}` are its tokens,
    /// everything else is text.
    ///
    /// # Errors
    /// When braces hold another word.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            plain.push_str(&rest[..open]);
            rest = &rest[open..];
            let token = TOKENS.iter().find(|(written, _)| rest.starts_with(written));
            if let Some((written, token)) = token {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Token(*token));
                rest = &rest[written.len()..];
                continue;
            }
            let word = rest[1..].split_once('}').map(|(word, _)| word);
            let word = word.filter(|word| word.chars().all(|c| c.is_alphanumeric() || c == '_'));
            if let Some(word) = word.filter(|word| !word.is_empty()) {
                return Err(PatternError::UnknownToken(format!("{{{word}}}")));
            }
            plain.push('{');
            rest = &rest[1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Pattern(parts))
    }

    /// Reads a pattern that a receiver takes apart again.
    ///
    /// # Errors
    /// As [`Pattern::parse`], and when two tokens stand side by side.
    pub fn parse_header(text: &str) -> Result<Pattern, PatternError> {
        let pattern = Pattern::parse(text)?;
        // The algorithm's name is known beforehand: it parts others as text does.
        let open = |part: &Part| matches!(part, Part::Token(token) if *token != Token::Algorithm);
        let adjacent = |pair: &[Part]| open(&pair[0]) && open(&pair[1]);
        match pattern.0.windows(2).any(adjacent) {
            true => Err(PatternError::Adjacent),
            false => Ok(pattern),
        }
    }

    /// A text with one token behind it.
    pub(super) fn before(text: &str, token: Token) -> Pattern {
        let text = Some(text).filter(|text| !text.is_empty());
        let text = text.map(|text| Part::Text(text.to_owned()));
        Pattern(text.into_iter().chain([Part::Token(token)]).collect())
    }

    /// Its pieces, in order.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// Whether a token stands in it.
    pub fn has(&self, token: Token) -> bool {
        self.0.contains(&Part::Token(token))
    }

    /// The header's value with everything in place.
    pub(super) fn write(&self, tag: &Tag, values: Values<'_>) -> String {
        let mut out = String::with_capacity(160);
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Token(Token::Hex) => out.push_str(&tag.hex()),
                Part::Token(Token::Base64) => out.push_str(&tag.base64()),
                Part::Token(Token::Algorithm) => out.push_str(values.algorithm.name()),
                Part::Token(Token::Timestamp) => out.push_str(values.timestamp),
                Part::Token(Token::Id) => out.push_str(values.id),
                // No header holds a body; `config` refuses such a pattern.
                Part::Token(Token::Body) => {}
            }
        }
        out
    }

    /// What is signed, in pieces: the body is not copied.
    pub(super) fn message<'a>(
        &'a self,
        body: &'a [u8],
        values: Values<'a>,
    ) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().map(move |part| match part {
            Part::Text(text) => text.as_bytes(),
            Part::Token(Token::Body) => body,
            Part::Token(Token::Algorithm) => values.algorithm.name().as_bytes(),
            Part::Token(Token::Timestamp) => values.timestamp.as_bytes(),
            Part::Token(Token::Id) => values.id.as_bytes(),
            // A signature cannot cover itself; `config` refuses such a pattern.
            Part::Token(Token::Hex | Token::Base64) => &[],
        })
    }

    /// Finds in a received header what its tokens stand for; `None` if it has another form.
    pub(super) fn find<'a>(&self, header: &'a str, algorithm: Algorithm) -> Option<Found<'a>> {
        let mut found = Found::default();
        let mut rest = header;
        for (index, part) in self.0.iter().enumerate() {
            let token = match part {
                Part::Text(text) => {
                    rest = rest.strip_prefix(text.as_str())?;
                    continue;
                }
                Part::Token(Token::Algorithm) => {
                    rest = rest.strip_prefix(algorithm.name())?;
                    continue;
                }
                Part::Token(token) => token,
            };
            // A token reaches to the text behind it, or to the end.
            let end = match self.0.get(index + 1) {
                Some(Part::Text(text)) => rest.find(text.as_str())?,
                Some(Part::Token(_)) => rest.find(algorithm.name())?,
                None => rest.len(),
            };
            let value;
            (value, rest) = rest.split_at(end);
            match token {
                Token::Hex => found.tag = from_hex(value)?,
                Token::Base64 => found.tag = STANDARD.decode(value).ok()?,
                Token::Timestamp => found.timestamp = Some(value),
                Token::Id => found.id = Some(value),
                Token::Algorithm | Token::Body => {}
            }
        }
        rest.is_empty().then_some(found)
    }
}
