//! What receivers that speak HTTP/2 do wrong: what becomes of the event, in one table. Those of
//! HTTP/1.1 stand in `faults`.

use crate::support::{Authority, Frame, Http2Receiver, Place, event};
use Frame::{Close, Data, Endless, GoAway, Hang, Head, Reset};

/// Reasons that frames give.
const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;
const HTTP_1_1_REQUIRED: u32 = 13;

/// After these the event is delivered: the head of a 2xx came, whatever followed it.
const TAKEN: &[(&str, &[Frame])] = &[
    ("200", &[Head(200, true)]),
    ("204", &[Head(204, true)]),
    ("hang after the head", &[Head(200, false), Hang]),
    ("hang in the body", &[Head(200, false), Data(10), Hang]),
    ("endless body", &[Head(200, false), Endless]),
    (
        "more than the window",
        &[Head(200, false), Data(16_000), Data(16_000), Data(16_000), Data(16_000), Data(16_000)],
    ),
    ("reset after the head", &[Head(200, false), Reset(INTERNAL_ERROR)]),
    ("cancelled in the body", &[Head(200, false), Data(10), Reset(CANCEL)]),
    ("no further body", &[Head(200, false), Reset(NO_ERROR)]),
    ("going away, then an answer", &[GoAway(true, NO_ERROR), Head(200, true), Close(false)]),
    ("an answer, then going away", &[Head(200, true), GoAway(true, NO_ERROR), Close(false)]),
    ("a head, then failing", &[Head(200, false), GoAway(true, INTERNAL_ERROR), Close(false)]),
    ("a head, then a lie", &[Head(200, false), GoAway(false, PROTOCOL_ERROR), Close(false)]),
    ("closed after the head", &[Head(200, false), Close(false)]),
    ("closed in the body", &[Head(202, false), Data(10), Close(false)]),
];

/// After these it is tried again; if the receiver goes on like this, it is a dead letter whose last
/// error holds this.
const TRIED_AGAIN: &[(&str, &str, &[Frame])] = &[
    ("hang before the head", "no answer in time", &[Hang]),
    ("nothing", "no answer in time", &[]),
    ("going away", "the HTTP/2 connection ended", &[GoAway(false, NO_ERROR), Close(false)]),
    ("going away, not closing", "", &[GoAway(false, NO_ERROR), Hang]),
    ("going away with it", "the HTTP/2 connection ended", &[GoAway(true, NO_ERROR), Close(false)]),
    ("promising in vain", "no answer in time", &[GoAway(true, NO_ERROR), Hang]),
    ("too much", "the HTTP/2 connection ended", &[GoAway(true, ENHANCE_YOUR_CALM), Close(false)]),
    ("reset", "the HTTP/2 connection ended", &[Reset(INTERNAL_ERROR)]),
    ("refused", "the HTTP/2 connection ended", &[Reset(REFUSED_STREAM)]),
    ("cancelled", "the HTTP/2 connection ended", &[Reset(CANCEL)]),
    ("other version", "the HTTP/2 connection ended", &[Reset(HTTP_1_1_REQUIRED)]),
    ("no error", "the HTTP/2 connection ended", &[Reset(NO_ERROR)]),
    ("close", "the HTTP/2 connection ended", &[Close(false)]),
    ("connection reset", "the HTTP/2 connection ended", &[Close(true)]),
    ("body without head", "the HTTP/2 connection ended", &[Data(10)]),
    ("500", "HTTP 500", &[Head(500, true)]),
    ("503", "HTTP 503", &[Head(503, true)]),
    ("503, hanging", "HTTP 503", &[Head(503, false), Hang]),
    ("503, cut", "HTTP 503", &[Head(503, false), Data(10), Reset(CANCEL)]),
    ("503, closing", "HTTP 503", &[Head(503, false), Data(10), Close(false)]),
    ("503, endless", "HTTP 503", &[Head(503, false), Endless]),
];

const REJECTED: &[(&str, &[Frame])] =
    &[("400", &[Head(400, true)]), ("400, cut", &[Head(400, false), Data(10), Reset(CANCEL)])];

/// A case, the error of its dead letters, what the receiver does; (requests, events delivered)
/// where it does so once and two events come, and where it always does.
type Case = (&'static str, &'static str, &'static [Frame], (Counts, Counts));
type Counts = (usize, f64);

fn cases() -> impl Iterator<Item = Case> {
    let taken = TAKEN.iter().map(|(case, frames)| (*case, "", *frames, ((2, 2.0), (2, 2.0))));
    let again = TRIED_AGAIN.iter();
    let again = again.map(|(case, error, frames)| (*case, *error, *frames, ((3, 2.0), (4, 0.0))));
    let rejected = REJECTED.iter();
    let rejected =
        rejected.map(|(case, frames)| (*case, "HTTP 400", *frames, ((2, 1.0), (2, 0.0))));
    taken.chain(again).chain(rejected)
}

/// Whether nothing but the timeout ends an attempt.
fn hangs((_, _, frames, _): &Case) -> bool {
    matches!(frames, [] | [.., Hang])
}

fn export(name: &str, receiver: &Http2Receiver, timeout: &str) -> String {
    format!(
        "- name: {name}\n  destination: webhook\n  \
         webhook: {{url: '{}', timeout: {timeout}, concurrency: 1, tls: {{ca_file: ca.pem}}}}\n  \
         retry: {{jitter: 0, backoff_seconds: [0.02], max_attempts: 2}}\n  \
         filters: {{sources: [stdin]}}\n",
        receiver.url()
    )
}

#[test]
fn a_head_decides_and_nothing_else_does() {
    // Many connections are made at once; a machine beside other work takes seconds for them.
    assert_cases(cases().filter(|case| !hangs(case)).collect(), "60s");
}

#[test]
fn after_a_head_that_hangs_and_before_one_the_timeout_ends_an_attempt() {
    assert_cases(cases().filter(hangs).collect(), "4s");
}

fn assert_cases(cases: Vec<Case>, timeout: &str) {
    let authority = Authority::new();
    let identity = authority.certify("localhost", 4000);
    let mut config = "exports:\n".to_owned();
    let receivers: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(number, (_, _, frames, _))| {
            let frames = *frames;
            let good = &[Head(200, true)][..];
            let once = Http2Receiver::new(&identity, move |request| {
                if request == 0 { frames } else { good }.to_vec()
            });
            let always = Http2Receiver::new(&identity, move |_| frames.to_vec());
            config += &export(&format!("once-{number}"), &once, timeout);
            config += &export(&format!("always-{number}"), &always, timeout);
            (once, always)
        })
        .collect();
    let place = Place::new(&config);
    place.write("ca.pem", authority.pem());
    let mut running = place.run().start();
    // The second comes on the connection that the first left behind.
    running.feed(event("e0"));
    running.settled(1);
    running.feed(event("e1"));
    let metrics = running.settled(2);
    running.end().code(3);
    let letters = place.dead_letters();
    let mut wrong = Vec::new();
    for (number, ((case, error, _, wanted), (once, always))) in
        cases.iter().zip(&receivers).enumerate()
    {
        let delivered = |name: &str| metrics.sum("events_delivered_total", &[("export", name)]);
        let (once_name, always_name) = (format!("once-{number}"), format!("always-{number}"));
        let found = (
            (once.requests(), delivered(&once_name)),
            (always.requests(), delivered(&always_name)),
        );
        if found != *wanted {
            wrong.push(format!("{case}: {found:?}, not {wanted:?}"));
        }
        for letter in letters.iter().filter(|letter| letter["export"] == *always_name) {
            let last = letter["last_error"].as_str().expect("an error");
            if error.is_empty() && wanted.1.1 > 0.0 || !last.contains(error) {
                wrong.push(format!("{case}: {letter}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
