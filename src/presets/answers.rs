//! What answers mean: rows of conditions over status and body. The first row that fits speaks;
//! where none does, the status alone decides, as `retry` has it.

use super::data::AnswerRow;
use crate::event::Globs;
use crate::event::json::Json;
use crate::retry::{Meaning, StatusSet, Told};

/// What the answers of one export's receiver mean.
#[derive(Debug, Clone, Default)]
pub struct Answers(Vec<Answer>);

/// One row.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The statuses it is about; all where there is none.
    pub status: Option<StatusSet>,
    /// What the body, white space around it aside, is one of; anything where empty.
    pub text: Vec<String>,
    /// What the body holds one of; anything where empty.
    pub contains: Vec<String>,
    /// What the `code` of a JSON body is one of; anything where empty.
    pub codes: Vec<u32>,
    /// What the answer means.
    pub meaning: Meaning,
    /// Whether it speaks louder than `retry_on`.
    pub firm: bool,
    /// Why, in words.
    pub why: Option<String>,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// For the policy.
    pub told: Told,
    /// Why, in words; empty where nobody says.
    pub why: &'a str,
}

impl Answers {
    /// A list of rows, the first that fits speaks.
    pub fn new(rows: Vec<Answer>) -> Self {
        Answers(rows)
    }

    /// Whether the meaning of this status depends on the body.
    pub fn need_body(&self, status: u16) -> bool {
        self.first_of(status).is_some_and(Answer::reads_body)
    }

    /// What an answer means; `None`: what its status says. `body` is `None` where it did not come
    /// as it should.
    pub fn read(&self, status: u16, body: Option<&str>) -> Option<Verdict<'_>> {
        let row = match body {
            Some(body) => {
                self.0.iter().find(|row| row.takes_status(status) && row.takes_body(body))
            }
            None => self.first_of(status),
        }?;
        if body.is_none() && row.reads_body() {
            let late = Told { meaning: Meaning::Retry, firm: false };
            return Some(Verdict { told: late, why: "the body, which would tell, did not come" });
        }
        let told = Told { meaning: row.meaning, firm: row.firm };
        Some(Verdict { told, why: row.why.as_deref().unwrap_or_default() })
    }

    fn first_of(&self, status: u16) -> Option<&Answer> {
        self.0.iter().find(|row| row.takes_status(status))
    }
}

impl Answer {
    /// A row of the data, where it is about this host.
    ///
    /// # Errors
    /// What is wrong with the row.
    pub(super) fn of(row: &AnswerRow, host: &str) -> Result<Option<Answer>, String> {
        let meaning = row.is.ok_or("an answer without `is`")?;
        if !row.hosts.is_empty() {
            let globs = Globs::new(row.hosts.clone()).map_err(|error| error.to_string())?;
            if !globs.matches(host) {
                return Ok(None);
            }
        }
        let status = match &*row.status {
            [] => None,
            statuses => Some(StatusSet::parse(statuses.iter().map(String::as_str))?),
        };
        Ok(Some(Answer {
            status,
            text: row.text.clone(),
            contains: row.contains.clone(),
            codes: row.code.clone(),
            meaning,
            firm: false,
            why: row.why.clone(),
        }))
    }

    fn takes_status(&self, status: u16) -> bool {
        self.status.as_ref().is_none_or(|set| set.contains(status))
    }

    fn reads_body(&self) -> bool {
        !(self.text.is_empty() && self.contains.is_empty() && self.codes.is_empty())
    }

    fn takes_body(&self, body: &str) -> bool {
        let one = |list: &[String], holds: &dyn Fn(&str) -> bool| {
            list.is_empty() || list.iter().any(|text| holds(text))
        };
        let trimmed = body.trim();
        one(&self.text, &|text| text == trimmed)
            && one(&self.contains, &|text| body.contains(text))
            && (self.codes.is_empty()
                || code(trimmed).is_some_and(|code| self.codes.contains(&code)))
    }
}

/// The `code` of a JSON body.
fn code(body: &str) -> Option<u32> {
    let object = Json::check_object(body, |_| ()).ok()?;
    object.get("code")?.as_scalar()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(status: u16, text: &str, meaning: Meaning) -> Answer {
        Answer {
            status: Some(StatusSet::parse([&*status.to_string()]).unwrap()),
            text: if text.is_empty() { Vec::new() } else { vec![text.to_owned()] },
            contains: Vec::new(),
            codes: Vec::new(),
            meaning,
            firm: true,
            why: None,
        }
    }

    #[test]
    fn a_row_that_reads_no_body_speaks_where_none_came() {
        let answers = Answers::new(vec![
            row(202, "", Meaning::Retry),
            row(200, "ok", Meaning::Delivered),
            row(200, "", Meaning::Rejected),
        ]);
        for (status, body, expected) in [
            (202, None, Some((Meaning::Retry, true))),
            (202, Some("ok"), Some((Meaning::Retry, true))),
            (200, None, Some((Meaning::Retry, false))),
            (200, Some("ok"), Some((Meaning::Delivered, true))),
            (200, Some("no"), Some((Meaning::Rejected, true))),
            (204, None, None),
        ] {
            let told = answers.read(status, body).map(|verdict| verdict.told);
            let expected = expected.map(|(meaning, firm)| Told { meaning, firm });
            assert_eq!(told, expected, "{status} {body:?}");
        }
    }
}
