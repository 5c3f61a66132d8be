//! postrider carries audit events to webhooks and loses none on the way.
//!
//! The modules stand bottom-up: each imports only from those above it in this list, which
//! `tests/architecture.rs` checks. Four floors: values (pure), configuration, machinery, surfaces.

/// One audit event: text, envelope, position.
pub mod event;

/// Signatures over bytes, pure.
pub mod signature;

/// Templates and expressions over an event: compiled at load; nothing else renders.
pub mod template;
