//! Checks of filters, and warnings about those that nothing can match.

use super::source::{conditions, globs};
use super::{template, worst_of};
use crate::config::INTERNAL_SOURCE;
use crate::config::Source;
use crate::config::keys::FilterKeys;
use crate::config::problem::{nearest, quoted};
use crate::config::report::At;
use crate::event::Globs;
use crate::filter::Filter;

/// Checks what an export takes.
pub(super) fn filter(keys: &FilterKeys, sources: &[Source], at: &At<'_>) -> Filter {
    let list = |keys: &Option<Vec<String>>, name: &str| {
        keys.as_ref().and_then(|list| globs(list, &at.key(name)))
    };
    let filter = Filter {
        sources: list(&keys.sources, "sources"),
        min_severity: keys.min_severity,
        event_kinds: list(&keys.event_kinds, "event_kinds"),
        exclude_event_kinds: list(&keys.exclude_event_kinds, "exclude_event_kinds"),
        when: keys.when.as_ref().map(|when| conditions(when, &at.key("when"))).unwrap_or_default(),
        expr: keys.expr.as_ref().and_then(|expr| template::expression(expr, &at.key("expr"))),
        unmatched: keys.unmatched,
    };
    warn_of_sources(&filter, sources, at);
    warn_of_kinds(&filter, at);
    warn_of_severity(&filter, sources, at);
    filter
}

/// A pattern that fits no source is most often a misspelt name.
fn warn_of_sources(filter: &Filter, sources: &[Source], at: &At<'_>) {
    let names = || sources.iter().map(|source| &*source.name).chain([INTERNAL_SOURCE]);
    let patterns = filter.sources.as_ref().map(Globs::texts).unwrap_or_default();
    for (index, pattern) in patterns.iter().enumerate() {
        let Ok(glob) = Globs::new(vec![pattern.trim_start_matches('!').to_owned()]) else {
            continue;
        };
        if !names().any(|name| glob.matches(name)) {
            let at = at.key("sources").index(index);
            let near = nearest(pattern, names());
            let fix = near.map_or_else(
                || format!("sources are {}", quoted(names())),
                |near| format!("did you mean `{near}`?"),
            );
            at.warning(format!("no source is named `{}`", at.visible(pattern)), fix);
        }
    }
}

/// Kinds that are taken and left at once.
fn warn_of_kinds(filter: &Filter, at: &At<'_>) {
    let (Some(takes), Some(leaves)) = (&filter.event_kinds, &filter.exclude_event_kinds) else {
        return;
    };
    let literal = |kind: &String| !kind.contains(['*', '?', '[', '{', '\\', '!']);
    if takes.texts().iter().all(|kind| literal(kind) && leaves.matches(kind)) {
        at.key("event_kinds").warning(
            "nothing can match: `exclude_event_kinds` leaves all of these",
            "correct one of the two",
        );
    }
}

/// A severity that none of the sources can give.
fn warn_of_severity(filter: &Filter, sources: &[Source], at: &At<'_>) {
    let Some(least) = filter.min_severity else { return };
    let takes = |name: &str| filter.sources.as_ref().is_none_or(|globs| globs.matches(name));
    // postrider's own events are what such a filter is about only where it names their source.
    if filter.sources.is_some() && takes(INTERNAL_SOURCE) {
        return;
    }
    let mut worst = sources.iter().filter(|source| takes(&source.name)).map(worst_of).peekable();
    if worst.peek().is_none() {
        return;
    }
    let Some(worst) = worst.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max())
    else {
        return;
    };
    if worst < least {
        at.key("min_severity").warning(
            format!("nothing can match: the worst that its sources give is `{worst}`"),
            "lower it, or tell the source how bad its lines are with `event.severity`",
        );
    }
}
