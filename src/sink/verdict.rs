//! What an answer means: its status, and where the platform or the user knows more, its body; and
//! how long it asks to be left alone. What becomes of the delivery then is the business of `retry`.

use super::client::Answer;
use crate::config::Platform;
use crate::delivery::Failure;
use crate::retry::{self, Meaning, Reply};
use crate::trouble::Trouble;
use hyper::header::{DATE, HeaderValue, RETRY_AFTER};
use jiff::Timestamp;
use std::time::Duration;

/// What an answer means.
pub(super) struct Verdict {
    /// Why it is no success, without an excerpt of the answer.
    pub(super) failure: Option<Failure>,
    /// How long the receiver asks to be left alone although it took the event.
    pub(super) rest: Option<Duration>,
}

pub(super) fn of(answer: &Answer, platform: &Platform) -> Verdict {
    let code = answer.status.as_u16();
    let success = answer.status.is_success();
    let body = String::from_utf8_lossy(&answer.body);
    // Of a failure the beginning of the body is enough, of a success it must be whole.
    let readable = (answer.whole || !success).then_some(&*body);
    let verdict = platform.answers.read(code, readable);
    let told = verdict.map(|verdict| verdict.told);
    if told.map_or(success, |told| told.meaning == Meaning::Delivered) {
        let rest = platform.rate_headers().and_then(|headers| rest(answer, headers));
        return Verdict { failure: None, rest };
    }
    let why = verdict.map(|verdict| verdict.why).filter(|why| !why.is_empty());
    let failure = Failure {
        reply: Reply::Status { code, retry_after: retry_after(answer, &body, platform), told },
        trouble: trouble(code, told.map(|told| told.meaning)),
        error: why.map_or_else(|| format!("HTTP {code}"), |why| format!("HTTP {code}: {why}")),
        response: None,
        took: None,
    };
    Verdict { failure: Some(failure), rest: None }
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok())
}

fn retry_after(answer: &Answer, body: &str, platform: &Platform) -> Option<Duration> {
    let now = Timestamp::now();
    let asked = header(answer, RETRY_AFTER.as_str())
        .and_then(|value| retry::retry_after(value, header(answer, DATE.as_str()), now));
    let limited = || {
        let (_, reset_after) = platform.rate_headers().filter(|_| answer.status == 429)?;
        retry::retry_after(header(answer, reset_after)?, None, now)
    };
    asked.or_else(|| retry::retry_after_in_body(body)).or_else(limited)
}

/// The wait that headers of a success ask for: no request is left until then.
fn rest(answer: &Answer, (remaining, reset_after): (&str, &str)) -> Option<Duration> {
    let none_left = header(answer, remaining)?.trim() == "0";
    let wait = header(answer, reset_after).filter(|_| none_left)?;
    retry::retry_after(wait, None, Timestamp::now())
}

fn trouble(code: u16, meaning: Option<Meaning>) -> Trouble {
    match meaning {
        Some(Meaning::Gone) => Trouble::Gone,
        Some(Meaning::Rejected) if !(400..500).contains(&code) => Trouble::BadRequest,
        Some(Meaning::Retry) if (200..300).contains(&code) => Trouble::Unavailable,
        _ => Trouble::of_status(code),
    }
}
