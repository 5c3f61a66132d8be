//! A fast receiver that knows what it took: events `e0`, `e1`, … of each of its lanes (paths `/0`,
//! `/1`, …), how often, when, and under which delivery ids. It fails as often as it is told.

use rustix::net::sockopt::set_socket_linger;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Numbers by chance that a seed gives again.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// With the seed of the environment variable `POSTRIDER_SEED`, else with any; prints it.
    pub(crate) fn new(test: &str) -> Dice {
        use std::hash::{BuildHasher, Hasher};
        let any = || std::collections::hash_map::RandomState::new().build_hasher().finish();
        let seed = std::env::var("POSTRIDER_SEED").ok();
        let seed = seed.map_or_else(any, |seed| seed.parse().expect("POSTRIDER_SEED is a number"));
        println!("{test}: POSTRIDER_SEED={seed}");
        Dice(seed)
    }

    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below this number, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Whether something of this chance, in thousandths, happens.
    pub(crate) fn chance(&mut self, thousandths: usize) -> bool {
        self.below(1000) < thousandths
    }

    fn fork(&mut self) -> Dice {
        Dice(self.next())
    }
}

/// How often it fails, in thousandths of the requests.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// 503.
    pub(crate) refuse: usize,
    /// Never an answer.
    pub(crate) hang: usize,
    /// The connection is reset.
    pub(crate) reset: usize,
}

/// What is known of one event of one lane.
#[derive(Debug, Clone, Default)]
pub(crate) struct Taken {
    /// When it was answered with 200, each time.
    pub(crate) at: Vec<Instant>,
    /// Every delivery id that it came with, also where it was not taken.
    pub(crate) ids: BTreeSet<Box<[u8]>>,
}

#[derive(Default)]
struct Lane {
    events: Vec<Taken>,
    /// How many of them were taken.
    distinct: usize,
}

struct Shared {
    lanes: Vec<Mutex<Lane>>,
    taken: AtomicUsize,
    faults: Faults,
    dice: Mutex<Dice>,
}

/// See the module.
pub(crate) struct Oracle {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Oracle {
    pub(crate) fn new(lanes: usize, faults: Faults, dice: &mut Dice) -> Oracle {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            lanes: (0..lanes).map(|_| Mutex::default()).collect(),
            taken: AtomicUsize::new(0),
            faults,
            dice: Mutex::new(dice.fork()),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&accepting);
                let dice = shared.dice.lock().unwrap().fork();
                // However a connection ends, what was taken tells the story.
                thread::spawn(move || drop(shared.serve(stream, dice)));
            }
        });
        Oracle { address, shared }
    }

    /// Where a lane is reached.
    pub(crate) fn url(&self, lane: usize) -> String {
        format!("http://{}/{lane}", self.address)
    }

    /// How often anything was taken so far.
    pub(crate) fn count(&self) -> usize {
        self.shared.taken.load(Ordering::SeqCst)
    }

    /// How many different events a lane took so far.
    pub(crate) fn distinct(&self, lane: usize) -> usize {
        self.shared.lanes[lane].lock().unwrap().distinct
    }

    /// Everything known of a lane, by the number of the event.
    pub(crate) fn lane(&self, lane: usize) -> Vec<Taken> {
        self.shared.lanes[lane].lock().unwrap().events.clone()
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream, mut dice: Dice) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = vec![0; 64 * 1024];
        let mut filled = 0;
        loop {
            let Some((length, request)) = read_request(&buffer[..filled]) else {
                match stream.read(&mut buffer[filled..])? {
                    0 => return Ok(()),
                    read => filled += read,
                }
                continue;
            };
            let faults = self.faults;
            if dice.chance(faults.reset) {
                return set_socket_linger(&stream, Some(Duration::ZERO)).map_err(Into::into);
            }
            if dice.chance(faults.hang) {
                return std::io::copy(&mut stream, &mut std::io::sink()).map(drop);
            }
            let taken = !dice.chance(faults.refuse);
            {
                let mut lane = self.lanes[request.lane].lock().unwrap();
                let Lane { events, distinct } = &mut *lane;
                if events.len() <= request.event {
                    events.resize(request.event + 1, Taken::default());
                }
                let event = &mut events[request.event];
                if !event.ids.contains(request.delivery) {
                    event.ids.insert(request.delivery.into());
                }
                if taken {
                    *distinct += usize::from(event.at.is_empty());
                    event.at.push(Instant::now());
                }
            }
            buffer.copy_within(length..filled, 0);
            filled -= length;
            // Before the answer: what was answered was taken, whoever hears of it.
            if taken {
                self.taken.fetch_add(1, Ordering::SeqCst);
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
            } else {
                stream.write_all(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")?;
            }
        }
    }
}

struct Request<'a> {
    lane: usize,
    event: usize,
    delivery: &'a [u8],
}

/// A request and its length, if it is there whole.
fn read_request(bytes: &[u8]) -> Option<(usize, Request<'_>)> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
    let head = &bytes[..end];
    let number = |text: &[u8]| -> usize {
        let text = std::str::from_utf8(text).expect("ASCII");
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    };
    let header = |name: &[u8]| {
        let from = memchr::memmem::find(head, name).expect("a header") + name.len();
        let length = memchr::memchr(b'\r', &head[from..]).expect("its end");
        &head[from..from + length]
    };
    let length = end + number(header(b"\r\ncontent-length: "));
    if bytes.len() < length {
        return None;
    }
    let target = head.split(|byte| *byte == b' ').nth(1).expect("a target");
    let event = &header(b"\r\nx-postrider-event-id: ")[1..];
    let delivery = header(b"\r\nx-postrider-delivery: ");
    Some((length, Request { lane: number(&target[1..]), event: number(event), delivery }))
}
