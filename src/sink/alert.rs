//! What the other side of a TLS connection objects to. In TLS 1.3 a missing or unknown client
//! certificate is told only after the handshake, and HTTP readers forget why a connection ended.

use super::error::ClientError;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most that is read of a connection that takes nothing any more, in bytes.
const MAX_KEPT: usize = 64 * 1024;

/// An objection, once there is one.
#[derive(Debug, Clone, Default)]
pub(super) struct Alert(Arc<OnceLock<String>>);

impl Alert {
    /// The objection, or else the error as it is.
    pub(super) fn explain(&self, error: ClientError) -> ClientError {
        self.0.get().map_or(error, ClientError::of_tls)
    }
}

/// A TLS stream that keeps the other side's objection.
#[derive(Debug)]
pub(super) struct Alerted<S> {
    stream: S,
    alert: Alert,
    /// What came before a write failed; it is read next.
    kept: Vec<u8>,
}

impl<S> Alerted<S> {
    pub(super) fn new(stream: S, alert: Alert) -> Self {
        Alerted { stream, alert, kept: Vec::new() }
    }
}

impl<S: AsyncRead + Unpin> Alerted<S> {
    fn look(&mut self, read: &io::Result<()>) {
        if let Err(error) = read
            && let Some(error) = error.get_ref()
            && error.is::<rustls::Error>()
        {
            // The first is the cause of all others.
            self.alert.0.get_or_init(|| error.to_string());
        }
    }

    /// Passes the result of a write on. Before it fails, what the other side said last is read:
    /// it may have objected and closed while this side was still writing.
    fn wrote<T>(
        &mut self,
        context: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if !matches!(wrote, Poll::Ready(Err(_))) {
            return wrote;
        }
        while self.kept.len() < MAX_KEPT {
            let mut piece = [0; 1024];
            let mut buffer = ReadBuf::new(&mut piece);
            // A stream that fails to write comes to its end for readers, too.
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer));
            self.look(&read);
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
            self.kept.extend_from_slice(buffer.filled());
        }
        wrote
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Alerted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.kept.is_empty() {
            let length = self.kept.len().min(buffer.remaining());
            buffer.put_slice(&self.kept[..length]);
            self.kept.drain(..length);
            return Poll::Ready(Ok(()));
        }
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        self.look(&read);
        Poll::Ready(read)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Alerted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wrote = Pin::new(&mut self.stream).poll_flush(context);
        self.wrote(context, wrote)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trouble::Trouble;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// The end of a connection: nothing more can be written; this comes, then the objection.
    struct Ending(&'static [u8], Option<rustls::Error>);

    impl AsyncRead for Ending {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            buffer.put_slice(std::mem::take(&mut self.0));
            let over = buffer.filled().is_empty();
            let error = self.1.take_if(|_| over);
            Poll::Ready(error.map_or(Ok(()), |error| Err(io::Error::other(error))))
        }
    }

    impl AsyncWrite for Ending {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn an_objection_is_heard_though_a_write_failed_first() {
        let closed = ClientError::new(Trouble::Closed, "closed");
        for (objection, said) in [
            (Some(rustls::Error::NoCertificatesPresented), "TLS: peer sent no certificates"),
            (None, "closed"),
        ] {
            let alert = Alert::default();
            let mut stream = Alerted::new(Ending(b"an answer", objection), alert.clone());
            let error = stream.write_all(b"a request").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            assert_eq!(alert.explain(closed.clone()).text, said);
            let mut kept = String::new();
            stream.read_to_string(&mut kept).await.unwrap();
            assert_eq!(kept, "an answer", "nothing that came is lost");
        }
    }
}
