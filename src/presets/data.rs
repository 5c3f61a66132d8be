//! What the data files say, as they say it. What it means is the business of the modules beside
//! this one.

use crate::template::Markup;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// One platform.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlatformFile {
    pub(super) name: String,
    pub(super) about: String,
    /// Globs of the hosts that are this platform's.
    #[serde(default)]
    pub(super) hosts: Vec<String>,
    #[serde(default)]
    pub(super) rate_limit: Option<RateRow>,
    #[serde(default)]
    pub(super) escape: Option<Markup>,
    #[serde(default)]
    pub(super) url: Option<UrlRow>,
    #[serde(default)]
    pub(super) options: BTreeMap<String, OptionRow>,
    /// The layouts that can be chosen, the default first; none where there is but one.
    #[serde(default)]
    pub(super) styles: Vec<String>,
    #[serde(default)]
    pub(super) layouts: BTreeMap<String, Layout>,
    /// Whole templates by name.
    #[serde(default)]
    pub(super) bodies: BTreeMap<String, String>,
    /// Many events in one message: a template over `events`.
    #[serde(default)]
    pub(super) digest: Option<String>,
    /// JSON values by the top-level keys of a body that has them not.
    #[serde(default)]
    pub(super) defaults: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) limits: Vec<LimitRow>,
    /// Where the bounds at a path, and below it, hold once more.
    #[serde(default)]
    pub(super) again: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) sums: Vec<SumRow>,
    #[serde(default)]
    pub(super) total: Option<TotalRow>,
    #[serde(default)]
    pub(super) rate_headers: Option<RateHeaders>,
    #[serde(default)]
    pub(super) answers: Vec<AnswerRow>,
}

/// How many requests a platform takes.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateRow {
    pub(super) requests: NonZeroU32,
    pub(super) per_seconds: u64,
}

/// What is changed in an address.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UrlRow {
    /// Beginnings of a path, `*` for a number.
    pub(super) instead_of: Vec<String>,
    /// What stands in the place of one of them.
    pub(super) write: String,
    /// Parameters of the query that are added: a text in quotes, or the name of an option.
    pub(super) query: BTreeMap<String, String>,
    /// What comes of another value of such a parameter.
    #[serde(default)]
    pub(super) otherwise: BTreeMap<String, String>,
    /// Endings of a path that take the messages of another platform, and its name.
    #[serde(default)]
    pub(super) endings: BTreeMap<String, String>,
}

/// A value that a configuration may give.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OptionRow {
    /// An expression for what is not given.
    pub(super) default: Option<String>,
    /// What to do where it is not given and nothing stands in for it.
    pub(super) required: Option<String>,
    /// A header of the configuration that holds it.
    pub(super) from_header: Option<FromHeader>,
}

/// A header that holds an option's value.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FromHeader {
    pub(super) name: String,
    /// What stands before the value.
    pub(super) after: String,
}

/// How a message looks: templates with slots, see `layout`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Layout {
    pub(super) message: String,
    pub(super) fact: String,
    pub(super) value: Option<String>,
    pub(super) code: Option<String>,
    pub(super) links: Option<String>,
}

/// A bound of one value.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitRow {
    pub(super) at: String,
    #[serde(default)]
    pub(super) chars: Option<usize>,
    #[serde(default)]
    pub(super) items: Option<usize>,
    /// The element that takes the place of those that are cut; `{n}` in it is their number.
    #[serde(default)]
    pub(super) more: Option<String>,
    /// What stands where there is nothing to be seen.
    #[serde(default)]
    pub(super) blank: Option<String>,
    /// A value that is too long becomes its hash: cut, it might be another's.
    #[serde(default)]
    pub(super) hash: bool,
    /// Words and what stands in their place.
    #[serde(default)]
    pub(super) words: BTreeMap<String, String>,
}

/// A bound of several values together.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SumRow {
    pub(super) chars: usize,
    pub(super) of: Vec<String>,
}

/// A bound of the whole body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TotalRow {
    pub(super) bytes: usize,
    /// The value that goes first.
    #[serde(default)]
    pub(super) leave_out: Option<String>,
    /// Keys whose texts are never cut.
    #[serde(default)]
    pub(super) keep: Vec<String>,
}

/// Headers of any answer that tell how many requests are left, and for how long none.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateHeaders {
    pub(super) remaining: String,
    pub(super) reset_after: String,
}

/// What an answer means: every condition that is there must hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AnswerRow {
    pub(super) hosts: Vec<String>,
    pub(super) status: Vec<String>,
    /// The whole body, white space around it aside.
    pub(super) text: Vec<String>,
    /// A part of the body.
    pub(super) contains: Vec<String>,
    /// The `code` of a JSON body.
    pub(super) code: Vec<u32>,
    pub(super) is: Option<crate::retry::Meaning>,
    pub(super) why: Option<String>,
}

/// What is said of events, whatever the platform.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessagesFile {
    pub(super) facts: BTreeMap<String, FactRow>,
    pub(super) text: String,
    pub(super) classes: Vec<ClassRow>,
}

/// A fact that is told of an event.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FactRow {
    pub(super) name: String,
    pub(super) value: String,
    #[serde(default)]
    pub(super) wide: bool,
    #[serde(default)]
    pub(super) code: bool,
    #[serde(default)]
    pub(super) links: bool,
}

/// A class of events.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClassRow {
    pub(super) name: String,
    /// The class whose words it has.
    pub(super) like: Option<String>,
    pub(super) kinds: Vec<String>,
    pub(super) when: BTreeMap<String, Vec<String>>,
    pub(super) title: String,
    pub(super) line: String,
    pub(super) text: Option<String>,
    pub(super) severity: Option<String>,
    pub(super) facts: Vec<String>,
    pub(super) note: String,
    pub(super) links: bool,
}
