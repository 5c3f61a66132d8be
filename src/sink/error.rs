//! Why there is no answer.

use crate::address::Blocked;
use crate::trouble::{Trouble, is_out_of_files};
use std::io;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct ClientError {
    /// What kind of trouble.
    pub(super) trouble: Trouble,
    /// What went wrong; holds neither URL nor headers.
    pub(super) text: String,
}

impl ClientError {
    pub(super) fn new(trouble: Trouble, text: impl Into<String>) -> Self {
        ClientError { trouble, text: text.into() }
    }

    pub(super) fn of_io(error: &io::Error) -> Self {
        let trouble = match error.kind() {
            io::ErrorKind::ConnectionRefused => Trouble::Refused,
            io::ErrorKind::TimedOut => Trouble::ConnectTimeout,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Trouble::Closed,
            _ if is_out_of_files(error) => Trouble::OutOfFiles,
            _ => Trouble::Unreachable,
        };
        ClientError::new(trouble, error.to_string())
    }

    /// What `hyper` says of a connection that speaks HTTP/1.1.
    pub(super) fn of_hyper(error: &hyper::Error) -> Self {
        let source =
            std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
        if error.is_parse() {
            ClientError::new(Trouble::Protocol, "the answer is not HTTP/1.1")
        } else if error.is_incomplete_message() {
            ClientError::new(Trouble::Closed, "connection closed before the answer was complete")
        } else if let Some(source) = source {
            ClientError { trouble: Trouble::Closed, text: source.to_string() }
        } else {
            ClientError::new(Trouble::Closed, error.to_string())
        }
    }

    /// A request over HTTP/2 that came to nothing. The library's own words may repeat what the
    /// receiver gave as its reason, so they are not taken over.
    pub(super) fn of_http2() -> Self {
        ClientError::new(Trouble::Closed, "the HTTP/2 connection ended before the answer")
    }

    pub(super) fn of_tls(error: impl std::fmt::Display) -> Self {
        let text = error.to_string();
        // The library's word for what `openssl req -x509` makes where nothing else is said.
        if text.contains("CaUsedAsEndEntity") {
            let what = "TLS: the receiver shows the certificate of an authority (CA:TRUE): it needs \
                        one of a server (CA:FALSE)";
            return ClientError::new(Trouble::Tls, what);
        }
        ClientError::new(Trouble::Tls, format!("TLS: {text}"))
    }
}

impl From<Blocked> for ClientError {
    fn from(blocked: Blocked) -> Self {
        ClientError::new(Trouble::Blocked, blocked.to_string())
    }
}
