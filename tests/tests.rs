//! One test executable: what postrider does, shown by the real binary, and what its house must
//! look like. One module per behaviour; `support` holds what they share.

#![allow(clippy::disallowed_types, reason = "these tests watch a process from outside any runtime")]

mod support;

mod admin;
mod architecture;
mod commands;
mod config_cli;
mod console_and_file;
mod crash;
mod delivery;
mod dlq;
mod exports;
mod faults;
mod files;
mod filters;
mod formats;
mod hold;
mod long;
mod malformed;
mod overflow;
mod own_events;
mod pipelines;
mod queue;
mod rate_limit;
mod readme;
mod reload;
mod reload_replaced;
mod reload_sources;
mod replay;
mod retry;
mod secrets;
mod sockets;
mod standing;
mod stopping;
mod store;
mod tls;
mod verdict;
