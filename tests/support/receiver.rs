//! A receiver that follows a script: a real HTTP/1.1 server on loopback, one thread a connection,
//! that answers as it is told, also against the rules, and records every request.

use super::answer::{Answer, Step};
use super::until;
use rustix::net::sockopt::set_socket_linger;
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How often a waiting connection looks whether the receiver goes.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Requests that a failing test prints.
const SHOWN: usize = 40;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Its place in the order of arrival, from 0.
    pub(crate) number: usize,
    /// Which connection it came on, from 0.
    pub(crate) connection: usize,
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// When it was complete.
    pub(crate) arrived: Instant,
}

impl Request {
    /// A header's value, by any spelling of its name; none or several differ from one.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| &**value);
        assert!(found.next().is_none(), "header `{name}` came twice: {self:?}");
        value
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("the body is not JSON: {error}: {self}"))
    }

    /// The event's id, of a body that is the event.
    pub(crate) fn audit_id(&self) -> String {
        self.json()["audit_id"].as_str().expect("the body has an audit_id").to_owned()
    }

    pub(crate) fn delivery_id(&self) -> &str {
        self.header("X-Postrider-Delivery").expect("a delivery id")
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.header("X-Postrider-Attempt").expect("an attempt").parse().expect("a number")
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Request { number, connection, method, target, .. } = self;
        writeln!(f, "#{number} on connection {connection}: {method} {target}")?;
        for (name, value) in &self.headers {
            writeln!(f, "  {name}: {value}")?;
        }
        let cut = self.body.len().min(600);
        writeln!(f, "  {}", String::from_utf8_lossy(&self.body[..cut]))
    }
}

type Script = Box<dyn FnMut(&Request) -> Answer + Send>;

struct Shared {
    script: Mutex<Script>,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
    gone: AtomicBool,
}

/// See the module.
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Receiver {
    /// A receiver that answers each request as the script says.
    pub(crate) fn new(script: impl FnMut(&Request) -> Answer + Send + 'static) -> Receiver {
        Receiver::on(0, script)
    }

    /// One that answers everything with 200.
    pub(crate) fn ok() -> Receiver {
        Receiver::always(Answer::status(200))
    }

    /// One that always answers the same.
    pub(crate) fn always(answer: Answer) -> Receiver {
        Receiver::new(move |_| answer.clone())
    }

    /// One that gives these answers in order of the requests, and the last one to all further.
    pub(crate) fn answering(answers: impl IntoIterator<Item = Answer>) -> Receiver {
        let answers: Vec<_> = answers.into_iter().collect();
        Receiver::new(move |request| answers[request.number.min(answers.len() - 1)].clone())
    }

    /// One on this port.
    pub(crate) fn on(
        port: u16,
        script: impl FnMut(&Request) -> Answer + Send + 'static,
    ) -> Receiver {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port for the receiver");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            script: Mutex::new(Box::new(script)),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: Mutex::default(),
            gone: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.gone.load(Ordering::SeqCst) {
                    return;
                }
                accepting.open.lock().unwrap().extend(stream.try_clone());
                let number = accepting.connections.fetch_add(1, Ordering::SeqCst);
                let shared = Arc::clone(&accepting);
                thread::spawn(move || {
                    let _ = stream.set_nodelay(true);
                    // However a connection ends, the requests tell the story.
                    let _ = shared.serve(number, &stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Receiver { address, shared }
    }

    /// Answers otherwise from now on.
    pub(crate) fn rewrite(&self, script: impl FnMut(&Request) -> Answer + Send + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    /// `http://127.0.0.1:<port><path>`
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// What has arrived so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// How many connections were opened so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until so many requests have arrived; returns all.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Request> {
        until(&format!("{count} requests"), || {
            (self.shared.requests.lock().unwrap().len() >= count).then_some(())
        });
        self.requests()
    }

    /// All requests, which must be so many.
    pub(crate) fn exactly(&self, count: usize) -> Vec<Request> {
        let requests = self.requests();
        assert_eq!(requests.len(), count, "requests received");
        requests
    }

    /// The ids of the events that arrived, in order of arrival; bodies must be the events.
    pub(crate) fn audit_ids(&self) -> Vec<String> {
        self.requests().iter().map(Request::audit_id).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.gone.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if thread::panicking() {
            let requests = self.requests();
            eprintln!("\n══ receiver {} got {} requests", self.address, requests.len());
            requests.iter().take(SHOWN).for_each(|request| eprintln!("{request}"));
        }
    }
}

impl Shared {
    fn serve(&self, connection: usize, mut stream: &TcpStream) -> std::io::Result<()> {
        let mut buffer = Vec::new();
        while let Some(mut request) = read_request(stream, &mut buffer)? {
            request.connection = connection;
            let answer = {
                let mut requests = self.requests.lock().unwrap();
                request.number = requests.len();
                requests.push(request.clone());
                drop(requests);
                (self.script.lock().unwrap())(&request)
            };
            for step in answer.steps() {
                match step {
                    Step::Write(bytes) => stream.write_all(&bytes)?,
                    Step::Pause(time) => thread::sleep(time),
                    Step::Wait(gate) => {
                        while !gate.wait(LOOK_EVERY) && !self.gone.load(Ordering::SeqCst) {}
                    }
                    Step::Hang => {
                        std::io::copy(&mut stream, &mut std::io::sink())?;
                        return Ok(());
                    }
                    Step::Drip(bytes, pause) => loop {
                        stream.write_all(&bytes)?;
                        thread::sleep(pause);
                    },
                    Step::Reset => {
                        set_socket_linger(stream, Some(Duration::ZERO))?;
                        // The clone would keep the socket, and so the reset, back.
                        let peer = stream.peer_addr()?;
                        let others = |open: &TcpStream| open.peer_addr().is_ok_and(|a| a != peer);
                        self.open.lock().unwrap().retain(others);
                        return Ok(());
                    }
                    Step::Close => return Ok(()),
                }
            }
        }
        Ok(())
    }
}

/// Reads one request; `buffer` holds what was read too far. `None` at the end of the connection.
fn read_request(mut stream: &TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<Request>> {
    let mut chunk = [0; 16 * 1024];
    let mut more = |buffer: &mut Vec<u8>| -> std::io::Result<bool> {
        let length = stream.read(&mut chunk)?;
        buffer.extend_from_slice(&chunk[..length]);
        Ok(length > 0)
    };
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if !more(buffer)? {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let mut word = || first.next().unwrap_or_default().to_owned();
    let (method, target) = (word(), word());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Ok(0), |(_, value)| value.parse::<usize>())
        .map_err(|error| std::io::Error::new(ErrorKind::InvalidData, error))?;
    while buffer.len() < head_end + length {
        if !more(buffer)? {
            return Ok(None);
        }
    }
    let body = buffer[head_end..head_end + length].to_vec();
    buffer.drain(..head_end + length);
    let (number, connection, arrived) = (0, 0, Instant::now());
    Ok(Some(Request { number, connection, method, target, headers, body, arrived }))
}
