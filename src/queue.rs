//! What an export holds in memory: a FIFO of what was routed, and a bound over everything that is
//! not settled, wherever on the board it stands. No overflow to disk yet: a full queue holds its
//! sources back.

use crate::config::QueueBounds;
use crate::delivery::Delivery;
use std::collections::VecDeque;

/// Internal events have a tenth of the queue to themselves, so that a flood of others cannot keep
/// the news of its own trouble out.
const INTERNAL_SHARE: usize = 10;

/// A bounded queue. The bound counts queued, waiting and in-flight deliveries together.
#[derive(Debug)]
pub struct Queue {
    bounds: QueueBounds,
    fifo: VecDeque<Delivery>,
    events: usize,
    bytes: usize,
}

/// Who wants to enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrant {
    /// Events of a configured source.
    Source,
    /// postrider's own events.
    Internal,
}

impl Queue {
    /// An empty queue.
    pub fn new(bounds: QueueBounds) -> Self {
        Queue { bounds, fifo: VecDeque::new(), events: 0, bytes: 0 }
    }

    /// Moves deliveries from the front of `waiting` into the queue while there is room. A queue
    /// that holds nothing takes a delivery of any size: else it could never be sent.
    pub fn enter(&mut self, waiting: &mut VecDeque<Delivery>, entrant: Entrant) {
        while let Some(delivery) = waiting.pop_front() {
            if !self.fits(delivery.bytes(), entrant) {
                waiting.push_front(delivery);
                return;
            }
            self.hold(&delivery);
            self.fifo.push_back(delivery);
        }
    }

    fn fits(&self, bytes: usize, entrant: Entrant) -> bool {
        let share = |bound: usize| match entrant {
            Entrant::Source => bound - bound / INTERNAL_SHARE,
            Entrant::Internal => bound,
        };
        self.events == 0
            || (self.events < share(self.bounds.memory_events)
                && self.bytes.saturating_add(bytes) <= share(self.bounds.memory_bytes))
    }

    /// Lets everything in from now on.
    pub fn lift_bounds(&mut self) {
        self.bounds = QueueBounds { memory_events: usize::MAX, memory_bytes: usize::MAX };
    }

    /// Counts a delivery that stands elsewhere on the board, whatever the bound says.
    pub fn hold(&mut self, delivery: &Delivery) {
        self.events += 1;
        self.bytes += delivery.bytes();
    }

    /// Forgets a delivery of this size, settled or taken off the board.
    pub fn release(&mut self, bytes: usize) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// The next delivery in order of acceptance.
    pub fn pop(&mut self) -> Option<Delivery> {
        self.fifo.pop_front()
    }

    /// Deliveries that stand in the FIFO.
    pub fn len(&self) -> usize {
        self.fifo.len()
    }

    /// Whether the FIFO is empty.
    pub fn is_empty(&self) -> bool {
        self.fifo.is_empty()
    }

    /// The delivery at the front.
    pub fn front(&self) -> Option<&Delivery> {
        self.fifo.front()
    }

    /// Everything that is held: FIFO, waiting and in flight.
    pub fn events(&self) -> usize {
        self.events
    }

    /// Bytes of the texts of all that is held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
