//! The real binary, run in a directory of its own.

use super::{Metrics, conservation, flow, free_port, until, until_ok};
use rustix::process::{Pid, Signal, kill_process};
use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

/// How much of an output a failing test prints, in bytes.
const SHOWN: usize = 20_000;

/// A directory for one test, with its configuration in `postrider.yaml`.
#[derive(Debug, Clone)]
pub(crate) struct Place(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: tempfile::TempDir,
    calls: RefCell<Vec<Called>>,
}

/// What is told of a command when a test fails.
#[derive(Debug)]
struct Called {
    line: String,
    stdout: PathBuf,
    stderr: PathBuf,
    end: Option<ExitStatus>,
}

impl Place {
    /// A directory with this configuration.
    pub(crate) fn new(config: &str) -> Place {
        let place = Place::empty();
        place.write("postrider.yaml", config);
        place
    }

    /// A directory without a configuration.
    pub(crate) fn empty() -> Place {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Place(Rc::new(Inner { dir, calls: RefCell::default() }))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(&path, content).expect("a file");
        path
    }

    pub(crate) fn append(&self, name: &str, content: &str) {
        let file = File::options().append(true).create(true).open(self.path(name));
        file.expect("a file").write_all(content.as_bytes()).expect("appended");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// `postrider` with these arguments, not started yet.
    pub(crate) fn postrider(&self, args: &[&str]) -> Call {
        let args = args.iter().map(OsString::from).collect();
        Call { place: self.clone(), args, env: Vec::new(), stdin: None, admin: None }
    }

    /// `postrider run`, its admin listener on a free port.
    pub(crate) fn run(&self) -> Call {
        let port = free_port();
        let mut call = self.postrider(&["run", "--set", &format!("admin.listen=127.0.0.1:{port}")]);
        call.admin = Some(port);
        call
    }

    /// Runs until these lines, of which none is blank, are settled; then to the end.
    pub(crate) fn carry(&self, lines: &str) -> (Metrics, Finished) {
        let mut running = self.run().start();
        running.feed(lines);
        let metrics = running.settled(lines.lines().count());
        (metrics, running.end())
    }

    /// Dead letters as `dlq export` prints them, oldest first.
    pub(crate) fn dead_letters(&self) -> Vec<serde_json::Value> {
        let printed = self.postrider(&["dlq", "export"]).finish().code(0);
        let lines = printed.stdout.lines();
        lines.map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        if let Ok(config) = fs::read_to_string(self.dir.path().join("postrider.yaml")) {
            eprintln!("\n══ postrider.yaml\n{config}");
        }
        for call in self.calls.borrow().iter() {
            let end = call.end.map_or("did not end".to_owned(), |status| status.to_string());
            eprintln!("\n══ {} → {end}", call.line);
            for (name, path) in [("stdout", &call.stdout), ("stderr", &call.stderr)] {
                let text = fs::read(path).unwrap_or_default();
                let from = text.len().saturating_sub(SHOWN);
                eprintln!("── {name}\n{}", String::from_utf8_lossy(&text[from..]));
            }
        }
    }
}

/// A command that is not started yet.
#[derive(Debug)]
pub(crate) struct Call {
    place: Place,
    args: Vec<OsString>,
    env: Vec<(String, String)>,
    stdin: Option<Vec<u8>>,
    admin: Option<u16>,
}

impl Call {
    pub(crate) fn arg(mut self, arg: impl Into<OsString>) -> Call {
        self.args.push(arg.into());
        self
    }

    /// `--set PATH=VALUE`
    pub(crate) fn set(self, change: &str) -> Call {
        self.arg("--set").arg(change)
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Call {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Standard input, whole; without it, it stays open until it is closed by hand.
    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Call {
        self.stdin = Some(bytes.into());
        self
    }

    pub(crate) fn start(self) -> Running {
        let Call { place, args, env, stdin, admin } = self;
        let number = place.0.calls.borrow().len();
        let stdout = place.path(&format!(".stdout-{number}"));
        let stderr = place.path(&format!(".stderr-{number}"));
        let create = |path: &Path| File::create(path).expect("a file for the output");
        let mut child = Command::new(env!("CARGO_BIN_EXE_postrider"))
            .args(&args)
            .current_dir(place.0.dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TMPDIR", place.0.dir.path())
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(create(&stdout))
            .stderr(create(&stderr))
            .spawn()
            .expect("postrider starts");
        let words = args.iter().map(|arg| arg.to_string_lossy().into_owned());
        let env = env.iter().map(|(name, value)| format!("{name}={value} ")).collect::<String>();
        let line = format!("{env}postrider {}", words.collect::<Vec<_>>().join(" "));
        place.0.calls.borrow_mut().push(Called { line, stdout, stderr, end: None });
        let mut input = child.stdin.take();
        if let Some(bytes) = stdin {
            let mut pipe = input.take().expect("a pipe");
            // On the side: the command may print before it reads on, or not read at all.
            thread::spawn(move || pipe.write_all(&bytes));
        }
        Running { place, number, child, stdin: input, admin }
    }

    /// Runs it to its end; without input, standard input is empty.
    pub(crate) fn finish(mut self) -> Finished {
        self.stdin.get_or_insert_default();
        self.start().wait()
    }
}

/// A command that runs. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Running {
    place: Place,
    number: usize,
    child: Child,
    stdin: Option<ChildStdin>,
    admin: Option<u16>,
}

impl Running {
    /// Writes to its standard input.
    pub(crate) fn feed(&mut self, text: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        stdin.write_all(text.as_ref()).expect("postrider reads on");
    }

    /// Its standard input, which stays open as long as this lives.
    pub(crate) fn take_input(&mut self) -> ChildStdin {
        self.stdin.take().expect("standard input is open")
    }

    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it still runs");
    }

    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills it as a crash would.
    pub(crate) fn kill(self) -> Finished {
        self.signal(Signal::KILL);
        self.wait()
    }

    pub(crate) fn stdout(&self) -> String {
        self.output(|call| &call.stdout)
    }

    pub(crate) fn stderr(&self) -> String {
        self.output(|call| &call.stderr)
    }

    fn output(&self, which: impl Fn(&Called) -> &PathBuf) -> String {
        let calls = self.place.0.calls.borrow();
        let bytes = fs::read(which(&calls[self.number])).expect("its output");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until its standard error holds this text.
    pub(crate) fn says(&self, text: &str) {
        until(&format!("`{text}` on stderr"), || self.stderr().contains(text).then_some(()));
    }

    /// Waits until it can be asked.
    pub(crate) fn ready(self) -> Running {
        until("ready", || (self.try_get("/ready", "")?.0 == 200).then_some(()));
        self
    }

    /// Asks the admin listener; `headers` are further lines, each with its end.
    pub(crate) fn get(&self, path: &str, headers: &str) -> (u16, String) {
        until(&format!("an answer to GET {path}"), || self.try_get(path, headers))
    }

    fn try_get(&self, path: &str, headers: &str) -> Option<(u16, String)> {
        let port = self.admin.expect("an admin listener");
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let host =
            if headers.to_lowercase().contains("host:") { "" } else { "Host: localhost\r\n" };
        write!(stream, "GET {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let (status, page) = self.get("/metrics", "");
        assert_eq!(status, 200, "{page}");
        Metrics::read(&page)
    }

    /// Waits until the page shows this.
    pub(crate) fn shows(&self, what: &str, condition: impl Fn(&Metrics) -> bool) -> Metrics {
        until(what, || Some(self.metrics()).filter(&condition))
    }

    /// Waits until so many events were received and none is pending, and asserts the law of
    /// conservation.
    pub(crate) fn settled(&self, received: usize) -> Metrics {
        self.twice(|page| {
            let metrics = conservation(page)?;
            let found = (metrics.received(), metrics.sum("events_pending", &[]));
            let expected = (received as f64, 0.0);
            if found != expected {
                return Err(format!("(received, pending) are {found:?}, not {expected:?}"));
            }
            Ok(metrics)
        })
    }

    /// Waits until none is pending, and asserts what of the law holds where exports come and go.
    pub(crate) fn at_rest(&self) -> Metrics {
        self.twice(|page| {
            let metrics = flow(page)?;
            match metrics.sum("events_pending", &[]) {
                0.0 => Ok(metrics),
                pending => Err(format!("{pending} are pending")),
            }
        })
    }

    /// Waits for a page that is as it should be, and returns the next one that is. A page is put
    /// together while events pass: what is counted meanwhile may stand in one place and not yet in
    /// another.
    fn twice(&self, look: impl Fn(&str) -> Result<Metrics, String>) -> Metrics {
        let page = || look(&self.get("/metrics", "").1);
        until_ok(page);
        until_ok(page)
    }

    /// Waits until what came in is what went out or waits, for every export of the page.
    pub(crate) fn adds_up(&self) -> Metrics {
        until_ok(|| flow(&self.get("/metrics", "").1))
    }

    /// Lets it read its configuration again, and waits until that is in force.
    pub(crate) fn reload(&self) {
        let applied = |metrics: &Metrics| metrics.sum("reloads_total", &[("outcome", "applied")]);
        let before = applied(&self.metrics());
        self.signal(Signal::HUP);
        let metrics = self.shows("another reload", |metrics| applied(metrics) > before);
        assert_eq!(metrics.one("config_last_reload_successful", &[]), 1.0);
    }

    /// Closes its input and waits for its end.
    pub(crate) fn end(mut self) -> Finished {
        self.close_stdin();
        self.wait()
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Finished {
        let status = until("the end of the process", || self.child.try_wait().expect("its end"));
        self.place.0.calls.borrow_mut()[self.number].end = Some(status);
        Finished { status, stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a command ended.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// Asserts its exit code.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Finished {
        assert_eq!(self.status.code(), Some(code), "exit code\n{}{}", self.stdout, self.stderr);
        self
    }
}
