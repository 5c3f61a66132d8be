//! The transports at an export's end: webhook, console, file. A sink makes one attempt and tells
//! what came of it; when to try again, and when to give up, is not decided here.

mod alert;
mod attempt;
mod batch;
mod body;
mod client;
mod compress;
pub mod console;
mod dial;
mod echo;
mod error;
pub mod file;
mod form;
mod proxy;
mod reading;
mod seal;
mod status;
mod timer;
mod tls;
mod verdict;
pub mod webhook;

use crate::delivery::{Delivery, Outcome};
use crate::event::Event;
use crate::format::BodyFormat;
use std::sync::Arc;
use std::time::Duration;
pub use tls::Tls;

/// Tells apart what cannot go in one request.
pub type Key = [u8; 32];

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

    /// How long the receiver of the last attempt, which succeeded, asked to be left alone.
    fn rest(&mut self) -> Option<Duration> {
        None
    }

    /// What a delivery must have in common with others to go in one request with them, where
    /// that varies; `None` where all go together.
    ///
    /// # Errors
    /// The outcome of a delivery of which that cannot be told: it is not to be sent.
    fn key(&self, _delivery: &Delivery) -> Result<Option<Key>, Outcome> {
        Ok(None)
    }

    /// Whether all deliveries of one [`Sink::send`] go in one request, which has one answer.
    fn is_batch(&self) -> bool {
        false
    }

    /// Makes one attempt with these deliveries and appends one outcome for each, in order. A sink
    /// that batches may answer for the first few alone, at least for one: the others go next.
    fn send(
        &mut self,
        deliveries: &[Delivery],
        outcomes: &mut Vec<Outcome>,
    ) -> impl Future<Output = ()> + Send;
}

/// Appends an event as one line, whatever line breaks it was read with: what the console and a file
/// get of it.
pub fn line(event: &Arc<Event>, format: BodyFormat, out: &mut Vec<u8>) {
    out.extend_from_slice(&body::one_line(&format.body(event)));
    out.push(b'\n');
}
