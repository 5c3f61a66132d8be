//! One test executable: what postrider does, shown by the real binary, and what its house must
//! look like. One module per behaviour; `support` holds what they share.

#![allow(clippy::disallowed_types, reason = "these tests watch a process from outside any runtime")]

mod support;

mod admin;
mod architecture;
mod authentication;
mod batches;
mod canary;
mod canary_held;
mod commands;
mod config_cli;
mod console_and_file;
mod crash;
mod damage;
mod delivery;
mod dlq;
mod dlq_full;
mod egress;
mod exports;
mod faults;
mod files;
mod filters;
mod formats;
mod hold;
mod http2;
mod imports;
mod long;
mod malformed;
mod overflow;
mod own_events;
mod pipelines;
mod platforms;
mod proxies;
mod queue;
mod rate_limit;
mod readme;
mod redaction;
mod reload;
mod reload_renamed;
mod reload_replaced;
mod reload_sources;
mod replay;
mod retry;
mod secrets;
mod seeds_messages;
mod sockets;
mod standing;
mod stopping;
mod store;
mod tls;
mod verdict;
mod watch;
