//! What the names in a template stand for while one event is rendered. Which names a template has
//! is found out by `compile`.

use super::output::Progress;
use super::value::{self, Item, Scalar, ScalarKind};
use super::{BatchItem, RenderContext, failure};
use crate::event::Event;
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
    /// Something fixed: a function.
    Constant(Value),
    /// A variable of the configuration, and what stands in for it where it is masked.
    Variable {
        value: Value,
        masked: Value,
    },
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
    One(&'a Event, Option<&'a RenderContext<'a>>),
    /// The events of a batch.
    Many(&'a [BatchItem<'a>]),
}

impl Subject<'_> {
    /// How long the texts of its events are, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Subject::One(event, _) => event.text.bytes().len(),
            Subject::Many(items) => items.iter().map(|item| item.event.text.bytes().len()).sum(),
        }
    }
}

/// The names of a template and where their values come from.
pub(super) type Slots = Arc<[(Box<str>, Slot)]>;

/// The name under which the formatter finds the scope itself.
const SELF: &str = "__pr";

/// The values of a template's names for one event.
#[derive(Debug)]
pub(super) struct Scope {
    slots: Slots,
    values: Vec<Value>,
    pub(super) progress: Progress,
}

impl Scope {
    pub(super) fn new(slots: &Slots, subject: Subject<'_>, progress: Progress) -> Scope {
        let (event, context) = match subject {
            Subject::One(event, context) => (event, context),
            Subject::Many(items) => return Scope::of_batch(slots, items, progress),
        };
        let mask = context.is_some_and(|context| context.mask_variables);
        let mut fields = false;
        let mut values: Vec<Value> = slots
            .iter()
            .map(|(_, slot)| match slot {
                Slot::AuditId => Value::from(&*event.audit_id),
                Slot::Timestamp => Value::from(&*event.timestamp),
                Slot::EventKind => Value::from(&*event.event_kind),
                Slot::Severity => Value::from(event.severity.as_str()),
                Slot::AgentId => Value::from(&*event.agent_id),
                Slot::EventJson => Scalar::value(ScalarKind::Event, event.text.bytes().clone()),
                Slot::Root => value::of_json(event.json(), event.text.bytes()),
                Slot::Postrider => {
                    Value::from_object(Delivery::new(&event.origin.source, context, None))
                }
                Slot::Field => {
                    fields = true;
                    Value::UNDEFINED
                }
                Slot::Constant(value) => value.clone(),
                Slot::Variable { value, masked } => (if mask { masked } else { value }).clone(),
            })
            .collect();
        if fields {
            // One walk over the event for all its fields; of repeated keys the last one stays.
            for (key, json) in event.json().members() {
                for ((name, slot), value) in slots.iter().zip(&mut values) {
                    if matches!(slot, Slot::Field) && key.is(name) {
                        *value = value::of_json(json, event.text.bytes());
                    }
                }
            }
        }
        Scope { slots: slots.clone(), values, progress }
    }

    /// The scope of many events: nothing of a single one stands at its top.
    fn of_batch(slots: &Slots, items: &[BatchItem<'_>], progress: Progress) -> Scope {
        let mask = items.first().is_some_and(|first| first.context.mask_variables);
        let value = |(name, slot): &(Box<str>, Slot)| match slot {
            Slot::Postrider => items.first().map_or(Value::UNDEFINED, |first| {
                let (source, count) = (&first.event.origin.source, items.len());
                Value::from_object(Delivery::new(source, Some(&first.context), Some(count)))
            }),
            Slot::Constant(value) => value.clone(),
            Slot::Variable { masked, .. } if mask => masked.clone(),
            Slot::Variable { value, .. } => value.clone(),
            Slot::Field if **name == *EVENTS => {
                items.iter().map(|item| Value::from_object(Item::new(item))).collect()
            }
            _ => Value::UNDEFINED,
        };
        let values = slots.iter().map(value).collect();
        Scope { slots: slots.clone(), values, progress }
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
        let at = self.slots.iter().position(|(name, _)| **name == *key)?;
        self.values.get(at).cloned()
    }
}

/// What `postrider` stands for.
#[derive(Debug)]
struct Delivery(Vec<(&'static str, Value)>);

impl Delivery {
    fn new(
        source: &Arc<str>,
        context: Option<&RenderContext<'_>>,
        events: Option<usize>,
    ) -> Delivery {
        let mut facts = vec![
            ("source", Value::from(Arc::clone(source))),
            ("version", Value::from(env!("CARGO_PKG_VERSION"))),
        ];
        if let Some(context) = context {
            facts.extend([
                ("export", Value::from(context.export)),
                ("delivery_id", Value::from(context.delivery_id)),
                ("attempt", Value::from(context.attempt)),
                ("now", Value::from(format!("{:.3}", context.now))),
            ]);
        }
        facts.extend(events.map(|events| ("events", Value::from(events))));
        Delivery(facts)
    }
}

impl Object for Delivery {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.iter().map(|(name, _)| Value::from(*name)).collect())
    }
}
