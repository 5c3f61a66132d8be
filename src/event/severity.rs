//! How bad an event is: eight ordered levels and the words and numbers that other systems use for
//! them. Where a severity is found in an event is the business of `schema`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The normalised severity of an event, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Detail for those who develop the program.
    Debug,
    /// Normal operation.
    Info,
    /// Normal but worth a look.
    Notice,
    /// May become a fault.
    Warn,
    /// A fault.
    Error,
    /// A fault that needs somebody now.
    Critical,
    /// Something must be done at once.
    Alert,
    /// The system is unusable.
    Emergency,
    /// The event names a severity that no table knows. It passes every `min_severity`: what is
    /// not understood is not filtered out.
    #[serde(skip_deserializing)]
    Unknown,
}

/// What the numbers of a numeric severity mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum SeverityScale {
    /// 0 (emergency) to 7 (debug), RFC 5424.
    #[default]
    Syslog,
    /// 1 (trace) to 24 (fatal), OpenTelemetry's `severityNumber`.
    Otel,
    /// 0 to 6 and 99, OCSF's `severity_id`.
    Ocsf,
}

impl Severity {
    /// Every level that a configuration may name, in rising order.
    pub const LEVELS: [Severity; 8] = [
        Severity::Debug,
        Severity::Info,
        Severity::Notice,
        Severity::Warn,
        Severity::Error,
        Severity::Critical,
        Severity::Alert,
        Severity::Emergency,
    ];

    /// The word that templates and records show.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Debug => "debug",
            Severity::Info => "info",
            Severity::Notice => "notice",
            Severity::Warn => "warn",
            Severity::Error => "error",
            Severity::Critical => "critical",
            Severity::Alert => "alert",
            Severity::Emergency => "emergency",
            Severity::Unknown => "unknown",
        }
    }

    /// Reads a word in any of its usual spellings, or a number on `scale`.
    pub fn read(text: &str, scale: SeverityScale) -> Severity {
        // As events mostly have it, without blanks and in lower case.
        if let Some(known) = Severity::from_lower_case(text) {
            return known;
        }
        let text = text.trim();
        Severity::from_word(text)
            .or_else(|| Severity::from_number(text.parse().ok()?, scale))
            .unwrap_or(Severity::Unknown)
    }

    /// Reads a word; case does not count.
    pub fn from_word(word: &str) -> Option<Severity> {
        Severity::from_lower_case(&word.to_ascii_lowercase())
    }

    fn from_lower_case(word: &str) -> Option<Severity> {
        Some(match word {
            "debug" | "trace" | "verbose" | "fine" => Severity::Debug,
            "info" | "information" | "informational" | "normal" => Severity::Info,
            "notice" | "low" => Severity::Notice,
            "warn" | "warning" | "medium" | "moderate" => Severity::Warn,
            "error" | "err" | "high" => Severity::Error,
            "critical" | "crit" | "fatal" | "severe" => Severity::Critical,
            "alert" => Severity::Alert,
            "emergency" | "emerg" | "panic" => Severity::Emergency,
            _ => return None,
        })
    }

    /// Reads a number on a scale; `None` for a number that the scale does not have.
    pub fn from_number(number: i64, scale: SeverityScale) -> Option<Severity> {
        Some(match (scale, number) {
            (SeverityScale::Syslog, 0) => Severity::Emergency,
            (SeverityScale::Syslog, 1) => Severity::Alert,
            (SeverityScale::Syslog, 2) => Severity::Critical,
            (SeverityScale::Syslog, 3) => Severity::Error,
            (SeverityScale::Syslog, 4) => Severity::Warn,
            (SeverityScale::Syslog, 5) => Severity::Notice,
            (SeverityScale::Syslog, 6) => Severity::Info,
            (SeverityScale::Syslog, 7) => Severity::Debug,
            // The appendix of OpenTelemetry's log data model maps syslog onto its numbers:
            // notice 10, error 17, critical 18, alert 19, emergency 21.
            (SeverityScale::Otel, 1..=8) => Severity::Debug,
            (SeverityScale::Otel, 9) => Severity::Info,
            (SeverityScale::Otel, 10..=12) => Severity::Notice,
            (SeverityScale::Otel, 13..=16) => Severity::Warn,
            (SeverityScale::Otel, 17) => Severity::Error,
            (SeverityScale::Otel, 18) => Severity::Critical,
            (SeverityScale::Otel, 19 | 20) => Severity::Alert,
            (SeverityScale::Otel, 21..=24) => Severity::Emergency,
            (SeverityScale::Ocsf, 1) => Severity::Info,
            (SeverityScale::Ocsf, 2) => Severity::Notice,
            (SeverityScale::Ocsf, 3) => Severity::Warn,
            (SeverityScale::Ocsf, 4) => Severity::Error,
            (SeverityScale::Ocsf, 5) => Severity::Critical,
            (SeverityScale::Ocsf, 6) => Severity::Emergency,
            _ => return None,
        })
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers() {
        use SeverityScale::{Ocsf, Otel, Syslog};
        for (text, scale, severity) in [
            ("warning", Syslog, Severity::Warn),
            ("WARN", Syslog, Severity::Warn),
            ("Err", Syslog, Severity::Error),
            ("fatal", Syslog, Severity::Critical),
            ("CRIT", Syslog, Severity::Critical),
            ("panic", Syslog, Severity::Emergency),
            ("high", Syslog, Severity::Error),
            ("medium", Syslog, Severity::Warn),
            ("low", Syslog, Severity::Notice),
            (" info ", Syslog, Severity::Info),
            ("0", Syslog, Severity::Emergency),
            ("7", Syslog, Severity::Debug),
            ("8", Syslog, Severity::Unknown),
            ("-1", Syslog, Severity::Unknown),
            ("17", Otel, Severity::Error),
            ("0", Otel, Severity::Unknown),
            ("6", Ocsf, Severity::Emergency),
            ("0", Ocsf, Severity::Unknown),
            ("99", Ocsf, Severity::Unknown),
            ("odd", Syslog, Severity::Unknown),
            ("", Syslog, Severity::Unknown),
        ] {
            assert_eq!(Severity::read(text, scale), severity, "{text:?} on {scale:?}");
        }
    }

    #[test]
    fn levels_rise_and_read_back() {
        assert!(Severity::LEVELS.is_sorted());
        for level in Severity::LEVELS {
            assert_eq!(Severity::read(level.as_str(), SeverityScale::Syslog), level);
            assert!(Severity::Unknown >= level, "unknown passes every min_severity");
        }
    }
}
