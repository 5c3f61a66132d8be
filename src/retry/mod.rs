//! What becomes of a delivery after an attempt: a pure function of the tries so far, the answer,
//! the policy and a random number. No clock and no loop live here; `export` stands around it.

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::time::Duration;

/// How long a delivery may go on being held by `Retry-After` answers without using up attempts,
/// from its first attempt.
pub const HOLD_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// When an export tries again, and when it gives up.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// All attempts, the first included.
    pub max_attempts: NonZeroU32,
    /// The waits between attempts.
    pub schedule: RetrySchedule,
    /// The statuses that are tried again.
    pub retry_on: StatusSet,
    /// A longer `Retry-After` counts as this.
    pub max_retry_after: Duration,
    /// No attempt starts later than this after the first.
    pub max_elapsed: Option<Duration>,
    /// What a receiver that is gone for good does.
    pub on_gone: OnGone,
}

/// What becomes of an event whose receiver is gone for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnGone {
    /// It waits while its endpoint is left alone and probed.
    Pause,
    /// It is a dead letter.
    DeadLetter,
    /// It is tried again on the schedule.
    Retry,
}

/// The waits between attempts.
#[derive(Debug, Clone, PartialEq)]
pub struct RetrySchedule {
    waits: Vec<Duration>,
    jitter: f64,
}

/// Why a list of waits is not a schedule.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// There is no wait in the list.
    #[error("the list of waits is empty")]
    Empty,
    /// The jitter is not a share.
    #[error("jitter is a share of the wait, from 0 to 1, not {0}")]
    Jitter(f64),
}

impl RetrySchedule {
    /// A schedule whose n-th wait follows attempt n; the last one repeats. `jitter` is the share
    /// of a wait, from 0 to 1, by which it is lengthened or shortened at random.
    ///
    /// # Errors
    /// When there is no wait, or `jitter` is not a share.
    pub fn new(waits: Vec<Duration>, jitter: f64) -> Result<Self, ScheduleError> {
        if waits.is_empty() {
            return Err(ScheduleError::Empty);
        }
        if !(0.0..=1.0).contains(&jitter) {
            return Err(ScheduleError::Jitter(jitter));
        }
        Ok(RetrySchedule { waits, jitter })
    }

    /// The wait after attempt `n` (from 1); `random` from 0 up to 1 chooses within the jitter.
    pub fn wait_after(&self, n: u32, random: f64) -> Duration {
        let index = (n.max(1) as usize - 1).min(self.waits.len() - 1);
        self.waits[index].mul_f64(1.0 + self.jitter * (2.0 * random - 1.0))
    }
}

/// A set of HTTP statuses, written as `429`, `5xx` or `500-504`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusSet(Vec<(u16, u16)>);

impl StatusSet {
    /// Reads a list of statuses, classes and ranges.
    ///
    /// # Errors
    /// Returns the first entry that is none of these.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        entries
            .into_iter()
            .map(|entry| range(entry).ok_or_else(|| entry.to_owned()))
            .collect::<Result<_, _>>()
            .map(StatusSet)
    }

    /// Whether the set holds this status.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }
}

fn range(entry: &str) -> Option<(u16, u16)> {
    let status = |text: &str| text.parse().ok().filter(|status| (100..=599).contains(status));
    if let Some(class) = entry.strip_suffix("xx") {
        let first = class.parse::<u16>().ok().filter(|class| (1..=5).contains(class))? * 100;
        return Some((first, first + 99));
    }
    let (first, last) = entry.split_once('-').unwrap_or((entry, entry));
    let (first, last) = (status(first.trim())?, status(last.trim())?);
    (first <= last).then_some((first, last))
}

/// What is known when an attempt has just ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    /// The delivery's attempts that counted, the one that just ended included.
    pub used: u32,
    /// From the start of the first attempt until now.
    pub elapsed: Duration,
    /// How many answers of the endpoint in a row were refusals, see [`is_refusal`], this one
    /// included.
    pub refusals: u32,
}

/// So many refusals in a row mean that the endpoint is gone; a single one is about its event.
pub const REFUSALS: u32 = 10;

/// Whether a status says that a request like this is not wanted here at all: redirects, missing or
/// wrong credentials, nothing at this address.
pub fn is_refusal(code: u16) -> bool {
    matches!(code, 301..=308 | 401 | 403 | 404)
}

/// What came back from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The receiver answered.
    Status {
        /// The HTTP status.
        code: u16,
        /// How long it asked to be left alone, see [`retry_after`].
        retry_after: Option<Duration>,
        /// What it means beyond its status, where somebody knows.
        told: Option<Told>,
    },
    /// No answer: the connection failed or the time was up.
    None,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Meaning {
    /// The event arrived.
    Delivered,
    /// It is to be tried again.
    Retry,
    /// This event is not wanted, others may be.
    Rejected,
    /// The receiver is gone for good.
    Gone,
}

/// The meaning of an answer where more than its status speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// What it means.
    pub meaning: Meaning,
    /// Whether it stands above `retry_on`, as what the user wrote does, and a platform's table
    /// does not.
    pub firm: bool,
}

/// What becomes of the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It arrived.
    Delivered,
    /// It is tried again after this wait; the attempt counts.
    Retry(Duration),
    /// Its endpoint is left alone for this long; the attempt does not count.
    Hold(Duration),
    /// Its endpoint is gone: it waits there until a probe succeeds. The attempt does not count.
    Pause,
    /// It is a dead letter.
    Dead(Reason),
}

/// Why a delivery or a line became a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Every attempt failed.
    RetriesExhausted,
    /// The receiver refused this event.
    Rejected,
    /// The request could not be rendered from this event.
    Render,
    /// The line is not an event.
    Malformed,
    /// The line is longer than `max_line_bytes`.
    TooLarge,
    /// The receiver's address must not be dialled.
    BlockedAddress,
    /// No room was left in the queue.
    QueueFull,
    /// The event waited longer than it may.
    Expired,
    /// The receiver said that the address is dead.
    EndpointGone,
    /// The export is no longer configured.
    ExportRemoved,
    /// Handling the event failed by a defect of postrider, again and again.
    Poison,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 11] = [
        Reason::RetriesExhausted,
        Reason::Rejected,
        Reason::Render,
        Reason::Malformed,
        Reason::TooLarge,
        Reason::BlockedAddress,
        Reason::QueueFull,
        Reason::Expired,
        Reason::EndpointGone,
        Reason::ExportRemoved,
        Reason::Poison,
    ];

    /// The word that records and metrics show.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::RetriesExhausted => "retries_exhausted",
            Reason::Rejected => "rejected",
            Reason::Render => "render",
            Reason::Malformed => "malformed",
            Reason::TooLarge => "too_large",
            Reason::BlockedAddress => "blocked_address",
            Reason::QueueFull => "queue_full",
            Reason::Expired => "expired",
            Reason::EndpointGone => "endpoint_gone",
            Reason::ExportRemoved => "export_removed",
            Reason::Poison => "poison",
        }
    }

    /// The reason of that word.
    pub fn parse(word: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

impl Policy {
    /// What becomes of a delivery after an attempt. `random`, from 0 up to 1, feeds the jitter.
    ///
    /// | reply | verdict |
    /// |---|---|
    /// | told what it means | as 2xx, a status in `retry_on`, any other status or 410; unless its status is in `retry_on` and the word is not firm |
    /// | 2xx | delivered |
    /// | 429 or 503 that says how long to wait, within 24 h of the first attempt | hold |
    /// | a status in `retry_on`, or no answer | retry while attempts and time are left, else dead: `retries_exhausted` |
    /// | 410, or the tenth refusal in a row | as `on_gone` says: pause, dead: `endpoint_gone`, or retry |
    /// | any other status | dead: `rejected` |
    pub fn decide(&self, tries: Tries, reply: Reply, random: f64) -> Verdict {
        let mut at_least = Duration::ZERO;
        if let Reply::Status { code, retry_after, told } = reply {
            let success = (200..300).contains(&code);
            let listed = !success && self.retry_on.contains(code);
            let told = told.filter(|told| told.firm || !listed).map(|told| told.meaning);
            if told.map_or(success, |meaning| meaning == Meaning::Delivered) {
                return Verdict::Delivered;
            }
            let final_word = matches!(told, Some(Meaning::Rejected | Meaning::Gone));
            at_least = retry_after.unwrap_or_default().min(self.max_retry_after);
            let asks = matches!(code, 429 | 503) && !at_least.is_zero() && !final_word;
            let holds = asks && tries.elapsed < HOLD_LIMIT;
            if holds && self.in_time(tries, at_least) {
                return Verdict::Hold(at_least);
            }
            let again = told.map_or(holds || listed, |meaning| meaning == Meaning::Retry);
            if !again {
                let gone = match told {
                    Some(meaning) => meaning == Meaning::Gone,
                    None => code == 410 || (is_refusal(code) && tries.refusals >= REFUSALS),
                };
                match self.on_gone {
                    OnGone::Pause if gone => return Verdict::Pause,
                    OnGone::DeadLetter if gone => return Verdict::Dead(Reason::EndpointGone),
                    OnGone::Retry if gone => {}
                    _ => return Verdict::Dead(Reason::Rejected),
                }
            }
        }
        let wait = self.schedule.wait_after(tries.used, random).max(at_least);
        if tries.used >= self.max_attempts.get() || !self.in_time(tries, wait) {
            return Verdict::Dead(Reason::RetriesExhausted);
        }
        Verdict::Retry(wait)
    }

    fn in_time(&self, tries: Tries, wait: Duration) -> bool {
        self.max_elapsed.is_none_or(|max| tries.elapsed.saturating_add(wait) <= max)
    }
}

/// Reads a `Retry-After` header: seconds, or an HTTP date measured against the answer's own `Date`
/// (against `now` where that is missing). What is garbage, negative, zero, past or overflowing is
/// `None`: the schedule decides then.
pub fn retry_after(header: &str, date: Option<&str>, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if header.starts_with(|c: char| c.is_ascii_digit()) {
        return seconds(header);
    }
    let until = http_date(header)?;
    let now = date.and_then(http_date).unwrap_or(now);
    until.duration_since(now).try_into().ok().filter(|wait: &Duration| !wait.is_zero())
}

/// Reads the `retry_after` of a JSON answer: seconds, fractions allowed, as a number or a string.
pub fn retry_after_in_body(body: &str) -> Option<Duration> {
    let object = crate::event::json::Json::check_object(body, |_| ()).ok()?;
    seconds(&object.get("retry_after")?.as_scalar()?)
}

fn seconds(text: &str) -> Option<Duration> {
    let valid = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let seconds: f64 = text.parse().ok().filter(|_| valid)?;
    Duration::try_from_secs_f64(seconds).ok().filter(|wait| !wait.is_zero())
}

/// The forms of a date that HTTP knew before: that of RFC 850, and asctime's.
const OLD_DATES: [&str; 2] = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

fn http_date(text: &str) -> Option<Timestamp> {
    // HTTP writes GMT where RFC 2822 knows an offset; jiff takes both.
    if let Ok(zoned) = rfc2822::parse(text) {
        return Some(zoned.timestamp());
    }
    let date = OLD_DATES.iter().find_map(|form| DateTime::strptime(form, text).ok())?;
    TimeZone::UTC.to_timestamp(date).ok()
}
