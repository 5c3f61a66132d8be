//! Whose webhook an export sends to, and what that changes.

use crate::presets::{Answers, Limits, Preset};
use crate::template::Escape;
use std::collections::BTreeMap;

/// Whose webhook it is.
#[derive(Debug, Clone, Default)]
pub struct Platform {
    /// What is known of it; `None`: nobody's in particular.
    pub preset: Option<&'static Preset>,
    /// Values for the address, by the platform's names.
    pub options: BTreeMap<String, String>,
    /// What answers mean: the user's rows, then the platform's.
    pub answers: Answers,
}

impl Platform {
    /// How values are written into a JSON body.
    pub fn escape(&self) -> Escape {
        self.preset.and_then(Preset::markup).map_or(Escape::Json, Escape::Message)
    }

    /// The bounds of a JSON body.
    pub fn limits(&self) -> Option<&'static Limits> {
        self.preset?.limits()
    }

    /// The address as the platform wants it.
    pub fn readdress(&self, url: &mut url::Url) {
        if let Some(preset) = self.preset {
            preset.readdress(url, &self.options);
        }
    }

    /// The headers that tell how many requests are left, and for how many seconds none.
    pub fn rate_headers(&self) -> Option<(&'static str, &'static str)> {
        self.preset?.rate_headers()
    }
}
