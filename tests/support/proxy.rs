//! A proxy that opens ways by `CONNECT`, one thread a connection, and records what it is asked.

use std::io::{Read, Write, copy};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// See the module.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// One that opens the way to whatever it is asked for, and answers 502 where it can't.
    pub(crate) fn open() -> Proxy {
        Proxy::answering(200)
    }

    /// One that answers every request with this status; with 200 it opens the way.
    pub(crate) fn answering(status: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let heads = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let heads = Arc::clone(&heads);
                thread::spawn(move || serve(stream, status, &heads));
            }
        });
        Proxy { address, asked }
    }

    /// `127.0.0.1:<port>`
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The head of each request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("nobody panicked").clone()
    }

    /// What it was asked a way to, each time.
    pub(crate) fn targets(&self) -> Vec<String> {
        let target = |head: &String| head.split(' ').nth(1).unwrap_or_default().to_owned();
        self.asked().iter().map(target).collect()
    }
}

fn serve(mut stream: TcpStream, status: u16, heads: &Mutex<Vec<String>>) {
    let Some(head) = read_head(&mut stream) else { return };
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    heads.lock().expect("nobody panicked").push(head);
    let receiver = (status == 200).then(|| TcpStream::connect(&target)).transpose();
    let (status, receiver) = match receiver {
        Ok(Some(receiver)) => (200, Some(receiver)),
        Ok(None) => (status, None),
        Err(_) => (502, None),
    };
    let answer = format!("HTTP/1.1 {status} So\r\nX-Proxy: yes\r\n\r\n");
    if stream.write_all(answer.as_bytes()).is_err() {
        return;
    }
    let Some(mut receiver) = receiver else { return };
    let (mut back_from, mut back_to) = match (receiver.try_clone(), stream.try_clone()) {
        (Ok(from), Ok(to)) => (from, to),
        _ => return,
    };
    let back = thread::spawn(move || {
        let _ = copy(&mut back_from, &mut back_to);
        let _ = back_to.shutdown(Shutdown::Write);
    });
    let _ = copy(&mut stream, &mut receiver);
    let _ = receiver.shutdown(Shutdown::Write);
    let _ = back.join();
}

/// Reads up to the end of a request's head and not a byte further.
fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    String::from_utf8(head).ok()
}
