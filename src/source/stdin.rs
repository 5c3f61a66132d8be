//! Standard input: read to its end. It cannot give a line again.

use super::{Intake, Source, Stream, Stretch};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::sync::CancellationToken;

/// Standard input, or another stream of bytes that is read once.
#[derive(Debug)]
pub struct Stdin<R> {
    intake: Intake,
    input: R,
}

impl<R: AsyncRead + Unpin + Send + 'static> Stdin<R> {
    /// A source over this input.
    pub fn new(intake: Intake, input: R) -> Self {
        Stdin { intake, input }
    }
}

impl<R: AsyncRead + Unpin + Send + 'static> Source for Stdin<R> {
    async fn run(mut self, stop: CancellationToken) -> Result<(), String> {
        read_to_end(&self.intake, &mut self.input, "", &stop)
            .await
            .map_err(|error| format!("standard input: {error}"))
    }
}

/// Takes in all lines of a stream that cannot be read again, the last one with or without its end.
/// A stop in the middle of a line takes in what there is of it: it may be whole, and else it is
/// a dead letter rather than lost.
pub(super) async fn read_to_end(
    intake: &Intake,
    input: &mut (impl AsyncRead + Unpin),
    label: &str,
    stop: &CancellationToken,
) -> std::io::Result<()> {
    let stream = Stream::fresh(label);
    let mut lines = intake.lines(0);
    let result = loop {
        let read = tokio::select! {
            biased;
            () = stop.cancelled() => break Ok(()),
            read = input.read(lines.room()) => read,
        };
        match read {
            Ok(0) => break Ok(()),
            Ok(length) => lines.added(length),
            Err(error) => break Err(error),
        }
        while let Some(stretch) = lines.next() {
            intake.accept(&stretch, &stream).await;
            if let Stretch::Lines { bytes, .. } = stretch {
                lines.reuse(bytes);
            }
        }
    };
    if let Some(stretch) = lines.finish() {
        intake.accept(&stretch, &stream).await;
    }
    result
}
