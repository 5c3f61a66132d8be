//! Which events an export takes: sources, severity, kinds, field globs, an expression. Pure: an
//! outside service is never asked here.

use crate::event::json::Json;
use crate::event::{FieldPath, Globs, Record, Severity};
use crate::template::Expression;
use std::borrow::Cow;
use std::fmt;

/// A filter: every key that is present must hold; without any it takes everything.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Names of sources.
    pub sources: Option<Globs>,
    /// The least severity; an unknown one passes.
    pub min_severity: Option<Severity>,
    /// Kinds to take.
    pub event_kinds: Option<Globs>,
    /// Kinds to leave.
    pub exclude_event_kinds: Option<Globs>,
    /// Fields that must each match one of their globs; an absent field matches nothing.
    pub when: Vec<(FieldPath, Globs)>,
    /// An expression that must be true.
    pub expr: Option<Expression>,
    /// Takes only what no other export took.
    pub unmatched: bool,
}

/// What a filter says of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The export takes it.
    Take,
    /// The export takes it because its expression could not be evaluated on it: a filter drops
    /// only what it understood.
    TakeUnevaluated,
    /// The export leaves it.
    Leave(Refusal),
}

/// The first key of a filter that refused an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The event is about this very export.
    About,
    /// `sources`
    Source,
    /// `min_severity`
    Severity,
    /// `event_kinds`
    Kind,
    /// `exclude_event_kinds`
    ExcludedKind,
    /// `when`; the index of the field
    When(usize),
    /// `expr`
    Expr,
    /// `unmatched`: another export took it
    Matched,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::About => "it is about this export",
            Refusal::Source => "sources",
            Refusal::Severity => "min_severity",
            Refusal::Kind => "event_kinds",
            Refusal::ExcludedKind => "exclude_event_kinds",
            Refusal::When(_) => "when",
            Refusal::Expr => "expr",
            Refusal::Matched => "unmatched",
        })
    }
}

impl Filter {
    /// Whether it takes anything from a source.
    pub fn may_take_from(&self, source: &str) -> bool {
        self.sources.as_ref().is_none_or(|globs| globs.matches(source))
    }

    /// What this filter says of an event, cheapest questions first. `unmatched` is not asked here:
    /// only routing knows what the others took.
    pub fn decide(&self, record: &Record<'_>) -> Decision {
        let envelope = &record.envelope;
        let refused = |globs: &Option<Globs>, text: &str| {
            globs.as_ref().is_some_and(|globs| !globs.matches(text))
        };
        if self.min_severity.is_some_and(|least| envelope.severity < least) {
            return Decision::Leave(Refusal::Severity);
        }
        if refused(&self.event_kinds, &envelope.event_kind) {
            return Decision::Leave(Refusal::Kind);
        }
        if self
            .exclude_event_kinds
            .as_ref()
            .is_some_and(|globs| globs.matches(&envelope.event_kind))
        {
            return Decision::Leave(Refusal::ExcludedKind);
        }
        if refused(&self.sources, record.origin.source) {
            return Decision::Leave(Refusal::Source);
        }
        if let Some(index) =
            self.when.iter().position(|(path, globs)| !matches_field(path, globs, record))
        {
            return Decision::Leave(Refusal::When(index));
        }
        match self.expr.as_ref().map(|expr| expr.eval(record.event())) {
            None | Some(Ok(true)) => Decision::Take,
            Some(Ok(false)) => Decision::Leave(Refusal::Expr),
            Some(Err(_)) => Decision::TakeUnevaluated,
        }
    }
}

/// Matches a field as templates see it: the envelope's names win over the event's own.
fn matches_field(path: &FieldPath, globs: &Globs, record: &Record<'_>) -> bool {
    let envelope = &record.envelope;
    let mut segments = path.segments();
    let name = segments.next().unwrap_or_default();
    if segments.next().is_some() {
        return globs.match_value(path.find(record.json));
    }
    let text: Cow<'_, str> = match name {
        "severity" => envelope.severity.as_str().into(),
        "event_kind" => Cow::Borrowed(&*envelope.event_kind),
        "agent_id" => Cow::Borrowed(&*envelope.agent_id),
        "audit_id" => Cow::Borrowed(&record.event().audit_id),
        "timestamp" => Cow::Borrowed(&record.event().timestamp),
        _ => return globs.match_value(record.json.get(name)),
    };
    globs.matches(&text)
}

impl Refusal {
    /// The refusal with what the event holds there, for people.
    pub fn explain(self, filter: &Filter, record: &Record<'_>) -> String {
        let envelope = &record.envelope;
        match self {
            Refusal::Source => format!("sources: the event is from `{}`", record.origin.source),
            Refusal::Severity => format!(
                "min_severity: {} is below {}",
                envelope.severity,
                filter.min_severity.map_or("", Severity::as_str)
            ),
            Refusal::Kind => format!("event_kinds: none matches `{}`", envelope.event_kind),
            Refusal::ExcludedKind => {
                format!("exclude_event_kinds: one matches `{}`", envelope.event_kind)
            }
            Refusal::When(index) => match filter.when.get(index) {
                Some((path, globs)) => {
                    let found = path.find(record.json).map_or("absent", Json::text);
                    format!("when: `{path}` is {found}, not one of {:?}", globs.texts())
                }
                None => self.to_string(),
            },
            Refusal::Expr => "expr: it is false".to_owned(),
            Refusal::Matched => "unmatched: another export takes it".to_owned(),
            Refusal::About => self.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Origin, Position, StreamId};
    use crate::schema::Schema;

    fn globs(list: &[&str]) -> Option<Globs> {
        Some(Globs::new(list.iter().map(|s| (*s).to_owned()).collect()).unwrap())
    }

    fn when(path: &str, list: &[&str]) -> Filter {
        Filter { when: vec![(path.parse().unwrap(), globs(list).unwrap())], ..Filter::default() }
    }

    #[test]
    fn every_key_must_hold() {
        let line = r#"{"event_kind":"auth_fail","severity":"warn","session":"myapp/main","policy_result":{"verdict":"deny"},"n":5}"#;
        let (json, envelope) = Schema::default().read(line).unwrap();
        let source = "app-audit".into();
        let origin = Origin {
            source: &source,
            position: Position { stream: StreamId::from_bytes([0; 16]), offset: 0, index: 0 },
            accepted_at: jiff::Timestamp::UNIX_EPOCH,
        };
        let record = Record::new(json, envelope, origin);
        let least = |severity| Filter { min_severity: Some(severity), ..Filter::default() };
        let none = Filter::default;
        for (filter, refusal) in [
            (none(), None),
            (least(Severity::Warn), None),
            (least(Severity::Error), Some(Refusal::Severity)),
            (Filter { event_kinds: globs(&["auth_*", "x"]), ..none() }, None),
            (Filter { event_kinds: globs(&["x"]), ..none() }, Some(Refusal::Kind)),
            (
                Filter { exclude_event_kinds: globs(&["auth_*"]), ..none() },
                Some(Refusal::ExcludedKind),
            ),
            (Filter { sources: globs(&["app-*"]), ..none() }, None),
            (Filter { sources: globs(&["k8s-*"]), ..none() }, Some(Refusal::Source)),
            (when("session", &["myapp/main", "myapp/prod*"]), None),
            (when("policy_result.verdict", &["allow"]), Some(Refusal::When(0))),
            (when("/policy_result/verdict", &["deny"]), None),
            (when("n", &["5"]), None),
            (when("absent", &["*"]), Some(Refusal::When(0))),
            (when("severity", &["warn"]), None),
            (when("audit_id", &["pr_*"]), None),
        ] {
            let expected = refusal.map_or(Decision::Take, Decision::Leave);
            assert_eq!(filter.decide(&record), expected, "{filter:?}");
        }
    }
}
