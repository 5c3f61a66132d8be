//! What the end-to-end tests share: the real binary in a directory of its own, a receiver that
//! follows a script, the metrics page and its law. A test that fails tells everything it knows:
//! commands, configuration, both outputs, and the requests that arrived.

mod answer;
mod canary;
mod faults;
mod http2;
mod metrics;
mod oracle;
mod program;
mod proxy;
mod receiver;
mod secure;
mod tls;

pub(crate) use answer::{Answer, Gate, Step};
pub(crate) use canary::{
    CANARY, ENCODED, assert_absent, assert_absent_from_letters, assert_absent_from_store,
    planted_export, planted_place, with_planted,
};
pub(crate) use faults::{
    Wire, endless_body, endless_head, gzip_bomb, read_head, slowly, wire, write_status,
};
pub(crate) use http2::{Frame, Http2Receiver};
pub(crate) use metrics::{Metrics, conservation, flow};
pub(crate) use oracle::{Dice, Faults, Oracle, Taken};
pub(crate) use program::{Place, Running};
pub(crate) use proxy::Proxy;
pub(crate) use receiver::{Receiver, Request};
pub(crate) use secure::{Authority, Identity, Secure};
pub(crate) use tls::{Certificate, TlsReceiver, VALID};

use serde_json::{Value, json};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for what must happen. Only a failing test ever waits this long; a slow
/// machine beside other work has taken half a minute for what takes eight seconds.
const DEADLINE: Duration = Duration::from_secs(90);

/// The same in the long form of a test.
const LONG_DEADLINE: Duration = Duration::from_secs(900);

/// How long a test waits between two looks at a condition, at least.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// It also waits this many times as long as the look took: a large metrics page takes a core for
/// 50 ms, and the program under test and the tests beside it need their time.
const LOOK_SELDOM: u32 = 4;

/// Whether tests with a long form take it: `POSTRIDER_LONG=1`.
pub(crate) fn long() -> bool {
    std::env::var_os("POSTRIDER_LONG").is_some()
}

/// Waits until there is something; what it is stands in the failure.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    until_ok(|| look().ok_or_else(|| what.to_owned()))
}

/// Waits for a condition that says what is missing; the only place where a test sleeps.
pub(crate) fn until_ok<T>(mut look: impl FnMut() -> Result<T, String>) -> T {
    let longest = if long() { LONG_DEADLINE } else { DEADLINE };
    let deadline = Instant::now() + longest;
    loop {
        let started = Instant::now();
        match look() {
            Ok(found) => return found,
            Err(missing) if Instant::now() > deadline => {
                panic!("waited {longest:?} in vain: {missing}")
            }
            Err(_) => thread::sleep(LOOK_EVERY.max(LOOK_SELDOM * started.elapsed())),
        }
    }
}

/// Tries each case in a thread of its own: most of their time is waiting.
pub(crate) fn at_once<T: Send>(cases: impl IntoIterator<Item = T>, test: impl Fn(T) + Sync) {
    let test = &test;
    thread::scope(|scope| {
        cases.into_iter().for_each(|case| drop(scope.spawn(move || test(case))));
    });
}

/// A port of 127.0.0.1 that nothing listens on and that no other test of this process is given.
/// Not from the range that the system hands out by itself, so nobody takes it meanwhile.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 10_000 + (std::process::id() % 110) as u16 * 200;
    loop {
        let port = start + NEXT.fetch_add(1, Ordering::Relaxed);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// An event of that id, as one line with its end.
pub(crate) fn event(id: &str) -> String {
    event_with(id, json!({}))
}

/// An event of that id with other fields laid over the usual ones; null takes one out.
pub(crate) fn event_with(id: &str, fields: Value) -> String {
    let mut event = json!({
        "audit_id": id,
        "timestamp": "2026-01-02T03:04:05Z",
        "event_kind": "policy_block",
        "severity": "error",
        "agent_id": "agent-1",
    });
    for (name, value) in fields.as_object().into_iter().flatten() {
        if value.is_null() {
            event.as_object_mut().map(|event| event.remove(name));
        } else {
            event[name] = value.clone();
        }
    }
    format!("{event}\n")
}

/// Events `e0`, `e1`, … as lines.
pub(crate) fn events(count: usize) -> String {
    (0..count).map(|number| event(&format!("e{number}"))).collect()
}
