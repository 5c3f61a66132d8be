//! The console sink: one line an event, on standard output or standard error.

use super::{Sink, line};
use crate::config::{BodyFormat, ConsoleStream};
use crate::delivery::{Delivery, Failure, Outcome};
use crate::retry::Reply;
use crate::trouble::Trouble;
use tokio::io::AsyncWriteExt;

/// Lines that are written at once.
pub const BATCH: usize = 256;

/// One slot of a console export; there is only one.
#[derive(Debug)]
pub struct Console {
    stream: ConsoleStream,
    format: BodyFormat,
    buffer: Vec<u8>,
}

impl Console {
    /// A sink that writes to this stream.
    pub fn new(stream: ConsoleStream, format: BodyFormat) -> Self {
        Console { stream, format, buffer: Vec::new() }
    }
}

impl Sink for Console {
    async fn send(&mut self, deliveries: &[Delivery], outcomes: &mut Vec<Outcome>) {
        self.buffer.clear();
        deliveries.iter().for_each(|delivery| line(&delivery.event, self.format, &mut self.buffer));
        let written = match self.stream {
            ConsoleStream::Stdout => write(tokio::io::stdout(), &self.buffer).await,
            ConsoleStream::Stderr => write(tokio::io::stderr(), &self.buffer).await,
        };
        let outcome = match written {
            Ok(()) => Outcome::Delivered(None),
            Err(error) => Outcome::Failed(Box::new(Failure {
                reply: Reply::None,
                trouble: Trouble::Write,
                error: error.to_string(),
                response: None,
                took: None,
            })),
        };
        outcomes.extend(deliveries.iter().map(|_| outcome.clone()));
    }
}

async fn write(
    mut stream: impl tokio::io::AsyncWrite + Unpin,
    lines: &[u8],
) -> std::io::Result<()> {
    stream.write_all(lines).await?;
    stream.flush().await
}
