//! Standard input: read to its end. It cannot give a line again.

use super::{Framer, Intake, READ_SIZE, Source, SourceHandle, Stream, Stretch};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long a read that follows a stop may take.
const LATE_READ: Duration = Duration::from_millis(50);

/// How many bytes are read while what came before them is written to disk.
const READ_ON: u64 = 8 * READ_SIZE as u64;

/// How many reads may follow a stop.
const LATE_READS: u32 = 64;

/// Standard input, or another stream of bytes that is read once.
#[derive(Debug)]
pub struct Stdin<R> {
    intake: Arc<Intake>,
    input: R,
}

impl<R: AsyncRead + Unpin + Send + 'static> Stdin<R> {
    /// A source over this input.
    pub fn new(intake: Arc<Intake>, input: R) -> Self {
        Stdin { intake, input }
    }

    /// What reconfigures it while it runs.
    pub fn handle(&self) -> SourceHandle {
        SourceHandle::stdin(&self.intake)
    }
}

impl<R: AsyncRead + Unpin + Send + 'static> Source for Stdin<R> {
    async fn run(mut self, stop: CancellationToken) -> Result<(), String> {
        read_to_end(&self.intake, &mut self.input, "", READ_SIZE, &stop)
            .await
            .map_err(|error| format!("standard input: {error}"))
    }
}

/// Takes in all lines of a stream that cannot be read again, the last one with or without its end.
/// A stop takes in what has arrived by then, also in the middle of a line: it may be whole, and
/// else it is a dead letter rather than lost. Of what seldom sends much, `size` bytes are read at
/// once, and more while it does.
pub(super) async fn read_to_end(
    intake: &Intake,
    input: &mut (impl AsyncRead + Unpin),
    label: &str,
    size: usize,
    stop: &CancellationToken,
) -> std::io::Result<()> {
    let stream = Stream::fresh(label);
    let mut lines = intake.framer(0);
    let least = size;
    let mut size = size;
    let mut late_reads = 0;
    let mut ended = None;
    let result = loop {
        if let Some(result) = ended {
            break result;
        }
        let read = tokio::select! {
            biased;
            () = stop.cancelled() => {
                if intake.is_short() || late_reads == LATE_READS {
                    // What is read now would be lost, or its sender never stops; left where it is,
                    // the sender can know.
                    break Ok(());
                }
                late_reads += 1;
                // A blocking input answers from another thread, so what has arrived takes a moment.
                timeout(LATE_READ, input.read(lines.room(size))).await.unwrap_or(Ok(0))
            }
            read = input.read(lines.room(size)) => read,
        };
        let length = match read {
            Ok(0) => break Ok(()),
            Ok(length) => length,
            Err(error) => break Err(error),
        };
        lines.limit(intake.max_line());
        lines.added(length);
        while let Some(stretch) = lines.whole() {
            let accepting = intake.accept(&stretch, &stream);
            if ended.is_none() && intake.waits_for_disk() && !stop.is_cancelled() {
                ended = read_on(accepting, input, &mut lines).await;
            } else {
                accepting.await;
            }
            if let Stretch::Lines { bytes, .. } = stretch {
                lines.reuse(bytes);
            }
        }
        // It holds no more room than it has use for.
        if length == size {
            size = (2 * size).min(READ_SIZE);
        } else if length < size / 4 && size > least {
            size /= 2;
            lines.shrink();
        }
    };
    if let Some(stretch) = lines.finish() {
        intake.accept(&stretch, &stream).await;
    }
    result
}

/// Reads on while a chunk is on its way to disk: a pipe gives little at once, and the more the next
/// commit takes along, the less each of them weighs. Returns how the stream ended, if it did.
async fn read_on(
    accepting: impl Future<Output = ()>,
    input: &mut (impl AsyncRead + Unpin),
    lines: &mut Framer,
) -> Option<std::io::Result<()>> {
    tokio::pin!(accepting);
    let from = lines.end();
    let mut ended = None;
    while ended.is_none() && lines.end() - from < READ_ON {
        tokio::select! {
            biased;
            () = &mut accepting => return None,
            read = input.read(lines.room(READ_SIZE)) => match read {
                Ok(0) => ended = Some(Ok(())),
                Ok(length) => lines.added(length),
                Err(error) => ended = Some(Err(error)),
            }
        }
    }
    accepting.await;
    ended
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Input;
    use crate::source::testing::{self, Bench};
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};
    use tokio::io::ReadBuf;

    /// Gives a line at each read, without an end.
    struct Endless(Arc<AtomicUsize>);

    impl AsyncRead for Endless {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            room: &mut ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            room.put_slice(b"{\"n\":1}\n");
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn of_a_sender_that_never_stops_nothing_is_read_that_is_not_taken_in() {
        let bench = Bench::new();
        let run = bench.open();
        let given = Arc::new(AtomicUsize::new(0));
        let input = Endless(Arc::clone(&given));
        run.stop.cancel();
        let source = Stdin::new(run.intake(&testing::source(Input::Stdin)), input);
        source.run(run.stop.clone()).await.unwrap();
        let given = given.load(Ordering::Relaxed);
        assert_eq!(given, LATE_READS as usize);
        bench.got.count(given).await;
    }
}
