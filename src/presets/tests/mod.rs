//! What holds for every platform's file.

mod bounds;
mod huge;
mod words;

use super::*;
use std::collections::BTreeMap;

#[test]
fn every_file_is_read() {
    for (name, text) in FILES {
        let preset = Preset::read(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(preset.name(), *name);
    }
    assert_eq!(names(), ["auto", "webhook", "slack", "discord", "teams", "pagerduty", "openclaw"]);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/presets");
    let yaml = |path: &std::path::Path| path.extension().is_some_and(|ending| ending == "yaml");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(files.filter(|path| yaml(path)).count(), FILES.len() + 1, "messages.yaml beside");
    assert!(all().iter().all(|preset| preset.file.sums.len() <= limits::MAX_SUMS));
    assert!(all().iter().all(|preset| preset.file.defaults.len() <= limits::MAX_DEFAULTS));
}

#[test]
fn every_style_has_its_bodies() {
    for preset in all().iter().filter(|preset| preset.has_bodies()) {
        let options: Options = preset
            .options()
            .filter(|(_, required, _)| required.is_some())
            .map(|(name, ..)| (name.to_owned(), "'x'".to_owned()))
            .collect();
        let styles: Vec<_> = match preset.styles() {
            [] => vec![None],
            styles => styles.iter().map(|style| Some(style.as_str())).collect(),
        };
        for style in styles {
            let bodies = preset
                .bodies(style, &options, &TemplateText::default())
                .unwrap_or_else(|error| panic!("{error}"));
            let last = bodies.last().unwrap();
            assert!(last.kinds.is_none() && last.when.is_empty(), "the last one is for all");
        }
    }
}

#[test]
fn hosts_name_their_platform() {
    for (host, name) in [
        ("hooks.slack.com", Some("slack")),
        ("discord.com", Some("discord")),
        ("canary.discord.com", Some("discord")),
        ("evil-discord.com", None),
        ("prod-12.westeurope.logic.azure.com", Some("teams")),
        ("default1.0a.environment.api.powerplatform.com", Some("teams")),
        ("acme.webhook.office.com", Some("teams")),
        ("events.eu.pagerduty.com", Some("pagerduty")),
        ("hooks.slack.com.evil.example", None),
        ("127.0.0.1", None),
    ] {
        assert_eq!(of_host(host).map(Preset::name), name, "{host}");
    }
}

#[test]
fn addresses_are_those_the_platform_wants() {
    let options = BTreeMap::from([("thread_id".to_owned(), "77".to_owned())]);
    let none = BTreeMap::new();
    for (platform, url, options, wanted) in [
        ("discord", "/api/webhooks/1/t", &none, "/api/v10/webhooks/1/t?wait=true"),
        ("discord", "/api/v6/webhooks/1/t", &none, "/api/v10/webhooks/1/t?wait=true"),
        ("discord", "/api/v12/webhooks/1/t?wait=false", &none, "/api/v10/webhooks/1/t?wait=false"),
        ("discord", "/api/webhooks/1/t", &options, "/api/v10/webhooks/1/t?thread_id=77&wait=true"),
        ("discord", "/proxy/1", &options, "/proxy/1"),
        ("discord", "/api/vx/webhooks/1/t", &none, "/api/vx/webhooks/1/t"),
        ("slack", "/services/T/B/x", &none, "/services/T/B/x"),
    ] {
        let mut parsed = url::Url::parse(&format!("https://h{url}")).unwrap();
        named(platform).unwrap().readdress(&mut parsed, options);
        assert_eq!(parsed.as_str(), format!("https://h{wanted}"), "{platform} {url}");
    }
}

#[test]
fn endings_of_addresses_that_take_other_messages() {
    for (path, other) in [
        ("/api/webhooks/1/t/slack", Some(("/slack", "slack"))),
        ("/api/v10/webhooks/1/t/github/", Some(("/github", "webhook"))),
        ("/api/webhooks/1/t", None),
        ("/api/webhooks/1/slacks", None),
        ("/api/webhooks/1/t/slack/x", None),
        ("/proxy/slack", None),
    ] {
        assert_eq!(named("discord").unwrap().other_messages(path), other, "{path}");
    }
    for preset in all() {
        let endings = preset.file.url.iter().flat_map(|row| row.endings.values());
        assert!(endings.into_iter().all(|other| named(other).is_some()), "{}", preset.name());
    }
}
