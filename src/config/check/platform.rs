//! Checks of what depends on whose webhook it is: the platform's own keys, its bodies, what its
//! answers mean.

use super::platform_url;
use super::template::{is_constant, substituted, template};
use crate::config::Platform;
use crate::config::keys::{PlatformKey, SlackStyleKey, TemplateKey, WebhookKeys};
use crate::config::report::At;
use crate::event::Globs;
use crate::presets::{self, Answer, Answers, Choice, Options, Preset};
use crate::retry::StatusSet;
use crate::template::{Template, TemplateText};
use std::collections::BTreeMap;

/// The kind in `body_templates` that stands for all others.
const DEFAULT: &str = "default";

/// The key of a platform's own block that lets whoever holds it send.
const SECRET: &str = "routing_key";

/// Whose webhook it is. An unknown host is nobody's in particular.
pub(super) fn platform(
    keys: &WebhookKeys,
    host: Option<&url::Host<String>>,
    at: &At<'_>,
) -> Platform {
    let of_host = match host {
        Some(url::Host::Domain(name)) => presets::of_host(name),
        // No platform is known by an address, and a start need not read them all.
        _ => None,
    };
    let host = host.map(ToString::to_string).unwrap_or_default();
    let url = platform_url::written(keys, at);
    let preset = match keys.platform {
        PlatformKey::Named(preset) => {
            let path = url.as_ref().map_or("", |url| url.path());
            let other = of_host.filter(|other| !is_meant(preset, other, path));
            contradiction(preset, other, &at.key("platform"));
            Some(preset)
        }
        PlatformKey::Auto => of_host,
    };
    let unknown = matches!(keys.platform, PlatformKey::Auto) && at.key("url").is_unknown();
    if !unknown {
        own_keys(keys, preset, at);
    }
    let mut rows = answers(keys, &at.key("answers"));
    rows.extend(preset.map(|preset| preset.answers(&host)).unwrap_or_default());
    let known = |name: &str| preset.is_some_and(|preset| preset.options().any(|row| row.0 == name));
    let thread = keys.discord.as_ref().and_then(|keys| keys.thread_id.clone());
    let thread = thread.filter(|_| known("thread_id"));
    if thread.as_ref().is_some_and(|id| id.contains("{{")) {
        at.key("discord").key("thread_id").problem(
            "a thread is named by its number: this is no template",
            "write the number, or put `thread_id={{ … }}` into the query of `url`",
        );
    }
    let options = thread.map(|id| ("thread_id".to_owned(), id)).into_iter().collect();
    if let (Some(url), Some(preset)) = (&url, preset) {
        platform_url::parameters(url, preset, &options, at);
    }
    Platform { preset, options, answers: Answers::new(rows) }
}

/// Whether a path of one platform takes the messages of this one.
fn is_meant(named: &Preset, other: &Preset, path: &str) -> bool {
    other.other_messages(path).is_some_and(|(_, name)| name == named.name())
}

/// Warns of one platform's messages at another one's address; `webhook` is said on purpose.
fn contradiction(named: &Preset, of_host: Option<&Preset>, at: &At<'_>) {
    if let Some(other) = of_host.filter(|other| other.name() != named.name() && named.has_bodies())
    {
        at.warning(
            format!(
                "the URL is {}, and the messages are those for `{}`",
                other.about(),
                named.name()
            ),
            format!("leave it out, or write `{}`", other.name()),
        );
    }
}

/// Refuses the keys of another platform. What `defaults` bring along is for those it fits.
fn own_keys(keys: &WebhookKeys, preset: Option<&'static Preset>, at: &At<'_>) {
    let name = preset.map_or("webhook", Preset::name);
    let blocks = [
        ("slack", keys.slack.is_some()),
        ("discord", keys.discord.is_some()),
        ("pagerduty", keys.pagerduty.is_some()),
    ];
    for (block, present) in blocks {
        let at = at.key(block);
        if present && block != name && !at.node().is_some_and(|node| node.from_defaults) {
            at.problem(
                format!("this webhook is of the platform `{name}`"),
                format!("leave it out, or write `platform: {block}`"),
            );
        }
    }
    let footer = at.key("footer");
    let takes_footer = preset.is_some_and(|preset| preset.options().any(|row| row.0 == "footer"));
    let from_defaults = footer.node().is_some_and(|node| node.from_defaults);
    if keys.footer.is_some() && !takes_footer && !from_defaults {
        footer.problem(
            format!("messages of the platform `{name}` have no footer"),
            "leave it out, or put it into `body_template`",
        );
    }
}

fn answers(keys: &WebhookKeys, at: &At<'_>) -> Vec<Answer> {
    let row = |(index, row): (usize, &crate::config::keys::AnswerKeys)| {
        if row.status.is_empty() && row.body.is_empty() {
            at.index(index).problem(
                "it is about every answer there is",
                "add `status: [409]`, or `body: [\"already there\"]`",
            );
        }
        let statuses = row.status.iter().map(|status| status.0.as_str());
        Some(Answer {
            status: match &*row.status {
                [] => None,
                _ => Some(StatusSet::parse(statuses).ok()?),
            },
            text: Vec::new(),
            contains: row.body.clone(),
            codes: Vec::new(),
            meaning: row.is.into(),
            firm: true,
            why: None,
        })
    };
    keys.answers.iter().enumerate().filter_map(row).collect()
}

/// The bodies in order: those of kinds, `default`, `body_template`, the platform's.
pub(super) fn bodies(
    keys: &WebhookKeys,
    own: Option<Template>,
    platform: &Platform,
    json: bool,
    at: &At<'_>,
) -> Vec<Choice> {
    let mut bodies = by_kind(keys, &at.key("body_templates"));
    let is_default = |name: &String| name == DEFAULT;
    let mut whole = keys.body_templates.0.iter().any(|(name, _)| is_default(name));
    let templates = [("body_template", keys.body_template.is_some())];
    for (name, present) in templates {
        if whole && present {
            at.key(name)
                .warning("`body_templates.default` stands before it", "keep one of the two");
        }
    }
    if let Some(template) = own {
        bodies.extend(for_all(template));
        whole = true;
    }
    whole |= keys.body_template.is_some() || keys.body_template_file.is_some();
    let preset = platform.preset.filter(|preset| preset.has_bodies() && !whole);
    if let Some(preset) = preset {
        if !json {
            at.key("headers").problem(
                format!("messages of the platform `{}` are JSON", preset.name()),
                "leave `Content-Type` out, or write a `body_template`",
            );
        }
        let url = platform_url::written(keys, at).filter(|_| keys.batch_template.is_none());
        if let Some(url) = url {
            platform_url::messages(&url, preset, at);
        }
        bodies.extend(of_platform(keys, preset, at));
    }
    bodies
}

fn for_all(template: Template) -> Option<Choice> {
    let all = Globs::new(vec!["*".to_owned()]).ok()?;
    Some(Choice::of_kinds(all, template))
}

/// The bodies of `body_templates`: whole kinds, then globs as they are written, then `default`.
fn by_kind(keys: &WebhookKeys, at: &At<'_>) -> Vec<Choice> {
    let rank = |name: &str| match name {
        DEFAULT => 2,
        glob if glob.contains(['*', '?', '[', '{', '!', '\\']) => 1,
        _ => 0,
    };
    let mut templates: Vec<_> = keys.body_templates.0.iter().collect();
    templates.sort_by_key(|(name, _)| rank(name));
    let mut bodies = Vec::new();
    for (name, TemplateKey(text)) in templates {
        let at = at.key(name);
        let Some(template) = template(text, &at) else { continue };
        let glob = if name == DEFAULT { "*" } else { name };
        match Globs::new(vec![glob.to_owned()]) {
            Ok(kinds) => bodies.push(Choice::of_kinds(kinds, template)),
            Err(error) => at.problem(error.to_string(), "write a kind, or a glob such as `auth_*`"),
        }
    }
    bodies
}

/// The platform's bodies with what its keys say.
fn of_platform(keys: &WebhookKeys, preset: &'static Preset, at: &At<'_>) -> Vec<Choice> {
    let mut before = TemplateText::default();
    let mut options = Options::new();
    // Compiled alone first: a fault has its place, and no text can reach beyond its own.
    let mut add = |name: &str, text: &TemplateText, at: &At<'_>| {
        let Some(alone) = template(text, at) else { return };
        let text = if name == SECRET { &secret(text, &alone) } else { text };
        options.insert(name.to_owned(), text.operand(name, &mut before));
    };
    if let Some(TemplateKey(text)) = &keys.footer {
        add("footer", text, &at.key("footer"));
    }
    if let Some(TemplateKey(text)) = keys.discord.as_ref().and_then(|keys| keys.username.as_ref()) {
        add("username", text, &at.key("discord").key("username"));
    }
    let pagerduty = at.key("pagerduty");
    if let Some(keys) = &keys.pagerduty {
        for (name, key) in [("routing_key", &keys.routing_key), ("dedup_key", &keys.dedup_key)] {
            let at = pagerduty.key(name);
            if let Some(TemplateKey(text)) = key {
                if substituted(text).trim().is_empty() {
                    at.problem("it is empty", "write it, or leave the key out");
                }
                add(name, text, &at);
            }
        }
    }
    for (name, required, header) in preset.options() {
        let Some(fix) = required else { continue };
        let in_header = header.and_then(|(header, after)| of_header(keys, header, after, at));
        match in_header {
            _ if options.contains_key(name) => {}
            Some(text) => {
                let alone = Template::compile(&text);
                let text = alone.map(|alone| secret(&text, &alone)).unwrap_or(text);
                options.insert(name.to_owned(), text.operand(name, &mut before));
            }
            None => {
                at.problem(format!("`{}` needs a `{name}`", preset.name()), fix);
                return Vec::new();
            }
        }
    }
    let style = keys.slack.as_ref().map(|keys| match keys.style {
        SlackStyleKey::Attachments => "attachments",
        SlackStyleKey::Blocks => "blocks",
    });
    let style = style.filter(|style| preset.styles().iter().any(|known| known == style));
    let mut bodies = Vec::new();
    if let Some(kinds) = keys.pagerduty.as_ref().and_then(|keys| keys.resolve_kinds.as_ref()) {
        let mut options = options.clone();
        options.insert("resolve".to_owned(), "true".to_owned());
        let last = made(preset, style, &options, &before, at).pop();
        match (Globs::new(kinds.clone()), last) {
            (Ok(kinds), Some(last)) => bodies.push(Choice::of_kinds(kinds, last.template)),
            (Err(error), _) => {
                pagerduty.key("resolve_kinds").problem(error.to_string(), "name the kinds");
            }
            (Ok(_), None) => {}
        }
    }
    bodies.extend(made(preset, style, &options, &before, at));
    bodies
}

/// A fixed text as the value of a variable, which is masked wherever it comes back: what is written
/// into the file is no less secret than what stands in the environment. `alone` is the text compiled.
fn secret(text: &TemplateText, alone: &Template) -> TemplateText {
    // No variable of the configuration can have this name: it holds a space.
    let name = format!("the {SECRET}");
    alone.as_fixed().map_or_else(
        || text.clone(),
        |fixed| TemplateText {
            text: format!("${{{name}}}"),
            variables: BTreeMap::from([(name.clone(), fixed.to_owned())]),
        },
    )
}

/// The messages, compiled once for all exports that want the same. A fault of the data files is
/// postrider's own, and no reason to stop silently.
fn made(
    preset: &'static Preset,
    style: Option<&str>,
    options: &Options,
    before: &TemplateText,
    at: &At<'_>,
) -> Vec<Choice> {
    let key = format!("{} {style:?} {options:?} {}", preset.name(), before.text);
    // The values of variables are no part of the key.
    let shared = before.variables.is_empty();
    let known = at.report.messages.borrow().get(&key).filter(|_| shared).cloned();
    if let Some(bodies) = known {
        return bodies;
    }
    match preset.bodies(style, options, before) {
        Ok(bodies) => {
            if shared {
                at.report.messages.borrow_mut().insert(key, bodies.clone());
            }
            bodies
        }
        Err(error) => {
            at.problem(format!("the platform's messages: {error}"), "write a `body_template`");
            Vec::new()
        }
    }
}

/// The rest of a header's value behind a text, where it begins with that and is fixed.
fn of_header(keys: &WebhookKeys, name: &str, after: &str, at: &At<'_>) -> Option<TemplateText> {
    let (known, value) = keys.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    let TemplateKey(text) = value.as_ref()?;
    let rest = text.text.trim().strip_prefix(after)?.trim_matches('"');
    let rest = TemplateText { text: rest.to_owned(), variables: text.variables.clone() };
    let unknown = at.key("headers").key(known).is_unknown();
    let there = unknown || !substituted(&rest).trim().is_empty();
    (is_constant(&rest.text) && there).then_some(rest)
}
