//! The transports at an export's end: webhook, console, file. A sink makes one attempt and tells
//! what came of it; when to try again, and when to give up, is not decided here.

mod client;
pub mod console;
mod echo;
pub mod file;
mod status;
pub mod webhook;

use crate::delivery::{Delivery, Outcome};
use crate::event::Event;
use crate::format::BodyFormat;
pub use client::Tls;

/// One slot's way out: at most one attempt is under way through it.
pub trait Sink: Send + 'static {
    /// The endpoint that a delivery addresses, where its URL is a template; `None` where all go to
    /// the same. An error is the outcome of a delivery whose address cannot be rendered.
    ///
    /// # Errors
    /// When the address cannot be made from this event.
    fn endpoint(&self, _delivery: &Delivery) -> Result<Option<Box<str>>, Outcome> {
        Ok(None)
    }

    /// Makes one attempt with these deliveries and appends one outcome for each, in order.
    fn send(
        &mut self,
        deliveries: &[Delivery],
        outcomes: &mut Vec<Outcome>,
    ) -> impl Future<Output = ()> + Send;
}

/// Appends an event as one line. Its text may have been read with line breaks in it; in JSON those
/// stand between values only, where a blank means the same.
fn line(event: &Event, format: BodyFormat, out: &mut Vec<u8>) {
    out.extend(
        format
            .body(event)
            .iter()
            .map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }),
    );
    out.push(b'\n');
}
