//! What may be dialled: with `block_private_networks` nothing but public addresses, however they
//! are written and whoever leads there. A listener counts who came.

use crate::support::{Answer, Place, Receiver, event};

/// Spellings of addresses of this machine and of private networks, all of which a URL takes. (`P`
/// stands for the port.)
const LITERALS: &[&str] = &[
    "127.0.0.1:P",
    "127.0.0.1.:P",
    "127.1:P",
    "127.0.1:P",
    "127.255.255.254:P",
    "127.000.000.001:P",
    "2130706433:P",
    "2130706433.:P",
    "017700000001:P",
    "0177.0.0.1:P",
    "0177.0.1:P",
    "0177.1:P",
    "0x7f000001:P",
    "0x7F000001:P",
    "0x7f.1:P",
    "0x7f.0.0.1:P",
    "0x7f.0x0.0x0.0x1:P",
    "0x7f.0.1:P",
    "%31%32%37.0.0.1:P",
    "127%2e0%2e0%2e1:P",
    "①②⑦.⓪.⓪.①:P",
    "①②⑦。0。0。1:P",
    "127。0。0。1:P",
    "127．0．0．1:P",
    "127｡0｡0｡1:P",
    "１２７.０.０.１:P",
    "𝟏𝟐𝟕.𝟎.𝟎.𝟏:P",
    "²130706433:P",
    "0:P",
    "0.0.0.0:P",
    "0x0:P",
    "00:P",
    "0.1:P",
    "[::1]:P",
    "[0:0:0:0:0:0:0:1]:P",
    "[0000:0000:0000:0000:0000:0000:0000:0001]:P",
    "[::]:P",
    "[::ffff:127.0.0.1]:P",
    "[::ffff:7f00:1]:P",
    "[::FFFF:7F00:0001]:P",
    "[0:0:0:0:0:ffff:127.0.0.1]:P",
    "[::ffff:0.0.0.0]:P",
    "[::127.0.0.1]:P",
    "[::ffff:0:127.0.0.1]:P",
    "[64:ff9b::127.0.0.1]:P",
    "[64:ff9b:1::7f00:1]:P",
    "[2002:7f00:1::]:P",
    "[2001:0:7f00:1::]:P",
    "[fe80::1]:P",
    "[fec0::1]:P",
    "[fd00:ec2::254]:P",
    "[ff02::1]:P",
    "10.0.0.1:P",
    "172.16.0.1:P",
    "192.168.0.1:P",
    "100.100.100.200:P",
    "169.254.169.254:P",
    "2852039166:P",
    "0xa9fea9fe:P",
    "168.63.129.16:P",
    "0xa83f8110:P",
    "198.18.0.1:P",
    "224.0.0.1:P",
    "255.255.255.255:P",
];

/// Names that lead here.
const NAMES: &[&str] = &["localhost", "LOCALHOST", "localhost.", "%6cocalhost", "ⓛocalhost"];

/// An export for each host, all through one listener's port.
fn config(hosts: &[&str], receiver: &Receiver, guard: &str) -> String {
    let export = |(index, host): (usize, &&str)| {
        let host = host.replace(":P", "");
        format!(
            "- name: e{index}\n  destination: webhook\n  webhook: {{url: 'http://{host}:{}/SECRETPATH', \
             timeout: 1s{guard}}}\n  retry: {{max_attempts: 1}}\n  \
             filters: {{sources: [stdin]}}\n",
            receiver.port()
        )
    };
    let exports: String = hosts.iter().enumerate().map(export).collect();
    format!("admin: false\nexports:\n{exports}")
}

#[test]
fn an_address_that_is_not_public_is_a_problem_in_every_spelling() {
    assert!(LITERALS.len() >= 60);
    let receiver = Receiver::ok();
    let place = Place::new(&config(LITERALS, &receiver, ", block_private_networks: true"));
    let said = place.postrider(&["run"]).stdin(event("e")).finish().code(2).stderr;
    for (index, spelling) in LITERALS.iter().enumerate() {
        let told = format!("exports[{index}].webhook.url: `");
        let line = said.lines().find(|line| line.contains(&told)).unwrap_or_default();
        assert!(line.ends_with("and `block_private_networks` is on"), "{spelling}: {line}\n{said}");
    }
    place.postrider(&["validate", "--online"]).finish().code(2);
    for index in 0..LITERALS.len() {
        let export = format!("e{index}");
        place.postrider(&["test", "--export", &export]).finish().code(2);
    }
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn a_name_that_leads_here_is_a_dead_letter() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(NAMES, &receiver, ", block_private_networks: true"));
    let said = place.postrider(&["run"]).stdin(event("e")).finish().code(3).stderr;
    let letters = place.dead_letters();
    assert_eq!(letters.len(), NAMES.len());
    for letter in &letters {
        // Not every system knows the name with a dot at its end.
        if letter["last_error"].as_str().is_some_and(|error| error.starts_with("DNS: ")) {
            assert_eq!(letter["export"], "e2", "{letter}");
            continue;
        }
        assert_eq!(letter["reason"], "blocked_address", "{letter}");
        assert_eq!(letter["attempts"], 0, "{letter}");
        let error = letter["last_error"].as_str().expect("an error");
        assert!(error.starts_with("`localhost"), "{error}");
        assert!(
            error.ends_with("` leads to this machine, and `block_private_networks` is on"),
            "{error}"
        );
    }
    assert!(!said.contains("SECRETPATH"), "{said}");
    let online = place.postrider(&["validate", "--online"]).finish().code(2).stdout;
    assert!(online.matches("leads to this machine").count() >= NAMES.len() - 1, "{online}");
    assert!(online.contains("fix: use a public host, or add it to `webhook.allow`"), "{online}");
    let tested = place.postrider(&["test", "--export", "e0"]).finish().code(1).stdout;
    assert!(tested.contains("not sent (blocked_address): `localhost` leads to"), "{tested}");
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn without_the_guard_or_with_an_exception_they_arrive() {
    let receiver = Receiver::ok();
    let hosts = ["127.0.0.1", "2130706433", "①②⑦.⓪.⓪.①", "localhost", "[::ffff:127.0.0.1]"];
    let exact = format!(
        ", block_private_networks: true, allow: ['127.0.0.1:{0}', 'localhost:{0}']",
        receiver.port()
    );
    let guards = ["", ", block_private_networks: true, allow: [127.0.0.0/8, '::1']", &exact];
    for (round, guard) in guards.iter().enumerate() {
        let place = Place::new(&config(&hosts, &receiver, guard));
        place.postrider(&["run"]).stdin(event("e")).finish().code(0);
        assert_eq!(receiver.requests().len(), (round + 1) * hosts.len(), "{guard}");
    }
    let other = format!(", block_private_networks: true, allow: ['localhost:{}']", 1);
    let place = Place::new(&config(&["localhost"], &receiver, &other));
    place.postrider(&["run"]).stdin(event("e")).finish().code(3);
    assert_eq!(place.dead_letters()[0]["reason"], "blocked_address", "another port");
}

#[test]
fn a_redirect_leads_nowhere() {
    let target = Receiver::ok();
    let places = LITERALS.iter().chain(NAMES).map(|host| {
        let host = host.replace(":P", "");
        format!("http://{host}:{}/x", target.port())
    });
    let mut places: Vec<_> = places.filter(|place| place.is_ascii()).collect();
    places.push("//localhost/x".to_owned());
    let count = places.len();
    for status in [301, 302, 303, 307, 308] {
        let places = places.clone();
        let receiver = Receiver::new(move |request| {
            Answer::status(status).header("Location", &places[request.number % count])
        });
        let guard = ", block_private_networks: true, allow: [127.0.0.1/32]";
        let config = config(&["127.0.0.1"], &receiver, guard);
        let place = Place::new(&format!("{config}  on_gone: dead_letter\n"));
        let lines: String = (0..count).map(|number| event(&format!("e{number}"))).collect();
        place.postrider(&["run"]).stdin(lines).finish().code(3);
        assert_eq!(receiver.requests().len(), count);
        assert_eq!(place.dead_letters().len(), count);
    }
    assert_eq!(target.connections(), 0);
}
