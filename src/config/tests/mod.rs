//! What users see of the configuration: whole files in, configuration or problems out.

mod authentication;
mod batches;
mod layers;
mod pem;
mod platforms;
mod problems;
mod robust;
mod templates;
mod typed;

use super::{Config, Destination, Input, LoadOptions, Loaded, Problems, load};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// A folder with files and what else a configuration is read from.
pub(super) struct Case {
    folder: tempfile::TempDir,
    pub(super) options: LoadOptions,
}

impl Case {
    /// Files by name; those named `*.yaml`, `*.toml` and `*.json` are given in this order.
    pub(super) fn new(files: &[(&str, &str)]) -> Case {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let endings = [".yaml", ".toml", ".json"];
        let named = files.iter().map(|(name, _)| *name);
        let given = named.filter(|name| endings.iter().any(|ending| name.ends_with(ending)));
        let options = LoadOptions {
            files: given.map(PathBuf::from).collect(),
            working_dir: folder.path().to_owned(),
            environment: BTreeMap::from([("PD_ROUTING_KEY".into(), "R0UTINGKEY".into())]),
            ..LoadOptions::default()
        };
        Case { folder, options }
    }

    pub(super) fn yaml(text: &str) -> Case {
        Case::new(&[("postrider.yaml", text)])
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> Case {
        self.options.environment.insert(name.into(), value.into());
        self
    }

    pub(super) fn set(mut self, edit: &str) -> Case {
        self.options.set.push(edit.into());
        self
    }

    pub(super) fn load(&self) -> Result<Loaded, Problems> {
        load(&self.options)
    }

    /// The configuration, or a panic with its problems.
    pub(super) fn config(&self) -> Config {
        self.load().unwrap_or_else(|problems| panic!("{problems}")).config
    }

    /// All that is said of it, problems first.
    pub(super) fn said(&self) -> String {
        let (problems, warnings) = match self.load() {
            Ok(loaded) => (String::new(), loaded.warnings),
            Err(problems) => (problems.to_string(), problems.warnings),
        };
        let warnings = warnings.iter().map(|warning| format!("warning: {warning}"));
        let problems = Some(problems).filter(|problems| !problems.is_empty());
        problems.into_iter().chain(warnings).collect::<Vec<_>>().join("\n")
    }

    pub(super) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

const SEED: &str = r#"
exports:
  - name: pagerduty-alerts
    destination: webhook
    format: json
    webhook:
      url: https://events.pagerduty.com/v2/enqueue
      method: POST
      headers:
        Authorization: "Token token=${PD_ROUTING_KEY}"
        Content-Type: application/json
      body_template: |
        {
          "routing_key": "${PD_ROUTING_KEY}",
          "payload": {"summary": "{{event_kind}} on {{agent_id}}", "custom_details": {{event_json}}}
        }
    filters:
      min_severity: error
      event_kinds: [policy_block, auth_fail]
    retry:
      max_attempts: 5
      backoff_seconds: [1, 2, 4, 8, 16]
  - name: archive
    destination: webhook
    webhook:
      url: "${S3_WEBHOOK_BRIDGE_URL}"
    filters: {} # everything
"#;

#[test]
fn a_file_with_only_exports_reads_standard_input() {
    let case = Case::yaml(SEED).env("S3_WEBHOOK_BRIDGE_URL", "https://bridge.example.com/in?x=1");
    let config = case.config();
    assert_eq!(&*config.sources[0].name, "stdin");
    assert!(matches!(config.sources[0].input, Input::Stdin));
    let names: Vec<&str> = config.exports.iter().map(|export| &*export.name).collect();
    assert_eq!(names, ["pagerduty-alerts", "archive"]);
    let Destination::Webhook(webhook) = &config.exports[1].destination else { panic!() };
    assert_eq!(webhook.url.masked(), "https://bridge.example.com/…");
}
