//! What the scripted receiver answers: a usual HTTP answer, or any steps on the wire.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// One thing that the receiver does with a connection.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Writes these bytes.
    Write(Vec<u8>),
    /// Waits.
    Pause(Duration),
    /// Waits until the gate is open.
    Wait(Gate),
    /// Does nothing until the other side closes.
    Hang,
    /// Writes these bytes again and again, with this pause, until the other side closes.
    Drip(Vec<u8>, Duration),
    /// Ends the connection with a reset.
    Reset,
    /// Ends the connection in order.
    Close,
}

/// Something that a test opens by hand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// A closed gate.
    pub(crate) fn new() -> Gate {
        Gate::default()
    }

    /// Lets everyone through, now and later.
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits a while; whether it is open.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let open = self.0.0.lock().unwrap();
        *self.0.1.wait_timeout_while(open, time, |open| !*open).unwrap().0
    }
}

/// How the body's end is told.
#[derive(Debug, Clone)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    before: Vec<Step>,
    head: Option<(u16, Vec<(String, String)>)>,
    body: Vec<u8>,
    framing: Framing,
    after: Vec<Step>,
}

impl Answer {
    /// An answer with this status and no body.
    pub(crate) fn status(status: u16) -> Answer {
        Answer {
            before: Vec::new(),
            head: Some((status, Vec::new())),
            body: Vec::new(),
            framing: Framing::Length(0),
            after: Vec::new(),
        }
    }

    /// No HTTP answer, only steps.
    pub(crate) fn raw(steps: impl IntoIterator<Item = Step>) -> Answer {
        Answer { head: None, before: steps.into_iter().collect(), ..Answer::status(0) }
    }

    /// The other side waits in vain.
    pub(crate) fn hang() -> Answer {
        Answer::raw([Step::Hang])
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Answer {
        if let Some((_, headers)) = &mut self.head {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Answer {
        self.body = body.into();
        self.framing = Framing::Length(self.body.len());
        self
    }

    /// Claims this length, whatever the body's is.
    pub(crate) fn claims_length(mut self, length: usize) -> Answer {
        self.framing = Framing::Length(length);
        self
    }

    /// Announces chunks; the body's bytes follow as they are.
    pub(crate) fn claims_chunks(mut self) -> Answer {
        self.framing = Framing::Chunked;
        self
    }

    /// The body ends with the connection.
    pub(crate) fn until_close(mut self) -> Answer {
        self.framing = Framing::UntilClose;
        self
    }

    /// Does this before the head.
    pub(crate) fn first(mut self, step: Step) -> Answer {
        self.before.push(step);
        self
    }

    /// Does this after the body.
    pub(crate) fn then(mut self, step: Step) -> Answer {
        self.after.push(step);
        self
    }

    /// Everything on the wire, in order.
    pub(super) fn steps(self) -> Vec<Step> {
        let mut steps = self.before;
        if let Some((status, headers)) = self.head {
            let mut head = format!("HTTP/1.1 {status} Scripted\r\n");
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str(&match self.framing {
                // These have none by definition.
                Framing::Length(0) if status == 204 || status == 304 => "\r\n".to_owned(),
                Framing::Length(length) => format!("Content-Length: {length}\r\n\r\n"),
                Framing::Chunked => "Transfer-Encoding: chunked\r\n\r\n".to_owned(),
                Framing::UntilClose => "\r\n".to_owned(),
            });
            steps.push(Step::Write([head.into_bytes(), self.body].concat()));
        }
        steps.extend(self.after);
        steps
    }
}
