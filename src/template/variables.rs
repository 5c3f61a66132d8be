//! `${NAME}` in a template's text: finding it and naming what it stands for. The values are put in
//! by the engine like any other value, never into the text.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// A piece of a text with variables.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    /// What is written between the braces, and the variable's value.
    Variable(&'a str, &'a str),
}

/// What is wrong with a `${`, and at which byte of the text.
#[derive(Debug, PartialEq)]
pub(super) struct Missing {
    pub(super) at: usize,
    pub(super) message: String,
}

/// Takes a text apart at its variables. `$${` is the text `${`.
pub(super) fn pieces<'a>(
    text: &'a str,
    variables: &'a BTreeMap<String, String>,
) -> Result<Vec<Piece<'a>>, Missing> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut from = 0;
    while let Some(found) = text[from..].find("${") {
        let at = from + found;
        if text[start..at].ends_with('$') {
            pieces.push(Piece::Text(&text[start..at - 1]));
            (start, from) = (at, at + 2);
            continue;
        }
        let Some(length) = text[at..].find('}') else {
            let message = "`${` without its `}`".to_owned();
            return Err(Missing { at, message });
        };
        let name = &text[at + 2..at + length];
        let Some(value) = variables.get(name) else {
            return Err(Missing {
                at,
                message: format!("the variable `${{{name}}}` has no value"),
            });
        };
        pieces.extend([Piece::Text(&text[start..at]), Piece::Variable(name, value)]);
        start = at + length + 1;
        from = start;
    }
    pieces.push(Piece::Text(&text[start..]));
    pieces.retain(|piece| *piece != Piece::Text(""));
    Ok(pieces)
}

/// The text with its variables put in: their values, or `***` for each.
pub(super) fn joined<'a>(pieces: &[Piece<'a>], mask: bool) -> Cow<'a, str> {
    match pieces {
        [] => Cow::Borrowed(""),
        [Piece::Text(text)] => Cow::Borrowed(text),
        _ => pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text,
                Piece::Variable(..) if mask => "***",
                Piece::Variable(_, value) => value,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_taken_apart() {
        let variables = BTreeMap::from(
            [("A", "{{x}}"), ("V:-d", "d"), ("file:/k", "s")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        for (text, joined_text) in [
            ("", Ok("")),
            ("plain $ {text}", Ok("plain $ {text}")),
            ("a${A}b", Ok("a{{x}}b")),
            ("${V:-d}${file:/k}", Ok("ds")),
            ("$${A}", Ok("${A}")),
            ("$$${A}", Ok("$${A}")),
            ("$${A}${A}", Ok("${A}{{x}}")),
            ("ab${B}", Err(2)),
            ("ab${A", Err(2)),
            ("${}", Err(0)),
        ] {
            match (pieces(text, &variables), joined_text) {
                (Ok(pieces), Ok(expected)) => assert_eq!(joined(&pieces, false), expected),
                (Err(missing), Err(at)) => assert_eq!(missing.at, at, "{text}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
        assert_eq!(joined(&pieces("a${A}b", &variables).unwrap(), true), "a***b");
    }
}
