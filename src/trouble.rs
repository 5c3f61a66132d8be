//! What can go wrong with an attempt, why, and what to do: the one table behind log lines, the
//! `test` command and `docs/errors.md`.

use crate::retry::Reason;
use std::fmt::Write;
use std::io;

/// What went wrong with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trouble {
    /// The host's name has no address.
    Dns,
    /// Nothing listens there.
    Refused,
    /// No way there, or the way is closed.
    Unreachable,
    /// This process has too many files open for another connection.
    OutOfFiles,
    /// No connection within `connect_timeout`.
    ConnectTimeout,
    /// The TLS handshake failed.
    Tls,
    /// No verdict within `timeout`.
    Timeout,
    /// The connection ended before the answer.
    Closed,
    /// The answer is not HTTP.
    Protocol,
    /// 3xx
    Redirect,
    /// 400, 422 and other 4xx about the request itself
    BadRequest,
    /// 401, 403
    Unauthorized,
    /// 404
    NotFound,
    /// 408, 425
    TryLater,
    /// 410
    Gone,
    /// 413
    TooLarge,
    /// 429
    TooMany,
    /// 500 and other 5xx
    Server,
    /// 502, 503, 504
    Unavailable,
    /// 1xx or no known class
    Odd,
    /// The host leads to an address that may not be dialled.
    Blocked,
    /// The proxy is out of reach or gives no sensible answer.
    Proxy,
    /// The proxy opens no way to the receiver.
    ProxyRefused,
    /// The request could not be made from this event.
    Render,
    /// A file or stream could not be written.
    Write,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Explanation {
    /// Which trouble.
    pub trouble: Trouble,
    /// Its name, as logs show it.
    pub name: &'static str,
    /// Why it happens.
    pub cause: &'static str,
    /// What to do.
    pub fix: &'static str,
}

const fn row(
    trouble: Trouble,
    name: &'static str,
    cause: &'static str,
    fix: &'static str,
) -> Explanation {
    Explanation { trouble, name, cause, fix }
}

/// Every trouble with its cause and its fix.
pub const TABLE: &[Explanation] = &[
    row(
        Trouble::Dns,
        "dns",
        "the host's name could not be resolved",
        "check the host in `webhook.url` and this machine's DNS",
    ),
    row(
        Trouble::Refused,
        "refused",
        "nothing listens on that host and port",
        "check that the receiver runs, and the port in `webhook.url`",
    ),
    row(
        Trouble::Unreachable,
        "unreachable",
        "the network or a firewall gives no way to the receiver",
        "check routes and firewalls between this machine and the receiver",
    ),
    row(
        Trouble::OutOfFiles,
        "out_of_files",
        "postrider itself has too many files open to make another connection",
        "let the process open more files: `LimitNOFILE=` of its unit, or `ulimit -n`",
    ),
    row(
        Trouble::ConnectTimeout,
        "connect_timeout",
        "the receiver did not accept a connection in time",
        "check firewalls that drop packets, or raise `webhook.connect_timeout`",
    ),
    row(
        Trouble::Tls,
        "tls",
        "the TLS handshake failed: an untrusted or expired certificate, a wrong host name, or no TLS on that port",
        "check the receiver's certificate and that the URL's scheme fits the port; a private authority goes into `webhook.tls.ca_file`",
    ),
    row(
        Trouble::Timeout,
        "timeout",
        "the receiver took the connection and gave no verdict in time",
        "find out what the receiver waits for, or raise `webhook.timeout`",
    ),
    row(
        Trouble::Closed,
        "closed",
        "the receiver closed the connection before it answered",
        "look into the receiver's log: it may have crashed, or refuse requests of this size",
    ),
    row(
        Trouble::Protocol,
        "protocol",
        "what came back is not an HTTP/1.1 answer",
        "check that the port speaks HTTP, and that the URL's scheme fits it",
    ),
    row(
        Trouble::Redirect,
        "redirect",
        "the receiver answers with a redirect, which is never followed",
        "put the address it redirects to into `webhook.url`",
    ),
    row(
        Trouble::BadRequest,
        "bad_request",
        "the receiver does not accept this body or these headers",
        "compare `postrider render` with what the receiver expects; its answer often names the field",
    ),
    row(
        Trouble::Unauthorized,
        "unauthorized",
        "the receiver does not accept the credentials, or the webhook was revoked",
        "renew the token or the webhook's URL",
    ),
    row(
        Trouble::NotFound,
        "not_found",
        "there is no such path at the receiver, or the webhook was deleted",
        "check the path in `webhook.url`, or create the webhook anew",
    ),
    row(
        Trouble::TryLater,
        "try_later",
        "the receiver asks to send the same again",
        "nothing, unless it goes on: then look into the receiver's log",
    ),
    row(
        Trouble::Gone,
        "gone",
        "the receiver says that this address is dead for good",
        "create the webhook anew and put its address into `webhook.url`",
    ),
    row(
        Trouble::TooLarge,
        "too_large",
        "the body is larger than the receiver takes",
        "shorten the body with `webhook.body_template`",
    ),
    row(
        Trouble::TooMany,
        "too_many",
        "the receiver limits how fast it takes requests",
        "set the export's `rate_limit` to what it allows",
    ),
    row(
        Trouble::Server,
        "server_error",
        "the receiver failed while it handled the request",
        "look into the receiver's log",
    ),
    row(
        Trouble::Unavailable,
        "unavailable",
        "the receiver, or what stands before it, is down or overloaded",
        "check that the receiver is up and keeps pace, and what stands before it reaches it",
    ),
    row(
        Trouble::Odd,
        "odd_status",
        "the status is none that an HTTP receiver should end with",
        "check that `webhook.url` leads to the receiver and not to something before it",
    ),
    row(
        Trouble::Blocked,
        "blocked_address",
        "the host leads to a private or special-purpose address, and `webhook.block_private_networks` is on",
        "use a public host, or add it to `webhook.allow`; then replay the dead letters",
    ),
    row(
        Trouble::Proxy,
        "proxy",
        "the proxy could not be reached, or what it answers is not HTTP/1.1",
        "check `webhook.proxy`, and that the proxy runs",
    ),
    row(
        Trouble::ProxyRefused,
        "proxy_refused",
        "the proxy opened no way to the receiver",
        "407: check user name and password in `webhook.proxy`; 403: let the proxy allow CONNECT to this host and port; 502 to 504: check that the proxy reaches the receiver",
    ),
    row(
        Trouble::Render,
        "render",
        "the request could not be made from this event",
        "try the template with `postrider render` on the dead letter's event",
    ),
    row(
        Trouble::Write,
        "write",
        "the file or stream could not be written",
        "check that the disk has room and that postrider may write there",
    ),
];

impl Trouble {
    /// The trouble that a status other than 2xx means.
    pub fn of_status(status: u16) -> Trouble {
        match status {
            300..400 => Trouble::Redirect,
            401 | 403 => Trouble::Unauthorized,
            404 => Trouble::NotFound,
            408 | 425 => Trouble::TryLater,
            410 => Trouble::Gone,
            413 => Trouble::TooLarge,
            429 => Trouble::TooMany,
            400..500 => Trouble::BadRequest,
            502..=504 => Trouble::Unavailable,
            500..600 => Trouble::Server,
            _ => Trouble::Odd,
        }
    }

    /// The trouble of a dead letter whose reason says it: no attempt was made.
    pub fn of_reason(reason: Reason) -> Option<Trouble> {
        match reason {
            Reason::Render => Some(Trouble::Render),
            Reason::BlockedAddress => Some(Trouble::Blocked),
            _ => None,
        }
    }

    /// Its cause and its fix.
    pub fn explain(self) -> &'static Explanation {
        // Every trouble has its row, which a test holds; the first stands in so that no input can
        // bring a panic here.
        TABLE.iter().find(|row| row.trouble == self).unwrap_or(&TABLE[0])
    }
}

/// The reference page `docs/errors.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Errors of deliveries\n\n\
         What `cause` and `fix` in a log line, and in what `postrider test` prints, stand for. Whether an attempt is\n\
         repeated is decided by `retry.retry_on`, not by this table.\n\n\
         | name | cause | fix |\n|---|---|---|\n",
    );
    for row in TABLE {
        let _ = writeln!(page, "| `{}` | {} | {} |", row.name, row.cause, row.fix);
    }
    page
}

/// The table as JSON.
pub fn json() -> String {
    let row = |row: &Explanation| serde_json::json!({ "name": row.name, "cause": row.cause, "fix": row.fix });
    format!("{:#}\n", TABLE.iter().map(row).collect::<serde_json::Value>())
}

/// Whether the process or the system has no room for another open file.
pub fn is_out_of_files(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_has_one_row() {
        let mut troubles: Vec<_> = TABLE.iter().map(|row| row.trouble).collect();
        troubles.sort();
        troubles.dedup();
        assert_eq!(troubles.len(), TABLE.len());
        assert_eq!(troubles.last(), Some(&Trouble::Write), "the last one named in the enum");
        assert_eq!(troubles.len(), Trouble::Write as usize + 1);
        for status in 100..600 {
            assert_eq!(Trouble::of_status(status).explain().trouble, Trouble::of_status(status));
        }
    }

    /// Whether there is another attempt hangs on `retry` and on how many there were: none of this.
    #[test]
    fn no_fix_promises_another_attempt() {
        for row in TABLE {
            assert!(!row.fix.contains("tried again"), "{}: {}", row.name, row.fix);
        }
    }

    #[test]
    fn the_reference_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");
        let file = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(
            file,
            markdown(),
            "run: cargo run -- schema errors --format markdown > docs/errors.md"
        );
    }
}
