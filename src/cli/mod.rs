//! The commands: the words of the command line, and which file does what they say.

mod demo;
mod dlq;
mod exports;
mod failure;
mod import;
mod listen;
mod logging;
mod place;
mod reload;
mod render;
mod run;
mod sample;
mod schema;
mod send;
mod table;
mod test;
mod validate;

use crate::config::{LoadOptions, LogLevel};
use clap::{Args, CommandFactory, Parser, Subcommand};
use failure::Failure;
use std::io::Write;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;

/// Carries audit events to webhooks and loses none on the way.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

/// What stands after any command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
struct Global {
    /// Configuration file, or folder of *.yaml files; later ones are laid over earlier ones
    #[arg(short, long = "config", value_name = "FILE|DIR", global = true)]
    config: Vec<PathBuf>,
    /// Change one key: `--set exports.alerts.webhook.url=http://127.0.0.1:9000/`
    #[arg(long, value_name = "PATH=VALUE", global = true)]
    set: Vec<String>,
    /// Least level of log lines
    #[arg(long, value_name = "LEVEL", global = true, value_parser = ["error", "warn", "info", "debug", "trace"])]
    log_level: Option<String>,
    /// More log lines; twice for all
    #[arg(short, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    /// Fewer log lines: faults only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Carry events until stopped, or until all sources have ended
    #[command(after_help = EXIT_CODES)]
    Run(run::Options),
    /// Show the main job with nothing else installed
    Demo,
    /// Check the configuration and print every problem with its place
    Validate(validate::Options),
    /// Send one synthetic event through one export, as configured
    Test(test::Options),
    /// Print the requests that events would become; sends nothing
    Render(render::Options),
    /// Send standard input to one webhook, without a configuration
    Send(send::Options),
    /// Receive and print requests, for trying things out
    Listen(listen::Options),
    /// Look at, replay, export and delete dead letters
    #[command(subcommand)]
    Dlq(dlq::Command),
    /// Show how exports stand; pause and resume them
    #[command(subcommand)]
    Exports(exports::Command),
    /// Print another system's own file as a configuration of postrider
    Import(import::Options),
    /// Print the configuration's or the metrics' reference
    Schema(schema::Options),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What the exit code of `run` tells.
const EXIT_CODES: &str = "Exit codes:
  0  done, or stopped by SIGTERM or SIGINT (a second one ends at once, with 1)
  1  failed, or events were lost
  2  the command line or the configuration is wrong
  3  all sources have ended, and dead letters were written (see `postrider dlq list`) or
     events of a paused export are left (see `postrider exports list`)";

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// It did what it should.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// It finished, and something waits in the store for somebody.
    LeftInStore = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let Cli { command, global } = Cli::parse();
    match execute(command, &global) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let _ = write!(std::io::stderr(), "{failure}");
            failure.exit_code()
        }
    }
}

fn execute(command: Command, global: &Global) -> Result<Exit, Failure> {
    match command {
        Command::Run(options) => run::execute(&options, global),
        Command::Demo => demo::execute(),
        Command::Validate(options) => validate::execute(&options, global),
        Command::Test(options) => test::execute(&options, global),
        Command::Render(options) => render::execute(&options, global),
        Command::Send(options) => send::execute(&options, global),
        Command::Listen(options) => listen::execute(&options, global),
        Command::Dlq(command) => dlq::execute(&command, global),
        Command::Exports(command) => exports::execute(&command, global),
        Command::Import(options) => import::execute(&options),
        Command::Schema(options) => schema::execute(&options),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "postrider", &mut script);
            place::say(&String::from_utf8_lossy(&script))?;
            Ok(Exit::Done)
        }
    }
}

impl Global {
    /// What the configuration is read from.
    fn load_options(&self) -> LoadOptions {
        LoadOptions {
            files: self.config.clone(),
            set: self.set.clone(),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            no_env: false,
            working_dir: std::env::current_dir().unwrap_or_default(),
        }
    }

    /// The log level that the command line asks for, over that of the configuration.
    fn level(&self, configured: LogLevel) -> LogLevel {
        match (self.log_level.as_deref(), self.quiet, self.verbose) {
            (Some("error"), ..) => LogLevel::Error,
            (Some("warn"), ..) => LogLevel::Warn,
            (Some("info"), ..) => LogLevel::Info,
            (Some("debug"), ..) => LogLevel::Debug,
            (Some(_), ..) => LogLevel::Trace,
            (None, true, _) => LogLevel::Error,
            (None, false, 0) => configured,
            (None, false, 1) => LogLevel::Debug,
            (None, false, _) => LogLevel::Trace,
        }
    }
}

/// Runs an async command to its end.
fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::new)?;
    // Boxed: one copy of the runtime's loop serves all commands.
    let command: Pin<Box<dyn Future<Output = _>>> = Box::pin(command);
    let result = runtime.block_on(command);
    // A read of standard input cannot be cut off: it must not keep the process.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_stand_after_any_command() {
        let cli = Cli::parse_from(["postrider", "run", "-c", "a.yaml", "--set", "x=1", "-v"]);
        assert_eq!(cli.global.config, [PathBuf::from("a.yaml")]);
        assert_eq!(cli.global.level(LogLevel::Info), LogLevel::Debug);
        let cli = Cli::parse_from(["postrider", "dlq", "list", "-q", "-c", "a", "-c", "b"]);
        assert_eq!(cli.global.config.len(), 2);
        assert_eq!(cli.global.level(LogLevel::Info), LogLevel::Error);
    }
}
