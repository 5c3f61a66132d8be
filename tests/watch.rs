//! `run --watch`: what counts as a change of the configuration, and what does not.

use crate::support::{Answer, Metrics, Place, Receiver, Running, event, until};
use std::fs;
use std::os::unix::fs::symlink;

fn config(receiver: &Receiver, headers: &str) -> String {
    format!(
        "exports:\n- {{name: a, destination: webhook, webhook: {{url: '{}', headers: {{{headers}}}}}}}\n\
         - {{name: out, destination: file, file: {{path: out.jsonl}}}}\n",
        receiver.url("/")
    )
}

fn reloads(metrics: &Metrics, outcome: &str) -> f64 {
    metrics.sum("reloads_total", &[("outcome", outcome)])
}

/// Feeds an event until it arrives with this value of the header `X-Now`.
fn arrives_with(running: &mut Running, receiver: &Receiver, value: &str) {
    until(&format!("X-Now: {value}"), || {
        running.feed(event("e"));
        let requests = receiver.requests();
        let last = requests.last()?.header("X-Now")?.to_owned();
        (last == value).then_some(())
    });
}

#[test]
fn only_a_change_of_the_configuration_reloads() {
    let receiver = Receiver::ok();
    // Its log, and the file that an export writes, stand in the folder of the configuration.
    let place = Place::new(&config(&receiver, "X-Now: one"));
    let mut running = place.run().arg("--watch").start().ready();
    for number in 0..20 {
        running.feed(event("e"));
        running.settled(number + 1);
        place.append("beside.txt", "a line\n");
        place.write("postrider.yaml.bak", "exports: []\n");
    }
    // Written anew with what it held before.
    place.write("postrider.yaml", config(&receiver, "X-Now: one"));
    place.write("postrider.yaml", config(&receiver, "X-Now: two"));
    arrives_with(&mut running, &receiver, "two");
    place.write(".postrider.yaml.swp", config(&receiver, "X-Now: three"));
    fs::rename(place.path(".postrider.yaml.swp"), place.path("postrider.yaml")).unwrap();
    arrives_with(&mut running, &receiver, "three");
    let metrics = running.metrics();
    assert_eq!((reloads(&metrics, "applied"), reloads(&metrics, "refused")), (2.0, 0.0));
}

#[test]
fn a_secret_in_a_file_belongs_to_the_configuration() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver, "X-Now: '${file:secrets/now}'"));
    place.write("secrets/now", "one\n");
    let mut running = place.run().arg("--watch").start().ready();
    arrives_with(&mut running, &receiver, "one");
    place.write("secrets/now", "two\n");
    arrives_with(&mut running, &receiver, "two");
    assert_eq!(reloads(&running.metrics(), "applied"), 1.0);
}

/// As Kubernetes mounts them: the file leads to `..data`, and that to the folder in force.
#[test]
fn a_link_that_leads_elsewhere_is_a_change() {
    let receiver = Receiver::ok();
    let place = Place::empty();
    place.write("etc/..1/postrider.yaml", config(&receiver, "X-Now: one"));
    place.write("etc/..2/postrider.yaml", config(&receiver, "X-Now: two"));
    symlink("..1", place.path("etc/..data")).unwrap();
    symlink("..data/postrider.yaml", place.path("etc/postrider.yaml")).unwrap();
    let run = place.run().arg("--watch").arg("-c").arg("etc/postrider.yaml");
    let mut running = run.start().ready();
    arrives_with(&mut running, &receiver, "one");
    symlink("..2", place.path("etc/..new")).unwrap();
    fs::rename(place.path("etc/..new"), place.path("etc/..data")).unwrap();
    arrives_with(&mut running, &receiver, "two");
    fs::remove_dir_all(place.path("etc/..1")).unwrap();
    // What the link leads to is written in place.
    place.write("etc/..2/postrider.yaml", config(&receiver, "X-Now: three"));
    arrives_with(&mut running, &receiver, "three");
    assert_eq!(reloads(&running.metrics(), "applied"), 2.0);
}

#[test]
fn a_file_more_in_a_folder_is_a_change() {
    let receiver = Receiver::ok();
    let place = Place::empty();
    place.write("conf/a.yaml", config(&receiver, "X-Now: one"));
    let run = place.run().arg("--watch").arg("-c").arg("conf");
    let mut running = run.start().ready();
    arrives_with(&mut running, &receiver, "one");
    place.write("conf/notes.txt", "nothing\n");
    place.write("conf/b.yaml", "exports: [{name: a, webhook: {headers: {X-Now: two}}}]\n");
    arrives_with(&mut running, &receiver, "two");
    assert_eq!(reloads(&running.metrics(), "applied"), 1.0);
}

#[test]
fn the_same_problem_is_told_once() {
    let receiver = Receiver::always(Answer::status(200));
    let place = Place::new(&config(&receiver, "X-Now: one"));
    let mut running = place.run().arg("--watch").start().ready();
    let refused = |count: f64| move |metrics: &Metrics| reloads(metrics, "refused") >= count;
    place.write("postrider.yaml", "exports: []\n");
    running.shows("a refusal", refused(1.0));
    place.write("postrider.yaml", "exports: [] # what else?\n");
    running.shows("another one", refused(2.0));
    place.write("postrider.yaml", config(&receiver, "X-Now: two"));
    arrives_with(&mut running, &receiver, "two");
    let metrics = running.metrics();
    assert_eq!((reloads(&metrics, "applied"), reloads(&metrics, "refused")), (1.0, 2.0));
    let said = running.stderr();
    assert_eq!(said.matches("an empty list").count(), 1, "{said}");
}
