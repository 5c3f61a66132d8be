//! Where the events of JSON documents begin and end: a scanner that knows the way to the list that
//! holds them, and nothing of the bytes before. It follows brackets and strings only; whether an
//! event is valid JSON shows when it is read.
//!
//! It can take up behind any event, and behind any document that stands in no array: what follows
//! there tells where it is. A `,` or `]` goes on with the list, anything else begins a document.

use super::scan::{CUT, Scan, begins_value};

/// What was come upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// The end of the bytes.
    More,
    /// A document began with the last byte.
    Document,
    /// An event begins with the next byte.
    Event,
    /// An event ended with the last byte.
    EventEnd,
    /// A document, or an array of them, ended with the last byte.
    DocumentEnd,
    /// A document ended that has no such list.
    NoList,
    /// The next byte cannot stand where it stands.
    Broken(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Somewhere behind an event or a document.
    Resumed,
    /// Outside of documents; `after`: right behind one.
    Between {
        after: bool,
    },
    /// In the object of the level, where a key is due; an end too where it is the first.
    Keys {
        first: bool,
    },
    /// Inside a key.
    Key {
        escaped: bool,
    },
    Colon,
    Value,
    /// Behind a member of the object of the level.
    AfterValue,
    /// In a list of things of the level, where one is due; an end too where it is the first.
    Elements {
        first: bool,
    },
    /// Behind an element of a list of things of the level.
    AfterElement,
    /// Behind an object of the level that may be an element or a member.
    AfterEither,
    /// Behind a comma there.
    CommaEither,
    /// Inside a value that is passed over, or inside an event.
    Inside {
        event: bool,
        value: Scan,
    },
}

/// The scanner.
#[derive(Debug, Clone)]
pub(super) struct Grammar {
    path: Vec<Box<str>>,
    lines: bool,
    at: At,
    /// The level of the object or of the elements that it is in: 0 is a document, the path's
    /// length an event.
    level: usize,
    /// Whether the things of each level stand in a list, where that is known; at 0, in an array of
    /// documents.
    in_list: Vec<Option<bool>>,
    /// Whether the document has such a list.
    found: bool,
    /// Whether a step of the path led to something else than lists and objects.
    astray: bool,
    /// Whether a document ended without such a list, which is not told yet.
    unlisted: bool,
    /// Whether the last that stood outside of documents is a sign that may begin one.
    marked: bool,
    key: Vec<u8>,
}

impl Grammar {
    pub(super) fn new(path: &[Box<str>], lines: bool, resumed: bool) -> Self {
        let mut grammar = Grammar {
            path: path.to_vec(),
            lines,
            at: At::Resumed,
            level: 0,
            in_list: vec![None; path.len() + 1],
            found: false,
            astray: false,
            unlisted: false,
            marked: false,
            key: Vec::new(),
        };
        if !resumed {
            grammar.start_over();
        }
        grammar
    }

    /// Goes on where a document may begin.
    pub(super) fn start_over(&mut self) {
        (self.at, self.level, self.unlisted) = (At::Between { after: false }, 0, false);
        self.marked = false;
        self.in_list.fill(Some(false));
    }

    /// Whether nothing is open: the stream may end here.
    pub(super) fn is_closed(&self) -> bool {
        let array = self.in_list[0] == Some(true);
        match self.at {
            At::Resumed => true,
            At::Between { .. } => !array && !self.unlisted,
            _ => false,
        }
    }

    /// Whether a document ended without a list, which is not told yet.
    pub(super) fn is_unlisted(&self) -> bool {
        self.unlisted
    }

    /// Whether it can be taken up here later. Not behind a sign that belongs to what follows, should
    /// that be no document.
    pub(super) fn can_resume(&self) -> bool {
        let ended = !(self.lines && self.at == At::Between { after: true });
        self.is_closed()
            && ended
            && !self.marked
            && self.at != At::Resumed
            && (self.path.is_empty() || self.in_list[0] == Some(false))
    }

    /// Whether it is inside a document whose length counts.
    pub(super) fn is_inside(&self) -> bool {
        !self.path.is_empty() && !matches!(self.at, At::Resumed | At::Between { .. })
    }

    /// Goes on over these bytes; returns how many were passed, and what was come upon.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> (usize, Mark) {
        let mut passed = 0;
        while let Some(&byte) = bytes.get(passed) {
            let mark = match self.at {
                At::Inside { event, value } => {
                    let (more, ended) = self.inside(event, value, &bytes[passed..]);
                    passed += more;
                    match ended {
                        Some(mark) => return (passed, mark),
                        None => continue,
                    }
                }
                At::Key { escaped } => self.in_key(escaped, byte),
                _ if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') => self.blank(byte),
                At::Resumed | At::Between { .. } => self.outside(byte),
                _ => self.token(byte),
            };
            match mark {
                Step::Pass => passed += 1,
                Step::Again => {}
                Step::Tell(mark) => return (passed, mark),
                Step::PassAndTell(mark) => return (passed + 1, mark),
            }
        }
        (passed, Mark::More)
    }

    fn blank(&mut self, byte: u8) -> Step {
        if byte == b'\n' && self.lines {
            match self.at {
                At::Resumed => self.start_over(),
                At::Between { .. } if self.is_closed() => self.start_over(),
                At::Between { .. } if self.unlisted && self.in_list[0] != Some(true) => {
                    self.start_over();
                    return Step::Tell(Mark::NoList);
                }
                _ => return broken(CUT),
            }
        }
        Step::Pass
    }

    /// Outside of documents.
    fn outside(&mut self, byte: u8) -> Step {
        let events = self.path.is_empty();
        let At::Between { after } = self.at else {
            // Behind an event its list goes on.
            match byte {
                b',' | b']' if !events => {
                    (self.level, self.found, self.astray) = (self.path.len(), true, false);
                    self.at = At::AfterElement;
                }
                b',' | b']' => self.at = At::Between { after: true },
                _ => self.at = At::Between { after: false },
            }
            return Step::Again;
        };
        let array = self.in_list[0];
        self.marked = false;
        let told = |grammar: &mut Self, step: Step| match std::mem::take(&mut grammar.unlisted) {
            false => step,
            true if !matches!(step, Step::Again) => Step::PassAndTell(Mark::NoList),
            true => Step::Tell(Mark::NoList),
        };
        match byte {
            b'{' if !(after && array == Some(true)) => {
                if after {
                    self.in_list[0] = Some(false);
                }
                if self.unlisted {
                    self.at = At::Between { after: false };
                    return told(self, Step::Again);
                }
                self.begin(byte)
            }
            b'[' if array != Some(true) && !self.unlisted => {
                self.in_list[0] = Some(true);
                (self.at, self.level) = (At::Elements { first: true }, 0);
                Step::Pass
            }
            b',' if after && array != Some(false) => {
                self.in_list[0] = Some(true);
                (self.at, self.level) = (At::Elements { first: false }, 0);
                told(self, Step::Pass)
            }
            b']' if after && array != Some(false) => {
                self.in_list[0] = Some(false);
                self.at = At::Between { after: true };
                told(self, Step::PassAndTell(Mark::DocumentEnd))
            }
            // A byte order mark, and the sign that begins a JSON text sequence.
            0xef | 0xbb | 0xbf | 0x1e if !after || array != Some(true) => {
                self.marked = true;
                Step::Pass
            }
            _ => broken("what begins here is no document"),
        }
    }

    /// Begins a thing of the level: a document, an object on the way, or an event.
    fn begin(&mut self, byte: u8) -> Step {
        if self.level == self.path.len() {
            if !begins_value(byte) {
                return broken("neither an event nor the end of the list");
            }
            self.at = At::Inside { event: true, value: Scan::Start };
            return Step::Tell(Mark::Event);
        }
        if byte != b'{' {
            return broken("an object is due here");
        }
        self.at = At::Keys { first: true };
        if self.level == 0 {
            (self.found, self.astray) = (false, false);
            return Step::PassAndTell(Mark::Document);
        }
        Step::Pass
    }

    /// Inside a document, outside of keys and of values that are passed over.
    fn token(&mut self, byte: u8) -> Step {
        match (self.at, byte) {
            (At::Keys { .. } | At::CommaEither, b'"') => {
                if self.at == At::CommaEither {
                    self.in_list[self.level] = Some(false);
                    self.level -= 1;
                }
                self.key.clear();
                self.at = At::Key { escaped: false };
                Step::Pass
            }
            (At::Keys { first: true } | At::AfterValue, b'}') => self.close(),
            (At::Colon, b':') => self.now(At::Value),
            (At::Value, _) => self.value(byte),
            (At::AfterValue, b',') => self.now(At::Keys { first: false }),
            (At::Elements { first: true } | At::AfterElement, b']') => self.close_list(),
            (At::Elements { .. }, _) => self.begin(byte),
            (At::AfterElement, b',') => self.now(At::Elements { first: false }),
            (At::AfterEither, b',') => self.now(At::CommaEither),
            (At::AfterEither, b']') => self.close_list(),
            (At::AfterEither, b'}') => {
                self.in_list[self.level] = Some(false);
                self.level -= 1;
                self.close()
            }
            (At::CommaEither, b'{') => {
                self.in_list[self.level] = Some(true);
                self.begin(byte)
            }
            _ => broken("the document goes on with what cannot stand here"),
        }
    }

    fn now(&mut self, at: At) -> Step {
        self.at = at;
        Step::Pass
    }

    fn in_key(&mut self, escaped: bool, byte: u8) -> Step {
        match byte {
            b'\n' => return broken("a line ends inside a string"),
            b'"' if !escaped => return self.now(At::Colon),
            // One longer than any that is looked for may as well be cut: it is none of them.
            _ if self.key.len() < 1024 => self.key.push(byte),
            _ => {}
        }
        self.now(At::Key { escaped: byte == b'\\' && !escaped })
    }

    /// The value of a key of the object of the level.
    fn value(&mut self, byte: u8) -> Step {
        let on_path = self.is_on_path();
        let last = self.level + 1 == self.path.len();
        match byte {
            b'[' if on_path => {
                self.level += 1;
                (self.in_list[self.level], self.found) = (Some(true), true);
                return self.now(At::Elements { first: true });
            }
            b'{' if on_path && !last => {
                self.level += 1;
                (self.in_list[self.level], self.found) = (Some(false), true);
                return self.now(At::Keys { first: true });
            }
            b'n' => {}
            _ => self.astray |= on_path && self.level > 0,
        }
        if !begins_value(byte) {
            return broken("a value is due here");
        }
        self.at = At::Inside { event: false, value: Scan::Start };
        Step::Again
    }

    fn is_on_path(&self) -> bool {
        let name = &self.path[self.level];
        if !self.key.contains(&b'\\') {
            return *self.key == *name.as_bytes();
        }
        let quoted = [&b"\""[..], &self.key, b"\""].concat();
        serde_json::from_slice::<String>(&quoted).is_ok_and(|key| *key == **name)
    }

    /// Closes the object of the level.
    fn close(&mut self) -> Step {
        if self.level == 0 {
            self.at = At::Between { after: true };
            if self.found && !self.astray {
                return Step::PassAndTell(Mark::DocumentEnd);
            }
            if self.in_list[0] == Some(false) {
                return Step::PassAndTell(Mark::NoList);
            }
            // Behind it nothing tells the array of documents from the list of events.
            self.unlisted = true;
            return Step::Pass;
        }
        self.at = match self.in_list[self.level] {
            Some(true) => At::AfterElement,
            None => At::AfterEither,
            Some(false) => {
                self.level -= 1;
                At::AfterValue
            }
        };
        Step::Pass
    }

    /// Closes the list of things of the level.
    fn close_list(&mut self) -> Step {
        if self.level == 0 {
            self.in_list[0] = Some(false);
            self.at = At::Between { after: true };
            return Step::PassAndTell(Mark::DocumentEnd);
        }
        self.in_list[self.level] = Some(true);
        self.level -= 1;
        self.now(At::AfterValue)
    }

    /// Inside a value; returns how much of it there was, and what was come upon.
    fn inside(&mut self, event: bool, mut value: Scan, bytes: &[u8]) -> (usize, Option<Mark>) {
        let (passed, end) = value.advance(bytes, self.lines);
        self.at = At::Inside { event, value };
        let mark = match end {
            Ok(false) => None,
            Err(what) => Some(Mark::Broken(what)),
            Ok(true) if !event => {
                self.at = At::AfterValue;
                None
            }
            Ok(true) => {
                let outside = self.level == 0;
                self.at = if outside { At::Between { after: true } } else { At::AfterElement };
                Some(Mark::EventEnd)
            }
        };
        (passed, mark)
    }
}

enum Step {
    Pass,
    Again,
    Tell(Mark),
    PassAndTell(Mark),
}

fn broken(what: &'static str) -> Step {
    Step::Tell(Mark::Broken(what))
}
