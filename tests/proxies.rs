//! Proxies: asked by CONNECT for a way to the receiver, their credentials nowhere else, their own
//! answers never taken for a receiver's.

use crate::support::{
    Answer, Authority, Place, Proxy, Receiver, Secure, assert_absent, event, events, free_port,
};

const CREDENTIALS: &str = "canary-user:canary-pass";
/// The same as the header tells it.
const ENCODED: &str = "Y2FuYXJ5LXVzZXI6Y2FuYXJ5LXBhc3M=";

fn config(url: &str, keys: &str) -> String {
    format!(
        "admin: false\nexports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{url}', {keys}}}\n  \
         retry: {{max_attempts: 1}}\n"
    )
}

/// `proxy:` with credentials.
fn through(proxy: &Proxy) -> String {
    format!("proxy: 'http://{CREDENTIALS}@{}'", proxy.address())
}

fn assert_clean(text: &str) {
    assert_absent(&["canary-user", "canary-pass", ENCODED], "what it says", text);
}

#[test]
fn https_goes_through_with_the_receivers_own_certificate() {
    let (proxy, authority) = (Proxy::open(), Authority::new());
    let receiver = Secure::both().start(&authority.certify("localhost", 4000));
    let keys = format!("{}, tls: {{ca_file: ca.pem}}", through(&proxy));
    let place = Place::new(&config(&receiver.url(), &keys));
    place.write("ca.pem", authority.pem());
    let run = place.postrider(&["run", "-v"]).stdin(events(3)).finish();
    assert_eq!(receiver.seen().len(), 3, "{}", run.stderr);
    assert_clean(&run.code(0).stderr);
    let asked = proxy.asked();
    let target = format!("localhost:{}", receiver.port());
    assert!(!asked.is_empty());
    for head in &asked {
        assert!(head.starts_with(&format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n")));
        assert!(head.contains(&format!("\r\nProxy-Authorization: Basic {ENCODED}\r\n")), "{head}");
    }
    assert!(receiver.seen().iter().all(|seen| !seen.headers.contains_key("proxy-authorization")));
    place.postrider(&["validate", "--online"]).finish().code(0);
    place.postrider(&["test", "--export", "a"]).finish().code(0);
    assert_eq!(proxy.asked().len(), asked.len() + 2);
}

#[test]
fn plain_http_goes_through_the_same_way() {
    let (proxy, receiver) = (Proxy::open(), Receiver::ok());
    let place = Place::new(&config(&receiver.url("/in"), &through(&proxy)));
    place.postrider(&["run"]).stdin(event("e")).finish().code(0);
    assert_eq!(proxy.targets(), [format!("127.0.0.1:{}", receiver.port())]);
    let requests = receiver.requests();
    assert_eq!(requests[0].target, "/in");
    assert_eq!(requests[0].header("proxy-authorization"), None);
}

#[test]
fn a_guarded_name_is_looked_up_here() {
    let (proxy, receiver) = (Proxy::open(), Receiver::ok());
    let url = format!("http://localhost:{}/in", receiver.port());
    let guarded = |allow: &str| {
        let guard = format!("block_private_networks: true, allow: [{allow}]");
        Place::new(&config(&url, &format!("{}, {guard}", through(&proxy))))
    };
    let place = guarded("");
    place.postrider(&["run"]).stdin(event("e")).finish().code(3);
    assert_eq!(place.dead_letters()[0]["reason"], "blocked_address");
    assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
    // The proxy's own address is nobody's business, though it is a private one.
    guarded("127.0.0.1, '::1'").postrider(&["run"]).stdin(event("e")).finish().code(0);
    assert_eq!(proxy.targets().last(), Some(&format!("127.0.0.1:{}", receiver.port())));
    assert_eq!(receiver.requests()[0].header("host"), Some(&url["http://".len()..url.len() - 3]));
}

#[test]
fn a_refusal_of_the_proxy_is_told_apart() {
    for status in [407, 403, 502] {
        let (proxy, receiver) = (Proxy::answering(status), Receiver::ok());
        let place = Place::new(&config(&receiver.url("/in"), &through(&proxy)));
        let said = place.postrider(&["run", "-v"]).stdin(event("e")).finish().code(3).stderr;
        let letter = &place.dead_letters()[0];
        assert_eq!(letter["reason"], "retries_exhausted", "{letter}");
        assert_eq!(letter["last_error"], format!("the proxy answered CONNECT with HTTP {status}"));
        assert!(letter["last_status"].is_null(), "it is none of the receiver: {letter}");
        let tested = place.postrider(&["test", "--export", "a"]).finish().code(1).stdout;
        assert!(tested.contains("cause    the proxy opened no way to the receiver"), "{tested}");
        assert_eq!(receiver.connections(), 0);
        [said, letter.to_string(), tested].iter().for_each(|text| assert_clean(text));
    }
}

#[test]
fn a_proxy_out_of_reach_is_told_apart() {
    let receiver = Receiver::ok();
    let keys = format!("proxy: 'http://{CREDENTIALS}@127.0.0.1:{}'", free_port());
    let place = Place::new(&config(&receiver.url("/in"), &keys));
    place.postrider(&["run"]).stdin(event("e")).finish().code(3);
    let letter = &place.dead_letters()[0];
    let error = letter["last_error"].as_str().expect("an error");
    assert!(error.starts_with("the proxy: "), "{error}");
    assert_clean(&letter.to_string());
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn what_an_answer_repeats_of_the_credentials_is_masked() {
    let proxy = Proxy::open();
    let body = format!("you are canary-user with canary-pass, or {ENCODED}");
    let receiver = Receiver::always(Answer::status(400).body(body));
    let place = Place::new(&config(&receiver.url("/in"), &through(&proxy)));
    place.postrider(&["run"]).stdin(event("e")).finish().code(3);
    assert_eq!(place.dead_letters()[0]["response"], "you are *** with ***, or ***");
}
