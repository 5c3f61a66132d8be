//! Bodies: which template an event is sent with.

use super::Digest;
use crate::event::Event;
use crate::presets::Choice;
use crate::template::Template;

/// The bodies of an export.
#[derive(Debug, Clone, Default)]
pub struct Body {
    /// The first that takes the event is its body; the event as it came where none does.
    choices: Vec<Choice>,
}

impl Body {
    pub(super) fn new(choices: Vec<Choice>) -> Self {
        Body { choices }
    }

    /// The template of this event's body; `None`: the event as it came.
    pub fn for_event(&self, event: &Event) -> Option<&Template> {
        self.choices.iter().find(|choice| choice.takes(event)).map(|choice| &choice.template)
    }

    /// Whether there is a template for every event.
    pub(super) fn takes_all(&self) -> bool {
        self.choices.iter().any(Choice::takes_all)
    }

    /// Every template.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.choices.iter().map(|choice| &choice.template)
    }

    /// Changes with every template.
    pub(super) fn digest(&self) -> Digest {
        let digests: Vec<_> = self.templates().map(Template::digest).collect();
        super::digest::of_part(None, &digests)
    }
}
