//! Log lines to stderr: RFC 3339 UTC with milliseconds, as text or as JSON; panics among them.

use crate::config::{Log, LogFormat, LogLevel};
use jiff::Timestamp;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use tracing::error;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::{RecordFields, VisitOutput};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{DefaultVisitor, FormatFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging; a second call changes nothing.
pub(super) fn start(log: Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let filter = Targets::new().with_default(LevelFilter::WARN).with_target("postrider", level);
    let builder = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_timer(Milliseconds)
        .with_target(false)
        .with_writer(std::io::stderr);
    let _ = match log.format {
        LogFormat::Text => {
            let ansi = std::io::stderr().is_terminal();
            builder.with_ansi(ansi).fmt_fields(Quoting).finish().with(filter).try_init()
        }
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .finish()
            .with(filter)
            .try_init(),
    };
    std::panic::set_hook(Box::new(log_panic));
}

/// Says where it was, and not its message: that may hold part of an event, and so a secret.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(|at| format!("{}:{}", at.file(), at.line()));
    error!(
        at = at.as_deref().unwrap_or("an unknown place"),
        fix = "please report it with this place",
        "a defect in postrider"
    );
}

/// Values as text, in quotes where a blank, a quote or `=` in one would end it for a reader, whether
/// the line was given a text or something that is shown as one.
struct Quoting;

impl<'writer> FormatFields<'writer> for Quoting {
    fn format_fields<R: RecordFields>(
        &self,
        writer: Writer<'writer>,
        fields: R,
    ) -> std::fmt::Result {
        let mut quoted = Quoted(DefaultVisitor::new(writer, true));
        fields.record(&mut quoted);
        quoted.0.finish()
    }
}

struct Quoted<'a>(DefaultVisitor<'a>);

impl Visit for Quoted<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.record_str(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.0.record_error(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let shown = format!("{value:?}");
        let splits = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '=');
        if field.name() != "message" && (shown.is_empty() || shown.contains(splits)) {
            self.0.record_str(field, &shown);
        } else {
            self.0.record_debug(field, value);
        }
    }
}

struct Milliseconds;

impl FormatTime for Milliseconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{:.3}", Timestamp::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{catch_unwind, set_hook, take_hook};
    use std::sync::{Arc, Mutex};

    /// What is logged in this thread meanwhile.
    fn logged(act: impl FnOnce()) -> String {
        let log: Arc<Mutex<Vec<u8>>> = Arc::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(Arc::new(Lines(Arc::clone(&log))))
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(subscriber, act);
        let log = log.lock().unwrap();
        String::from_utf8(log.clone()).unwrap()
    }

    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for &Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_logged_without_its_message() {
        // The hook is the process's, and other tests have panics of their own.
        let others = take_hook();
        thread_local!(static HERE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
        set_hook(Box::new(move |panic| if HERE.get() { log_panic(panic) } else { others(panic) }));
        let log = logged(|| {
            HERE.set(true);
            let panicking = || panic!("{}", "s3cret");
            assert!(catch_unwind(panicking).is_err());
            HERE.set(false);
        });
        assert!(log.contains("ERROR") && log.contains("a defect in postrider"), "{log}");
        assert!(log.contains("src/cli/logging.rs:"), "{log}");
        assert!(!log.contains("s3cret"), "{log}");
    }
}
