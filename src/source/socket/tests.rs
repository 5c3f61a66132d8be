//! Socket sources over real sockets, a real store and a scripted export.

use super::*;
use crate::config::Input;
use crate::source::testing::{self, Bench, Run};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// A run of a socket source.
struct Listening {
    run: Run,
    address: Option<SocketAddr>,
    handle: SourceHandle,
}

fn bind(run: &Run, address: SocketAddress, max_connections: usize) -> Result<Socket, String> {
    let input = SocketInput { address, max_connections };
    Socket::bind(run.intake(&testing::source(Input::Socket(input.clone()))), &input)
}

fn config(address: SocketAddress, max_connections: usize) -> config::Source {
    testing::source(Input::Socket(SocketInput { address, max_connections }))
}

fn start(bench: &Bench, address: SocketAddress) -> Listening {
    let mut run = bench.open();
    let socket = bind(&run, address.clone(), 2).unwrap();
    let handle = socket.handle(&config(address, 2));
    let address = socket.local_address();
    run.start(socket);
    Listening { run, address, handle }
}

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

impl Listening {
    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address.unwrap()).await.unwrap()
    }

    async fn stop(mut self) {
        self.run.stop().await;
        self.run.store.close().await.unwrap();
    }
}

#[tokio::test]
async fn lines_of_tcp_clients_arrive() {
    let bench = Bench::new();
    let listening = start(&bench, SocketAddress::Tcp(loopback()));
    let (mut a, mut b) = (listening.tcp().await, listening.tcp().await);
    a.write_all(b"{\"n\":1}\n{\"n\":").await.unwrap();
    b.write_all(b"{\"n\":2}\r\n").await.unwrap();
    bench.got.count(2).await;
    a.write_all(b"3}\n").await.unwrap();
    bench.got.count(3).await;
    assert_eq!(bench.got.texts(), ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"]);
    let events = bench.got.take();
    assert_eq!(events[0].0.stream, events[2].0.stream, "a connection is a stream");
    assert_ne!(events[0].0.stream, events[1].0.stream);
    listening.stop().await;
}

#[tokio::test]
async fn what_a_client_sent_before_it_left_is_taken_in() {
    let bench = Bench::new();
    let listening = start(&bench, SocketAddress::Tcp(loopback()));
    for text in [&b"{\"n\":1}"[..], b"{\"n\":2}\n{\"n\":"] {
        listening.tcp().await.write_all(text).await.unwrap();
    }
    bench.got.count(2).await;
    assert_eq!(bench.got.texts(), ["{\"n\":1}", "{\"n\":2}"]);
    let mut letters = Vec::new();
    while letters.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
        letters = listening.run.dead_letters(&bench).await;
    }
    let (reason, text, error) = letters.remove(0);
    assert_eq!((reason.as_str(), text.as_str()), ("malformed", "{\"n\":"));
    assert!(error.starts_with("127.0.0.1:"), "names the peer: {error}");
    listening.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_at_once() {
    let bench = Bench::new();
    let listening = start(&bench, SocketAddress::Tcp(loopback()));
    let mut first = listening.tcp().await;
    let _second = listening.tcp().await;
    first.write_all(b"{\"n\":1}\n").await.unwrap();
    bench.got.count(1).await;
    let mut third = listening.tcp().await;
    assert!(matches!(third.read(&mut [0]).await, Ok(0) | Err(_)));
    drop(first);
    // Its place is free as soon as its end was seen.
    let mut texts = 1;
    while texts == 1 {
        let _ = listening.tcp().await.write_all(b"{\"n\":2}\n").await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        texts = bench.got.texts().len();
    }
    listening.stop().await;
}

#[tokio::test]
async fn a_stop_takes_in_what_has_arrived() {
    let bench = Bench::new();
    let listening = start(&bench, SocketAddress::Tcp(loopback()));
    let mut client = listening.tcp().await;
    client.write_all(b"{\"n\":1}\n{\"n\":2}").await.unwrap();
    bench.got.count(1).await;
    listening.run.stop.cancel();
    bench.got.count(2).await;
    listening.stop().await;
}

#[tokio::test]
async fn a_stop_takes_in_datagrams_that_arrived_just_now() {
    let bench = Bench::new();
    let listening = start(&bench, SocketAddress::Udp(loopback()));
    let sender = std::net::UdpSocket::bind(loopback()).unwrap();
    sender.send_to(b"{\"n\":1}", listening.address.unwrap()).unwrap();
    bench.got.count(1).await;
    for n in 2..5 {
        let text = format!("{{\"n\":{n}}}");
        sender.send_to(text.as_bytes(), listening.address.unwrap()).unwrap();
    }
    listening.run.stop.cancel();
    bench.got.count(4).await;
    listening.stop().await;
}

#[tokio::test]
async fn datagrams_hold_lines() {
    let bench = Bench::new();
    let path = bench.path("in.sock");
    let sender = std::net::UdpSocket::bind(loopback()).unwrap();
    let unbound = std::os::unix::net::UnixDatagram::unbound().unwrap();
    for address in [SocketAddress::Udp(loopback()), SocketAddress::UnixDatagram(path.clone())] {
        let listening = start(&bench, address.clone());
        for text in [&b"{\"n\":1}"[..], b"{\"n\":2}\n{\"n\":3}\n", b"", b"{\"n\":4}\n{\"n\":5}"] {
            match listening.address {
                Some(address) => sender.send_to(text, address).unwrap(),
                None => unbound.send_to(text, &path).unwrap(),
            };
        }
        bench.got.count(5).await;
        let events = bench.got.take();
        let texts: Vec<_> = events.iter().map(|(_, text)| text.as_str()).collect();
        let all = ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}", "{\"n\":4}", "{\"n\":5}"];
        assert_eq!(texts, all, "{address:?}");
        assert!(events.windows(2).all(|pair| pair[0].0 < pair[1].0), "{events:?}");
        listening.stop().await;
    }
}

#[tokio::test]
async fn a_datagram_that_is_too_long_is_a_dead_letter() {
    let bench = Bench::new();
    let path = bench.path("in.sock");
    let mut run = bench.open();
    let address = SocketAddress::UnixDatagram(path.clone());
    let input = SocketInput { address, max_connections: 0 };
    let mut config = testing::source(Input::Socket(input.clone()));
    config.max_line_bytes = 1_000;
    run.start(Socket::bind(run.intake(&config), &input).unwrap());
    let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
    for length in [1_001, 100_000] {
        let text = format!("{{\"n\":\"{}\"}}", "x".repeat(length - 8));
        sender.send_to(text.as_bytes(), &path).unwrap();
    }
    sender.send_to(b"{\"n\":1}", &path).unwrap();
    bench.got.count(1).await;
    run.stop().await;
    let reasons: Vec<_> =
        run.dead_letters(&bench).await.into_iter().map(|letter| letter.0).collect();
    assert_eq!(reasons, ["too_large", "too_large"]);
    run.store.close().await.unwrap();
}

#[tokio::test]
async fn the_file_of_a_unix_socket_comes_and_goes() {
    let bench = Bench::new();
    let path = bench.path("in.sock");
    let listening = start(&bench, SocketAddress::Unix(path.clone()));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let mut client = UnixStream::connect(&path).await.unwrap();
    client.write_all(b"{\"n\":1}\n").await.unwrap();
    bench.got.count(1).await;
    listening.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_left_by_a_killed_program_is_replaced_and_nothing_else() {
    let bench = Bench::new();
    let run = bench.open();
    let at = |name: &str| bench.path(name);
    let unix = |path: PathBuf| bind(&run, SocketAddress::Unix(path), 1).map(drop);
    let datagram = |path: PathBuf| bind(&run, SocketAddress::UnixDatagram(path), 1).map(drop);

    // Dropped by std without its file, as a killed program leaves it.
    drop(std::os::unix::net::UnixListener::bind(at("stale")).unwrap());
    assert_eq!(unix(at("stale")), Ok(()));
    drop(std::os::unix::net::UnixDatagram::bind(at("stale")).unwrap());
    assert_eq!(datagram(at("stale")), Ok(()));

    let _listener = std::os::unix::net::UnixListener::bind(at("stream")).unwrap();
    let _datagram = std::os::unix::net::UnixDatagram::bind(at("datagram")).unwrap();
    std::fs::write(at("file"), "").unwrap();
    for (name, expected) in [
        ("stream", "another program listens on"),
        ("datagram", "another program listens on"),
        ("file", "is no socket: remove it"),
        ("none/x", "create the folder"),
    ] {
        for bound in [unix(at(name)), datagram(at(name))] {
            let problem = bound.unwrap_err();
            assert!(problem.contains(expected), "{name}: {problem}");
            assert!(problem.contains(&*at(name).to_string_lossy()), "{problem}");
        }
    }
    assert!(Path::new(&at("file")).exists());
    let taken = std::net::TcpListener::bind(loopback()).unwrap();
    let address = SocketAddress::Tcp(taken.local_addr().unwrap());
    let problem = bind(&run, address, 1).unwrap_err();
    assert!(problem.contains("stop the other program"), "{problem}");
}

/// An address that is free now.
fn free() -> SocketAddr {
    std::net::TcpListener::bind(loopback()).unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn another_address_is_listened_on_before_the_old_one_is_closed() {
    let bench = Bench::new();
    let listening = start(&bench, SocketAddress::Tcp(loopback()));
    let mut client = listening.tcp().await;
    client.write_all(b"{\"n\":1}\n{\"n\":").await.unwrap();
    bench.got.count(1).await;

    let other = free();
    listening.handle.reconfigure(&config(SocketAddress::Tcp(other), 2)).unwrap();
    // It is bound when this returns.
    let mut late = TcpStream::connect(other).await.unwrap();
    late.write_all(b"{\"n\":2}\n").await.unwrap();
    bench.got.count(2).await;
    while TcpStream::connect(listening.address.unwrap()).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    client.write_all(b"3}\n").await.unwrap();
    bench.got.count(3).await;
    assert_eq!(bench.got.texts(), ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"]);
    listening.stop().await;
}

#[tokio::test]
async fn an_address_that_cannot_be_had_leaves_the_old_one() {
    let bench = Bench::new();
    let listening = start(&bench, SocketAddress::Tcp(loopback()));
    let taken = std::net::TcpListener::bind(loopback()).unwrap();
    let address = taken.local_addr().unwrap();
    let problem =
        listening.handle.reconfigure(&config(SocketAddress::Tcp(address), 2)).unwrap_err();
    assert!(problem.contains("stop the other program"), "{problem}");
    listening.tcp().await.write_all(b"{\"n\":1}\n").await.unwrap();
    bench.got.count(1).await;
    let everywhere = SocketAddr::from(([0, 0, 0, 0], listening.address.unwrap().port()));
    let own = SocketAddress::Tcp(listening.address.unwrap());
    let (now, wanted) = (
        SocketInput { address: own, max_connections: 2 },
        SocketInput { address: SocketAddress::Tcp(everywhere), max_connections: 2 },
    );
    let problem = SocketChange::prepare(&now, &wanted).unwrap_err();
    assert!(problem.contains("this source itself"), "{problem}");
    listening.stop().await;
}

#[tokio::test]
async fn the_kind_of_a_socket_can_change_and_clients_go_on() {
    let bench = Bench::new();
    let path = bench.path("in.sock");
    let listening = start(&bench, SocketAddress::Unix(path.clone()));
    let mut client = UnixStream::connect(&path).await.unwrap();
    client.write_all(b"{\"n\":1}\n").await.unwrap();
    bench.got.count(1).await;
    let other = bench.path("datagram.sock");
    let datagrams = config(SocketAddress::UnixDatagram(other.clone()), 2);
    listening.handle.reconfigure(&datagrams).unwrap();
    let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
    sender.send_to(b"{\"n\":2}", &other).unwrap();
    bench.got.count(2).await;
    client.write_all(b"{\"n\":3}\n").await.unwrap();
    bench.got.count(3).await;
    assert!(!path.exists() && other.exists());
    // What has arrived by then is taken in.
    (4..10).for_each(|n| drop(sender.send_to(format!("{{\"n\":{n}}}").as_bytes(), &other)));
    listening.handle.reconfigure(&config(SocketAddress::Unix(path.clone()), 1)).unwrap();
    bench.got.count(9).await;
    drop(client);
    listening.stop().await;
    assert!(!path.exists() && !other.exists());
}

#[tokio::test]
async fn the_number_of_connections_can_change() {
    let bench = Bench::new();
    let listening = start(&bench, SocketAddress::Tcp(loopback()));
    let _both = (listening.tcp().await, listening.tcp().await);
    listening.handle.reconfigure(&config(SocketAddress::Tcp(loopback()), 3)).unwrap();
    while bench.got.texts().is_empty() {
        let _ = listening.tcp().await.write_all(b"{\"n\":1}\n").await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    listening.stop().await;
}
