//! Another configuration while running: sources are replaced, restarted and removed, and no event
//! is lost or sent twice on the way.

use crate::support::{Answer, Place, Receiver, Running, event, events};
use rustix::process::Signal;
use std::fs;

/// Sources, and an export `a` to this URL.
fn config(sources: &str, url: &str) -> String {
    format!(
        "sources:\n{sources}exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{url}'}}\n  \
         queue: {{memory_events: 10}}\n  \
         filters: {{exclude_event_kinds: ['webhook.*']}}\nshutdown_grace: 1\n"
    )
}

fn source(name: &str, file: &str, keys: &str) -> String {
    format!("- {{name: {name}, type: file, paths: ['logs/{file}'], {keys}}}\n")
}

fn start(sources: &str, url: &str) -> (Place, Running) {
    let place = Place::new(&config(sources, url));
    fs::create_dir_all(place.path("logs")).unwrap();
    place.write("logs/once.jsonl", event("once"));
    let running = place.run().start();
    (place, running)
}

fn reload(place: &Place, running: &Running, config: &str) {
    place.write("postrider.yaml", config);
    running.signal(Signal::HUP);
    running.says("configuration reloaded");
}

fn once_has_ended(running: &Running) {
    // It is read to its end, and nothing of it waits.
    running.shows("the first file's event", |metrics| {
        metrics.sum("events_delivered_total", &[]) >= 1.0
    });
}

#[test]
fn a_renamed_source_goes_on_where_the_old_one_left_though_another_has_ended() {
    let receiver = Receiver::ok();
    let once = source("once", "once.jsonl", "follow: false");
    let before = once.clone() + &source("in", "a.jsonl", "follow: true");
    let (place, running) = start(&before, &receiver.url("/"));
    once_has_ended(&running);
    place.append("logs/a.jsonl", &events(50));
    receiver.wait_for(51);
    let after = once + &source("other", "a.jsonl", "former_names: [in]");
    reload(&place, &running, &config(&after, &receiver.url("/")));
    place.append("logs/a.jsonl", &event("late"));
    receiver.wait_for(52);
    running.terminate();
    running.wait().code(0);
    receiver.exactly(52);
}

#[test]
fn a_source_that_has_ended_is_started_anew_by_another_configuration() {
    let receiver = Receiver::ok();
    let other = source("in", "a.jsonl", "follow: true");
    let before = source("once", "once.jsonl", "follow: false") + &other;
    let (place, running) = start(&before, &receiver.url("/"));
    once_has_ended(&running);
    let after = source("once", "once.jsonl", "follow: true") + &other;
    reload(&place, &running, &config(&after, &receiver.url("/")));
    place.append("logs/once.jsonl", &event("late"));
    receiver.wait_for(2);
    running.terminate();
    running.wait().code(0);
    receiver.exactly(2);
}

#[test]
fn a_replaced_source_whose_lines_wait_for_room_holds_up_neither_reload_nor_stop() {
    let receiver = Receiver::always(Answer::hang());
    let before = source("in", "a.jsonl", "follow: true");
    let (place, running) = start(&before, &receiver.url("/"));
    place.append("logs/a.jsonl", &events(300));
    running.shows("a source held back", |metrics| metrics.received() > 10.0);
    let after = source("other", "a.jsonl", "former_names: [in]");
    reload(&place, &running, &config(&after, &receiver.url("/")));
    running.terminate();
    running.wait().code(0);
}
