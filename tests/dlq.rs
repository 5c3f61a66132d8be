//! `postrider dlq` on a store at rest: looking at dead letters, exporting and purging them.

use crate::support::{Answer, Place, Receiver, Request, event_with};
use serde_json::{Value, json};

/// A store with five dead letters: three of `a` (400, 422, and 503 until its attempts were used
/// up), one of `b`, and one line that is no event. Returns it with their ids, in that order.
fn place() -> (Place, Vec<i64>) {
    let status = |request: &Request| match &*request.audit_id() {
        "e400" => Answer::status(400).body("bad field"),
        "e422" => Answer::status(422),
        _ => Answer::status(503),
    };
    let receiver = Receiver::new(status);
    let export = |name: &str, filters: &str| {
        format!(
            "- name: {name}\n  destination: webhook\n  webhook: {{url: '{}', concurrency: 1}}\n  \
             filters: {filters}\n  retry: {{jitter: 0, backoff_seconds: [0.01], max_attempts: 2}}\n",
            receiver.url("/")
        )
    };
    let place = Place::new(&format!(
        "dlq: {{emit_events: false}}\nexports:\n{}{}",
        export("a", "{event_kinds: ['auth_*']}"),
        export("b", "{event_kinds: [policy_block]}")
    ));
    let mut running = place.run().start();
    for (number, (id, kind, severity)) in [
        ("e400", "auth_fail", "error"),
        ("e422", "auth_ok", "info"),
        ("e503", "auth_fail", "critical"),
        ("e503", "policy_block", "error"),
    ]
    .into_iter()
    .enumerate()
    {
        running.feed(event_with(id, json!({"event_kind": kind, "severity": severity})));
        running.settled(number + 1);
    }
    running.feed("nonsense\n");
    running.settled(5);
    running.end().code(3);
    let ids = place.dead_letters().iter().map(|letter| letter["id"].as_i64().unwrap()).collect();
    (place, ids)
}

fn ids(json_lines: &str) -> Vec<i64> {
    let id = |line: &str| serde_json::from_str::<Value>(line).expect("a JSON line")["id"].as_i64();
    json_lines.lines().map(|line| id(line).expect("an id")).collect()
}

#[test]
fn filters_choose_what_is_listed() {
    let (place, all) = place();
    let future = "2999-01-01T00:00:00Z";
    for (args, expected) in [
        (&[][..], &[4, 3, 2, 1, 0][..]),
        (&["--export", "a"], &[2, 1, 0]),
        (&["--export", "a", "--export", "b"], &[3, 2, 1, 0]),
        (&["--export", ""], &[4]),
        (&["--kind", "auth_*"], &[2, 1, 0]),
        (&["--kind", "auth_ok", "--kind", "policy*"], &[3, 1]),
        (&["--severity", "critical"], &[2]),
        (&["--severity", "err"], &[3, 0]),
        (&["--reason", "rejected"], &[1, 0]),
        (&["--reason", "malformed", "--reason", "retries_exhausted"], &[4, 3, 2]),
        (&["--status", "503"], &[3, 2]),
        (&["--status", "4xx"], &[1, 0]),
        (&["--status", "dead"], &[4, 3, 2, 1, 0]),
        (&["--status", "replayed"], &[]),
        (&["--status", "dead", "--status", "503"], &[3, 2]),
        (&["--since", "1h"], &[4, 3, 2, 1, 0]),
        (&["--since", future], &[]),
        (&["--until", "1h"], &[]),
        (&["--until", future, "--export", "b"], &[3]),
        (&["--limit", "2"], &[4, 3]),
        (&["--limit", "2", "--export", "a"], &[2, 1]),
        (&["--id", &all[1].to_string()], &[1]),
    ] {
        let list = place.postrider(&["dlq", "list", "--format", "ndjson"]);
        let list = args.iter().fold(list, |call, arg| call.arg(arg)).finish().code(0);
        let expected: Vec<_> = expected.iter().map(|index| all[*index]).collect();
        assert_eq!(ids(&list.stdout), expected, "dlq list {args:?}");
        // `export` takes the same, oldest first; its limit counts from there.
        if !args.contains(&"--limit") {
            let export = place.postrider(&["dlq", "export"]);
            let export = args.iter().fold(export, |call, arg| call.arg(arg)).finish().code(0);
            let oldest_first: Vec<_> = expected.into_iter().rev().collect();
            assert_eq!(ids(&export.stdout), oldest_first, "dlq export {args:?}");
        }
    }
}

#[test]
fn a_filter_that_means_nothing_is_a_mistake_on_the_command_line() {
    let (place, _) = place();
    for args in [
        ["--severity", "purple"],
        ["--reason", "fate"],
        ["--status", "9xx"],
        ["--since", "yesterday"],
        ["--id", "x"],
        ["--format", "yaml"],
        ["--limit", "few"],
    ] {
        let list = place.postrider(&["dlq", "list"]);
        let failed = args.iter().fold(list, |call, arg| call.arg(*arg)).finish().code(2);
        assert!(failed.stderr.contains(args[0]), "{args:?}: {}", failed.stderr);
    }
}

#[test]
fn every_format_tells_the_same() {
    let (place, all) = place();
    let list = |format: &str| {
        place.postrider(&["dlq", "list", "--format", format]).finish().code(0).stdout
    };
    let lines: Vec<Value> =
        list("ndjson").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let array: Vec<Value> = serde_json::from_str(&list("json")).unwrap();
    assert_eq!(array, lines);
    let table = place.postrider(&["dlq", "list"]).finish().code(0).stdout;
    assert_eq!(table, list("table"));
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(rows.len(), 6, "{table}");
    assert!(rows[0].starts_with("ID"), "{table}");
    for (row, id) in rows[1..].iter().zip(all.iter().rev()) {
        assert!(row.starts_with(&id.to_string()), "{table}");
    }
    assert!(rows[4].contains("rejected") && rows[4].contains("422"), "{table}");
}

#[test]
fn show_prints_everything_about_a_letter() {
    let (place, all) = place();
    let show = place.postrider(&["dlq", "show", &all[0].to_string()]).finish().code(0).stdout;
    for text in ["rejected", "400", "bad field", "HTTP 400", "e400", "auth_fail", "agent-1", "dead"]
    {
        assert!(show.contains(text), "`{text}` in\n{show}");
    }
    let show =
        place.postrider(&["dlq", "show", &all[0].to_string(), "--format", "json"]).finish().code(0);
    let letter = &serde_json::from_str::<Value>(&show.stdout).unwrap()[0];
    for (field, value) in [
        ("id", json!(all[0])),
        ("export", json!("a")),
        ("source", json!("stdin")),
        ("reason", json!("rejected")),
        ("attempts", json!(1)),
        ("last_status", json!(400)),
        ("response", json!("bad field")),
        ("replays", json!(0)),
        ("severity", json!("error")),
        ("event_kind", json!("auth_fail")),
    ] {
        assert_eq!(letter[field], value, "{field}");
    }
    assert_eq!(letter["event"]["audit_id"], "e400");
    let times = ["accepted_at", "first_attempt_at", "last_attempt_at", "created_at", "updated_at"];
    let times =
        times.map(|field| letter[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap());
    assert!(times.is_sorted(), "{times:?}");
    let none = place.postrider(&["dlq", "show", "1"]).finish().code(1);
    assert!(none.stderr.contains("no dead letter 1"), "{}", none.stderr);
}

#[test]
fn stats_count_by_export_reason_and_state() {
    let (place, _) = place();
    let stats = place.postrider(&["dlq", "stats", "--format", "json"]).finish().code(0);
    let stats: Vec<Value> = serde_json::from_str(&stats.stdout).unwrap();
    let mut counts: Vec<_> = stats
        .iter()
        .map(|row| {
            format!("{} {} {} {}", row["export"], row["reason"], row["state"], row["letters"])
        })
        .collect();
    counts.sort();
    assert_eq!(
        counts,
        [
            r#""a" "rejected" "dead" 2"#,
            r#""a" "retries_exhausted" "dead" 1"#,
            r#""b" "retries_exhausted" "dead" 1"#,
            r#"null "malformed" "dead" 1"#,
        ]
    );
    let table = place.postrider(&["dlq", "stats", "--export", "b"]).finish().code(0).stdout;
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.contains("retries_exhausted"), "{table}");
}

#[test]
fn purging_needs_a_filter_or_all() {
    let (place, all) = place();
    let refused = place.postrider(&["dlq", "purge"]).finish().code(2);
    assert!(refused.stderr.contains("--all"), "{}", refused.stderr);
    let dry = place.postrider(&["dlq", "purge", "--all", "--dry-run"]).finish().code(0);
    assert!(dry.stdout.contains('5'), "{}", dry.stdout);
    assert_eq!(place.dead_letters().len(), 5, "a dry run deletes nothing");
    let some = place.postrider(&["dlq", "purge", "--export", "a", "--reason", "rejected"]);
    assert!(some.finish().code(0).stdout.contains('2'));
    let left: Vec<_> =
        place.dead_letters().iter().map(|letter| letter["id"].as_i64().unwrap()).collect();
    assert_eq!(left, all[2..]);
    place.postrider(&["dlq", "purge", "--all", "--yes"]).finish().code(0);
    assert_eq!(place.dead_letters().len(), 0);
    place.postrider(&["dlq", "purge", "--all"]).finish().code(0);
}

#[test]
fn without_a_store_there_is_a_clear_error_and_none_is_made() {
    let place = Place::new("exports:\n- {name: a, destination: console}\n");
    for args in [
        &["dlq", "list"][..],
        &["dlq", "show", "1"],
        &["dlq", "stats"],
        &["dlq", "export"],
        &["dlq", "purge", "--all"],
        &["dlq", "replay"],
        &["dlq", "replay", "--dry-run"],
        &["dlq", "list", "--data-dir", "elsewhere"],
    ] {
        let failed = place.postrider(args).finish().code(1);
        let said = failed.stderr.to_lowercase();
        assert!(said.contains("store") || said.contains("postrider.db"), "{args:?}: {said}");
        assert!(!place.path("postrider-data").exists(), "{args:?}");
        assert!(!place.path("elsewhere").exists(), "{args:?}");
    }
}

#[test]
fn a_data_directory_is_enough_to_look() {
    let (place, all) = place();
    // Neither the configuration nor its variables are needed.
    place.write(
        "postrider.yaml",
        "exports:\n- {name: a, destination: webhook, webhook: {url: '${NOT_SET}'}}\n",
    );
    place.postrider(&["dlq", "list"]).finish().code(0);
    std::fs::remove_file(place.path("postrider.yaml")).unwrap();
    let list =
        place.postrider(&["dlq", "list", "--data-dir", "postrider-data", "--format", "ndjson"]);
    assert_eq!(ids(&list.finish().code(0).stdout).len(), all.len());
    let purge = ["dlq", "purge", "--data-dir", "postrider-data", "--export", "b"];
    place.postrider(&purge).finish().code(0);
}

#[test]
fn the_store_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (place, _) = place();
    let mode =
        |name: &str| std::fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("postrider-data"), 0o700);
    assert_eq!(mode("postrider-data/postrider.db"), 0o600);
}
