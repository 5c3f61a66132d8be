//! The bare client loop: hyper on connections of its own, posting the lines of a file with the
//! same headers as postrider and nothing else. What a program built on hyper could reach at best.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpStream;

/// Connections, as many as postrider is given in this bench.
pub(crate) const CONNECTIONS: usize = 32;

/// Runs as the client's process: `bare PORT FILE WANTED BATCH`, where WANTED must be in a line for
/// it to be sent, and BATCH is how many lines go in one request; 0: one, without its line break.
pub(crate) fn run(arguments: &[String]) {
    let [port, file, wanted, batch] = arguments else { panic!("bare PORT FILE WANTED BATCH") };
    let batch: usize = batch.parse().expect("a number");
    let port: u16 = port.parse().expect("a port");
    let text = Bytes::from(std::fs::read(file).expect("the input"));
    let finder = memchr::memmem::Finder::new(wanted);
    let mut lines = Vec::new();
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', &text) {
        if finder.find(&text[start..end]).is_some() {
            lines.push(text.slice(start..end));
        }
        start = end + 1;
    }
    if batch > 0 {
        // The lines stand side by side already: what a program copies, this loop need not.
        let whole = |lines: &[Bytes]| lines.iter().flat_map(|l| [&l[..], b"\n"].concat()).collect();
        lines = lines.chunks(batch).map(whole).collect();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (lines, next) = (Arc::new(lines), Arc::new(AtomicUsize::new(0)));
        let connections: Vec<_> = (0..CONNECTIONS)
            .map(|_| tokio::spawn(post(port, Arc::clone(&lines), Arc::clone(&next))))
            .collect();
        for connection in connections {
            connection.await.expect("the connection ends well");
        }
        // The bench reads what this process used, and then ends it.
        std::future::pending::<()>().await;
    });
}

async fn post(port: u16, lines: Arc<Vec<Bytes>>, next: Arc<AtomicUsize>) {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the receiver listens");
    stream.set_nodelay(true).expect("a TCP socket");
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    while let Some(line) = lines.get(next.fetch_add(1, Ordering::Relaxed)) {
        let request = Request::post("/hook")
            .header("host", "127.0.0.1:9000")
            .header("user-agent", "postrider/0.1.0")
            .header("content-type", "application/json")
            .header("x-postrider-event", "policy_block")
            .header("x-postrider-event-id", "ae_0000000000")
            .header("x-postrider-delivery", "00112233445566778899aabbccddeeff")
            .header("x-postrider-attempt", "1")
            .header("idempotency-key", "00112233445566778899aabbccddeeff")
            .body(Full::new(line.clone()))
            .expect("a request");
        let response = sender.send_request(request).await.expect("an answer");
        assert!(response.status().is_success());
    }
}
