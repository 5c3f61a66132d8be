//! What is dialled is what was checked: each way to a listener that counts who came.

use super::lookup::AT_ONCE;
use super::*;
use std::collections::VecDeque;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

/// A listener on this address, at this port or a free one.
fn listen(address: &str, port: u16) -> (TcpListener, u16) {
    let listener = TcpListener::bind((address, port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// How many connections are there.
fn came(listener: &TcpListener) -> usize {
    std::iter::from_fn(|| listener.accept().ok()).count()
}

fn dialer(host: &str, port: u16, allow: &[&str]) -> Dialer {
    let allow = allow.iter().map(|entry| entry.parse().unwrap()).collect();
    Dialer {
        https: false,
        host: url::Host::parse(host).unwrap(),
        port,
        connect_timeout: Duration::from_secs(5),
        guard: Some(Guard { allow: crate::address::Allow(allow) }),
        proxy: None,
        settings: None,
        connector: OnceCell::new(),
        lookups: Lookups::system(),
    }
}

/// The next answer to each question.
fn answers(answers: &[&[&str]]) -> Lookups {
    let read = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
    let answers: VecDeque<Vec<IpAddr>> = answers.iter().map(read).collect();
    let answers = Mutex::new(answers);
    Lookups::asking(move |_, port| {
        let answer = answers.lock().unwrap().pop_front().unwrap_or_default();
        Ok(answer.into_iter().map(|address| (address, port).into()).collect())
    })
}

async fn dial(dialer: &Dialer) -> Result<(), ClientError> {
    let deadline = Instant::now() + Duration::from_secs(5);
    dialer.dial(&Tls::default(), deadline).await.map(drop)
}

#[tokio::test]
async fn an_address_in_the_url_is_checked_where_it_is_dialled() {
    let (listener, port) = listen("127.0.0.1", 0);
    for spelling in
        ["127.0.0.1", "2130706433", "0x7f.1", "017700000001", "127.1", "0", "127.0.0.1.", "①②⑦.1"]
    {
        let refused = dial(&dialer(spelling, port, &[])).await.unwrap_err();
        assert_eq!(refused.trouble, Trouble::Blocked, "{spelling}");
    }
    for spelling in ["[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]"] {
        let refused = dial(&dialer(spelling, port, &[])).await.unwrap_err();
        assert_eq!(refused.trouble, Trouble::Blocked, "{spelling}");
    }
    assert_eq!(came(&listener), 0);
    dial(&dialer("2130706433", port, &["127.0.0.1"])).await.unwrap();
    assert_eq!(came(&listener), 1);
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_what_was_checked_is_dialled() {
    let (allowed, port) = listen("127.0.0.1", 0);
    let (forbidden, _) = listen("127.0.0.2", port);
    let mut dialer = dialer("h.example", port, &["127.0.0.1/32"]);
    // A second question within one attempt would lead to the other listener.
    dialer.lookups = answers(&[&["127.0.0.1"], &["127.0.0.2"], &["127.0.0.1"]]);
    dial(&dialer).await.unwrap();
    assert_eq!((came(&allowed), came(&forbidden)), (1, 0));
    let refused = dial(&dialer).await.unwrap_err();
    assert_eq!(refused.trouble, Trouble::Blocked);
    assert_eq!(
        refused.text,
        "`h.example` leads to this machine, and `block_private_networks` is on"
    );
    dial(&dialer).await.unwrap();
    assert_eq!((came(&allowed), came(&forbidden)), (1, 0));
}

#[tokio::test]
async fn one_refused_address_refuses_the_name() {
    let (allowed, port) = listen("127.0.0.1", 0);
    for mixed in [&["127.0.0.1", "10.0.0.1"][..], &["::1", "127.0.0.1"], &["127.0.0.1", "::"]] {
        let mut dialer = dialer("h.example", port, &["127.0.0.1/32"]);
        dialer.lookups = answers(&[mixed]);
        assert_eq!(dial(&dialer).await.unwrap_err().trouble, Trouble::Blocked, "{mixed:?}");
    }
    assert_eq!(came(&allowed), 0);
    let mut dialer = dialer("h.example", port, &[]);
    dialer.lookups = answers(&[&[]]);
    assert_eq!(dial(&dialer).await.unwrap_err().trouble, Trouble::Dns);
}

#[tokio::test]
async fn a_proxy_is_told_the_checked_address() {
    let (listener, port) = listen("127.0.0.1", 0);
    let (proxy, proxy_port) = listen("127.0.0.1", 0);
    drop(proxy);
    let proxy = tokio::net::TcpListener::bind(("127.0.0.1", proxy_port)).await.unwrap();
    let asked = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut asked = Vec::new();
        for _ in 0..3 {
            let (mut stream, _) = proxy.accept().await.unwrap();
            let mut head = vec![0; 1024];
            let length = stream.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            asked.push(head.split(' ').nth(1).unwrap().to_owned());
            // The first address is out of the proxy's reach.
            let status = if asked.len() == 1 { 502 } else { 200 };
            let answer = format!("HTTP/1.1 {status} So\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    let through = |allow: &[&str], names: &[&[&str]]| {
        let mut dialer = dialer("h.example", port, allow);
        let host = url::Host::Ipv4(std::net::Ipv4Addr::LOCALHOST);
        dialer.proxy = Some(Proxy { host, port: proxy_port, credentials: None });
        dialer.lookups = answers(names);
        dialer
    };
    let refused = dial(&through(&[], &[&["10.0.0.1"]])).await.unwrap_err();
    assert_eq!(refused.trouble, Trouble::Blocked);
    dial(&through(&[], &[&["2606:4700::1", "1.1.1.1"], &["10.0.0.1"]])).await.unwrap();
    // Trusted by its name, it need not be known here.
    dial(&through(&[&format!("h.example:{port}")], &[])).await.unwrap();
    let expected =
        [format!("[2606:4700::1]:{port}"), format!("1.1.1.1:{port}"), format!("h.example:{port}")];
    assert_eq!(asked.await.unwrap(), expected);
    assert_eq!(came(&listener), 0);
}

#[tokio::test]
async fn a_lookup_for_which_this_process_lacks_files_is_not_the_names_fault() {
    let mut dialer = dialer("h.example", 9, &[]);
    dialer.lookups = Lookups::asking(|_, _| Err(rustix::io::Errno::MFILE.into()));
    assert_eq!(dial(&dialer).await.unwrap_err().trouble, Trouble::OutOfFiles);
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_does_not_answer_holds_few_threads() {
    let state = Arc::new((Mutex::new(false), Condvar::new(), AtomicUsize::new(0)));
    let asked = Arc::clone(&state);
    let mut dialer = dialer("h.example", 9, &[]);
    dialer.lookups = Lookups::asking(move |_, port| {
        let (answers, changed, count) = &*asked;
        count.fetch_add(1, Ordering::SeqCst);
        let waits = |answers: &mut bool| !*answers;
        let patience = Duration::from_secs(30);
        drop(changed.wait_timeout_while(answers.lock().unwrap(), patience, waits).unwrap());
        Ok(vec![(IpAddr::from([10, 0, 0, 1]), port).into()])
    });
    let (dialer, (answers, changed, count)) = (Arc::new(dialer), &*state);
    for _ in 0..3 {
        let dials = (0..2 * AT_ONCE).map(|_| {
            let dialer = Arc::clone(&dialer);
            tokio::spawn(async move { dial(&dialer).await })
        });
        let dials = dials.collect::<Vec<_>>();
        // Each has come to where it waits.
        for _ in 0..10 * AT_ONCE {
            tokio::task::yield_now().await;
        }
        // Not by itself: the runtime lets no time pass while one of its threads is at work.
        tokio::time::advance(Duration::from_secs(6)).await;
        for dialled in dials {
            let late = dialled.await.unwrap().unwrap_err();
            assert_eq!((late.trouble, &*late.text), (Trouble::Dns, "DNS: no answer in time"));
        }
    }
    *answers.lock().unwrap() = true;
    changed.notify_all();
    let refused = dial(&dialer).await.unwrap_err();
    assert_eq!(refused.trouble, Trouble::Blocked, "it was looked up");
    let count = count.load(Ordering::SeqCst);
    assert!(count <= AT_ONCE + 1, "{count} instead of {AT_ONCE}, and the last one");
}
