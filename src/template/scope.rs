//! What the names in a template stand for while one event is rendered. Which names a template has
//! is found out by `compile`.

use super::output::Progress;
use super::value::{self, Item, Scalar, ScalarKind};
use super::{BatchItem, RenderContext, failure};
use crate::event::Event;
use jiff::Timestamp;
use minijinja::value::{Enumerator, Object, Value};
use minijinja::{Error, State};
use std::sync::Arc;

/// Where the value of a name comes from.
#[derive(Debug, Clone)]
pub(super) enum Slot {
    AuditId,
    Timestamp,
    EventKind,
    Severity,
    AgentId,
    EventJson,
    Root,
    Postrider,
    /// A top-level field of the event.
    Field,
    /// The first of these that is true, or else the last one, as `or` has it.
    First(Box<[Path]>),
    /// Something fixed: a function.
    Constant(Value),
    /// A variable of the configuration, and what stands in for it where it is masked.
    Variable {
        value: Value,
        masked: Value,
    },
}

/// A way to a value: a name and the attributes behind it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Path {
    /// The number of the name's slot, which stands before the path's.
    pub(super) root: usize,
    pub(super) steps: Vec<Box<str>>,
}

impl Path {
    /// The value there; what has no attributes has undefined ones.
    fn find(&self, values: &[Value]) -> Value {
        let root = values.get(self.root).cloned().unwrap_or_default();
        self.steps.iter().fold(root, |value, step| {
            value.as_object().and_then(|object| object.get_value_by_str(step)).unwrap_or_default()
        })
    }
}

impl Slot {
    /// The slot of a name in a template's text.
    pub(super) fn of(name: &str) -> Slot {
        match name {
            "audit_id" => Slot::AuditId,
            "timestamp" => Slot::Timestamp,
            "event_kind" => Slot::EventKind,
            "severity" => Slot::Severity,
            "agent_id" => Slot::AgentId,
            "event_json" => Slot::EventJson,
            "root" => Slot::Root,
            "postrider" => Slot::Postrider,
            _ => Slot::Field,
        }
    }
}

impl Slot {
    /// Whether it is a part of one event.
    pub(super) fn is_of_event(&self) -> bool {
        !matches!(self, Slot::Postrider | Slot::Constant(_) | Slot::Variable { .. })
    }
}

/// The name of a batch's events.
pub(super) const EVENTS: &str = "events";

/// What is rendered.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    /// One event.
    One(&'a Arc<Event>, Option<&'a RenderContext<'a>>),
    /// The events of a batch.
    Many(&'a [BatchItem<'a>]),
}

impl Subject<'_> {
    /// How long the texts of its events are, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Subject::One(event, _) => event.text.as_str().len(),
            Subject::Many(items) => items.iter().map(|item| item.event.text.as_str().len()).sum(),
        }
    }
}

/// The names of a template and where their values come from.
#[derive(Debug)]
pub(super) struct Slots {
    all: Vec<(Box<str>, Slot)>,
    /// The numbers of those that are fields of the event.
    fields: Vec<usize>,
}

impl Slots {
    pub(super) fn new(all: Vec<(Box<str>, Slot)>) -> Slots {
        let is_field = |at: &usize| matches!(all[*at].1, Slot::Field);
        let fields = (0..all.len()).filter(is_field).collect();
        Slots { all, fields }
    }
}

/// The name under which the formatter finds the scope itself.
const SELF: &str = "__pr";

/// What the name of a slot begins with that is told by its number.
const NUMBERED: &str = "__pr_";

/// The name in the rewritten text of the slot with this number.
pub(super) fn numbered(at: usize) -> String {
    format!("{NUMBERED}{at}")
}

/// The values of a template's names for one event.
#[derive(Debug)]
pub(super) struct Scope {
    slots: Arc<Slots>,
    values: Vec<Value>,
    pub(super) progress: Progress,
}

impl Scope {
    pub(super) fn new(slots: &Arc<Slots>, subject: Subject<'_>, progress: Progress) -> Scope {
        let (event, context) = match subject {
            Subject::One(event, context) => (event, context),
            Subject::Many(items) => return Scope::of_batch(slots, items, progress),
        };
        let mask = context.is_some_and(|context| context.mask_variables);
        let mut values: Vec<Value> = slots
            .all
            .iter()
            .map(|(_, slot)| match slot {
                Slot::AuditId => Value::from(&*event.audit_id),
                Slot::Timestamp => Value::from(&*event.timestamp),
                Slot::EventKind => Value::from(&*event.event_kind),
                Slot::Severity => Value::from(event.severity.as_str()),
                Slot::AgentId => Value::from(&*event.agent_id),
                Slot::EventJson => Scalar::value(ScalarKind::Event, event.body()),
                Slot::Root => value::of_event(event, event.json()),
                Slot::Postrider => {
                    Value::from_object(Delivery::new(&event.origin.source, context, None))
                }
                Slot::Field | Slot::First(_) => Value::UNDEFINED,
                Slot::Constant(value) => value.clone(),
                Slot::Variable { value, masked } => (if mask { masked } else { value }).clone(),
            })
            .collect();
        if !slots.fields.is_empty() {
            // One walk over the event for all its fields; of repeated keys the last one stays.
            for (key, json) in event.json().members() {
                if let Some(at) = slots.fields.iter().find(|at| key.is(&slots.all[**at].0)) {
                    values[*at] = value::of_event(event, json);
                }
            }
        }
        Scope::complete(slots, values, progress)
    }

    /// The scope of many events: nothing of a single one stands at its top.
    fn of_batch(slots: &Arc<Slots>, items: &[BatchItem<'_>], progress: Progress) -> Scope {
        let mask = items.first().is_some_and(|first| first.context.mask_variables);
        let value = |(name, slot): &(Box<str>, Slot)| match slot {
            Slot::Postrider => items.first().map_or(Value::UNDEFINED, |first| {
                let (source, count) = (&first.event.origin.source, items.len());
                // A body is the same at each attempt.
                let context = RenderContext { attempt: 1, ..first.context };
                Value::from_object(Delivery::new(source, Some(&context), Some(count)))
            }),
            Slot::Constant(value) => value.clone(),
            Slot::Variable { masked, .. } if mask => masked.clone(),
            Slot::Variable { value, .. } => value.clone(),
            Slot::Field if **name == *EVENTS => {
                items.iter().map(|item| Value::from_object(Item::new(item))).collect()
            }
            _ => Value::UNDEFINED,
        };
        let values = slots.all.iter().map(value).collect();
        Scope::complete(slots, values, progress)
    }

    /// The scope of these values, with those that follow from them.
    fn complete(slots: &Arc<Slots>, mut values: Vec<Value>, progress: Progress) -> Scope {
        for (at, (_, slot)) in slots.all.iter().enumerate() {
            let Slot::First(paths) = slot else { continue };
            let mut value = Value::UNDEFINED;
            for path in paths {
                value = path.find(&values);
                if value.is_true() {
                    break;
                }
            }
            values[at] = value;
        }
        Scope { slots: Arc::clone(slots), values, progress }
    }

    /// The scope of what is being rendered.
    pub(super) fn of(state: &State) -> Result<Arc<Scope>, Error> {
        state
            .lookup(SELF)
            .and_then(|scope| scope.downcast_object())
            .ok_or_else(|| failure("rendered outside of its scope"))
    }
}

impl Object for Scope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if key == SELF {
            return Some(Value::from_dyn_object(self.clone()));
        }
        let at = match key.strip_prefix(NUMBERED) {
            Some(number) => number.parse().ok()?,
            None => self.slots.all.iter().position(|(name, _)| **name == *key)?,
        };
        self.values.get(at).cloned()
    }
}

/// What `postrider` stands for. Its facts become values when they are asked for.
#[derive(Debug)]
struct Delivery {
    source: Arc<str>,
    attempt: Option<Attempt>,
    events: Option<usize>,
}

#[derive(Debug)]
struct Attempt {
    export: Box<str>,
    delivery_id: Box<str>,
    number: u32,
    now: Timestamp,
}

impl Delivery {
    const NAMES: [&str; 7] =
        ["source", "version", "export", "delivery_id", "attempt", "now", "events"];

    fn new(
        source: &Arc<str>,
        context: Option<&RenderContext<'_>>,
        events: Option<usize>,
    ) -> Delivery {
        let attempt = context.map(|context| Attempt {
            export: context.export.into(),
            delivery_id: context.delivery_id.into(),
            number: context.attempt,
            now: context.now,
        });
        Delivery { source: Arc::clone(source), attempt, events }
    }

    fn fact(&self, name: &str) -> Option<Value> {
        let attempt = self.attempt.as_ref();
        Some(match name {
            "source" => Value::from(Arc::clone(&self.source)),
            "version" => Value::from(env!("CARGO_PKG_VERSION")),
            "export" => Value::from(&*attempt?.export),
            "delivery_id" => Value::from(&*attempt?.delivery_id),
            "attempt" => Value::from(attempt?.number),
            "now" => Value::from(format!("{:.3}", attempt?.now)),
            "events" => Value::from(self.events?),
            _ => return None,
        })
    }
}

impl Object for Delivery {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.fact(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.fact(key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let there = Self::NAMES.into_iter().filter(|name| self.fact(name).is_some());
        Enumerator::Values(there.map(Value::from).collect())
    }
}
