//! The configuration as the command line reads it: problems with their places, layers, variables.

use crate::support::{Place, Receiver, event};
use serde_json::Value;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

const BAD: &str = r#"shutdown_grace: 10 parsecs
colour: red
sources:
- name: in
  type: stdin
  max_line_bytes: -1
exports:
- name: a
  destination: webhook
  webhook:
    url: https://hooks.example.com/T0/PLANTED
    headers: {Host: x, X-T: "${NOT_SET}"}
  retry: {backoff_second: [1], max_attempts: 0}
- name: a
  destination: nowhere
  filters: {min_severity: purple, event_kinds: []}
"#;

/// Every problem of it: line, column, key, and a word of the message.
const PROBLEMS: &[(u64, u64, &str, &str)] = &[
    (1, 17, "shutdown_grace", "10 parsecs"),
    (2, 1, "colour", "unknown key"),
    (6, 19, "sources[0].max_line_bytes", "not a size"),
    (12, 21, "exports[0].webhook.headers.Host", "Host"),
    (12, 30, "exports[0].webhook.headers.X-T", "${NOT_SET}"),
    (13, 11, "exports[0].retry.backoff_second", "unknown key"),
    (13, 46, "exports[0].retry.max_attempts", "`0`"),
    (14, 9, "exports[1].name", "twice"),
    (15, 16, "exports[1].destination", "nowhere"),
    (16, 27, "exports[1].filters.min_severity", "purple"),
    (16, 48, "exports[1].filters.event_kinds", "empty list"),
];

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let place = Place::new(BAD);
    let said = place.postrider(&["validate"]).finish().code(2).stdout;
    for (line, column, key, word) in PROBLEMS {
        let start = format!("postrider.yaml:{line}:{column}: {key}: ");
        let found = said.lines().find(|said| said.contains(&start));
        assert!(found.is_some_and(|found| found.contains(word)), "{start} {word}\n{said}");
    }
    assert!(said.contains("did you mean `backoff_seconds`?"), "{said}");
    assert!(said.ends_with("11 problems\n"), "{said}");
    let run = place.run().finish().code(2);
    assert_eq!(run.stderr.matches("fix: ").count(), 11, "{}", run.stderr);
    assert!(!place.path("postrider-data").exists());
}

#[test]
fn programs_read_the_same_problems_as_json() {
    let place = Place::new(BAD);
    let said = place.postrider(&["validate", "--format", "json"]).finish().code(2).stdout;
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["valid"], false);
    let problems = said["problems"].as_array().unwrap();
    let found: Vec<_> = problems
        .iter()
        .map(|p| {
            (p["line"].as_u64().unwrap(), p["column"].as_u64().unwrap(), p["key"].as_str().unwrap())
        })
        .collect();
    let expected: Vec<_> =
        PROBLEMS.iter().map(|(line, column, key, _)| (*line, *column, *key)).collect();
    assert_eq!(found, expected);
    assert!(problems.iter().all(|p| p["fix"].is_string() && p["message"].is_string()), "{said}");
}

#[test]
fn a_valid_configuration_says_so() {
    let place = Place::new("exports:\n- {name: a, destination: console}\n");
    let said = place.postrider(&["validate"]).finish().code(0).stdout;
    assert!(said.starts_with("valid: ") && said.contains("exports: 1"), "{said}");
    let said = place.postrider(&["validate", "--format", "json"]).finish().code(0).stdout;
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(
        (&said["valid"], said["problems"].as_array().unwrap().len()),
        (&Value::Bool(true), 0)
    );
}

#[test]
fn warnings_fail_only_where_they_are_denied() {
    let place = Place::new(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {url: 'http://hooks.example.com/x'}\n",
    );
    let said = place.postrider(&["validate"]).finish().code(0).stdout;
    assert!(said.contains("warning: ") && said.contains(":4:18: exports[0].webhook.url"), "{said}");
    place.postrider(&["validate", "--deny-warnings"]).finish().code(2);
}

#[test]
fn a_syntax_error_has_its_place() {
    for (file, text, start) in [
        ("a.yaml", "exports:\n- name: [a\n", "a.yaml:"),
        ("a.toml", "[[exports]\nname = 'a'\n", "a.toml:1:"),
        ("a.json", "{\"exports\": [\n{,}]}", "a.json:2:"),
    ] {
        let place = Place::empty();
        place.write(file, text);
        let said = place.postrider(&["validate", "-c", file]).finish().code(2).stdout;
        assert!(said.contains(start), "{said}");
    }
}

#[test]
fn no_configuration_is_a_clear_error() {
    let place = Place::empty();
    for (args, word) in [
        (&["validate"][..], "./postrider.yaml"),
        (&["run"], "./postrider.yaml"),
        (&["run", "-c", "nope.yaml"], "nope.yaml"),
    ] {
        let said = place.postrider(args).finish().code(2);
        let said = said.stdout + &said.stderr;
        assert!(said.contains(word) && said.contains("fix: "), "{args:?}: {said}");
    }
}

#[test]
fn set_lies_over_the_environment_and_that_over_the_files() {
    let [file, environment, set] = [(); 3].map(|()| Receiver::ok());
    let place = Place::new(&format!(
        "exports:\n- {{name: a.b, destination: webhook, webhook: {{url: '{}'}}}}\n",
        file.url("/file")
    ));
    place.run().stdin(event("1")).finish().code(0);
    let key = "POSTRIDER__EXPORTS__0__WEBHOOK__URL";
    let call = || place.run().env(key, &environment.url("/environment"));
    call().stdin(event("2")).finish().code(0);
    let change = format!("exports.0.webhook.url={}", set.url("/set"));
    call().set(&change).stdin(event("3")).finish().code(0);
    assert_eq!(
        (file.audit_ids(), environment.audit_ids(), set.audit_ids()),
        (vec!["1".to_owned()], vec!["2".to_owned()], vec!["3".to_owned()],)
    );
}

#[test]
fn an_element_of_a_list_is_set_by_its_name() {
    let receiver = Receiver::ok();
    let place = Place::new(
        "exports:\n- {name: out, destination: console}\n\
         - {name: pagerduty-alerts, destination: webhook, webhook: {url: 'http://127.0.0.1:9/'}}\n",
    );
    let change = format!("exports.pagerduty-alerts.webhook.url={}", receiver.url("/v2"));
    place.run().set(&change).stdin(event("e")).finish().code(0);
    assert_eq!(receiver.exactly(1)[0].target, "/v2");
}

#[test]
fn a_wrong_value_names_the_layer_it_comes_from() {
    let place = Place::new("exports:\n- {name: a, destination: console}\n");
    let said =
        place.postrider(&["validate", "--set", "shutdown_grace=never"]).finish().code(2).stdout;
    assert!(said.contains("--set") && said.contains("never"), "{said}");
    let call = place.postrider(&["validate"]).env("POSTRIDER__SHUTDOWN_GRACE", "never");
    let said = call.finish().code(2).stdout;
    assert!(said.contains("POSTRIDER__SHUTDOWN_GRACE"), "{said}");
    place.postrider(&["validate", "--set", "no equals sign"]).finish().code(2);
}

#[test]
fn a_missing_variable_is_accepted_where_that_is_asked_for() {
    let place = Place::new(
        "exports:\n- {name: a, destination: webhook, webhook: {url: 'https://x.example/${TOKEN}'}}\n",
    );
    place.postrider(&["validate"]).finish().code(2);
    place.postrider(&["validate", "--no-env"]).finish().code(0);
    place.postrider(&["validate"]).env("TOKEN", "t").finish().code(0);
}

#[test]
fn variables_come_from_the_environment_files_and_defaults() {
    let receiver = Receiver::ok();
    let place = Place::new(&format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook:\n    url: '{}${{PATH_PART:-/default}}'\n    \
         headers: {{X-Env: '${{env.FROM_ENV}}', X-File: 'v ${{file:secret.txt}}', X-Plain: '$${{NOT}}'}}\n",
        receiver.url("")
    ));
    place.write("secret.txt", "from a file\n");
    place.run().env("FROM_ENV", "a: {b}").stdin(event("e")).finish().code(0);
    let request = &receiver.exactly(1)[0];
    assert_eq!(request.target, "/default");
    assert_eq!(request.header("X-Env"), Some("a: {b}"), "a value injects no YAML");
    assert_eq!(request.header("X-File"), Some("v from a file"));
    assert_eq!(request.header("X-Plain"), Some("${NOT}"));
}

#[test]
fn files_and_folders_lie_over_each_other_by_name() {
    let [one, two] = [(); 2].map(|()| Receiver::ok());
    let place = Place::empty();
    place.write("conf/10-base.yaml", format!(
        "defaults: {{retry: {{max_attempts: 1}}}}\nexports:\n- {{name: a, destination: webhook, webhook: {{url: '{}', method: PUT}}}}\n",
        one.url("/")
    ));
    place.write(
        "conf/20-more.yaml",
        format!("exports: [{{name: a, webhook: {{url: '{}'}}}}]\n", two.url("/")),
    );
    place.write("conf/ignored.txt", "not YAML: [");
    place.write(
        "last.toml",
        "x-note = 'ignored'\n[[exports]]\nname = 'a'\nfilters = { event_kinds = ['policy_*'] }\n",
    );
    place.run().arg("-c").arg("conf").arg("-c").arg("last.toml").stdin(event("e")).finish().code(0);
    one.exactly(0);
    assert_eq!(two.exactly(1)[0].method, "PUT", "keys that were not named again stay");
}

#[test]
fn a_disabled_export_takes_nothing() {
    let receiver = Receiver::ok();
    let place = Place::new(&format!(
        "exports:\n- {{name: a, destination: console}}\n\
         - {{name: off, enabled: false, destination: webhook, webhook: {{url: '{}'}}}}\n",
        receiver.url("/")
    ));
    place.run().stdin(event("e")).finish().code(0);
    receiver.exactly(0);
}

#[test]
fn online_it_connects_and_offline_it_does_not() {
    let receiver = Receiver::ok();
    let config = |url: &str| {
        format!(
            "exports:\n- {{name: a, destination: webhook, webhook: {{url: '{url}', timeout: 2}}}}\n"
        )
    };
    let place = Place::new(&config(&receiver.url("/")));
    place.postrider(&["validate"]).finish().code(0);
    assert_eq!(receiver.connections(), 0);
    place.postrider(&["validate", "--online"]).finish().code(0);
    receiver.exactly(0);
    assert_eq!(receiver.connections(), 1);
    let port = crate::support::free_port();
    place.write("postrider.yaml", config(&format!("http://127.0.0.1:{port}/T0/PLANTED")));
    place.postrider(&["validate"]).finish().code(0);
    let said = place.postrider(&["validate", "--online"]).finish().code(2).stdout;
    assert!(said.contains("exports[0].webhook.url") && !said.contains("PLANTED"), "{said}");
}

#[test]
fn the_log_is_as_chatty_as_asked() {
    let place = Place::new("log: {format: json}\nexports:\n- {name: a, destination: console}\n");
    let lines = |args: &[&str]| {
        let call = args.iter().fold(place.run(), |call, arg| call.arg(*arg));
        let stderr = call.stdin(event("e")).finish().code(0).stderr;
        stderr
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"))
            .collect::<Vec<_>>()
    };
    let messages = |lines: &[Value]| {
        lines.iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(messages(&lines(&[])), ["started", "ended"]);
    assert_eq!(lines(&["-q"]).len(), 0);
    for args in [&["-v"][..], &["--log-level", "debug"]] {
        let lines = lines(args);
        assert!(messages(&lines).contains(&"delivered".to_owned()), "{lines:?}");
        let time = lines[0]["timestamp"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.len() == "2026-01-02T03:04:05.678Z".len(), "{time}");
    }
    place.postrider(&["run", "-v", "-q"]).finish().code(2);
}

#[test]
fn a_data_directory_whose_socket_has_too_long_a_path_is_a_problem() {
    let place = Place::empty();
    let long = "d".repeat(90);
    place.write(
        "postrider.yaml",
        format!("data_dir: ./{long}\nexports: [{{name: a, destination: console}}]\n"),
    );
    for said in [
        place.postrider(&["validate"]).finish().code(2).stdout,
        place.run().stdin("").finish().code(2).stderr,
    ] {
        assert!(said.contains("postrider.yaml:1:11: data_dir: "), "{said}");
        assert!(said.contains("control.sock") && said.contains("fix: "), "{said}");
    }
    // The longest that does.
    let rest = 107 - place.path("x/control.sock").as_os_str().len() + 1;
    place.write(
        "postrider.yaml",
        format!("data_dir: ./{}\nexports: [{{name: a, destination: console}}]\n", "d".repeat(rest)),
    );
    place.postrider(&["validate"]).finish().code(0);
    place.run().stdin("").finish().code(0);
    let over = format!("data_dir=./{}", "d".repeat(rest + 1));
    let said = place.postrider(&["validate", "--set", &over]).finish().code(2).stdout;
    assert!(said.contains("--set data_dir: data_dir: "), "{said}");
}

#[test]
fn a_glob_that_counts_from_a_folder_without_a_name_in_utf_8_is_a_problem() {
    let place = Place::empty();
    let folder = place.path("").join(OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir(&folder).unwrap();
    let config = folder.join("postrider.yaml");
    let validate = |glob: &str| {
        let text = format!("sources: [{{name: app, type: file, paths: ['{glob}']}}]\n");
        std::fs::write(&config, format!("{text}exports: [{{name: a, destination: console}}]\n"))
            .unwrap();
        place.postrider(&["validate", "-c"]).arg(&config).finish()
    };
    let refused = validate("*.log").code(2).stdout;
    assert!(refused.contains("whose name is not UTF-8"), "{refused}");
    assert!(refused.contains("fix: write an absolute path"), "{refused}");
    validate("/var/log/*.log").code(0);
}

#[test]
fn denied_warnings_are_said_to_be_the_reason() {
    let place = Place::new(
        "exports:\n- {name: a, destination: webhook, webhook: {url: 'http://hooks.example.com/'}}\n",
    );
    let said = place.postrider(&["validate", "--deny-warnings"]).finish().code(2).stdout;
    assert!(said.ends_with("1 warning, and `--deny-warnings` takes none\n"), "{said}");
    assert!(!said.contains("valid: "), "{said}");
    let json = ["validate", "--deny-warnings", "--format", "json"];
    let said = place.postrider(&json).finish().code(2).stdout;
    assert_eq!(serde_json::from_str::<Value>(&said).expect("JSON")["valid"], false);
    let said = place.postrider(&["validate"]).finish().code(0).stdout;
    assert!(said.contains("valid: postrider.yaml") || said.contains("valid: /"), "{said}");
}

#[test]
fn what_is_found_online_has_its_place() {
    let port = crate::support::free_port();
    let place = Place::new(&format!(
        "exports:\n- {{name: off, enabled: false, destination: console}}\n- name: a\n  destination: webhook\n  \
         webhook:\n    url: 'http://127.0.0.1:{port}/'\n"
    ));
    let said = place.postrider(&["validate", "--online"]).finish().code(2).stdout;
    assert!(said.contains("postrider.yaml:6:10: exports[1].webhook.url: http://127"), "{said}");
}
