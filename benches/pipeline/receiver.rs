//! The receiver: a thread a connection, just enough HTTP/1.1 to answer 200 and count requests.
//!
//! It prints its port; a line `expect N` on its standard input makes it count from 0 and print
//! `reached` when N requests have come; after `expect-lines N` it counts the lines of their bodies.

use std::io::{BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// The answer of a receiver that takes nothing.
pub(crate) const REFUSED: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

#[derive(Default)]
struct Count {
    requests: AtomicU64,
    expected: AtomicU64,
    /// Whether lines of bodies are counted.
    lines: AtomicBool,
}

impl Count {
    fn body(&self, body: &[u8]) {
        let events = match self.lines.load(Ordering::Relaxed) {
            true => memchr::memchr_iter(b'\n', body).count() as u64,
            false => 1,
        };
        let before = self.requests.fetch_add(events, Ordering::Relaxed);
        let expected = self.expected.load(Ordering::Relaxed);
        // What comes twice must not hide the end.
        if before < expected && before + events >= expected {
            println!("reached");
        }
    }
}

/// Runs as the receiver's process.
pub(crate) fn run() {
    let count = Arc::new(Count::default());
    let counted = Arc::clone(&count);
    println!("{}", listen("127.0.0.1:0", move |body| counted.body(body)));
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let (command, number) = line.split_once(' ').unwrap_or_default();
        if let Ok(expected) = number.parse() {
            count.lines.store(command == "expect-lines", Ordering::SeqCst);
            count.requests.store(0, Ordering::SeqCst);
            count.expected.store(expected, Ordering::SeqCst);
            println!("counting");
        }
    }
}

/// Answers at this address from threads of its own, and hands each body over before its answer;
/// returns the port.
pub(crate) fn listen(address: &str, body: impl Fn(&[u8]) + Send + Sync + 'static) -> u16 {
    listen_and_say(OK, address, body)
}

/// The same with this answer.
pub(crate) fn listen_and_say(
    answer: &'static [u8],
    address: &str,
    body: impl Fn(&[u8]) + Send + Sync + 'static,
) -> u16 {
    let listener = TcpListener::bind(address).expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    let body = Arc::new(body);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let body = Arc::clone(&body);
            std::thread::spawn(move || serve(stream, answer, &*body));
        }
    });
    port
}

fn serve(mut stream: TcpStream, answer: &[u8], body: &impl Fn(&[u8])) {
    let mut buffer = vec![0; 64 * 1024];
    let mut filled = 0;
    loop {
        while let Some((head, length)) = request_length(&buffer[..filled]) {
            body(&buffer[head..length]);
            buffer.copy_within(length..filled, 0);
            filled -= length;
            if stream.write_all(answer).is_err() {
                return;
            }
        }
        if filled == buffer.len() {
            buffer.resize(2 * filled, 0);
        }
        match stream.read(&mut buffer[filled..]) {
            Ok(0) | Err(_) => return,
            Ok(length) => filled += length,
        }
    }
}

/// The length of the request at the beginning and of its head, once it is whole.
fn request_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let head = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
    const NAME: &[u8] = b"content-length: ";
    let at = memchr::memmem::find(&bytes[..head], NAME)? + NAME.len();
    let digits = bytes[at..head].iter().take_while(|byte| byte.is_ascii_digit());
    let body = digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
    (bytes.len() >= head + body).then_some((head, head + body))
}

/// The receiver's process, as the bench sees it.
pub(crate) struct Receiver {
    pub(crate) child: Child,
    pub(crate) port: u16,
    commands: ChildStdin,
    says: std::io::Lines<std::io::BufReader<ChildStdout>>,
}

impl Receiver {
    pub(crate) fn start() -> Receiver {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .arg("receiver")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the receiver starts");
        let commands = child.stdin.take().expect("its standard input");
        let mut says =
            std::io::BufReader::new(child.stdout.take().expect("its standard output")).lines();
        let port =
            says.next().and_then(Result::ok).and_then(|line| line.parse().ok()).expect("its port");
        Receiver { child, port, commands, says }
    }

    /// Counts from 0 and waits for so many requests, or lines of their bodies, in
    /// [`Receiver::wait`].
    pub(crate) fn expect(&mut self, number: u64, lines: bool) {
        let command = if lines { "expect-lines" } else { "expect" };
        writeln!(self.commands, "{command} {number}").expect("the receiver lives");
        self.wait_for("counting");
    }

    /// Waits until all that was expected has come.
    pub(crate) fn wait(&mut self) {
        self.wait_for("reached");
    }

    fn wait_for(&mut self, word: &str) {
        while self.says.next().expect("the receiver lives").expect("it speaks UTF-8") != word {}
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // It has nothing to lose.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
