//! Platforms as data: what a Slack or a PagerDuty webhook takes and answers, as the lowest layer
//! of an export's configuration. Its messages, bounds, answers and rates are one file here; what
//! code knows of one by name is how text is written for it (`template`) and which keys of its own
//! it has (`config`); who asks for which, and what the user says instead, is `config`'s business.

mod address;
mod answers;
mod data;
mod layout;
mod limits;
mod walk;

#[cfg(test)]
mod tests;

pub use address::Parameter;
pub use answers::{Answer, Answers, Verdict};
pub use layout::Options;
pub use limits::Limits;

use crate::data_file;
use crate::event::{Event, FieldPath, Globs};
use crate::template::{Markup, Template, TemplateText};
use data::{ClassRow, MessagesFile, PlatformFile};
use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::time::Duration;

/// The platforms' files by their names, which can be told before any of them is read. One more
/// platform is one more file and its line here.
const FILES: &[(&str, &str)] = &[
    ("webhook", include_str!("webhook.yaml")),
    ("slack", include_str!("slack.yaml")),
    ("discord", include_str!("discord.yaml")),
    ("teams", include_str!("teams.yaml")),
    ("pagerduty", include_str!("pagerduty.yaml")),
    ("openclaw", include_str!("openclaw.yaml")),
];

/// What is said of events on any platform.
const MESSAGES: &str = include_str!("messages.yaml");

/// The word that chooses a platform by the URL's host.
pub const AUTO: &str = "auto";

/// Read once; a file with a fault is left out, and a test holds that none has one.
static ALL: LazyLock<Vec<Preset>> =
    LazyLock::new(|| FILES.iter().filter_map(|(_, text)| Preset::read(text).ok()).collect());

static NAMES: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| std::iter::once(AUTO).chain(FILES.iter().map(|(name, _)| *name)).collect());

/// What a platform takes and answers.
#[derive(Debug)]
pub struct Preset {
    file: PlatformFile,
    hosts: Option<Globs>,
    limits: Option<Limits>,
}

/// A body, and the events it is for.
#[derive(Debug, Clone)]
pub struct Choice {
    kinds: Option<Globs>,
    /// Fields of which one must match.
    when: Vec<(FieldPath, Globs)>,
    /// The body.
    pub template: Template,
}

impl Choice {
    /// A body for events of these kinds.
    pub fn of_kinds(kinds: Globs, template: Template) -> Self {
        Choice { kinds: Some(kinds), when: Vec::new(), template }
    }

    /// Whether the body is for every event.
    pub fn takes_all(&self) -> bool {
        match &self.kinds {
            None => self.when.is_empty(),
            Some(kinds) => kinds.texts() == ["*"],
        }
    }

    /// Whether the body is for this event.
    pub fn takes(&self, event: &Event) -> bool {
        let any = self.kinds.is_none() && self.when.is_empty();
        let of_kind = |globs: &Globs| globs.matches(&event.event_kind);
        // Most events have none of the fields: that costs no walk over them.
        let field = |(path, globs): &(FieldPath, Globs)| {
            path.may_be_in(event.text.as_str()) && globs.match_value(path.find(event.json()))
        };
        any || self.kinds.as_ref().is_some_and(of_kind) || self.when.iter().any(field)
    }
}

/// Every platform.
pub fn all() -> &'static [Preset] {
    &ALL
}

/// The words of the key `platform`.
pub fn names() -> &'static [&'static str] {
    &NAMES
}

/// The platform of this name.
pub fn named(name: &str) -> Option<&'static Preset> {
    all().iter().find(|preset| preset.name() == name)
}

/// The platform whose hosts include this one.
pub fn of_host(host: &str) -> Option<&'static Preset> {
    all().iter().find(|preset| preset.hosts.as_ref().is_some_and(|globs| globs.matches(host)))
}

impl Preset {
    fn read(text: &str) -> Result<Preset, String> {
        let file: PlatformFile = data_file::read(text)?;
        let hosts = match &*file.hosts {
            [] => None,
            hosts => Some(Globs::new(hosts.to_vec()).map_err(|error| error.to_string())?),
        };
        for row in &file.answers {
            Answer::of(row, "")?;
        }
        let limits = Limits::of(&file);
        Ok(Preset { file, hosts, limits })
    }

    /// Its name, as configurations write it.
    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// What it is, in a few words.
    pub fn about(&self) -> &str {
        &self.file.about
    }

    /// How many requests it takes within which time.
    pub fn rate_limit(&self) -> Option<(NonZeroU32, Duration)> {
        let limit = self.file.rate_limit?;
        Some((limit.requests, Duration::from_secs(limit.per_seconds)))
    }

    /// The markup it reads in texts.
    pub fn markup(&self) -> Option<Markup> {
        self.file.escape
    }

    /// The bounds of its messages.
    pub fn limits(&self) -> Option<&Limits> {
        self.limits.as_ref()
    }

    /// The styles its messages have, the default first; none where there is no choice.
    pub fn styles(&self) -> &[String] {
        &self.file.styles
    }

    /// Whether it has bodies of its own.
    pub fn has_bodies(&self) -> bool {
        !self.file.layouts.is_empty()
    }

    /// The options it knows: what to do where a required one is missing, and the header that may
    /// hold it with what stands before the value there.
    pub fn options(&self) -> impl Iterator<Item = (&str, Option<&str>, Option<(&str, &str)>)> {
        self.file.options.iter().map(|(name, row)| {
            let header = row.from_header.as_ref();
            let header = header.map(|header| (&*header.name, &*header.after));
            (&**name, row.required.as_deref(), header)
        })
    }

    /// A template that a configuration may ask for by name, such as another system's payload.
    pub fn body(&self, name: &str) -> Option<&str> {
        self.file.bodies.get(name).map(String::as_str)
    }

    /// The message of a batch, a template over `events`; `None` where each event has its own.
    ///
    /// # Errors
    /// A fault of the data files.
    pub fn digest(&self) -> Result<Option<Template>, String> {
        let Some(text) = &self.file.digest else { return Ok(None) };
        let text = TemplateText { text: text.clone(), ..TemplateText::default() };
        let template = Template::compile(&text);
        template.map(Some).map_err(|error| format!("{}: digest: {error}", self.name()))
    }

    /// What its answers mean at this host.
    pub fn answers(&self, host: &str) -> Vec<Answer> {
        self.file.answers.iter().filter_map(|row| Answer::of(row, host).ok().flatten()).collect()
    }

    /// The headers that tell how many requests are left, and for how many seconds none.
    pub fn rate_headers(&self) -> Option<(&str, &str)> {
        let headers = self.file.rate_headers.as_ref()?;
        Some((&headers.remaining, &headers.reset_after))
    }

    /// The default bodies, by class of events; the last is for all others.
    ///
    /// `options` holds an expression for each option that is given, `before` the statements and
    /// variables that these need, see [`TemplateText::operand`].
    ///
    /// # Errors
    /// A fault of the data files.
    pub fn bodies(
        &self,
        style: Option<&str>,
        options: &Options,
        before: &TemplateText,
    ) -> Result<Vec<Choice>, String> {
        let messages: MessagesFile = data_file::read(MESSAGES)?;
        messages
            .classes
            .iter()
            .map(|class| {
                let text = self.message(&messages, class, style, options)?;
                let text = TemplateText {
                    text: format!("{}{}", before.text, text),
                    variables: before.variables.clone(),
                };
                // Without the text: an option in it may be a secret.
                let template = Template::compile(&text)
                    .map_err(|error| format!("{}: {}: {error}", self.name(), class.name))?;
                let globs =
                    |list: &[String]| Globs::new(list.to_vec()).map_err(|error| error.to_string());
                let kinds = Some(&*class.kinds).filter(|kinds| !kinds.is_empty());
                let when = class.when.iter().map(|(path, list)| {
                    let path: FieldPath = path.parse().map_err(|_| format!("path `{path}`"))?;
                    Ok::<_, String>((path, globs(list)?))
                });
                let kinds = kinds.map(globs).transpose()?;
                Ok(Choice { kinds, when: when.collect::<Result<_, _>>()?, template })
            })
            .collect()
    }

    fn message(
        &self,
        messages: &MessagesFile,
        class: &ClassRow,
        style: Option<&str>,
        options: &Options,
    ) -> Result<String, String> {
        let words = match &class.like {
            None => class,
            Some(name) => {
                let other = messages.classes.iter().find(|other| other.name == *name);
                other.ok_or_else(|| format!("there is no class `{name}`"))?
            }
        };
        let style = style.or(self.styles().first().map(String::as_str)).unwrap_or("default");
        let Some(layout) = self.file.layouts.get(style) else {
            return Err(format!("`{}` has no layout `{style}`", self.name()));
        };
        let mut options = options.clone();
        for (name, row) in &self.file.options {
            if let Some(default) = &row.default {
                options.entry(name.clone()).or_insert_with(|| default.clone());
            }
        }
        let known: Vec<_> = self.file.options.keys().map(String::as_str).collect();
        layout::message(layout, words, messages, &options, &known)
    }
}
