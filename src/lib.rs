//! postrider carries audit events to webhooks and loses none on the way.
//!
//! The modules stand bottom-up: each imports only from those above it in this list, which
//! `tests/architecture.rs` checks. Four floors: values (pure), configuration, machinery, surfaces.

// Data files that are part of the program.
mod data_file;

// Folders, on disk for good.
mod folder;

// Globs over texts and paths.
mod glob;

// One audit event: text, envelope, position.
pub mod event;

// Where foreign formats keep the envelope's fields.
pub mod schema;

// Foreign formats: lines made into events, and events into default bodies.
pub mod format;

// Signatures over bytes, pure.
pub mod signature;

// Which IP addresses may be dialled, pure.
pub mod address;

// Templates and expressions over an event: compiled at load; nothing else renders.
pub mod template;

// Which events an export takes.
pub mod filter;

// What of an event an export must not carry: replaced in its text, in place.
pub mod redact;

// What becomes of a delivery after an attempt: the pure policy.
pub mod retry;

// Platforms as data: their messages, bounds, rates and answers.
pub mod presets;

// What can go wrong with an attempt, its cause and its fix.
pub mod trouble;

// The whole configuration: read, layered, checked, with every problem's position.
pub mod config;

// Log lines that repeat, said once.
pub mod repeats;

// What is counted and measured.
pub mod metrics;

// Which lines of a stream are settled.
pub mod ack;

// One event on its way through one export, and what came of an attempt.
pub mod delivery;

// Events whose handling ends the process.
pub mod poison;

// One SQLite file with one writer: dead letters, queue rows, file checkpoints, outbox.
pub mod store;

// The transports at an export's end.
pub mod sink;

// The export's bounded queue.
pub mod queue;

// One export at work: its board, and the slots that take, send and settle.
pub mod export;

// From a chunk of accepted lines to the queues.
pub mod route;

// Where events come in.
pub mod source;

// Wiring: start, reload, replay, drain, come to rest.
pub mod pipeline;

// The admin listener and the control socket.
pub mod api;

// The commands.
pub mod cli;
