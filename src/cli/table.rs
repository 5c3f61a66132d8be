//! Tables for people: columns as wide as what stands in them.

use std::fmt::Write;

/// Lays rows out under their headings.
pub(super) fn lay_out(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut table = String::new();
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    for row in std::iter::once(&headings).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}

/// A cell of text from outside: cut, and without what would disturb a terminal.
pub(super) fn cell(text: &str, longest: usize) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    match plain.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &plain[..end]),
        None => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows =
            [vec!["1".to_owned(), "long cell".to_owned()], vec!["22".to_owned(), "é".to_owned()]];
        assert_eq!(lay_out(&["ID", "X"], &rows), "ID  X\n1   long cell\n22  é\n");
    }

    #[test]
    fn cells_are_cut_and_cannot_control_the_terminal() {
        assert_eq!(cell("a\u{1b}[2Jb", 10), "a\u{fffd}[2Jb");
        assert_eq!(cell("ééééé", 3), "ééé…");
    }
}
