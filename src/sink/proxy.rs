//! Asking a proxy for a way by `CONNECT`. Plain http goes through one as well: so a proxy's own
//! answers never pass for a receiver's, and it is told the address that the guard has checked
//! instead of a name to look up by itself.

use super::error::ClientError;
use crate::config::Credentials;
use crate::trouble::Trouble;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest head of a proxy's answer, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Why a proxy opened no way.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: ClientError,
    /// Whether it may reach another address of the same host.
    pub(super) of_this_address: bool,
}

impl Refusal {
    fn new(text: String) -> Self {
        Refusal { error: ClientError::new(Trouble::Proxy, text), of_this_address: false }
    }
}

/// Asks for a way to `target`, a host or an address with its port.
pub(super) async fn open(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    target: &str,
    credentials: Option<&Credentials>,
) -> Result<(), Refusal> {
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(credentials) = credentials {
        request.push_str("Proxy-Authorization: ");
        request.push_str(credentials.header());
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    let broken = |error: std::io::Error| Refusal::new(format!("the proxy broke off: {error}"));
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut head = Vec::with_capacity(256);
    let end = loop {
        if let Some(end) = memchr::memmem::find(&head, b"\r\n\r\n") {
            break end + 4;
        }
        if head.len() > MAX_HEAD {
            return Err(Refusal::new("the proxy's answer has no end".to_owned()));
        }
        if stream.read_buf(&mut head).await.map_err(broken)? == 0 {
            return Err(Refusal::new("the proxy closed the connection".to_owned()));
        }
    };
    match status(&head) {
        // Whoever is behind it says nothing before it is asked.
        Some(200..300) if end < head.len() => {
            Err(Refusal::new("the proxy sent more than its answer".to_owned()))
        }
        Some(200..300) => Ok(()),
        Some(status) => Err(Refusal {
            error: ClientError::new(
                Trouble::ProxyRefused,
                format!("the proxy answered CONNECT with HTTP {status}"),
            ),
            of_this_address: matches!(status, 502..=504),
        }),
        None => Err(Refusal::new("the proxy's answer is not HTTP/1.1".to_owned())),
    }
}

fn status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.")?;
    match rest {
        [b'0'..=b'9', b' ', digits @ .., _] => {
            let digits = digits.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
            std::str::from_utf8(digits).ok()?.parse().ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a proxy is asked, and what comes of this answer of it.
    async fn ask(answer: &str, credentials: Option<&Credentials>) -> (String, Result<(), Refusal>) {
        let (mut here, mut there) = tokio::io::duplex(64 * 1024);
        there.write_all(answer.as_bytes()).await.unwrap();
        there.shutdown().await.unwrap();
        let opened = open(&mut here, "h.example:443", credentials).await;
        drop(here);
        let mut asked = String::new();
        there.read_to_string(&mut asked).await.unwrap();
        (asked, opened)
    }

    #[tokio::test]
    async fn answers_open_a_way_or_say_why_not() {
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(MAX_HEAD + 1));
        for (answer, said, of_this_address) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", "", false),
            ("HTTP/1.0 200\r\nVia: x\r\n\r\n", "", false),
            (
                "HTTP/1.1 407 No\r\nX: y\r\n\r\nbody",
                "the proxy answered CONNECT with HTTP 407",
                false,
            ),
            ("HTTP/1.1 403 No\r\n\r\n", "the proxy answered CONNECT with HTTP 403", false),
            ("HTTP/1.1 502 No\r\n\r\n", "the proxy answered CONNECT with HTTP 502", true),
            ("HTTP/1.1 301 No\r\n\r\n", "the proxy answered CONNECT with HTTP 301", false),
            (
                "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK",
                "the proxy sent more than its answer",
                false,
            ),
            ("HTTP/1.1 200 OK\r\n", "the proxy closed the connection", false),
            ("", "the proxy closed the connection", false),
            (&endless, "the proxy's answer has no end", false),
            ("SSH-2.0-x\r\n\r\n", "the proxy's answer is not HTTP/1.1", false),
            ("HTTP/1.1 2x0 OK\r\n\r\n", "the proxy's answer is not HTTP/1.1", false),
        ] {
            let (asked, opened) = ask(answer, None).await;
            assert_eq!(asked, "CONNECT h.example:443 HTTP/1.1\r\nHost: h.example:443\r\n\r\n");
            let found = opened.err().map_or((String::new(), false), |refusal| {
                (refusal.error.text, refusal.of_this_address)
            });
            assert_eq!(found, (said.to_owned(), of_this_address), "{answer}");
        }
    }

    #[tokio::test]
    async fn credentials_go_along() {
        let credentials = Credentials::new("user".to_owned(), "p:w".to_owned());
        let (asked, _) = ask("", Some(&credentials)).await;
        assert!(asked.contains("\r\nProxy-Authorization: Basic dXNlcjpwOnc=\r\n"), "{asked}");
        assert_eq!(credentials.secrets(), ["user", "p:w", "dXNlcjpwOnc="]);
        assert!(!format!("{credentials:?}").contains("p:w"), "{credentials:?}");
    }
}
