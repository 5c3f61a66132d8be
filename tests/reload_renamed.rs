//! Exports that are renamed, removed and configured again while they work: what is in flight is not
//! sent twice, and the metrics add up whatever came before.

use crate::support::{Answer, Metrics, Place, Receiver, Step, event};
use std::collections::BTreeSet;
use std::time::Duration;

fn export(name: &str, receiver: &Receiver, keys: &str) -> String {
    format!(
        "- name: {name}\n  destination: webhook\n  webhook: {{url: '{}'}}\n  \
         filters: {{exclude_event_kinds: ['webhook.*']}}\n{keys}",
        receiver.url("/")
    )
}

fn write(place: &Place, exports: &[String]) {
    place.write("postrider.yaml", config(exports));
}

fn config(exports: &[String]) -> String {
    format!("shutdown_grace: 10s\nexports:\n{}", exports.concat())
}

fn numbers(from: usize, to: usize) -> String {
    (from..to).map(|number| event(&format!("e{number}"))).collect()
}

fn flight(export: &'static str, count: usize) -> impl Fn(&Metrics) -> bool {
    let labels = [("export", export), ("where", "flight")];
    move |metrics| metrics.sum("events_pending", &labels) == count as f64
}

#[test]
fn what_is_in_flight_is_not_sent_again_under_the_new_name() {
    // It answers late, and what it was asked arrived at once.
    let pause = Step::Pause(Duration::from_millis(700));
    let a = Receiver::always(Answer::status(200).first(pause));
    let place = Place::new(&config(&[export("old", &a, "")]));
    let mut running = place.run().start().ready();
    running.feed(numbers(0, 20));
    running.shows("all slots are busy", flight("old", 8));
    write(&place, &[export("new", &a, "  former_names: [old]\n")]);
    running.reload();
    let metrics = running.settled(20);
    assert_eq!(metrics.one("events_delivered_total", &[("export", "new")]), 20.0);
    assert_eq!(metrics.one("events_restored_total", &[("export", "new")]), 0.0);
    assert!(!metrics.label_values("events_routed_total", "export").contains("old"));
    running.end().code(0);
    a.exactly(20);
}

#[test]
fn the_metrics_add_up_after_any_sequence_of_reloads() {
    let a = Receiver::always(Answer::status(503));
    let b = Receiver::ok();
    let wait = "  retry: {jitter: 0, backoff_seconds: [0.2], max_attempts: 1000}\n";
    let other = || export("b", &b, "");
    let place = Place::new(&config(&[export("a", &a, wait), other()]));
    let mut running = place.run().start().ready();
    let mut fed = 0;
    let mut feed = |running: &mut crate::support::Running| {
        running.feed(numbers(fed, fed + 10));
        fed += 10;
        running.shows("they came", |metrics| metrics.received() == fed as f64);
    };
    let renamed =
        |name: &str, former: &str| export(name, &a, &format!("{wait}  former_names: [{former}]\n"));
    let steps = [
        // Renamed, and again.
        vec![renamed("a1", "a"), other()],
        vec![renamed("a2", "a1"), other()],
        // Other settings.
        vec![renamed("a2", "a1") + "  order: strict\n", other()],
        // Gone, and back within the grace.
        vec![other()],
        vec![renamed("a2", "a1"), other()],
        // Back to its first name.
        vec![renamed("a", "a2"), other()],
        vec![renamed("a", "a2"), other()],
    ];
    for exports in &steps {
        feed(&mut running);
        write(&place, exports);
        running.reload();
        running.adds_up();
    }
    feed(&mut running);
    a.rewrite(|_| Answer::status(200));
    let metrics = running.at_rest();
    assert_eq!(metrics.one("events_delivered_total", &[("export", "b")]), 80.0);
    // It missed what came while it was not configured.
    let delivered = metrics.one("events_delivered_total", &[("export", "a")]);
    assert_eq!(delivered, 70.0);
    assert_eq!(metrics.one("events_routed_total", &[("export", "a")]), 70.0);
    assert_eq!(metrics.one("events_restored_total", &[("export", "a")]), 0.0);
    running.end().code(0);
    let taken: BTreeSet<_> = a.audit_ids().into_iter().collect();
    assert_eq!(taken.len(), 70);
    assert_eq!(place.dead_letters().len(), 0);
}
