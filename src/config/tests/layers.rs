//! What stands over what: files, folders, named lists, `defaults`, the environment, `--set`.

use super::super::{
    Config, Destination, LoadOptions, LogFormat, LogLevel, Role, SocketAddress, load, load_data_dir,
};
use super::super::{Digest, Export, Input, Webhook};
use super::Case;
use std::path::Path;
use std::time::Duration;

const CONSOLE: &str = "exports: [{name: a, destination: console}]\n";

fn names(config: &Config) -> Vec<&str> {
    config.exports.iter().map(|export| &*export.name).collect()
}

fn webhook(export: &Export) -> &Webhook {
    match &export.destination {
        Destination::Webhook(webhook) => webhook,
        other => panic!("{other:?}"),
    }
}

#[test]
fn later_layers_stand_over_earlier_ones() {
    let base = "log: {level: error, format: json}\nshutdown_grace: 1s\n";
    let case = |files: usize| {
        let all = [("1.yaml", base), ("2.yaml", "log: {level: warn}\n"), ("3.yaml", CONSOLE)];
        Case::new(&[&all[..files], &all[2..]].concat())
    };
    assert_eq!(case(1).config().log.level, LogLevel::Error);
    let two = case(2).config();
    assert_eq!((two.log.level, two.log.format), (LogLevel::Warn, LogFormat::Json), "key by key");
    let env = case(2).env("POSTRIDER__LOG__LEVEL", "debug");
    assert_eq!(env.config().log.level, LogLevel::Debug);
    let set = env.set("log.level=info").set("log.level=trace");
    assert_eq!(set.config().log.level, LogLevel::Trace);
    assert_eq!(set.config().shutdown_grace, Duration::from_secs(1));
}

#[test]
fn named_lists_merge_by_name_and_others_are_replaced() {
    let first = "
exports:
  - {name: a, destination: webhook, webhook: {url: 'https://a/', headers: {X: '1', Y: '2'}},
     retry: {backoff_seconds: [1, 2, 3], jitter: 0}}
  - {name: b, destination: console}
";
    let second = "
exports:
  - {name: c, destination: console}
  - {name: a, webhook: {url: 'https://b/', headers: {Y: }}, retry: {backoff_seconds: [7]}}
";
    let config = Case::new(&[("1.yaml", first), ("2.yaml", second)]).config();
    assert_eq!(names(&config), ["a", "b", "c"], "in the order they first appeared");
    let a = &config.exports[0];
    assert_eq!(webhook(a).url.masked(), "https://b/…");
    let headers: Vec<_> =
        webhook(a).headers.iter().map(|(name, value)| (name.as_str(), value.is_some())).collect();
    assert_eq!(headers, [("x", true), ("y", false)], "null leaves a header out");
    assert_eq!(a.retry.schedule.wait_after(2, 0.5), Duration::from_secs(7));
}

#[test]
fn null_takes_the_default_back() {
    let files = [
        ("1.yaml", "log: {level: error}\ndlq: {emit_events: false}\n"),
        ("2.yaml", "log:\ndlq: {emit_events: }\n"),
    ];
    let config = Case::new(&[files[0], files[1], ("3.yaml", CONSOLE)]).config();
    assert_eq!(config.log.level, LogLevel::Info);
    assert!(config.dlq.emit_events);
}

#[test]
fn a_folder_means_its_yaml_files_in_order_of_name() {
    let mut case = Case::new(&[
        ("conf/20.yaml", "log: {level: error}\n"),
        ("conf/10.yaml", "log: {level: warn}\nexports: [{name: a, destination: console}]\n"),
        ("conf/.hidden.yaml", "log: {level: trace}\n"),
        ("conf/notes.txt", "not: [yaml"),
    ]);
    case.options.files = vec!["conf".into()];
    let loaded = case.load().unwrap();
    assert_eq!(loaded.config.log.level, LogLevel::Error);
    let names: Vec<_> = loaded.files.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(names, ["10.yaml", "20.yaml"]);

    std::fs::write(case.folder().join("conf/10.yaml"), "log: {level: x}\n").unwrap();
    assert!(case.said().contains("exports: missing key"), "{}", case.said());
}

#[test]
fn the_usual_places_are_tried_in_turn() {
    let mut case = Case::new(&[("postrider.yaml", CONSOLE), ("other.yaml", "exports: 5\n")]);
    case.options.files.clear();
    assert_eq!(names(&case.config()), ["a"]);
    let case = case.env("POSTRIDER_CONFIG", "");
    assert_eq!(names(&case.config()), ["a"], "as if it were not set");
    let case = case.env("POSTRIDER_CONFIG", "other.yaml");
    assert!(
        case.said().starts_with("other.yaml:1:10: exports: expected a list"),
        "{}",
        case.said()
    );
    let mut nowhere = Case::new(&[]);
    nowhere.options.environment.clear();
    if !Path::new("/etc/postrider/postrider.yaml").exists() {
        assert!(nowhere.said().starts_with("no configuration: there is neither"));
    }
    nowhere.options.files = vec!["gone.yaml".into()];
    assert_eq!(
        nowhere.said(),
        "gone.yaml: cannot be read: no such file or directory\n  fix: name a file that can be read"
    );
}

#[test]
fn defaults_fill_what_exports_leave_open() {
    let config = Case::yaml(
        "
defaults:
  destination: webhook
  retry: {max_attempts: 3, jitter: 0}
  webhook: {timeout: 2s, headers: {X-Team: sec}}
exports:
  - {name: a, webhook: {url: 'https://a/', timeout: 7s}}
  - {name: b, webhook: {url: 'https://b/', headers: {X-Own: '1'}}, retry: {max_attempts: 9}}
  - {name: c, destination: console}
",
    )
    .config();
    let [a, b, c] = &config.exports[..] else { panic!() };
    assert_eq!(webhook(a).timeout, Duration::from_secs(7));
    assert_eq!(webhook(b).timeout, Duration::from_secs(2));
    assert_eq!(webhook(b).headers.len(), 2);
    let attempts = [a, b, c].map(|export| export.retry.max_attempts.get());
    assert_eq!(attempts, [3, 9, 3]);
    assert!(matches!(c.destination, Destination::Console(_)));
}

#[test]
fn the_environment_edits_by_index_or_name() {
    let yaml = "
exports:
  - {name: pagerduty-alerts, destination: webhook, webhook: {url: 'https://a/'}}
  - {name: b, destination: webhook, webhook: {url: 'https://a/', headers: {X-Team: a}}}
";
    let config = Case::yaml(yaml)
        .env("POSTRIDER__EXPORTS__PAGERDUTY_ALERTS__WEBHOOK__URL", "https://b/")
        .env("POSTRIDER__EXPORTS__1__WEBHOOK__URL", "https://c/")
        .env("POSTRIDER__EXPORTS__1__WEBHOOK__HEADERS__X_TEAM", "null")
        .env("POSTRIDER__EXPORTS__1__RETRY__MAX_ATTEMPTS", "4")
        .env("POSTRIDER__EXPORTS__1__FILTERS", "{event_kinds: [x]}")
        .env("POSTRIDER_HOME", "/not/a/key")
        .config();
    assert_eq!(webhook(&config.exports[0]).url.masked(), "https://b/…");
    let b = &config.exports[1];
    assert_eq!(webhook(b).url.masked(), "https://c/…");
    assert!(webhook(b).headers[0].1.is_none());
    assert_eq!(b.retry.max_attempts.get(), 4);
    assert_eq!(b.filter.event_kinds.as_ref().unwrap().texts(), ["x"]);
}

#[test]
fn set_reads_text_as_text_and_the_rest_as_yaml() {
    let yaml = "
sources: [{name: in, type: socket, mode: tcp, address: '127.0.0.1:1'}]
exports:
  - {name: a.b, destination: webhook, webhook: {url: 'https://a/'}, filters: {when: {x.y: [q]}},
     retry: {backoff_seconds: [1, 2]}}
";
    let config = Case::yaml(yaml)
        .set("sources.in.address=[::1]:9514")
        .set("exports.a.b.webhook.url=http://127.0.0.1:9000/hook?a=b")
        .set("exports.0.webhook.body_template={\"a\": [1]}")
        .set("exports.a.b.retry={max_attempts: 2}")
        .set("exports.a.b.retry.backoff_seconds.1=9")
        .set("exports.a.b.retry.backoff_seconds.0=8")
        .set("exports.a.b.filters.when.x.y=[z]")
        .set("admin=false")
        .config();
    let Input::Socket(socket) = &config.sources[0].input else { panic!() };
    assert_eq!(socket.address, SocketAddress::Tcp("[::1]:9514".parse().unwrap()));
    let a = &config.exports[0];
    assert_eq!(webhook(a).url.masked(), "http://127.0.0.1:9000/…");
    assert!(a.body.templates().next().is_some());
    assert_eq!(a.retry.max_attempts.get(), 2);
    let waits = [1, 2].map(|n| a.retry.schedule.wait_after(n, 0.5).as_secs());
    assert_eq!(waits, [8, 9], "a map is laid over, element by element");
    assert_eq!(a.filter.when[0].1.texts(), ["z"]);
    assert!(config.admin.is_none());
}

#[test]
fn a_whole_list_can_be_set() {
    let case = Case::yaml(CONSOLE)
        .set("exports=[{name: b, destination: console}]")
        .set("exports.b.enabled=false")
        .set("sources=[{name: x, type: stdin}]");
    let config = case.config();
    assert_eq!(names(&config), ["a"], "a named list merges by name, b is off");
    assert_eq!(&*config.sources[0].name, "x");
}

#[test]
fn relative_paths_count_from_the_file_that_names_them() {
    let case = Case::new(&[
        ("etc/a.yaml", "data_dir: data\nsources: [{name: f, type: file, paths: ['*.log', /var/x]}]\n"),
        (
            "etc/exports/b.yaml",
            "exports: [{name: a, destination: webhook, webhook: {url: 'https://a/', body_template_file: body.j2}},
             {name: b, destination: file, file: {path: out.jsonl}}]\n",
        ),
        ("etc/exports/body.j2", "{}"),
    ]);
    let loaded = case.load().unwrap();
    let folder = case.folder();
    assert_eq!(loaded.config.data_dir, folder.join("etc/data"));
    let Input::File(file) = &loaded.config.sources[0].input else { panic!() };
    assert_eq!(file.paths, [folder.join("etc/*.log").to_str().unwrap(), "/var/x"]);
    let Destination::File(output) = &loaded.config.exports[1].destination else { panic!() };
    assert_eq!(output.base, folder.join("etc/exports/"));
    assert!(loaded.files.contains(&folder.join("etc/exports/body.j2")));
    let set = case.set("data_dir=elsewhere");
    assert_eq!(set.config().data_dir, set.folder().join("elsewhere"));
}

#[test]
fn data_dir_has_its_own_way() {
    let broken =
        "data_dir: \"${STATE:-d}\"\nexports: [{name: a, destination: 5, x: \"${GONE}\"}]\n";
    let case = Case::yaml(broken);
    assert_eq!(load_data_dir(&case.options).unwrap(), case.folder().join("d"));
    let case = case.set("exports.nope.enabled=false");
    assert_eq!(load_data_dir(&case.options).unwrap(), case.folder().join("d"));
    let case = case.env("POSTRIDER__DATA_DIR", "e");
    assert_eq!(load_data_dir(&case.options).unwrap(), case.folder().join("e"));
    assert!(load_data_dir(&Case::yaml("data_dir: \"${GONE}\"\n").options).is_err());
    assert!(load_data_dir(&Case::yaml("data_dir: [").options).is_err());
    let mut options = LoadOptions { working_dir: "/nowhere".into(), ..LoadOptions::default() };
    assert_eq!(load_data_dir(&options).unwrap(), Path::new("/nowhere/./postrider-data"));
    options.environment.insert("STATE_DIRECTORY".into(), "/var/lib/postrider:/b".into());
    assert_eq!(load_data_dir(&options).unwrap(), Path::new("/var/lib/postrider"));
}

#[test]
fn state_directory_is_the_default_of_data_dir() {
    let case = Case::yaml(CONSOLE).env("STATE_DIRECTORY", "/var/lib/postrider");
    assert_eq!(case.config().data_dir, Path::new("/var/lib/postrider"));
    let named = Case::yaml(&format!("{CONSOLE}data_dir: /d\n")).env("STATE_DIRECTORY", "/s");
    assert_eq!(named.config().data_dir, Path::new("/d"));
}

#[test]
fn toml_and_json_say_the_same() {
    let yaml = "
log: {level: warn}
sources: [{name: s, type: file, paths: [/x], follow: false}]
exports:
  - {name: a, destination: file, file: {path: /o, mode: 0600}, retry: {jitter: 0.5, retry_on: [429, 5xx]}}
";
    let toml = r#"
log.level = "warn"
[[sources]]
name = "s"
type = "file"
paths = ["/x"]
follow = false
[[exports]]
name = "a"
destination = "file"
file = { path = "/o", mode = 0o600 }
retry = { jitter = 0.5, retry_on = [429, "5xx"] }
"#;
    let json = r#"{"log": {"level": "warn"},
"sources": [{"name": "s", "type": "file", "paths": ["\/x"], "follow": false}],
"exports": [{"name": "a", "destination": "file", "file": {"path": "/o", "mode": "0600"},
 "retry": {"jitter": 0.5, "retry_on": [429, "5xx"]}}]}"#;
    let shown = |name: &str, text: &str| {
        let case = Case::new(&[(name, text)]);
        let mut config = case.config();
        config.data_dir = "/d".into();
        // It also changes with how a value is written.
        config.exports[0].digest = Digest::default();
        format!("{config:?}").replace(case.folder().to_str().unwrap(), "")
    };
    let expected = shown("a.yaml", yaml);
    assert_eq!(shown("a.toml", toml), expected);
    assert_eq!(shown("a.json", json), expected);
}

#[test]
fn toml_and_json_problems_have_their_places() {
    for (name, text, said) in [
        (
            "a.toml",
            "[log]\nlevl = 1\n[[exports]]\nname = 'a'\ndestination = 'x'",
            "a.toml:2:1: log.levl: unknown key",
        ),
        ("a.toml", "a = \nb = ]\n", "a.toml:1:5: not valid TOML"),
        (
            "a.json",
            "{\"log\": {\n  \"levl\": 1}, \"exports\": 1}",
            "a.json:2:3: log.levl: unknown key",
        ),
        ("a.json", "{\"log\": {\n  'levl': 1}}", "a.json:2:3: not valid JSON"),
        ("a.json", "{\"log\": 1,\n \"log\": 2}", "a.json:2:2: the key `log` stands here twice"),
        ("a.json", "[]", "a.json:1:1: a configuration is a map of keys"),
    ] {
        let case = Case::new(&[(name, text)]);
        assert!(case.said().starts_with(said), "{text}: {}", case.said());
    }
}

#[test]
fn the_hash_follows_what_is_effective() {
    let hash = |case: &Case| case.load().unwrap().hash;
    let case = Case::yaml(CONSOLE);
    let plain = hash(&case);
    assert_eq!(plain.len(), 16);
    assert_eq!(plain, hash(&Case::yaml("exports:\n- destination: console\n  name: a\n# x\n")));
    assert_ne!(plain, hash(&Case::yaml(CONSOLE).set("log.level=debug")));
    let secret = |value| Case::yaml(CONSOLE).set("log.level=${L}").env("L", value);
    assert_eq!(hash(&secret("debug")), hash(&secret("warn")), "it tells nothing of variables");
    assert!(load(&LoadOptions { working_dir: "/nowhere".into(), ..case.options.clone() }).is_err());
}

#[test]
fn tokens_of_the_admin_listener_merge_by_name() {
    let first = "admin: {tokens: [{name: a, token: x, role: read}]}\n";
    let second = "admin: {tokens: [{name: b, token: y, role: read}, {name: a, role: manage}]}\n";
    let case = Case::new(&[("1.yaml", first), ("2.yaml", second), ("3.yaml", CONSOLE)]);
    let admin = case.set("admin.tokens.b.token=z").config().admin.unwrap();
    let tokens: Vec<_> =
        admin.tokens.iter().map(|t| (t.name.as_str(), t.token.expose(), t.role)).collect();
    assert_eq!(tokens, [("a", "x", Role::Manage), ("b", "z", Role::Read)]);
}

#[test]
fn an_overlay_does_not_take_the_blame() {
    let case = Case::yaml("exports: [{name: a, retry: {jitter: 5}}]").set("exports.a.enabled=true");
    assert_eq!(
        case.said(),
        "postrider.yaml:1:11: exports[0].destination: missing key\n  \
         fix: one of `webhook`, `console`, `file`\n\
         postrider.yaml:1:37: exports[0].retry.jitter: `5` is not a share\n  \
         fix: write a number from 0 to 1"
    );
}
