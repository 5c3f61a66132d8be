//! What the pipeline keeps of a source at work: another configuration reaches it through this, in
//! two steps, so that one source that cannot follow leaves all of them as they were.

use super::Intake;
use super::file::FileChange;
use super::socket::SocketChange;
use crate::config::{self, Input};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// A source at work.
#[derive(Debug)]
pub struct SourceHandle {
    intake: Arc<Intake>,
    /// What it reads, by its newest configuration.
    input: Mutex<Input>,
    changer: Changer,
}

/// The way to the source itself.
#[derive(Debug)]
enum Changer {
    Stdin,
    File(UnboundedSender<FileChange>),
    Socket(UnboundedSender<SocketChange>),
}

/// Another configuration of a source, ready to be put into effect. Dropped, it leaves no trace.
#[derive(Debug)]
#[must_use = "nothing changes before it is applied"]
pub struct Prepared {
    config: config::Source,
    change: Change,
}

#[derive(Debug)]
enum Change {
    Stdin,
    File(FileChange),
    Socket(SocketChange),
}

/// Tells when a source goes by the configuration that was given to it.
#[derive(Debug)]
pub struct InForce(Option<oneshot::Receiver<()>>);

impl InForce {
    /// Waits until the source has come to it, or has ended: what happens to its files from then on
    /// is seen by the new configuration.
    pub async fn wait(self) {
        if let Some(told) = self.0 {
            // One that has ended tells nothing, and nothing is left to wait for.
            let _ = told.await;
        }
    }
}

impl SourceHandle {
    /// Of standard input.
    pub(super) fn stdin(intake: &Arc<Intake>) -> Self {
        SourceHandle::new(intake, Input::Stdin, Changer::Stdin)
    }

    /// Of a file source.
    pub(super) fn file(
        intake: &Arc<Intake>,
        config: &config::Source,
        changer: UnboundedSender<FileChange>,
    ) -> Self {
        SourceHandle::new(intake, config.input.clone(), Changer::File(changer))
    }

    /// Of a socket source.
    pub(super) fn socket(
        intake: &Arc<Intake>,
        config: &config::Source,
        changer: UnboundedSender<SocketChange>,
    ) -> Self {
        SourceHandle::new(intake, config.input.clone(), Changer::Socket(changer))
    }

    fn new(intake: &Arc<Intake>, input: Input, changer: Changer) -> Self {
        SourceHandle { intake: Arc::clone(intake), input: Mutex::new(input), changer }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        self.intake.name()
    }

    /// Whether another configuration can be given to it: it has the same name and type, and has not
    /// ended already while it read something else. Otherwise that is another source.
    pub fn can_become(&self, config: &config::Source) -> bool {
        let now = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        config.name == *self.name()
            && std::mem::discriminant(&*now) == std::mem::discriminant(&config.input)
            && (*now == config.input || !self.has_ended())
    }

    /// Whether it has come to its end, as without `follow`: another configuration has no effect,
    /// and it can be started anew. Standard input stays at its end.
    pub(super) fn has_ended(&self) -> bool {
        match &self.changer {
            Changer::Stdin => false,
            Changer::File(changer) => changer.is_closed(),
            Changer::Socket(changer) => changer.is_closed(),
        }
    }

    /// Makes ready what another configuration asks for; binds a new address. Nothing changes yet.
    ///
    /// # Errors
    /// When it cannot be had; says what to do.
    pub fn prepare(&self, config: &config::Source) -> Result<Prepared, String> {
        let now = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let change = match (&*now, &config.input) {
            (Input::Stdin, Input::Stdin) => Change::Stdin,
            (Input::File(_), Input::File(wanted)) => Change::File(FileChange::prepare(wanted)?),
            (Input::Socket(now), Input::Socket(wanted)) => {
                Change::Socket(SocketChange::prepare(now, wanted)?)
            }
            _ => {
                return Err("another type makes it another source: start that one anew".to_owned());
            }
        };
        Ok(Prepared { config: config.clone(), change })
    }

    /// Puts a configuration into effect: on lines from the next chunk on, on what is read as soon
    /// as the source comes to it. What was read before is neither lost nor read again.
    pub fn apply(&self, Prepared { config, change }: Prepared) -> InForce {
        self.intake.configure(&config);
        if !self.has_ended() {
            *self.input.lock().unwrap_or_else(PoisonError::into_inner) = config.input;
        }
        // A source that has ended has no use for it.
        match (&self.changer, change) {
            (Changer::File(changer), Change::File(mut change)) => {
                let told = change.tell();
                drop(changer.send(change));
                InForce(Some(told))
            }
            (Changer::Socket(changer), Change::Socket(change)) => {
                // What it listens on now is bound already.
                drop(changer.send(change));
                InForce(None)
            }
            _ => InForce(None),
        }
    }

    /// Gives another configuration to the source, in one step.
    #[cfg(test)]
    pub(super) fn reconfigure(&self, config: &config::Source) -> Result<InForce, String> {
        Ok(self.apply(self.prepare(config)?))
    }
}
