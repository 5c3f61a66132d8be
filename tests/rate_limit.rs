//! The rate limit stands at the wire: whatever is sent counts against it.

use crate::support::{Answer, Place, Receiver, events};
use std::time::Duration;

fn config(url: &str, limit: &str) -> String {
    format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{url}'}}\n  \
         rate_limit: {limit}\n  retry: {{jitter: 0, backoff_seconds: [0.01]}}\n"
    )
}

#[test]
fn no_window_holds_more_requests_than_allowed() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), "{requests: 4, per: 500ms}"));
    let (metrics, finished) = place.carry(&events(12));
    finished.code(0);
    let requests = receiver.exactly(12);
    for window in requests.windows(5) {
        let span = window[4].arrived - window[0].arrived;
        assert!(span >= Duration::from_millis(490), "5 requests within {span:?}");
    }
    let waited = metrics.one("rate_limit_wait_seconds_total", &[("export", "a")]);
    assert!(waited > 0.5, "{waited} s");
}

#[test]
fn retries_count_against_the_limit() {
    let receiver = Receiver::answering([503, 503, 503, 200].map(Answer::status));
    let place = Place::new(&config(&receiver.url("/"), "{requests: 2, per: 400ms}"));
    place.carry(&events(1)).1.code(0);
    let requests = receiver.exactly(4);
    for window in requests.windows(3) {
        let span = window[2].arrived - window[0].arrived;
        assert!(span >= Duration::from_millis(390), "3 requests within {span:?}");
    }
}

#[test]
fn an_export_that_waits_for_its_limit_keeps_no_other_waiting() {
    let (slow, fast) = (Receiver::ok(), Receiver::ok());
    let place = Place::new(&format!(
        "{}- {{name: fast, destination: webhook, webhook: {{url: '{}'}}}}\nshutdown_grace: 0.1\n",
        config(&slow.url("/"), "{requests: 1, per: 1h}"),
        fast.url("/")
    ));
    let mut running = place.run().start();
    running.feed(events(50));
    fast.wait_for(50);
    slow.wait_for(1);
    running.terminate();
    running.wait().code(0);
    slow.exactly(1);
}
